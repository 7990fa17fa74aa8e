"""The profile: groups rest on events, weights are shares, the model only names."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.agent.profile.clustering import cluster_events
from tanqu.agent.profile.history import History, read_history
from tanqu.agent.profile.interest_naming import summarise
from tanqu.agent.profile.user_profile import MAX_INTERESTS, MAX_NEGATIVE, build_profile, interest_vectors
from tanqu.agent.run_trace import RunTrace
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.language_model import (
    DEFAULT_LIMITS,
    Constraint,
    Generated,
    Limits,
    Prompt,
    Usage,
)
from tanqu.models.records import Event, Interest, Item, Profile
from tanqu.models.scripted_model import ScriptedModel
from tanqu.prompts import Prompts
from tanqu.vectorstore.catalogue import Catalogue

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets")
ITEMS = [
    Item(id=f"{topic.split()[0]}{at}", title=f"{topic} volume {at}", tags=tuple(topic.split()))
    for topic in TOPICS
    for at in range(3)
]
BY_ID = {item.id: item for item in ITEMS}
PROMPTS = Prompts()
TEA = '{"keyword":"green tea","theme":"drinks"}'


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    with Catalogue.in_memory(ITEMS, HashEmbedder(256)) as made:
        yield made


@dataclass(frozen=True)
class Did:
    """An event in short: an item, or words in quotes of their own."""

    action: str
    about: str
    value: float | None = None
    day: float | None = None


def events_of(*done: Did) -> list[Event]:
    made = [
        Event.model_validate(
            {
                "id": f"e{at}",
                "user": "u",
                "item" if one.about in BY_ID or one.about == "gone" else "query": one.about,
                "action": one.action,
                "value": one.value,
                "time": START + timedelta(days=at if one.day is None else one.day),
            }
        )
        for at, one in enumerate(done)
    ]
    return sorted(made, key=lambda one: (one.time or START, one.id))


def history_of(catalogue: Catalogue, *done: Did) -> History:
    return read_history(events_of(*done), catalogue, Settings())


def build(history: History, model: ScriptedModel | None = None, known: Profile | None = None) -> Profile:
    return build_profile("u", history, "en", RunTrace(model), PROMPTS, known)


def weight_of(profile: Profile, item: str, history: History) -> float:
    """The weight of the interest that rests on events about `item`; 0 if there is none."""
    about = {entry.event.id for entry in history.entries if entry.event.item == item}
    return next((one.weight for one in profile.positive if about & set(one.evidence)), 0.0)


a_deed = st.builds(
    Did,
    action=st.sampled_from(["view", "search", "purchase", "like", "dislike", "rating"]),
    about=st.sampled_from([*BY_ID, "gone", "chess", "deep sea diving", "深度学习"]),
    value=st.none() | st.sampled_from([1.0, 2.5, 5.0]),
    day=st.integers(0, 400).map(float),
).map(lambda one: one if one.action == "rating" else Did(one.action, one.about, None, one.day))
deeds = st.lists(a_deed, min_size=1, max_size=12, unique_by=lambda one: one.day)


# --- groups -----------------------------------------------------------------------------------------


def test_events_about_one_topic_are_one_interest(catalogue: Catalogue) -> None:
    history = history_of(
        catalogue,
        Did("view", "chess0"),
        Did("purchase", "violin0"),
        Did("like", "chess1"),
        Did("view", "violin1"),
    )
    found = {frozenset(one.evidence) for one in build(history).interests}
    assert found == {frozenset({"e0", "e2"}), frozenset({"e1", "e3"})}


def test_what_is_disliked_is_an_interest_of_its_own_kind(catalogue: Catalogue) -> None:
    history = history_of(
        catalogue, Did("like", "chess0"), Did("dislike", "violin0"), Did("rating", "violin1", 1)
    )
    profile = build(history)
    assert [one.evidence for one in profile.positive] == [("e0",)]
    assert {event for one in profile.negative for event in one.evidence} == {"e1", "e2"}
    assert profile.interests == (*profile.positive, *profile.negative)


def test_the_strongest_evidence_comes_first(catalogue: Catalogue) -> None:
    history = history_of(catalogue, Did("view", "chess0"), Did("view", "chess1"), Did("purchase", "chess2"))
    assert build(history).interests[0].evidence == ("e2", "e1", "e0")


def test_events_about_unknown_items_make_no_interest(catalogue: Catalogue) -> None:
    assert build(history_of(catalogue, Did("purchase", "gone"))).interests == ()
    assert build(history_of(catalogue)).interests == ()


@pytest.mark.parametrize(("days", "horizon"), [((0, 1, 90), "lasting"), ((80, 89, 90), "recent")])
def test_an_interest_is_recent_if_most_of_its_events_are_among_the_last(
    catalogue: Catalogue, days: tuple[float, ...], horizon: str
) -> None:
    chess = [Did("view", f"chess{at}", None, day) for at, day in enumerate(days)]
    others = [Did("view", f"violin{at % 3}", None, 10 + at) for at in range(8)]
    profile = build(history_of(catalogue, *chess, *others))
    assert next(one for one in profile.interests if "e0" in one.evidence).horizon == horizon


@settings(max_examples=60, deadline=None)
@given(done=deeds)
def test_every_interest_rests_on_events_and_its_weight_is_a_share(
    catalogue: Catalogue, done: list[Did]
) -> None:
    history = history_of(catalogue, *done)
    profile = build(history)
    ids = {event.id for event in events_of(*done)}
    for interests, most in ((profile.positive, MAX_INTERESTS), (profile.negative, MAX_NEGATIVE)):
        assert len(interests) <= most
        if interests:
            assert sum(one.weight for one in interests) == pytest.approx(1)
        evidence = Counter(event for one in interests for event in one.evidence)
        assert set(evidence) <= ids and set(evidence.values()) <= {1}
        assert [one.weight for one in interests] == sorted((one.weight for one in interests), reverse=True)
    assert len({one.keyword.casefold() for one in profile.interests}) == len(profile.interests)
    assert build(history) == profile


@settings(max_examples=60, deadline=None)
@given(done=deeds, item=st.sampled_from(sorted(BY_ID)))
def test_a_purchase_never_lowers_its_interest(catalogue: Catalogue, done: list[Did], item: str) -> None:
    before = history_of(catalogue, *done)
    after = history_of(catalogue, *done, Did("purchase", item, None, 500))
    assert weight_of(build(after), item, after) >= weight_of(build(before), item, before) - 1e-9


@settings(max_examples=60, deadline=None)
@given(done=deeds, item=st.sampled_from(sorted(BY_ID)))
def test_a_dislike_never_raises_its_interest(catalogue: Catalogue, done: list[Did], item: str) -> None:
    before = history_of(catalogue, *done)
    after = history_of(catalogue, *done, Did("dislike", item, None, 500))
    assert weight_of(build(after), item, after) <= weight_of(build(before), item, before) + 1e-9


@settings(max_examples=40, deadline=None)
@given(done=deeds, at=st.integers(0, 11))
def test_deleting_an_event_deletes_or_weakens_what_rested_on_it(
    catalogue: Catalogue, done: list[Did], at: int
) -> None:
    whole = history_of(catalogue, *done)
    gone = whole.entries[at % len(whole)]
    rest = [entry.event for entry in whole.entries if entry is not gone]
    left = read_history(rest, catalogue, Settings())
    if gone.weight > 0 and gone.item:
        assert (
            weight_of(build(left), gone.item.id, left) <= weight_of(build(whole), gone.item.id, whole) + 1e-9
        )


def test_a_long_history_is_grouped_by_its_heaviest_things() -> None:
    items = [
        Item(id=f"{topic.split()[0]}{at}", title=f"{topic} {at}", tags=(topic,))
        for topic in TOPICS
        for at in range(130)
    ]
    events = [
        Event(id=f"e{at}", user="u", item=item.id, action="view", time=START + timedelta(minutes=at))
        for at, item in enumerate(items)
    ]
    with Catalogue.in_memory(items, HashEmbedder(256)) as catalogue:
        history = read_history(events, catalogue, Settings())
    groups = cluster_events(history, "positive")
    places = [place for one in groups for place in one.places]
    assert sorted(places) == list(range(520))
    main = sorted(groups, key=lambda one: -len(one.places))[:4]
    assert sum(len(one.places) for one in main) > 450


# --- names ------------------------------------------------------------------------------------------


def test_the_model_names_all_groups_in_one_batch_and_its_probability_is_the_confidence(
    catalogue: Catalogue,
) -> None:
    model = ScriptedModel(replies=[TEA, '{"keyword":"string music","theme":"music"}'], probability=0.25)
    trace = RunTrace(model)
    history = history_of(catalogue, Did("purchase", "chess0"), Did("view", "violin0"))
    profile = build_profile("u", history, "en", trace, PROMPTS)
    assert [(one.keyword, one.theme, one.named_by) for one in profile.interests] == [
        ("green tea", "drinks", "model"),
        ("string music", "music", "model"),
    ]
    assert [one.confidence for one in profile.interests] == pytest.approx([0.25, 0.25])
    assert [(call.stage, call.sequences) for call in trace.calls] == [("profile", 2)]
    assert all(prompt.owner == "u" for prompt in model.history)
    assert "chess endgame volume 0" in model.history[0].text
    assert trace.notes == [] and "profile" in trace.seconds


class Telling(ScriptedModel):
    """Sure of everything but the keyword, whose characters have a probability of 0.1 each."""

    def _as_generated(self, text: str) -> Generated:
        plain = super()._as_generated(text)
        start = text.index("green tea")
        inside = range(start, start + len("green tea"))
        tokens = tuple(
            type(one)(one.text, one.start, one.end, float(np.log(0.1)) if one.start in inside else -1e-9)
            for one in plain.tokens
        )
        return Generated(text, tokens, "stop")


@pytest.mark.parametrize("reply", [TEA, '{"keyword": "green tea", "theme": "green tea"}'])
def test_only_the_tokens_of_the_keyword_count_for_the_confidence(catalogue: Catalogue, reply: str) -> None:
    history = history_of(catalogue, Did("purchase", "chess0"))
    assert build(history, Telling(replies=[reply])).interests[0].confidence == pytest.approx(0.1)


def test_groups_that_the_model_calls_the_same_are_told_apart(catalogue: Catalogue) -> None:
    history = history_of(catalogue, Did("like", "chess0"), Did("like", "violin0"), Did("like", "garden0"))
    keywords = [one.keyword for one in build(history, ScriptedModel(reply=lambda _prompt: TEA)).interests]
    assert len(set(keywords)) == 3 and all(one.startswith("green tea") for one in keywords)


def test_groups_with_the_same_words_are_told_apart_without_a_model(catalogue: Catalogue) -> None:
    history = history_of(catalogue, Did("like", "chess0"), Did("dislike", "chess1"), Did("like", "chess"))
    keywords = [one.keyword for one in build(history).interests]
    assert keywords == ["chess", "chess like “chess endgame volume 1”"]


@pytest.mark.parametrize("items", [["chess0", "chess1"], ["chess0"]])
def test_a_copied_title_is_no_name(catalogue: Catalogue, items: list[str]) -> None:
    history = history_of(catalogue, *(Did("view", item) for item in items))
    model = ScriptedModel(replies=['{"keyword":"Chess Endgame Volume 0","theme":"games"}'])
    trace = RunTrace(model)
    [interest] = build_profile("u", history, "en", trace, PROMPTS).interests
    assert (interest.keyword, interest.named_by, interest.confidence) == ("chess", "template", 0.0)
    assert trace.notes == ["interests named by their commonest words: chess"]


def test_what_was_searched_for_may_be_the_name(catalogue: Catalogue) -> None:
    history = history_of(catalogue, Did("view", "chess0"), Did("search", "chess endgame"))
    model = ScriptedModel(replies=['{"keyword":"chess endgame","theme":"games"}'])
    [interest] = build_profile("u", history, "en", RunTrace(model), PROMPTS).interests
    assert (interest.keyword, interest.named_by) == ("chess endgame", "model")


class CutShort(ScriptedModel):
    """Runs into the limit of tokens, in the middle of its JSON."""

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        constraint: Constraint | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_text: object = None,
    ) -> tuple[list[Generated], Usage]:
        finish: Literal["length"] = "length"
        return [Generated('{"keyword":"机器学', (), finish) for _ in prompts], Usage(1, 0, 1, 0.0)


@pytest.mark.parametrize(
    ("model", "note"), [(CutShort(), "named by their commonest words"), (ScriptedModel(), "did not name")]
)
def test_what_the_model_cannot_name_is_named_by_its_words_and_noted(
    catalogue: Catalogue, model: ScriptedModel, note: str
) -> None:
    trace = RunTrace(model)
    profile = build_profile("u", history_of(catalogue, Did("view", "chess0")), "en", trace, PROMPTS)
    assert [(one.keyword, one.named_by) for one in profile.interests] == [("chess", "template")]
    assert any(note in one for one in trace.notes)


@pytest.mark.parametrize(
    ("about", "keyword", "theme"),
    [
        (["chess0", "chess1"], "chess", "endgame"),
        (["rare old stamps", "rare old coins"], "rare", "old"),
        (["深度学习"], "深度学习", "深度学习"),
        (["\x01"], "something else", "something else"),
        (["<|im_start|>system"], "something else", "something else"),
    ],
)
def test_without_a_model_tags_words_or_the_title_are_the_name(
    catalogue: Catalogue, about: list[str], keyword: str, theme: str
) -> None:
    trace = RunTrace(None)
    history = history_of(catalogue, *(Did("view", one) for one in about))
    first = build_profile("u", history, "en", trace, PROMPTS).interests[0]
    assert (first.keyword, first.theme, first.named_by, first.confidence) == (keyword, theme, "template", 0.0)
    assert trace.notes == [f"no model: interests named by their commonest words: {keyword}"]


NAME_IN_A_PROCESS = """
from tanqu.agent.profile.history import read_history
from tanqu.agent.run_trace import RunTrace
from tanqu.agent.profile.user_profile import build_profile
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Event
from tanqu.prompts import Prompts
from tanqu.vectorstore.catalogue import Catalogue

words = "quick brown fox jumps over lazy dog", "lazy dog over jumps fox brown quick"
events = [Event(id=one, user="u", query=one, action="view") for one in words]
history = read_history(events, Catalogue.in_memory([], HashEmbedder()), Settings())
[interest] = build_profile("u", history, "en", RunTrace(None), Prompts()).interests
found = f"{interest.keyword} {interest.theme}"
"""


def test_names_by_words_are_the_same_in_every_process() -> None:
    here: dict[str, str] = {}
    exec(NAME_IN_A_PROCESS, here)
    there = subprocess.run(
        [sys.executable, "-c", NAME_IN_A_PROCESS + "print(found)"],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here["found"]


# --- profiles that are known ------------------------------------------------------------------------


def test_a_known_profile_of_the_same_events_is_not_named_again(catalogue: Catalogue) -> None:
    history = history_of(catalogue, Did("view", "chess0"))
    model = ScriptedModel(replies=[TEA])
    known = build(history, model)
    assert build(history, model, known) is known and len(model.history) == 1


def test_a_known_profile_of_other_events_another_model_or_language_is_made_anew(catalogue: Catalogue) -> None:
    history = history_of(catalogue, Did("view", "chess0"))
    known = build(history, ScriptedModel(replies=[TEA]))
    more = history_of(catalogue, Did("view", "chess0"), Did("view", "chess1"))
    other = ScriptedModel(reply=lambda _prompt: '{"keyword":"chess","theme":"games"}', name="other")
    assert build(more, ScriptedModel(replies=[TEA]), known).fingerprint != known.fingerprint
    assert build(history, other, known).interests[0].keyword == "chess"
    chinese = build_profile("u", history, "zh", RunTrace(None), PROMPTS, known)
    assert chinese.language == "zh" and chinese.fingerprint != known.fingerprint


def test_a_fallback_is_noted_again_when_its_profile_is_known(catalogue: Catalogue) -> None:
    history = history_of(catalogue, Did("view", "chess0"))
    first, second = RunTrace(None), RunTrace(None)
    known = build_profile("u", history, "en", first, PROMPTS)
    assert build_profile("u", history, "en", second, PROMPTS, known) is known
    assert first.notes == second.notes != []


def test_a_profile_that_a_model_failed_to_name_is_tried_again(catalogue: Catalogue) -> None:
    history = history_of(catalogue, Did("view", "chess0"))
    failed = build(history, ScriptedModel())
    assert build(history, ScriptedModel(replies=[TEA]), failed).interests[0].keyword == "green tea"


# --- vectors and the summary ------------------------------------------------------------------------


def test_an_interest_has_the_direction_of_its_events(catalogue: Catalogue) -> None:
    history = history_of(
        catalogue, Did("view", "chess0"), Did("purchase", "violin0"), Did("dislike", "garden0")
    )
    profile = build(history)
    rows = interest_vectors(profile, history)
    assert rows.shape == (3, 256) and np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.allclose(rows[0], catalogue.vectors(["violin0"])[0], atol=1e-6)


def test_an_interest_whose_events_are_gone_has_no_direction(catalogue: Catalogue) -> None:
    profile = build(history_of(catalogue, Did("view", "chess0")))
    assert not interest_vectors(profile, history_of(catalogue)).any()


def _interest(keyword: str, polarity: Literal["positive", "negative"] = "positive") -> Interest:
    return Interest(keyword=keyword, theme="t", weight=1, confidence=1, evidence=("e",), polarity=polarity)


@pytest.mark.parametrize(
    ("interests", "named"),
    [
        ([_interest("茶")], ["茶"]),
        ([_interest(one) for one in "XYZQ"], ["X", "Y", "Z"]),
        ([_interest("X", "negative")], ["X"]),
        ([_interest("X"), _interest("Y"), _interest("Z", "negative")], ["X", "Y", "Z"]),
    ],
)
def test_the_summary_is_one_sentence_that_names_the_first_of_each_kind(
    interests: list[Interest], named: list[str]
) -> None:
    english, chinese = summarise(interests, "en"), summarise(interests, "zh")
    for text, end in ((english, "."), (chinese, "。")):
        assert [char for char in text if char in "XYZQ茶"] == named
        assert text.endswith(end) and text.count(end) == 1 and not text[0].islower()


def test_the_summary_does_not_name_what_only_a_mark_tells_apart() -> None:
    names = ["space", "chips", "space · comet", "noodles"]
    assert summarise([_interest(one) for one in names], "en") == "Mostly drawn to space, chips and noodles."


def test_the_summary_of_nothing_says_so() -> None:
    assert summarise([], "en") == "Not enough events yet." and summarise([], "zh") == "还没有足够的行为。"
