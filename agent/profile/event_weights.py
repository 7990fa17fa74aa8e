"""The weight of each event: positive where it supports an interest in its item, negative where it opposes it.

The weights of the actions (a purchase 4, a view 1, ...) and the half-lives are set in `agent/settings.py`
(`ACTION_WEIGHTS`, `HALF_LIFE`); `action_weights` and `half_life_hours` in a home's `settings.toml` replace them there.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from ...models.records import Event, Scenario
from ..settings import ACTION_WEIGHTS, HALF_LIFE, Settings

ABSENCE = 4.0
"""Longest decay, in half-lives, that a gap without events causes."""

SESSION_GAP: Mapping[Scenario, timedelta] = {
    "news": timedelta(minutes=30),
    "social": timedelta(minutes=30),
    "video": timedelta(hours=4),
    "shop": timedelta(hours=12),
}
"""Time after which an event about the same item is a return in a later session, and no repetition in the same one."""


def event_weight(
    event: Event, scenario: Scenario, now: datetime | None = None, settings: Settings | None = None
) -> float:
    """The weight of the action times 0.5 per half-life between the event and `now` (exponential decay).

    At the same age a purchase outweighs a like, a high rating, a search and a view, in this order; a dislike is
    negative; three stars are a little positive. The clock is never read: the same input gives the same weight.

    Args:
        event: one without a time does not decay.
        scenario: chooses the half-life.
        now: the present; None, or a time before the event, means no decay.
        settings: weights, half-lives and the length of an abandoned view; default: `ACTION_WEIGHTS`, `HALF_LIFE`.

    Returns:
        Above 0 where the event supports an interest, below 0 where it opposes one; at most 100 either way.
    """
    weights: Mapping[str, float] = settings.action_weights if settings else ACTION_WEIGHTS
    weight = _undecayed(event, weights, settings.abandon_seconds if settings else 0.0)
    if now is None or event.time is None or event.time >= now:
        return weight
    hours = settings.half_life_hours[scenario] if settings else HALF_LIFE[scenario] / timedelta(hours=1)
    return weight * math.exp2(-((now - event.time) / timedelta(hours=1)) / hours)


def decayed_weights(
    events: Sequence[Event], scenario: Scenario, now: datetime | None = None, settings: Settings | None = None
) -> list[float]:
    """`event_weight` of each event, where a gap without events counts `ABSENCE` half-lives at most.

    Absence is no change of taste: the first event after years does not erase all before it.

    Args:
        events: of one user, in any order.
        scenario: chooses the half-life.
        now: the present; default: the time of the newest event, so that a history does not fade by itself.
        settings: as for `event_weight`.

    Returns:
        A weight for each event, in the order given.
    """
    moment = newest_time(events) if now is None else now
    if moment is None:
        return [event_weight(event, scenario, None, settings) for event in events]
    hours = settings.half_life_hours[scenario] if settings else HALF_LIFE[scenario] / timedelta(hours=1)
    shifts = _shifts(events, moment, ABSENCE * timedelta(hours=hours))
    moments = (moment if event.time is None else moment - shifts[event.time] for event in events)
    return [event_weight(event, scenario, at, settings) for event, at in zip(events, moments, strict=True)]


def _shifts(events: Iterable[Event], now: datetime, longest: timedelta) -> dict[datetime, timedelta]:
    """For each time of an event, how much of the way from it to `now` was absence beyond the longest gap."""
    shifts: dict[datetime, timedelta] = {}
    later, shift = now, timedelta(0)
    for time in sorted({event.time for event in events if event.time is not None}, reverse=True):
        shift += max(later - time - longest, timedelta(0))
        shifts[time], later = shift, min(later, time)
    return shifts


def newest_time(events: Iterable[Event]) -> datetime | None:
    """The latest time among the events; None if none has one."""
    return max((event.time for event in events if event.time is not None), default=None)


def _undecayed(event: Event, weights: Mapping[str, float], abandon_seconds: float) -> float:
    value = event.value
    if event.action == "rating":
        return _stars_weight(3.0 if value is None else value, weights)
    if event.action == "purchase" and value is not None and value < 0:
        return weights["return"]
    if event.action == "view" and value is not None and 0 <= value < abandon_seconds:
        return weights["abandon"]
    return weights[event.action]


def _stars_weight(stars: float, weights: Mapping[str, float]) -> float:
    """The weight of a rating on the scale 1 to 5; between two whole stars, in proportion."""
    clamped = min(max(stars, 1.0), 5.0)
    low = min(int(clamped), 4)
    below, above = weights[f"rating_{low}"], weights[f"rating_{low + 1}"]
    return below + (above - below) * (clamped - low)
