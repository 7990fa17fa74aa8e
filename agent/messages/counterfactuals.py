"""How it is said where a pick would stand without a thing that its reason cites; both languages."""

from collections.abc import Iterable
from dataclasses import dataclass

from ...models.records import Counterfactual, Recommendation, Run
from .catalogue import Messages, messages_for
from .formatting import clip, shown

_THING, _NAME = 80, 48  # columns of a title and of an interest within a sentence


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence for each thing, with the id of its event; `mark` says what was recomputed for all of them."""

    lines: tuple[tuple[str, str], ...]
    mark: str


def what_if(run: Run, pick: Recommendation) -> Said:
    """What there is to say about a pick of a run; nothing where it was not asked for."""
    words = messages_for(run.profile.language, "report")
    marks = [_mark(one, pick, words) for one in pick.counterfactual]
    lines = [(one.event, _sentence(one, run, words)) for one in pick.counterfactual]
    if len(set(marks)) == 1:
        return Said(tuple(lines), marks[0])
    gap = words["gap"]
    marked = ((event, f"{text}{gap}{mark}") for (event, text), mark in zip(lines, marks, strict=True))
    return Said(tuple(marked), "")


def told(run: Run, pick: Recommendation) -> Iterable[str]:
    """The sentences alone, and what was recomputed as the last of them."""
    found = what_if(run, pick)
    yield from (text for _, text in found.lines)
    if found.mark:
        yield found.mark


def _sentence(one: Counterfactual, run: Run, words: Messages) -> str:
    change = one.rank_after - one.rank_before
    course = "fall" if change > 0 else "rise" if change < 0 else "same"
    places = {"before": one.rank_before, "after": one.rank_after, "all": len(run.candidates)}
    return words.say(
        "without_on" if one.picked else "without_share" if one.share_of else "without_off",
        thing=_thing(one.event, run, words),
        interest=words.quoted(clip(shown(one.share_of or ""), _NAME)),
        course=words.say(f"without_{course}", **places),
    )


def _thing(event_id: str, run: Run, words: Messages) -> str:
    """What an event is about, quoted; its id where the run does not hold it."""
    event = next((event for event in run.history if event.id == event_id), None)
    title = words.quoted(clip(shown(event.text if event else event_id) or "–", _THING))
    return words.say("without_search", thing=title) if event and event.action == "search" else title


def _mark(one: Counterfactual, pick: Recommendation, words: Messages) -> str:
    if pick.rank_without_model is None:
        return words["again"]
    return words["again_by_model"] if one.by_model else words["again_by_signals"]


__all__ = ["Said", "told", "what_if"]
