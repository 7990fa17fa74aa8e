"""What a list left out, and why: told from a run alone, with no model and no catalogue."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from ...models.records import Ranked, Recommendation, Run
from ..ranking import duplicate_key, interest_quotas, normalised_title

LEAST = 0.005
"""A contribution below this is not worth a word."""

Reason = Literal["muted", "twin", "known", "share", "room"]


def passed_over(run: Run) -> list[tuple[Ranked, Reason]]:
    """The candidates that rank before the last pick and are none, each with what kept it from the list.

    `twin` says the same as a pick, `known` as something of the history; the interest of a `share` had its
    share of the list, and the others made `room` for a pick further down.
    """
    picked = {pick.item.id for pick in run.recommendations}
    by_rank = {pick.item.id for pick in _by_rank(run)}
    last = max((one.rank for one in run.candidates if one.candidate.item.id in by_rank), default=0)
    left = [one for one in run.candidates if one.rank < last and one.candidate.item.id not in picked]
    return [(one, _reason(one, run)) for one in sorted(left, key=lambda one: one.rank)]


def _reason(one: Ranked, run: Run) -> Reason:
    muted = {interest.keyword for interest in run.profile.positive if interest.muted}
    if one.candidate.interest in muted:
        return "muted"
    item = one.candidate.item
    if duplicate_key(item) in {duplicate_key(pick.item) for pick in run.recommendations}:
        return "twin"
    if _has_its_share(one.candidate.interest, run):
        return "share"
    known = {normalised_title(event.text) for event in run.history}
    return "known" if normalised_title(item.title) in known else "room"


def _has_its_share(interest: str | None, run: Run) -> bool:
    """Whether as many picks are of an interest as its weight allows in a list of this length."""
    picks = _by_rank(run)
    room = interest_quotas(run.profile, len(picks))
    return interest in room and Counter(pick.interest for pick in picks)[interest] >= room[interest]


def _by_rank(run: Run) -> list[Recommendation]:
    """The picks that come from the ranking; what is new for the user is chosen apart."""
    return [pick for pick in run.recommendations if pick.new_for_you is None]


def pushed_down(run: Run) -> Iterable[tuple[int, Ranked]]:
    """The candidates that what was turned down keeps from the picks, each after the rank it would have."""
    free = sorted(run.candidates, key=lambda one: (-(one.score - one.signals.get("negative", 0.0)), one.rank))
    picks = len(_by_rank(run))
    return ((at, one) for at, one in enumerate(free[:picks], 1) if one.rank > picks and is_pushed(one))


def is_pushed(ranked: Ranked) -> bool:
    """Whether what was turned down pushes it down: the signal is above nought, and its weight below."""
    return ranked.signals.get("negative", 0.0) < -LEAST and ranked.raw.get("negative", 0.0) > 0


__all__ = ["Reason", "is_pushed", "passed_over", "pushed_down"]
