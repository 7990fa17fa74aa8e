"""What is not on the list: the rules that exclude items in general, and single excluded candidates."""

from collections.abc import Iterable

from ...models.records import Run
from ..explanation import passed_over, pushed_down
from ..messages import Messages, clip, clipped, shown
from .page import ExcludedCandidate

_NAME = 48


def exclusion_rules(run: Run, words: Messages) -> Iterable[str]:
    """A sentence for each rule in force: the history, the filters, muted and negative interests."""
    if run.history:
        yield words.count("left_history", len(run.history))
    if run.where:
        yield words["left_filter"]
    muted = [interest.keyword for interest in run.profile.positive if interest.muted]
    if muted:
        yield words.say("left_mutes", interests=_listed(muted, words))
    negative = [interest.keyword for interest in run.profile.negative]
    if negative:
        yield words.say("left_negative", interests=_listed(negative, words))


def excluded_candidates(run: Run, words: Messages) -> tuple[ExcludedCandidate, ...]:
    """The candidates, by rank, that were passed over or that dislikes keep off the list, with the reason."""
    excluded = {
        ranked.rank: (ranked, words.say("left_pushed", before=before)) for before, ranked in pushed_down(run)
    }
    for ranked, reason in passed_over(run):
        interest = words.quoted(clip(shown(ranked.candidate.interest or ""), _NAME))
        excluded[ranked.rank] = (ranked, words.say(f"left_{reason}", interest=interest))
    return tuple(
        ExcludedCandidate(rank, clipped(ranked.candidate.item.title), why)
        for rank, (ranked, why) in sorted(excluded.items())
    )


def _listed(names: list[str], words: Messages) -> str:
    return words["comma"].join(clip(shown(name), _NAME) for name in names)


__all__ = ["excluded_candidates", "exclusion_rules"]
