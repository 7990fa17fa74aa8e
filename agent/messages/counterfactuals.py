"""Counterfactuals in words: where a pick would rank without a history item that its reason cites."""

from collections.abc import Iterable
from dataclasses import dataclass

from ...models.records import Counterfactual, Recommendation, Run
from .catalogue import Messages, messages_for
from .formatting import clip, shown

_TITLE, _NAME = 80, 48  # columns of a title and of an interest within a sentence


@dataclass(frozen=True, slots=True)
class CounterfactualText:
    """The counterfactuals of a pick in words.

    `lines` are pairs of an event's id and its sentence. `method` says how the ranks were recomputed; it is
    empty where that differs, and each sentence has its own.
    """

    lines: tuple[tuple[str, str], ...]
    method: str


def counterfactual_text(run: Run, pick: Recommendation) -> CounterfactualText:
    """The counterfactuals of a pick of a run in words; no lines where none were computed."""
    words = messages_for(run.profile.language, "report")
    methods = [_method(change, pick, words) for change in pick.counterfactual]
    lines = [(change.event, _sentence(change, run, words)) for change in pick.counterfactual]
    if len(set(methods)) == 1:
        return CounterfactualText(tuple(lines), methods[0])
    gap = words["gap"]
    own = ((event, f"{text}{gap}{method}") for (event, text), method in zip(lines, methods, strict=True))
    return CounterfactualText(tuple(own), "")


def counterfactual_lines(run: Run, pick: Recommendation) -> Iterable[str]:
    """The sentences alone; how the ranks were recomputed is the last."""
    text = counterfactual_text(run, pick)
    yield from (sentence for _, sentence in text.lines)
    if text.method:
        yield text.method


def _sentence(change: Counterfactual, run: Run, words: Messages) -> str:
    difference = change.rank_after - change.rank_before
    course = "fall" if difference > 0 else "rise" if difference < 0 else "same"
    places = {"before": change.rank_before, "after": change.rank_after, "all": len(run.candidates)}
    return words.say(
        "without_on" if change.picked else "without_share" if change.share_of else "without_off",
        thing=_event_name(change.event, run, words),
        interest=words.quoted(clip(shown(change.share_of or ""), _NAME)),
        course=words.say(f"without_{course}", **places),
    )


def _event_name(event_id: str, run: Run, words: Messages) -> str:
    """The title or the words of an event, quoted; its id where the run does not hold it."""
    event = next((event for event in run.history if event.id == event_id), None)
    title = words.quoted(clip(shown(event.text if event else event_id) or "–", _TITLE))
    return words.say("without_search", thing=title) if event and event.action == "search" else title


def _method(change: Counterfactual, pick: Recommendation, words: Messages) -> str:
    if pick.rank_without_model is None:
        return words["again"]
    return words["again_by_model"] if change.by_model else words["again_by_signals"]


__all__ = ["CounterfactualText", "counterfactual_lines", "counterfactual_text"]
