"""`tanqu evaluate ranking` on small files: its table, its JSON, and what it says to options that are wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError
from tanqu.models.scripted_model import ScriptedModel

TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets", "deep sea")
TITLES = {f"i{at}": f"{TOPICS[at % 5]} volume {at}" for at in range(30)}


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluate: Run) -> Run:
    """Runs `evaluate ranking` on the small files, or on what is given; data is kept in a temporary folder."""
    monkeypatch.setattr("tanqu.models.embedder.SentenceEmbedder", HashEmbedder)
    monkeypatch.setenv("TANQU_DATA", str(tmp_path / "kept"))
    items = "item_id:token\ttitle:token_seq\n" + "".join(f"{id_}\t{title}\n" for id_, title in TITLES.items())
    (tmp_path / "small.item").write_text(items, encoding="utf-8")
    rows = [
        f"u{user}\t{' '.join(f'i{user % 5 + 5 * at}' for at in range(4))}\ti{user % 5 + 25}\n"
        for user in range(8)
    ]
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    (tmp_path / "small.inter").write_text(header + "".join(rows), encoding="utf-8")

    def invoke(*words: str | Path, files: bool = True, **how: Any) -> Result:
        given = ["--items", tmp_path / "small.item", "--sequences", tmp_path / "small.inter"] if files else []
        return evaluate("ranking", *given, *words, **how)

    return invoke


@pytest.fixture
def figures(run: Run, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The JSON of a run with one baseline."""

    def read(*words: str | Path, **how: Any) -> dict[str, Any]:
        output = tmp_path / "figures.json"
        done = run(*words, "--negatives", "6", "--baselines", "popularity", "--json", output, **how)
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return found

    return read


def test_the_table_and_the_files_say_the_same(run: Run, tmp_path: Path) -> None:
    output, page = tmp_path / "f.json", tmp_path / "f.html"
    done = run("--negatives", "6", "--json", output, "--page", page)
    assert done.exit_code == 0, done.output
    found = json.loads(output.read_text(encoding="utf-8"))
    assert list(found["systems"]) == ["tanqu", "random", "popularity", "bm25", "vectors", "itemknn"]
    head, _, *lines = done.stdout.split("each signal alone")[0].splitlines()
    rows = {line.split()[0]: line for line in lines if line}
    assert head == "small: 8 users, 7 candidates" and list(rows) == list(found["systems"])
    for name, row in rows.items():
        own = found["systems"][name]["ndcg@10"]
        assert f"{100 * own['mean']:.1f} [{100 * own['low']:.1f}, {100 * own['high']:.1f}]" in row
    assert "without a language model, the signal `model` is left out" in done.stderr
    protocol = found["protocol"]
    assert (protocol["model"], protocol["text_only"], protocol["seed"]) == (None, False, 0)
    assert [row["user"] for row in found["users"]] and len(found["users"]) == 8
    assert f"{100 * found['systems']['itemknn']['ndcg@10']['mean']:.1f}" in page.read_text(encoding="utf-8")


def test_options_choose_who_is_measured_and_among_what(figures: Callable[..., dict[str, Any]]) -> None:
    found = figures("--users", "3", "--seed", "4", "--history", "2")
    wanted = {"users": 3, "seed": 4, "history": 2, "negatives": 6, "candidates": 7, "histories": 8}
    assert wanted.items() <= found["protocol"].items() and len(found["users"]) == 3
    assert found["users"] == figures("--users", "3", "--seed", "4", "--history", "2")["users"]


def test_by_text_only_the_events_of_others_have_no_part(figures: Callable[..., dict[str, Any]]) -> None:
    of_others = {"engagement", "co_engagement", "popularity"}
    found = figures("--text-only")
    assert found["protocol"]["text_only"] and not of_others & set(found["signals"])
    assert of_others & set(figures()["signals"])


def test_only_the_signals_named_have_a_part(figures: Callable[..., dict[str, Any]]) -> None:
    found = figures("--signals", "history, lexical")
    assert set(found["signals"]) == {"history", "lexical"}
    weights = found["protocol"]["weights"]
    assert {name for name, weight in weights.items() if weight} == {"alpha", "history", "lexical"}
    assert found["systems"]["tanqu"]["hr@5"]["mean"] == 1.0, "the texts of a topic are alike"


def test_tuned_weights_of_the_home_rank_and_are_named(
    figures: Callable[..., dict[str, Any]], run: Run, tmp_path: Path
) -> None:
    tuned = tmp_path / "home" / "ranking.toml"
    tuned.parent.mkdir()
    tuned.write_text("[weights]\nlexical = 0.77\n", encoding="utf-8")
    protocol = figures()["protocol"]
    assert protocol["weights"]["lexical"] == 0.77 and protocol["weights_file"] == str(tuned)
    assert (
        f"the weights of the signals are those of {tuned}" in run("--users", "1", "--negatives", "6").stderr
    )


def test_weights_that_the_settings_name_go_before_tuned_ones(
    figures: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "ranking.toml").write_text("[weights]\nlexical = 0.77\n", encoding="utf-8")
    (home / "mine.toml").write_text("[weights]\nlexical = 0.33\n", encoding="utf-8")
    (home / "settings.toml").write_text('signal_weights = "mine.toml"\n', encoding="utf-8")
    protocol = figures()["protocol"]
    assert protocol["weights"]["lexical"] == 0.33 and protocol["weights_file"].endswith("mine.toml")


def test_without_weights_of_a_home_the_files_say_that_they_are_tanqus_own(
    figures: Callable[..., dict[str, Any]],
) -> None:
    assert figures()["protocol"]["weights_file"] is None


def test_a_log_gets_lines_of_progress_and_stdout_none(run: Run) -> None:
    done = run("--negatives", "6", "--baselines", "")
    assert "users: 0 of 8\n" in done.stderr and "users: 8 of 8" in done.stderr
    assert " of 8" not in done.stdout


def test_candidates_of_a_file_are_used(figures: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    listed = tmp_path / "small.random"
    listed.write_text("u3\ti0 i1 i2 i4 i5 i6 i7 i9\nu4\ti0 i1 i2 i3 i5 i6 i7\n", encoding="utf-8")
    found = figures("--candidates", listed)
    assert {row["user"] for row in found["users"]} == {"u3", "u4"}


def test_in_the_whole_catalogue_other_figures_are_told(
    figures: Callable[..., dict[str, Any]], run: Run
) -> None:
    found = figures("--full")
    assert found["protocol"]["candidates"] == "whole catalogue"
    assert {"coverage@10", "novelty@10", "diversity@10"} <= set(found["systems"]["popularity"])
    done = run("--full", "--baselines", "")
    assert done.stdout.startswith("small: 8 users, the whole catalogue\n")
    assert "hr@50" in done.stdout and "popularity" not in done.stdout.split("each signal alone")[0]


def test_a_model_takes_part_and_lists(figures: Callable[..., dict[str, Any]], run: Run) -> None:
    model = ScriptedModel(reply=lambda _: "2] > [1]")
    done = run("--negatives", "6", "--baselines", "listing", "--users", "2", model=model)
    assert done.exit_code == 0 and "listing" in done.stdout and "without a language model" not in done.stderr
    found = figures("--users", "2", model=(again := ScriptedModel()))
    assert found["protocol"]["model"] == f"scripted ({again.fingerprint})"


# --- what is wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--users", "0"], ("--users", "1")),
        (["--negatives", "0"], ("--negatives", "1")),
        (["--history", "-1"], ("--history", "1")),
        (["--seed", "-1"], ("--seed", "0")),
        (["--seed", "lucky"], ("--seed", "integer")),
        (["--sequence", "x"], ("--sequence", "--sequences")),
        (["one", "two"], ("two",)),
    ],
)
def test_an_option_that_cannot_be_is_a_usage_error(
    run: Run, words: list[str], named: tuple[str, ...]
) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert all(part in done.stderr for part in named) and "--help" in done.stderr


@pytest.mark.parametrize(
    ("words", "files", "says"),
    [
        ([], False, "give --items and --sequences, or the name movielens-100k"),
        (["movielens-20m"], False, "no data set 'movielens-20m': use movielens-100k, or give --items and"),
        (["movielens-100k"], True, "either the data set's name .movielens-100k. or its files, not both"),
        (["--signals", "charm"], True, "there is no signal 'charm': use some of interest, history"),
        (
            ["--baselines", "random,sasrec"],
            True,
            "there is no baseline 'sasrec': use some of random, popularity",
        ),
        (
            ["--baselines", "listing"],
            True,
            "needs a language model: see `tanqu models list`, or leave it out",
        ),
        (["--json", "nowhere/f.json"], True, "there is no folder nowhere: make it, or name another file"),
        (["--json", "."], True, r"\. is a folder: name a file in it with --json"),
        (["--page", "page.pdf"], True, "'page.pdf': end the name in .html"),
        (["--negatives", "99"], True, "has 25 negatives, not 99: ask for fewer"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is_indexed(
    run: Run, tmp_path: Path, words: list[str], files: bool, says: str
) -> None:
    done = run(*words, files=files)
    assert done.exit_code == 1 and isinstance(done.exception, InputError)
    with pytest.raises(InputError, match=says):
        raise done.exception
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--baselines", "random,sasrec"], "there is no baseline 'sasrec'"),
        (["--signals", "charm"], "there is no signal 'charm'"),
        (["--full", "--baselines", "listing"], "leave --full out"),
    ],
)
def test_a_wrong_name_is_said_before_the_model_is_opened(run: Run, words: list[str], says: str) -> None:
    opened: list[str] = []
    done = run(*words, opened=opened)
    assert isinstance(done.exception, InputError) and says in str(done.exception)
    assert opened == []


def test_a_model_that_is_not_there_is_missed_before_anything_is_indexed(run: Run, tmp_path: Path) -> None:
    opened: list[str] = []
    done = run("--baselines", "listing", opened=opened)
    assert isinstance(done.exception, InputError) and "needs a language model" in str(done.exception)
    assert opened == ["none"] and not (tmp_path / "kept").exists()
