"""Repetitions within a session say little, returns say more, and no further event lowers what is said."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.profile.event_weights import SESSION_GAP
from tanqu.agent.profile.history import HistoryEntry, repetition_weight
from tanqu.models.records import Event, Scenario

START = datetime(2026, 1, 1, tzinfo=UTC)


def entry(hours: float | None, weight: float = 1.0) -> HistoryEntry:
    time = None if hours is None else START + timedelta(hours=hours)
    return HistoryEntry(Event(id="e", user="u", item="tea", action="view", time=time), None, weight, "tea")


def said(*hours: float | None, scenario: Scenario = "shop") -> float:
    return repetition_weight([entry(one) for one in hours], scenario)


entries = st.lists(
    st.builds(
        entry,
        st.none() | st.floats(0, 100),
        st.sampled_from([0.3, 1.0, 2.25, 4.0]) | st.floats(1e-6, 4),
    ),
    max_size=12,
)


def test_one_event_says_its_weight_and_none_says_nothing() -> None:
    assert repetition_weight([entry(5, 2.7)], "shop") == 2.7
    assert repetition_weight([entry(5, -2.7)], "shop") == 2.7
    assert repetition_weight([], "shop") == 0


def test_repetitions_in_one_session_count_half_of_the_one_before() -> None:
    assert said(0, 0, 0) == pytest.approx(1.75)
    assert said(None, None, None) == pytest.approx(1.75)
    assert 1.75 < said(0, 0.1, 0.2) < 1.8  # a burst is nearly a moment


def test_returns_in_other_sessions_say_more_than_a_burst_and_less_than_as_many_things() -> None:
    for times in (2, 5, 50):
        burst, returns = said(*[0.0] * times), said(*(24.0 * at for at in range(times)))
        assert burst < returns < times


def test_the_later_a_return_the_more_it_says_until_the_session_is_over() -> None:
    values = [said(0, hours) for hours in (0, 3, 6, 9, 12, 13, 1000)]
    assert values == sorted(values) and values[0] < values[2] < values[4] == values[-1]


def test_what_is_a_session_depends_on_the_scenario() -> None:
    assert said(0, 1, scenario="shop") < said(0, 1, scenario="video") < said(0, 1, scenario="news")
    assert set(SESSION_GAP) == {"news", "social", "video", "shop"}


def test_an_event_between_two_sessions_does_not_make_one_of_them() -> None:
    """Sessions that any further event could join would let a view lower an interest."""
    apart = [entry(0, 4.0), entry(13, 4.0)]
    assert repetition_weight([*apart, entry(6.5)], "shop") > repetition_weight(apart, "shop")


@given(entries, entries.filter(bool))
def test_no_further_event_lowers_what_is_said(some: list[HistoryEntry], more: list[HistoryEntry]) -> None:
    before = repetition_weight(some, "shop")
    assert repetition_weight([*some, more[0]], "shop") >= before - 1e-9 * max(1.0, before)


@given(entries, st.integers(0, 99))
def test_the_order_of_events_does_not_matter(some: list[HistoryEntry], seed: int) -> None:
    shuffled = list(some)
    random.Random(seed).shuffle(shuffled)  # an order, not a secret
    assert repetition_weight(shuffled, "shop") == repetition_weight(some, "shop")


@given(entries)
def test_events_say_no_less_than_the_strongest_and_no_more_than_all_of_them(some: list[HistoryEntry]) -> None:
    weights = [abs(one.weight) for one in some]
    assert max(weights, default=0) - 1e-9 <= repetition_weight(some, "shop") <= sum(weights) + 1e-9


def test_ten_thousand_events_about_one_thing_are_counted() -> None:
    assert said(*(at / 10_000 for at in range(10_000))) < 2.1
    assert said(*[None] * 10_000) == pytest.approx(2.0)
