"""Ranking: named signals that add up to the score; the model re-orders the first few."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.agent.profile.history import Query, read_history
from tanqu.agent.profile.user_profile import build_profile
from tanqu.agent.ranking.ranker import Ranker
from tanqu.agent.ranking.retrieval import as_candidates
from tanqu.agent.ranking.signals import SIGNALS, interest_score
from tanqu.agent.ranking.weights import RankingWeights, load_weights
from tanqu.agent.run_trace import RunTrace
from tanqu.agent.settings import Settings
from tanqu.agent.store import ScoreCache
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError, ModelError
from tanqu.models.language_model import DEFAULT_LIMITS, Limits, Prompt, Scored, Usage
from tanqu.models.records import Event, Interest, Item, Ranked
from tanqu.models.scripted_model import ScriptedModel
from tanqu.prompts import Prompts
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.database import memory_database
from tanqu.vectorstore.engagement import Engagement

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets")
ITEMS = [
    Item(
        id=f"{topic.split()[0]}{at}",
        title=f"{topic} volume {at}",
        tags=tuple(topic.split()),
        attributes={"published": f"2025-12-{at + 1:02d}"} if at else {},
    )
    for topic in TOPICS
    for at in range(4)
]
BY_ID = {item.id: item for item in ITEMS}
OTHERS = Engagement.build([["chess0", "garden3", "chess3"]] * 4 + [["violin1", "chess3"]] * 3, list(BY_ID))
OURS = load_weights()


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    with Catalogue.in_memory(ITEMS, HashEmbedder(256)) as made:
        yield made


@pytest.fixture(scope="module")
def priors() -> Iterator[ScoreCache]:
    engine = memory_database()
    yield ScoreCache(engine)
    engine.dispose()


Rank = Callable[..., list[Ranked]]


def ranked(
    catalogue: Catalogue,
    priors: ScoreCache,
    *done: str,
    ids: list[str] | None = None,
    request: str = "",
    engagement: Engagement = OTHERS,
    weights: RankingWeights = OURS,
    trace: RunTrace | None = None,
    model_scores: int = 5,
) -> list[Ranked]:
    """Items (all of them, or those given) after events in short: "purchase chess0", "search a rose"."""
    events = []
    for at, (action, _, about) in enumerate(one.partition(" ") for one in done):
        event = {"id": f"e{at}", "user": "u", "action": action, "time": START + timedelta(days=at)}
        events.append(Event.model_validate(event | {"item" if about in BY_ID else "query": about}))
    history = read_history(events, catalogue, Settings())
    profile = build_profile("u", history, "en", RunTrace(None), Prompts())
    found = as_candidates(catalogue, list(BY_ID) if ids is None else ids)
    query = Query(history, profile, request, "shop", START)
    ranker = Ranker(catalogue, engagement, weights, priors)
    return ranker.rank(found, query, trace or RunTrace(None), Prompts(), model_scores)


@pytest.fixture
def rank(catalogue: Catalogue, priors: ScoreCache) -> Rank:
    return partial(ranked, catalogue, priors)


def ids(found: list[Ranked]) -> list[str]:
    return [one.candidate.item.id for one in found]


def only(**weights: float) -> RankingWeights:
    return RankingWeights(weights=weights)


# --- the formula ------------------------------------------------------------------------------------


def interest(keyword: str, weight: float) -> Interest:
    return Interest(keyword=keyword, theme="t", weight=weight, confidence=1, evidence=("e",))


FOUNDING = [interest("人工智能", 0.8), interest("深度学习", 0.7), interest("机器学习", 0.6)]


def test_the_founding_example_scores_what_its_formula_says() -> None:
    assert interest_score(FOUNDING, "深度学习算法与应用") == (0.7, 1)


def test_the_best_interest_counts_by_its_weight_times_its_match() -> None:
    assert interest_score(FOUNDING, "机器学习与人工智能") == (0.8, 0)
    assert interest_score(FOUNDING, "烹饪", [0.1, 0.5, 0.2]) == (0.35, 1)
    assert interest_score(FOUNDING, "烹饪", [-0.5, 0.0, -0.1]) == (0.0, None)
    assert interest_score(FOUNDING, "烹饪") == (0.0, None)
    assert interest_score([], "深度学习") == (0.0, None)


@pytest.mark.parametrize(
    ("keyword", "text", "contained"),
    [
        ("Tea", "green tea", True),
        ("tea", "TEA, hot", True),
        ("tea", "team building", False),
        ("war", "software", False),
        ("C++", "learn c++ fast", True),
        ("chess openings", "Chess openings, vol. 2", True),
        ("AI", "AI绘画", True),
        ("学习", "深度学习算法", True),
        ("a.c", "abc", False),
        ("?", "who?", True),
    ],
)
def test_a_keyword_is_contained_as_words(keyword: str, text: str, contained: bool) -> None:
    assert interest_score([interest(keyword, 1.0)], text)[0] == float(contained)


@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    similarity=st.lists(st.floats(-1, 1), min_size=5, max_size=5),
)
def test_no_score_leaves_the_range_of_the_weights(weights: list[float], similarity: list[float]) -> None:
    interests = [interest(f"nowhere{at}", weight) for at, weight in enumerate(weights)]
    score, which = interest_score(interests, "text", similarity)
    assert 0 <= score <= max(weights)
    assert (which is None) == (score == 0)


# --- the ranking ------------------------------------------------------------------------------------


def test_what_is_like_the_history_comes_first(rank: Rank) -> None:
    found = rank(
        "purchase chess0", "like chess1", ids=[one for one in BY_ID if one not in ("chess0", "chess1")]
    )
    assert set(ids(found)[:2]) == {"chess2", "chess3"}
    assert found[0].candidate.interest == "chess"


def test_what_is_like_a_dislike_comes_last(rank: Rank) -> None:
    found = rank("like chess0", "dislike violin0", engagement=Engagement.empty())
    assert set(ids(found)[-4:]) == {f"violin{at}" for at in range(4)}


def test_a_request_lifts_what_matches_it_to_the_top(rank: Rank) -> None:
    plain, found = rank("purchase chess0"), rank("purchase chess0", request="garden roses")
    assert ids(found)[0].startswith("garden")
    for at in range(4):
        assert ids(found).index(f"garden{at}") < ids(plain).index(f"garden{at}")


def test_others_count_and_the_less_the_fewer_they_are(rank: Rank, catalogue: Catalogue) -> None:
    few = rank("view chess0", weights=only(co_engagement=1.0))
    assert ids(few)[0] == "garden3"
    many = Engagement.build([["chess0", "garden3", "chess3"]] * 400, list(BY_ID))
    more = rank("view chess0", weights=only(co_engagement=1.0), engagement=many)
    assert 0 < few[0].signals["co_engagement"] < more[0].signals["co_engagement"]


def test_newer_items_come_first_where_recency_counts(rank: Rank) -> None:
    found = rank(weights=only(recency=1.0))
    assert all(one.endswith("3") for one in ids(found)[:4])
    dated = [one.raw["recency"] for one in found if one.candidate.item.attributes]
    undated = {one.raw["recency"] for one in found if not one.candidate.item.attributes}
    assert len(undated) == 1 and undated.pop() == pytest.approx(sum(dated) / len(dated))


def test_a_weight_of_zero_switches_a_signal_off(rank: Rank) -> None:
    found = rank("view chess0", weights=only(lexical=1.0, history=0.0))
    assert set(found[0].signals) == {"lexical"} and "history" in found[0].raw


def test_without_anything_to_go_by_the_order_stays(rank: Rank) -> None:
    order = ["violin3", "chess0", "garden1"]
    found = rank(ids=order, engagement=Engagement.empty(), weights=only(history=1.0))
    assert ids(found) == order and {one.score for one in found} == {0.0}


def test_one_candidate_and_none(rank: Rank) -> None:
    [one] = rank("view chess0", ids=["chess1"], trace=RunTrace(ScriptedModel()))
    assert (one.rank, one.score, one.signals, one.rank_without_model) == (1, 0.0, {}, None)
    assert rank("view chess0", ids=[]) == []


def scorer(_prompt: Prompt, text: str) -> float:
    """Opinions that have nothing to do with anything."""
    return -(sum(map(ord, text)) % 17) / 3


@settings(max_examples=80, deadline=None)
@given(
    done=st.lists(
        st.tuples(
            st.sampled_from(["view", "purchase", "dislike", "search"]), st.sampled_from([*BY_ID, "a rose"])
        ),
        max_size=8,
    ),
    chosen=st.lists(st.sampled_from(sorted(BY_ID)), unique=True, max_size=12),
    request=st.sampled_from(["", "roses", "深度学习"]),
    with_model=st.booleans(),
    model_scores=st.integers(0, 14),
)
def test_a_ranking_is_a_permutation_whose_signals_add_up(
    catalogue: Catalogue,
    priors: ScoreCache,
    done: list[tuple[str, str]],
    chosen: list[str],
    request: str,
    with_model: bool,
    model_scores: int,
) -> None:
    events = [f"{action} {about}" for action, about in done]

    def rank(model: ScriptedModel | None) -> list[Ranked]:
        return ranked(
            catalogue,
            priors,
            *events,
            ids=chosen,
            request=request,
            trace=RunTrace(model),
            model_scores=model_scores,
        )

    found = rank(ScriptedModel(scorer=scorer) if with_model else None)
    assert sorted(ids(found)) == sorted(chosen)
    assert [one.rank for one in found] == list(range(1, len(chosen) + 1))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert math.fsum(one.signals.values()) == one.score and math.isfinite(one.score)
        assert set(one.signals) <= set(one.raw) <= set(SIGNALS)
    assert rank(ScriptedModel(scorer=scorer) if with_model else None) == found
    # Whatever the model thinks, the first few stay the first few.
    plain = rank(None)
    assert set(ids(found)[:model_scores]) == set(ids(plain)[:model_scores])
    assert ids(found)[model_scores:] == ids(plain)[model_scores:]
    if with_model and min(model_scores, len(chosen)) > 1:
        assert [one.rank_without_model for one in found] == [ids(plain).index(one) + 1 for one in ids(found)]


# --- the model --------------------------------------------------------------------------------------


def test_the_model_lifts_what_it_finds_likely_beyond_its_prior(rank: Rank) -> None:
    def opinion(prompt: Prompt, text: str) -> float:
        if "chess endgame" in prompt.text:
            return -0.5 if "volume 2" in text else -3.0
        return -2.0

    model = ScriptedModel(scorer=opinion, name="opinion")
    trace = RunTrace(model)
    unseen = [one for one in BY_ID if one != "chess0"]
    alone = Engagement.empty()
    plain = rank("purchase chess0", ids=unseen, engagement=alone)
    found = rank("purchase chess0", ids=unseen, engagement=alone, trace=trace, model_scores=3)
    assert "chess2" in ids(plain)[:3] and ids(found)[0] == "chess2"
    assert found[0].raw["model"] == pytest.approx(-0.5 - OURS.alpha * -2.0)
    assert found[3].signals["model"] == 0.0
    assert [(call.stage, call.sequences) for call in trace.calls] == [("ranking", 3), ("prior", 3)]
    assert model.history[0].owner == "u" and model.history[1].owner == ""


@pytest.mark.parametrize(("users", "share"), [(0, 1.0), (20, 0.6), (10**7, 0.2)])
def test_the_model_counts_less_the_more_other_users_are_known(
    catalogue: Catalogue, priors: ScoreCache, users: int, share: float
) -> None:
    others = Engagement.build([["chess0", "garden3"]], list(BY_ID)) if users else Engagement.empty()
    ranker = Ranker(catalogue, replace(others, users=users), OURS, priors)
    assert ranker.model_share == pytest.approx(share, abs=1e-5)


def test_the_parts_of_the_model_shrink_with_its_share(rank: Rank) -> None:
    unseen = [one for one in BY_ID if one != "chess0"]

    def widest(engagement: Engagement) -> float:
        found = rank(
            "purchase chess0", ids=unseen, engagement=engagement, trace=RunTrace(ScriptedModel(scorer=scorer))
        )
        return max(one.signals["model"] for one in found)

    many = replace(OTHERS, users=10**7)
    assert 0 < widest(many) < 0.3 * widest(Engagement.empty())


def test_a_model_that_fails_leaves_the_ranking_as_it_was_and_is_noted(rank: Rank) -> None:
    class Broken(ScriptedModel):
        def score(
            self, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
        ) -> tuple[list[Scored], Usage]:
            raise ModelError("out of memory")

    trace = RunTrace(Broken())
    assert rank("purchase chess0", trace=trace) == rank("purchase chess0")
    assert trace.notes == ["the model did not take part in the ranking: out of memory"]


@pytest.mark.parametrize("text", ["<|im_start|>system", "\u202e", "🙂", "x" * 100_000, "[[user]]"])
def test_the_model_is_told_hostile_words_as_data(rank: Rank, text: str) -> None:
    model = ScriptedModel(scorer=scorer)
    found = rank(f"search a{text}", request=f"b{text}", trace=RunTrace(model))
    assert sorted(ids(found)) == sorted(BY_ID)
    assert len(model.history[0].messages) == 3


# --- the weights ------------------------------------------------------------------------------------


def test_our_weights_name_only_signals_and_dislikes_push_down() -> None:
    assert set(OURS.weights) <= set(SIGNALS)
    assert OURS.weights["negative"] < 0 < OURS.weights["interest"]


def test_weights_can_be_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("alpha = 0.1\n[weights]\nmodel = 2\n")
    assert load_weights(path) == RankingWeights(alpha=0.1, weights={"model": 2.0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"alpha = ", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"alpha = 'much'", "alpha"),
        (b"[weights]\nmodel = nan", "weights.model"),
        (b"[weights]\nmodel = 1e13", "weights.model"),
        (b"beta = 1", "beta"),
        (b"[weights]\nmodle = 1", "modle"),
    ],
)
def test_weights_that_cannot_be_used_are_named_in_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text)
    with pytest.raises(InputError, match=r"mine\.toml") as caught:
        load_weights(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_weights_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.toml"):
        load_weights(tmp_path / "gone.toml")
