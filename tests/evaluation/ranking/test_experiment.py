"""Systems are asked the same questions, and the figures say what came of it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as quickly
from hypothesis import strategies as st

from tanqu.agent.ranking.signals import SIGNALS
from tanqu.agent.ranking.weights import RankingWeights, load_weights
from tanqu.agent.settings import Settings
from tanqu.agent.store import ScoreCache
from tanqu.evaluation.data.protocol import HeldOutCase, ProtocolOptions, RankingProtocol, RankingTask
from tanqu.evaluation.ranking.baselines import RankingSystem, ScoreRanker, TrainingData
from tanqu.evaluation.ranking.experiment import (
    DEPTH,
    RankingResults,
    Tanqu,
    as_json,
    measure,
    only,
    prepared,
    report_text,
)
from tanqu.models.embedder import HashEmbedder, Vectors
from tanqu.models.errors import InputError, ModelError
from tanqu.models.language_model import LanguageModel, Prompt
from tanqu.models.records import Event, Item
from tanqu.models.scripted_model import ScriptedModel
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.database import memory_database
from tanqu.vectorstore.engagement import Engagement

TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets", "deep sea")
ITEMS = tuple(
    Item(id=f"{topic.split()[0]}{at}", title=f"{topic} volume {at}") for topic in TOPICS for at in range(6)
)
IDS = [item.id for item in ITEMS]
KEYS = {f"{name}@{k}" for name in ("ndcg", "hr", "mrr") for k in (1, 5, 10, 20, 50)}


def task(user: str, used: Sequence[str], candidates: Sequence[str] | None) -> RankingTask:
    events = [
        Event(id=f"{user}{at}", user=user, item=item, action="purchase") for at, item in enumerate(used)
    ]
    return RankingTask(user, tuple(events), None if candidates is None else tuple(candidates))


def case(at: int, full: bool) -> HeldOutCase:
    """A user who keeps to a topic: the target is its fourth item, the others are of all the others."""
    topic = TOPICS[at % 5].split()[0]
    target = f"{topic}3"
    others = [
        f"{other.split()[0]}{(at + step) % 6}"
        for other in TOPICS
        if other.split()[0] != topic
        for step in (0, 2)
    ]
    others.insert(at % 9, target)
    return HeldOutCase(
        task(f"u{at}", [f"{topic}{step}" for step in range(3)], None if full else others), target
    )


def protocol(users: int = 12, full: bool = False) -> RankingProtocol:
    """Users, and others from whom there is to learn: within a topic mostly the last item comes next."""
    cases = tuple(case(at, full) for at in range(users))
    topics = [topic.split()[0] for topic in TOPICS]
    often = [(f"{topic}1", f"{topic}2", f"{topic}5") for topic in topics] * 3
    seldom = [(f"{topic}2", f"{topic}3") for topic in topics]
    choices = ProtocolOptions(seed=5, negatives=8, full=full)
    return RankingProtocol("small", "shop", ITEMS, cases, (*often, *seldom), choices)


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    with Catalogue.in_memory(ITEMS, HashEmbedder(256)) as made:
        yield made


@pytest.fixture(scope="module")
def data(catalogue: Catalogue) -> TrainingData:
    return TrainingData(protocol(), catalogue)


@pytest.fixture
def priors() -> Iterator[ScoreCache]:
    engine = memory_database()
    yield ScoreCache(engine)
    engine.dispose()


Ours = Callable[..., Tanqu]


@pytest.fixture
def ours(catalogue: Catalogue, priors: ScoreCache) -> Ours:
    def make(
        *signals: str,
        others: bool = True,
        model: LanguageModel | None = None,
        weights: RankingWeights | None = None,
    ) -> Tanqu:
        weights = weights or load_weights()
        learnt = Engagement.build(protocol().histories, IDS) if others else Engagement.empty(IDS)
        chosen = only(weights, signals) if signals else weights
        return Tanqu(catalogue, learnt, chosen, priors, model, Settings())

    return make


@dataclass
class Fixed:
    """A system that answers from a table and remembers what it was asked."""

    name: str
    answers: Mapping[str, Sequence[str]]
    asked: list[tuple[RankingTask, int]] = field(default_factory=list)

    def rank(self, task: RankingTask, k: int) -> list[str]:
        """The answer for this user."""
        self.asked.append((task, k))
        return list(self.answers[task.user])


def placed(protocol: RankingProtocol, place: Callable[[int], int], name: str = "fixed") -> Fixed:
    """Puts each user's target at a place, from 0."""
    answers = {}
    for at, one in enumerate(protocol.cases):
        rest = [item for item in one.task.candidates or () if item != one.target]
        answers[one.task.user] = [*rest[: place(at)], one.target, *rest[place(at) :]]
    return Fixed(name, answers)


# --- the recommender as a system --------------------------------------------------------------------


def test_candidates_come_back_each_once_however_few_are_looked_at(ours: Ours) -> None:
    system = ours()
    for one in protocol().cases:
        assert Counter(system.rank(one.task, 3)) == Counter(one.task.candidates)


@quickly(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*IDS, "gone"]), max_size=6), st.sets(st.sampled_from(IDS), min_size=1))
def test_whatever_was_used_all_candidates_come_back(
    ours: Ours, used: list[str], candidates: set[str]
) -> None:
    assert sorted(ours().rank(task("anna", used, sorted(candidates)), 5)) == sorted(candidates)


def test_of_the_whole_catalogue_the_best_come_without_what_was_used(ours: Ours) -> None:
    system = ours()
    for one in protocol(full=True).cases:
        ranked = system.rank(one.task, 4)
        assert len(ranked) == len(set(ranked)) == 4 and set(ranked) <= set(IDS) - set(one.task.history)
        topic = one.target[:-1]
        assert ranked[0].startswith(topic)


def test_it_finds_what_is_planted_by_text_and_by_other_users(ours: Ours) -> None:
    asked = task("anna", ["chess1", "chess2"], ["garden1", "chess5", "sea0", "chess4"])
    assert set(ours("history").rank(asked, 4)[:2]) == {"chess4", "chess5"}
    assert ours("co_engagement").rank(asked, 4)[0] == "chess5"
    assert ours().rank(asked, 4)[:2] == ["chess5", "chess4"]


def test_of_signals_only_the_named_ones_have_a_weight() -> None:
    weights = load_weights()
    kept = only(weights, ["history", "negative"])
    assert kept.alpha == weights.alpha and set(kept.weights) == set(weights.weights)
    assert {name: value for name, value in kept.weights.items() if value} == {
        name: weights.weights[name] for name in ("history", "negative")
    }
    with pytest.raises(InputError, match=f"no signal 'charm': use some of {', '.join(SIGNALS)}"):
        only(weights, ["history", "charm"])


def test_a_signal_that_is_off_has_no_part_in_a_score(ours: Ours) -> None:
    asked = protocol().cases[0].task
    assert all(set(one.signals) == {"lexical"} for one in ours("lexical").ranked(asked))
    everything = {name for one in ours().ranked(asked) for name in one.signals}
    assert {"history", "interest", "lexical", "engagement", "co_engagement", "popularity"} <= everything
    by_text = {name for one in ours(others=False).ranked(asked) for name in one.signals}
    assert by_text == everything - {"engagement", "co_engagement", "popularity"}


def test_the_model_takes_part_and_is_never_told_which_is_the_target(ours: Ours) -> None:
    asked = protocol().cases[0].task
    favourite = (asked.candidates or ())[4]
    title = next(item.title for item in ITEMS if item.id == favourite)
    model = ScriptedModel(
        scorer=lambda prompt, text: (
            -1.0 if "chess endgame volume 0" in prompt.text and text == f" {title}" else -9.0
        )
    )
    ranked = ours("model", model=model).ranked(asked)
    assert ranked[0].candidate.item.id == favourite and set(ranked[0].signals) == {"model"}
    titles = {item.title for item in ITEMS if item.id in (asked.candidates or ())}
    assert not any(title in prompt.text for prompt in model.history for title in titles)


def test_a_model_that_fails_is_noted_for_every_user(ours: Ours, data: TrainingData) -> None:
    def fail(_prompt: Prompt, _text: str) -> float:
        msg = "out of memory"
        raise ModelError(msg)

    results = measure(protocol(4), [ours(model=ScriptedModel(scorer=fail))], data)
    assert results.notes == {"the model did not take part in the ranking: out of memory": 4}
    assert as_json(results)["notes"] == results.notes


# --- asking -----------------------------------------------------------------------------------------


def test_every_system_is_asked_each_question_once_and_told_no_target(data: TrainingData) -> None:
    made = protocol(6)
    systems = [placed(made, lambda _: 0, "one"), placed(made, lambda _: 1, "two")]
    steps: list[tuple[int, int]] = []
    measure(made, systems, data, lambda done, total: steps.append((done, total)))
    for one in systems:
        assert one.asked == [(case.task, DEPTH) for case in made.cases]
    assert {own.name for own in fields(RankingTask)} == {"user", "events", "candidates"}
    assert steps == [(done, 6) for done in range(7)]


def test_the_figures_are_those_of_the_place_of_the_target(data: TrainingData) -> None:
    made = protocol(4)
    results = measure(made, [placed(made, lambda at: (0, 1, 4, 6)[at])], data)
    assert results.values("fixed", "hr@1") == [1, 0, 0, 0]
    assert results.values("fixed", "hr@5") == [1, 1, 1, 0]
    assert results.values("fixed", "mrr@10") == pytest.approx([1, 1 / 2, 1 / 5, 1 / 7])
    assert as_json(results)["systems"]["fixed"]["mrr@10"]["mean"] == pytest.approx(
        (1 + 1 / 2 + 1 / 5 + 1 / 7) / 4
    )


def test_a_signal_that_says_nothing_of_a_user_is_worth_the_order_given() -> None:
    right, given_ = {"ndcg@10": 1.0}, {"ndcg@10": 0.5}
    results = RankingResults(
        protocol(2), signals=[{"history": right}, {"lexical": right}], given=[given_, given_]
    )
    assert results.signal_values("ndcg@10") == {"history": [1.0, 0.5], "lexical": [0.5, 1.0]}


def test_each_signal_alone_ranks_in_the_direction_of_its_weight(ours: Ours, data: TrainingData) -> None:
    made = protocol(5)
    values = measure(made, [ours()], data).signal_values("ndcg@10")
    assert values["history"] == [1.0] * 5, "each target is the only candidate of the topic"
    against = load_weights().model_copy(update={"weights": {"history": -1.0}})
    assert measure(made, [ours(weights=against)], data).signal_values("hr@5")["history"] == [0.0] * 5


# --- the figures ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(catalogue: Catalogue, data: TrainingData) -> dict[str, Any]:
    """The report of the recommender, a copy of it under another name, and chance."""
    made, engine = protocol(), memory_database()
    ours = Tanqu(
        catalogue, Engagement.build(made.histories, IDS), load_weights(), ScoreCache(engine), None, Settings()
    )
    answers = {one.task.user: ours.rank(one.task, DEPTH) for one in made.cases}
    systems: list[RankingSystem] = [ours, Fixed("copy", answers), ScoreRanker("random", data)]
    report = as_json(measure(made, systems, data))
    engine.dispose()
    return report


def test_the_json_has_what_it_promises(compared: dict[str, Any]) -> None:
    assert json.loads(json.dumps(compared)) == compared
    assert (compared["dataset"], compared["protocol"]) == ("small", protocol().description)
    assert list(compared["systems"]) == ["tanqu", "copy", "random"]
    for name, own in compared["systems"].items():
        p = set() if name == "tanqu" else {"p_against_tanqu"}
        assert set(own) == KEYS | {"seconds_per_user"} | p
        assert own["seconds_per_user"] > 0
        assert all(set(own[key]) == {"mean", "low", "high"} for key in KEYS)
    assert {"history", "lexical", "co_engagement"} <= set(compared["signals"])


def test_every_interval_holds_its_mean_and_is_a_fraction(compared: dict[str, Any]) -> None:
    for own in [*compared["systems"].values(), *compared["signals"].values()]:
        for key in KEYS & set(own):
            assert 0 <= own[key]["low"] <= own[key]["mean"] <= own[key]["high"] <= 1
    wide = compared["systems"]["random"]["ndcg@10"]
    assert wide["low"] < wide["mean"] < wide["high"]


def test_equal_systems_differ_by_chance_alone_and_chance_does_not(compared: dict[str, Any]) -> None:
    assert compared["systems"]["copy"]["p_against_tanqu"] == 1.0
    assert compared["systems"]["random"]["p_against_tanqu"] < 0.01


def test_every_user_has_a_row_whose_mean_is_the_figure(compared: dict[str, Any]) -> None:
    rows = compared["users"]
    assert [row["user"] for row in rows] == [one.task.user for one in protocol().cases]
    for name, own in compared["systems"].items():
        mean = sum(row["ndcg@10"][name] for row in rows) / len(rows)
        assert mean == pytest.approx(own["ndcg@10"]["mean"])


def test_the_whole_catalogue_adds_what_a_list_is_like(ours: Ours, data: TrainingData) -> None:
    made = protocol(5, full=True)
    favourites = ["chess3", "violin3"]
    systems: list[RankingSystem] = [
        ours(), Fixed("two", {one.task.user: favourites for one in made.cases}), ScoreRanker("popularity", data)
    ]  # fmt: skip
    report = as_json(measure(made, systems, data))
    extra = {"novelty@10", "diversity@10", "coverage@10"}
    assert all(extra <= set(own) for own in report["systems"].values())
    two = report["systems"]["two"]
    assert two["coverage@10"] == pytest.approx(2 / 30)
    assert two["hr@10"]["mean"] == pytest.approx(2 / 5)
    assert 0 < two["diversity@10"]["mean"] <= 2
    popular = report["systems"]["popularity"]["novelty@10"]["mean"]
    assert popular < two["novelty@10"]["mean"], "hardly anybody used the two"
    assert "hr@50" in report_text(report).splitlines()[0]


def test_the_table_has_a_row_for_each_system_in_percent(compared: dict[str, Any]) -> None:
    head, *rows = report_text(compared).splitlines()
    assert head.split() == ["ndcg@1", "ndcg@10", "hr@10", "mrr@10", "s/user", "p"]
    assert [row.split()[0] for row in rows[:3]] == ["tanqu", "copy", "random"]
    main = compared["systems"]["random"]["ndcg@10"]
    assert f"{100 * main['mean']:.1f} [{100 * main['low']:.1f}, {100 * main['high']:.1f}]" in rows[2]
    assert rows[1].endswith("1.0000") and not rows[0].rstrip().endswith("1.0000")
    assert "each signal alone" in rows[4] and any(row.startswith("history") for row in rows)


# --- what is kept -----------------------------------------------------------------------------------


class Counting(HashEmbedder):
    """EngagementCache the texts that it embeds."""

    texts = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As its class does."""
        self.texts += len(texts)
        return super().embed(texts)


def test_a_catalogue_is_embedded_once_and_again_when_an_item_changes(tmp_path: Path) -> None:
    first, again, changed = Counting(16), Counting(16), Counting(16)
    made = protocol(1)
    with prepared(made, first, tmp_path) as (catalogue, _):
        assert len(catalogue) == len(ITEMS) and first.texts >= len(ITEMS)
    with prepared(made, again, tmp_path) as (catalogue, _):
        assert len(catalogue) == len(ITEMS) and again.texts == 0
    other = (ITEMS[0].model_copy(update={"title": "chess openings"}), *ITEMS[1:])
    with prepared(RankingProtocol("small", "shop", other, (), (), ProtocolOptions()), changed, tmp_path) as (
        catalogue,
        _,
    ):
        assert catalogue.get([ITEMS[0].id])[0].title == "chess openings" and changed.texts >= len(ITEMS)
    assert len(list(tmp_path.iterdir())) == 2
