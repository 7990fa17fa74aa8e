"""What a report says of what is not on the list: the rules that hold for all, and single candidates."""

from collections.abc import Iterable

from ...models.records import Run
from ..explanation import passed_over, pushed_down
from ..messages import Messages, clip, clipped, shown
from .page import LeftOut

_NAME = 48


def rules(run: Run, words: Messages) -> Iterable[str]:
    """What kept anything away as a matter of principle."""
    if run.history:
        yield words.count("left_history", len(run.history))
    if run.where:
        yield words["left_filter"]
    muted = [one.keyword for one in run.profile.positive if one.muted]
    if muted:
        yield words.say("left_mutes", interests=_listed(muted, words))
    against = [one.keyword for one in run.profile.negative]
    if against:
        yield words.say("left_negative", interests=_listed(against, words))


def left_out(run: Run, words: Messages) -> tuple[LeftOut, ...]:
    """Candidates that rank before a pick, or would be one but for what was turned down; by rank."""
    found = {one.rank: (one, words.say("left_pushed", before=before)) for before, one in pushed_down(run)}
    for one, reason in passed_over(run):
        interest = words.quoted(clip(shown(one.candidate.interest or ""), _NAME))
        found[one.rank] = (one, words.say(f"left_{reason}", interest=interest))
    rows = (found[rank] for rank in sorted(found))
    return tuple(LeftOut(one.rank, clipped(one.candidate.item.title), why) for one, why in rows)


def _listed(names: list[str], words: Messages) -> str:
    return words["comma"].join(clip(shown(one), _NAME) for one in names)


__all__ = ["left_out", "rules"]
