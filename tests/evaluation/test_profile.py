"""The figures of a profile: what they mean, and that nothing held out reaches the profile."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tanqu.agent.history import read_history
from tanqu.agent.ledger import Ledger
from tanqu.agent.settings import Settings
from tanqu.evaluation import profile_command
from tanqu.evaluation.held_out import read_held_out
from tanqu.evaluation.profile import calibration_error, evaluate_profile, gain, separation
from tanqu.evaluation.single_prompt import single_prompt_profile, written_confidence
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError, ModelError
from tanqu.models.llm import Prompt, ScriptedModel
from tanqu.vectorstore.catalogue import Catalogue

TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets", "deep sea")
TITLES = {str(at): f"{TOPICS[at % 5]} volume {at}" for at in range(60)}
KEYS = {"profile_share", "ndcg_profile", "ndcg_history", "coverage", "evidence_valid", "stability"}
MODEL_KEYS = {"calibration_error", "calibration_error_same_users", "calibration_error_written"}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six users who like two topics each; the next item is of one of these."""
    items = "item_id:token\ttitle:token_seq\n" + "".join(f"{id_}\t{title}\n" for id_, title in TITLES.items())
    (tmp_path / "d.item").write_text(items, encoding="utf-8")
    rows = []
    for user in range(6):
        history = [topic + 5 * at for at in range(4) for topic in (user % 5, (user + 1) % 5)]
        rows.append(f"{user}\t{' '.join(map(str, history))}\t{user % 5 + 25}\n")
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    (tmp_path / "d.inter").write_text(header + "".join(rows), encoding="utf-8")
    return tmp_path


def reply(prompt: Prompt) -> str:
    text = prompt.text
    if "how sure" in text.lower():
        return '{"confidence":90}'
    if "numbers of the events" in text:
        return json.dumps({"interests": [
            {"keyword": "everything", "theme": "all", "events": [1, 2, 3, 999]},
            {"keyword": "the rest", "theme": "all", "events": [4, 5]},
        ]})  # fmt: skip
    return json.dumps({"keyword": f"topic {sum(map(ord, text)) % 9973}", "theme": "leisure"})


# --- the figures ------------------------------------------------------------------------------------


def test_the_figures_have_intervals_and_meet_what_is_asked_on_plain_topics(dataset: Path) -> None:
    seen: list[tuple[int, int]] = []
    model = ScriptedModel(reply=reply)
    found = evaluate_profile(
        dataset, 6, model, lambda done, all_: seen.append((done, all_)), HashEmbedder(256)
    )
    figures = found["figures"]
    assert set(figures) >= KEYS | MODEL_KEYS | {"separation", "separation_single_prompt"}
    assert all(one["low"] <= one["mean"] <= one["high"] for one in figures.values())
    assert figures["evidence_valid"]["mean"] == figures["coverage"]["mean"] == 1.0
    assert figures["stability"]["mean"] == 1.0 and figures["profile_share"]["mean"] >= 0.95
    assert figures["separation"]["mean"] > figures["separation_single_prompt"]["mean"]
    assert seen == [(done, 18) for done in range(1, 19)]


def test_without_a_model_what_it_says_of_itself_is_left_out(dataset: Path) -> None:
    figures = evaluate_profile(dataset, 3, None, None, HashEmbedder(256))["figures"]
    assert set(figures) >= KEYS and not set(figures) & (MODEL_KEYS | {"seconds", "separation_single_prompt"})


def test_a_profile_of_thirty_events_is_timed(dataset: Path) -> None:
    with (dataset / "d.inter").open("a", encoding="utf-8") as file:
        file.write(f"long\t{' '.join(str(at) for at in range(35))}\t40\n")
    figures = evaluate_profile(dataset, 6, ScriptedModel(reply=reply), None, HashEmbedder(256))["figures"]
    assert figures["seconds"]["mean"] > 0 and figures["seconds_ratio"]["mean"] > 0


def test_what_is_held_out_is_never_shown_to_the_model(dataset: Path) -> None:
    model = ScriptedModel(reply=reply)
    evaluate_profile(dataset, 1, model, None, HashEmbedder(256))
    assert model.history and not any(TITLES["25"] in prompt.text for prompt in model.history)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1.0, 0.5, 0.2], 1.0),
        ([0.5, 1.0, 0.2], 1 / math.log2(3)),
        ([0.0, *[1.0] * 10], 0.0),
        ([1.0, 1.0, 0.0], 1 / math.log2(2.5)),
    ],
)
def test_gain_is_that_of_one_relevant_item_and_ties_share_their_rank(
    scores: list[float], expected: float
) -> None:
    assert gain(np.array(scores), 0) == pytest.approx(expected)


def test_separation_leaves_the_event_itself_out() -> None:
    vectors = np.eye(4, dtype=np.float32)
    assert separation(vectors, [[0, 1], [2, 3]]) == 0.0
    vectors[1], vectors[3] = vectors[0], vectors[2]
    assert separation(vectors, [[0, 1], [2, 3]]) == 1.0
    assert separation(vectors, [[0, 2], [1, 3]]) == pytest.approx(-0.5)
    assert separation(vectors, [[0, 1], [0, 1]]) == 0.0  # the same events twice are not told apart
    assert separation(vectors, [[0], [1]]) is None and separation(vectors, [[0, 1]]) is None


def test_calibration_error_is_the_gap_between_sure_and_right() -> None:
    assert calibration_error([(0.7, True)] * 7 + [(0.7, False)] * 3) == pytest.approx(0.0)
    assert calibration_error([(1.0, False), (0.0, True)]) == pytest.approx(1.0)
    assert calibration_error([(0.9, True), (0.3, False)]) == pytest.approx(0.2)
    assert math.isnan(calibration_error([]))


# --- who is measured --------------------------------------------------------------------------------


def test_the_target_is_among_twenty_candidates_and_in_no_history(dataset: Path) -> None:
    data = read_held_out(dataset, 6)
    assert [case.user for case in data.cases] == list("012345")
    for case in data.cases:
        assert len(set(case.candidates)) == 20 and case.target in case.candidates
        assert case.target not in {event.item for event in case.events}
    assert len({case.candidates.index(case.target) for case in data.cases}) > 1
    assert read_held_out(dataset, 6) == data


def test_given_negatives_are_taken_as_they_are(dataset: Path) -> None:
    (dataset / "d.random").write_text(f"3\t{' '.join(map(str, range(40, 60)))}\n", encoding="utf-8")
    [case] = read_held_out(dataset, 6).cases
    assert case.user == "3" and set(case.candidates) == {"28", *map(str, range(40, 59))}


def test_single_events_with_ratings_hold_out_the_last_good_one(dataset: Path) -> None:
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    rows = [(5, 5, 900), (1, 4, 100), (2, 2, 200), (3, 5, 300), (4, 1, 1000)]
    text = header + "".join(f"u\t{item}\t{stars}\t{time}\n" for item, stars, time in rows)
    (dataset / "d.inter").write_text(text, encoding="utf-8")
    [case] = read_held_out(dataset, 6).cases
    assert case.target == "5" and [event.item for event in case.events] == ["1", "2", "3"]
    assert [event.value for event in case.events] == [4, 2, 5]


def test_what_cannot_be_measured_is_an_error_that_says_why(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 files ending in \.item"):
        read_held_out(tmp_path / "nowhere", 1)
    (dataset / "e.inter").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"2 files ending in \.inter"):
        read_held_out(dataset, 1)
    (dataset / "e.inter").unlink()
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    (dataset / "d.inter").write_text(header + "0\t1 2\t3\n", encoding="utf-8")
    with pytest.raises(InputError, match="no user with 3 events"):
        read_held_out(dataset, 1)


# --- the baselines ----------------------------------------------------------------------------------


def failing(_: Prompt) -> str:
    msg = "out of memory"
    raise ModelError(msg)


def test_a_single_prompt_that_fails_makes_no_interest(dataset: Path) -> None:
    with Catalogue.in_memory(read_held_out(dataset, 1).items, HashEmbedder(256)) as catalogue:
        history = read_history([], {}, catalogue, Settings())
        assert single_prompt_profile(history, "en", Ledger(ScriptedModel(reply=failing))) == ()
        assert written_confidence(history, [], "zh", Ledger(ScriptedModel())) == []


# --- the command ------------------------------------------------------------------------------------


def test_the_command_prints_the_figures_and_writes_them(dataset: Path) -> None:
    app = typer.Typer()

    @app.callback()
    def options(context: typer.Context) -> None:
        """Nothing but what the command needs of the line before it."""
        context.obj = type("Chosen", (), {"model": None})

    settings = type("Settings", (), {"model": "none"})
    profile_command.register(app, lambda _: settings, lambda *_, **__: None)
    output = dataset / "figures.json"
    result = CliRunner().invoke(
        app, ["profile", "--dataset", str(dataset), "--users", "2", "--json", str(output)]
    )
    assert result.exit_code == 0, result.output
    figures = json.loads(output.read_text(encoding="utf-8"))["figures"]
    assert all(set(one) == {"mean", "low", "high"} for one in figures.values())
    assert all(name in result.output for name in figures)
