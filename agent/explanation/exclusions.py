"""Which candidates are not on the list although they rank high, and why: read from the run alone."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from ...models.records import Ranked, Recommendation, Run
from ..ranking import duplicate_key, interest_quotas, normalised_title

MIN_CONTRIBUTION = 0.005
"""Contributions to a score below this are not mentioned."""

ExclusionReason = Literal["muted", "twin", "known", "share", "room"]


def passed_over(run: Run) -> list[tuple[Ranked, ExclusionReason]]:
    """The candidates that rank before the last pick without being picked.

    Returns:
        Each candidate, by rank, with the reason: its interest is `muted`, it is a `twin` of a pick or of
        something `known` from the history, its interest had its `share` of the list, or it made `room` for a
        pick further down.
    """
    picked = {pick.item.id for pick in run.recommendations}
    last = last_picked_rank(run)
    passed = [
        ranked for ranked in run.candidates if ranked.rank < last and ranked.candidate.item.id not in picked
    ]
    return [(ranked, _reason(ranked, run)) for ranked in sorted(passed, key=lambda ranked: ranked.rank)]


def last_picked_rank(run: Run) -> int:
    """The rank of the lowest pick among the candidates; 0 without picks."""
    ids = {pick.item.id for pick in _by_rank(run)}
    return max((ranked.rank for ranked in run.candidates if ranked.candidate.item.id in ids), default=0)


def _reason(ranked: Ranked, run: Run) -> ExclusionReason:
    muted = {interest.keyword for interest in run.profile.positive if interest.muted}
    if ranked.candidate.interest in muted:
        return "muted"
    item = ranked.candidate.item
    if duplicate_key(item) in {duplicate_key(pick.item) for pick in run.recommendations}:
        return "twin"
    if _has_its_share(ranked.candidate.interest, run):
        return "share"
    known = {normalised_title(event.text) for event in run.history}
    return "known" if normalised_title(item.title) in known else "room"


def _has_its_share(interest: str | None, run: Run) -> bool:
    """Whether as many picks are of an interest as its weight allows in a list of this length."""
    picks = _by_rank(run)
    quotas = interest_quotas(run.profile, len(picks))
    return interest in quotas and Counter(pick.interest for pick in picks)[interest] >= quotas[interest]


def _by_rank(run: Run) -> list[Recommendation]:
    """The picks that come from the ranking, without those of new topics."""
    return [pick for pick in run.recommendations if pick.new_for_you is None]


def pushed_down(run: Run) -> Iterable[tuple[int, Ranked]]:
    """The candidates that the negative signal keeps off the list, each after the rank it would have without it."""
    ordered = sorted(
        run.candidates,
        key=lambda ranked: (ranked.signals.get("negative", 0.0) - ranked.score, ranked.rank),
    )
    picks = len(_by_rank(run))
    return (
        (rank, ranked)
        for rank, ranked in enumerate(ordered[:picks], 1)
        if ranked.rank > picks and is_pushed(ranked)
    )


def is_pushed(ranked: Ranked) -> bool:
    """Whether similarity to what the user disliked lowers its score."""
    return ranked.signals.get("negative", 0.0) < -MIN_CONTRIBUTION and ranked.raw.get("negative", 0.0) > 0


__all__ = [
    "MIN_CONTRIBUTION",
    "ExclusionReason",
    "is_pushed",
    "last_picked_rank",
    "passed_over",
    "pushed_down",
]
