"""Counterfactuals equal a ranking from nothing, ask the model only where it can matter, and keep names."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tanqu.agent.explanation.counterfactual import RankingSnapshot, counterfactuals, with_names
from tanqu.agent.profile.history import History, Query, read_history
from tanqu.agent.profile.profile_edits import apply_edits, without_muted
from tanqu.agent.profile.user_profile import build_profile
from tanqu.agent.ranking.ranker import Ranker
from tanqu.agent.ranking.retrieval import as_candidates
from tanqu.agent.ranking.selection import exhausted_interest, select
from tanqu.agent.ranking.weights import load_weights
from tanqu.agent.run_trace import RunTrace
from tanqu.agent.settings import Settings
from tanqu.agent.store import ScoreCache
from tanqu.agent.store.memory import Edit
from tanqu.models.embedder import HashEmbedder
from tanqu.models.language_model import LanguageModel, Prompt
from tanqu.models.records import Event, Interest, Item, Profile, Ranked
from tanqu.models.scripted_model import ScriptedModel
from tanqu.prompts import Prompts
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.database import memory_database
from tanqu.vectorstore.engagement import Engagement

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets")
ITEMS = [
    Item(id=f"{topic.split()[0]}{at}", title=f"{topic} volume {at}", tags=tuple(topic.split()))
    for topic in TOPICS
    for at in range(5)
]
BY_ID = {item.id: item for item in ITEMS}
PROMPTS = Prompts()
DONE = [
    ("chess0", "view", None),
    ("chess0", "purchase", 1.0),
    ("violin0", "like", None),
    ("violin1", "view", None),
    ("garden0", "rating", 4.0),
    ("garden1", "dislike", None),
]
EVENTS = [
    Event(id=f"e{at}", user="u", item=item, action=action, value=value, time=START + timedelta(days=at))
    for at, (item, action, value) in enumerate(DONE)
] + [Event(id="e6", user="u", query="space rockets", action="search", time=START + timedelta(days=6))]


@pytest.fixture(scope="module")
def ranker() -> Iterator[Ranker]:
    engine = memory_database()
    with Catalogue.in_memory(ITEMS, HashEmbedder(256)) as catalogue:
        yield Ranker(catalogue, Engagement.empty(catalogue.ids()), load_weights(), ScoreCache(engine))
    engine.dispose()


def scorer(prompt: Prompt, text: str) -> float:
    """A likelihood that depends on the history shown and on the title."""
    shown = prompt.text
    return -1.0 - (len(text) * 7 + sum(map(ord, text)) + shown.count("chess") * ord(text[1])) % 11 / 5


def read(ranker: Ranker, events: Sequence[Event]) -> History:
    return read_history(events, ranker.catalogue, Settings())


def made(
    ranker: Ranker,
    model: LanguageModel | None = None,
    edits: Sequence[Edit] = (),
    model_scores: int = 4,
    trace: RunTrace | None = None,
) -> RankingSnapshot:
    history = read(ranker, EVENTS)
    profile = apply_edits(build_profile("u", history, "en", RunTrace(None), PROMPTS), edits)
    query = Query(without_muted(history, profile), profile, now=EVENTS[-1].time)
    seen = history.consumed
    candidates = [one for one in as_candidates(ranker.catalogue, list(BY_ID)) if one.item.id not in seen]
    ranked = ranker.rank(candidates, query, trace or RunTrace(model), PROMPTS, model_scores)
    return RankingSnapshot(ranker, candidates, query, ranked, history, edits, model_scores)


def anew(
    ranker: Ranker, before: RankingSnapshot, gone: set[str], model: LanguageModel | None = None
) -> dict[str, Ranked]:
    """The ranking of a user who has none of these events, from reading the others up."""
    history = read(ranker, [event for event in EVENTS if event.id not in gone])
    old = before.query.profile
    found = with_names(build_profile("u", history, "en", RunTrace(None), PROMPTS), old)
    profile = apply_edits(found, before.edits)
    query = replace(before.query, history=without_muted(history, profile), profile=profile)
    ranked = ranker.rank(before.candidates, query, RunTrace(model), PROMPTS, before.model_scores)
    return {one.candidate.item.id: one for one in ranked}


THINGS = {"e0": {"e0", "e1"}, "e2": {"e2"}, "e3": {"e3"}, "e4": {"e4"}, "e5": {"e5"}, "e6": {"e6"}}


@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize("event", list(THINGS))
def test_a_statement_equals_a_ranking_from_nothing(ranker: Ranker, event: str, with_model: bool) -> None:
    model = ScriptedModel(scorer=scorer) if with_model else None
    before = made(ranker, model)
    cited = [(one.candidate.item.id, [event]) for one in before.ranked]
    after = anew(ranker, before, THINGS[event], model)
    stated = counterfactuals(before, cited, RunTrace(model), PROMPTS)
    for one, (statement,) in zip(before.ranked, stated, strict=True):
        now = after[one.candidate.item.id]
        assert (statement.event, statement.rank_before) == (event, one.rank)
        assert statement.rank_after == now.rank
        assert statement.score_after == pytest.approx(now.score, abs=1e-5)
        assert statement.score_before == one.score
        assert statement.by_model is with_model


def test_without_nothing_the_ranking_is_the_same(ranker: Ranker) -> None:
    before = made(ranker)
    assert before.without([], PROMPTS) == before.query


def test_without_what_it_rests_on_a_pick_falls(ranker: Ranker) -> None:
    before = made(ranker)
    chess = next(one for one in before.ranked if one.candidate.item.id == "chess1")
    [[statement]] = counterfactuals(before, [("chess1", ["e1"])], RunTrace(None), PROMPTS)
    assert statement.rank_before == chess.rank
    assert statement.rank_after > statement.rank_before
    assert statement.score_after < statement.score_before


def test_events_about_one_thing_make_one_statement_under_the_first_of_them(ranker: Ranker) -> None:
    [found] = counterfactuals(made(ranker), [("chess1", ["e1", "e0", "e2"])], RunTrace(None), PROMPTS)
    assert [one.event for one in found] == ["e1", "e2"]


def test_items_that_cite_the_same_thing_share_its_ranking(ranker: Ranker) -> None:
    model = ScriptedModel(scorer=scorer)
    before = made(ranker, model)
    trace = RunTrace(model)
    first = [one.candidate.item.id for one in before.ranked[:3]]
    counterfactuals(before, [(item, ["e1"]) for item in first], trace, PROMPTS)
    assert [call.stage for call in trace.calls].count("counterfactuals") == 1
    assert "counterfactuals" in trace.seconds


def test_the_model_is_not_asked_where_it_changes_nothing(ranker: Ranker) -> None:
    model = ScriptedModel(scorer=scorer)
    before = made(ranker, model, model_scores=2)
    trace = RunTrace(model)
    last = before.ranked[-1].candidate.item.id
    [[statement]] = counterfactuals(before, [(last, ["e3"])], trace, PROMPTS)
    assert statement.rank_after > 2
    assert trace.calls == []
    assert statement.by_model


def test_without_a_model_now_both_ranks_are_those_of_the_other_signals(ranker: Ranker) -> None:
    before = made(ranker, ScriptedModel(scorer=scorer))
    one = before.ranked[1]
    [[statement]] = counterfactuals(before, [(one.candidate.item.id, ["e6"])], RunTrace(None), PROMPTS)
    assert not statement.by_model
    assert statement.rank_before == one.rank_without_model
    assert statement.score_before == pytest.approx(one.score - one.signals["model"])


def test_events_that_are_not_in_the_history_make_no_statement(ranker: Ranker) -> None:
    assert counterfactuals(made(ranker), [("chess1", ["nobody's"])], RunTrace(None), PROMPTS) == [()]
    assert counterfactuals(made(ranker), [], RunTrace(None), PROMPTS) == []


def test_what_was_scored_after_the_same_prompt_is_not_scored_again(ranker: Ranker) -> None:
    model = ScriptedModel(scorer=scorer)
    trace = RunTrace(model)
    before = made(ranker, model, trace=trace)
    asked = len(trace.calls)
    # The disliked thing is in no prompt: without it the model reads the same.
    counterfactuals(before, [(before.ranked[0].candidate.item.id, ["e5"])], trace, PROMPTS)
    again = [call.sequences for call in trace.calls[asked:]]
    assert sum(again) < before.model_scores


def test_it_is_told_how_many_rankings_are_done(ranker: Ranker) -> None:
    told: list[tuple[int, int]] = []
    cited = [("chess1", ["e0", "e2"]), ("violin2", ["e2"])]
    counterfactuals(made(ranker), cited, RunTrace(None), PROMPTS, lambda *done: told.append(done))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_whether_a_pick_stays_is_what_the_selection_says_of_the_other_ranking(ranker: Ranker) -> None:
    before = replace(made(ranker), n=2)
    stays = []
    for pick in select(before.ranked, before.query.profile, (), 2):
        for event, gone in THINGS.items():
            [[one]] = counterfactuals(before, [(pick.candidate.item.id, [event])], RunTrace(None), PROMPTS)
            query = before.without(gone, PROMPTS)
            after = ranker.rank(before.candidates, query, RunTrace(None), PROMPTS, 0)
            picks = select(after, query.profile, (), 2)
            now = next(other for other in after if other.candidate.item == pick.candidate.item)
            assert one.picked == (now in picks)
            assert one.share_of == (None if one.picked else exhausted_interest(now, picks, query.profile))
            stays.append(one.picked)
    assert True in stays and False in stays


def test_what_the_owner_muted_stays_muted(ranker: Ranker) -> None:
    muted = Edit(kind="mute", payload={"keyword": "violin", "evidence": ["e2", "e3"]}, created=START)
    before = made(ranker, edits=[muted])
    after = anew(ranker, before, {"e0", "e1"})
    [[statement]] = counterfactuals(before, [("garden2", ["e1"])], RunTrace(None), PROMPTS)
    assert any(one.muted for one in before.without(["e0", "e1"], PROMPTS).profile.interests)
    assert statement.rank_after == after["garden2"].rank


def test_interests_keep_their_names_while_their_events_are_there(ranker: Ranker) -> None:
    before = made(ranker)
    named = [
        one.model_copy(update={"keyword": f"name {at}"})
        for at, one in enumerate(before.query.profile.interests)
    ]
    profile = before.query.profile.model_copy(update={"interests": tuple(named)})
    renamed = replace(before, query=replace(before.query, profile=profile))
    left = renamed.without(["e0", "e1"], PROMPTS).profile
    events = {one.keyword: set(one.evidence) for one in named}
    assert left.interests
    for one in left.interests:
        assert set(one.evidence) <= events[one.keyword]


def interest(keyword: str, *evidence: str) -> Interest:
    return Interest(keyword=keyword, theme="t", weight=0.5, confidence=0.0, evidence=evidence)


def test_names_stay_distinct_where_an_interest_falls_apart() -> None:
    old = Profile(user="u", interests=(interest("Chess", "e1", "e2", "e3"),))
    found = Profile(user="u", interests=(interest("games", "e1"), interest("chess", "e2", "e3")))
    assert [one.keyword for one in with_names(found, old).interests] == ["games", "Chess"]
    found = Profile(user="u", interests=(interest("x", "e1", "e2"), interest("chess", "e3")))
    assert [one.keyword for one in with_names(found, old).interests] == ["Chess", "chess · 2"]
