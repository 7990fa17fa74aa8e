"""Why an item is or is not recommended: answered from the signal values of a run, without a model.

The answer names what excluded an item: a dislike, a filter, a muted interest, or that it is in the history.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...models.errors import NotFoundError
from ...models.records import Bridge, Event, HistoryEvent, Id, Item, Language, Recommendation, Record, Run
from ...models.text import clean
from ...vectorstore import Catalogue, compile_where
from ..messages import Messages, counterfactual_lines, messages_for, number, quoted, shown
from .exclusions import MIN_CONTRIBUTION, is_pushed, last_picked_rank, pushed_down
from .groundedness import bare

_KEPT_AWAY_SHOWN = 5
_LISTED = 3  # contributions or events in one sentence
_TITLES = 50  # hits of a title's words among which it is looked for

Status = Literal["picked", "new", "ranked", "seen", "filtered", "muted", "not found"]


class SignalContribution(Record):
    """What one signal adds to a score, or to the difference of two."""

    signal: str
    value: float


class ItemStanding(Record):
    """Where an item stands in a run: its place among the picks, its rank among the candidates, and why.

    `parts` sum to `score`. `events` are those that explain its exclusion: the user's own events about it, or
    the disliked event that is most similar to it.
    """

    item: Item
    status: Status
    place: int | None = None
    rank: int | None = None
    score: float = 0.0
    interest: str | None = None
    new_for_you: Bridge | None = None
    parts: tuple[SignalContribution, ...] = ()
    events: tuple[HistoryEvent, ...] = ()


class KeptAway(Record):
    """A candidate that would be among the picks if the user had disliked nothing."""

    item: Item
    rank_before: int
    rank: int
    event: HistoryEvent | None


class Why(Record):
    """Why an item, and why it and not another; `text` is the answer in the language of the profile."""

    user: Id
    language: Language
    item: ItemStanding
    other: ItemStanding | None
    difference: tuple[SignalContribution, ...]
    kept_away: tuple[KeptAway, ...]
    text: str


@dataclass(frozen=True)
class WhySource:
    """The sources of an answer: a run, the current events of its user, and the catalogue."""

    run: Run
    events: Sequence[Event]
    catalogue: Catalogue


def answer_why(source: WhySource, item: str, not_: str | None = None) -> Why:
    """Why `item` is or is not recommended in a run, and why it and not the item `not_`; no model is needed.

    Args:
        source: the run, the events of its user and the catalogue.
        item: an id, or a whole title.
        not_: the id or title of an item to compare it with.

    Returns:
        The standing of each item, the difference of their signals, and what dislikes kept off the list.

    Raises:
        NotFoundError: the catalogue has no such item.
    """
    run = source.run
    items = [find_item(source.catalogue, wanted) for wanted in (item, not_) if wanted is not None]
    standings = [_standing(source, wanted) for wanted in items]
    other = standings[1] if len(standings) > 1 else None
    difference = _difference(standings[0], other) if other else ()
    kept = tuple(kept_away(source))[:_KEPT_AWAY_SHOWN]
    return Why(
        user=run.user,
        language=run.profile.language,
        item=standings[0],
        other=other,
        difference=difference,
        kept_away=kept,
        text=_text(run, standings, difference, kept),
    )


def kept_away(source: WhySource) -> list[KeptAway]:
    """The candidates that dislikes keep off the list, by the rank that they would have without them."""
    return [
        KeptAway(
            item=ranked.candidate.item,
            rank_before=before,
            rank=ranked.rank,
            event=_nearest_dislike(source, ranked.candidate.item),
        )
        for before, ranked in pushed_down(source.run)
    ]


def find_item(catalogue: Catalogue, wanted: str) -> Item:
    """The item of an id, or else of a whole title.

    Args:
        catalogue: where it is looked up.
        wanted: an id or a title; quotation marks around it and letter case do not count.

    Returns:
        The item.

    Raises:
        NotFoundError: there is neither.
    """
    items = catalogue.get([wanted])
    if not items:
        ids = [item_id for item_id, _ in catalogue.search_words(wanted, _TITLES)]
        items = [item for item in catalogue.get(ids) if bare(item.title) == bare(wanted)]
    if not items:
        name = clean(wanted, 80)
        msg = f"the catalogue has no item {name!r}: give an id or a whole title, as `tanqu recommend` prints"
        raise NotFoundError(msg)
    return items[0]


def _standing(source: WhySource, item: Item) -> ItemStanding:
    run = source.run
    new = next((pick for pick in run.recommendations if pick.item.id == item.id and pick.new_for_you), None)
    if new:
        return _apart(new)
    ranked = next((ranked for ranked in run.candidates if ranked.candidate.item.id == item.id), None)
    if ranked is None:
        return _absent(source, item)
    place = next((pick.rank for pick in run.recommendations if pick.item.id == item.id), None)
    muted = {interest.keyword for interest in run.profile.interests if interest.muted}
    interest = ranked.candidate.interest
    pushed = _nearest_dislike(source, item) if is_pushed(ranked) else None
    return ItemStanding(
        item=item,
        status="picked" if place else "muted" if interest in muted else "ranked",
        place=place,
        rank=ranked.rank,
        score=ranked.score,
        interest=interest,
        parts=tuple(SignalContribution(signal=name, value=value) for name, value in ranked.signals.items()),
        events=(pushed,) if pushed else (),
    )


def _apart(pick: Recommendation) -> ItemStanding:
    """The standing of a pick of a new topic: it is not ranked with the others."""
    return ItemStanding(
        item=pick.item,
        status="new",
        place=pick.rank,
        score=pick.score,
        new_for_you=pick.new_for_you,
        parts=tuple(SignalContribution(signal=name, value=value) for name, value in pick.signals.items()),
    )


def _absent(source: WhySource, item: Item) -> ItemStanding:
    """The standing of an item that is no candidate."""
    ids = {event.id for event in source.events if event.item == item.id}
    known = tuple(event for event in source.run.history if event.id in ids)
    if known:
        return ItemStanding(item=item, status="seen", events=known)
    passes = compile_where(source.run.where)(item)
    return ItemStanding(item=item, status="not found" if passes else "filtered")


def _nearest_dislike(source: WhySource, item: Item) -> HistoryEvent | None:
    """Of the events of negative interests, the one whose item is most similar to `item`."""
    wanted = {event for interest in source.run.profile.negative for event in interest.evidence}
    against = [event for event in source.events if event.id in wanted]
    known = [event for event in against if event.item is not None and event.item in source.catalogue]
    history = {event.id: event for event in source.run.history}
    if not known:
        return next((history[event.id] for event in against if event.id in history), None)
    vectors = source.catalogue.vectors([item.id, *(str(event.item) for event in known)])
    nearest = known[int((vectors[1:] @ vectors[0]).argmax())]
    return history.get(nearest.id)


def _difference(first: ItemStanding, second: ItemStanding) -> tuple[SignalContribution, ...]:
    """What each signal adds to the first more than to the second, largest first; empty where one has no rank."""
    if first.rank is None or second.rank is None:
        return ()
    ours, theirs = ({part.signal: part.value for part in item.parts} for item in (first, second))
    names = dict.fromkeys((*ours, *theirs))
    parts = [
        SignalContribution(signal=name, value=ours.get(name, 0.0) - theirs.get(name, 0.0)) for name in names
    ]
    return tuple(sorted(parts, key=lambda part: -abs(part.value)))


def _text(
    run: Run,
    standings: Sequence[ItemStanding],
    difference: Sequence[SignalContribution],
    kept: Sequence[KeptAway],
) -> str:
    """The whole answer, a sentence per line; `difference` is the first item's score less the second's, by signal."""
    words = messages_for(run.profile.language, "why")
    lines = [line for standing in standings for line in _lines(run, standing, words)]
    if difference:
        lines.append(_ahead(standings, difference, words))
    if kept:
        items = words["joined"].join(_kept_item(candidate, words) for candidate in kept)
        lines.append(words.say("kept", items=items))
    return "\n".join(lines)


def _ahead(
    standings: Sequence[ItemStanding], difference: Sequence[SignalContribution], words: Messages
) -> str:
    """By how much the better of two items is ahead, and by which signals."""
    first, second = standings if standings[0].score >= standings[1].score else standings[::-1]
    sign = 1.0 if first is standings[0] else -1.0
    parts = [SignalContribution(signal=part.signal, value=sign * part.value) for part in difference]
    return words.say(
        "ahead",
        first=_name(first.item, words),
        second=_name(second.item, words),
        gap=number(first.score - second.score),
        parts=_parts(parts, words),
    )


def _lines(run: Run, standing: ItemStanding, words: Messages) -> list[str]:
    """The sentences about one item."""
    lines = [_status(run, standing, words)]
    if standing.rank is None and standing.new_for_you is None:
        return lines
    if standing.interest and standing.status != "muted":
        lines.append(words.say("interest", interest=shown(standing.interest)))
    for key, sign in (("for", 1.0), ("against", -1.0)):
        parts = sorted(
            (part for part in standing.parts if sign * part.value > MIN_CONTRIBUTION),
            key=lambda part: -sign * part.value,
        )
        if parts:
            lines.append(words.say(key, parts=_parts(parts, words)))
    for pick in run.recommendations:
        if pick.item.id == standing.item.id:
            lines += counterfactual_lines(run, pick)
    if standing.events:
        lines.append(words.say("dislike", event=_events(standing.events, words)))
    return lines


def _status(run: Run, standing: ItemStanding, words: Messages) -> str:
    """Whether an item was picked, and where it stands."""
    bridge = standing.new_for_you
    status = words.say(
        standing.status.replace(" ", "_"),
        item=_name(standing.item, words),
        place=standing.place,
        picks=len(run.recommendations),
        rank=standing.rank,
        all=len(run.candidates),
        score=number(standing.score),
        interest=shown(bridge.interest if bridge else standing.interest or ""),
        topic=shown(bridge.topic if bridge else ""),
        where=json.dumps(run.where, ensure_ascii=False),
        events=_events(standing.events, words),
    )
    passed = standing.status == "ranked" and (standing.rank or 0) < last_picked_rank(run)
    return status + words["passed"] if passed else status


def _name(item: Item, words: Messages) -> str:
    return quoted(item.title, item, words.language)


def _parts(parts: Sequence[SignalContribution], words: Messages) -> str:
    """The first contributions worth a mention, each with its sign."""
    report = messages_for(words.language, "report")
    large = [part for part in parts if abs(part.value) > MIN_CONTRIBUTION][:_LISTED]
    text = words["joined"].join(
        f"{report.part(part.signal, part.value)} {'+' if part.value > 0 else ''}{number(part.value)}"
        for part in large
    )
    return text or words["none"]


def _events(events: Sequence[HistoryEvent], words: Messages) -> str:
    return words["joined"].join(_event(event, words) for event in events[:_LISTED])


def _event(event: HistoryEvent, words: Messages) -> str:
    """The action and what it was about; of a rating its stars too, which say whether it is for or against."""
    report = messages_for(words.language, "report")
    text = report.name("actions", event.action) + words["gap"] + report.quoted(shown(event.text))
    if event.action != "rating" or event.value is None:
        return text
    return words.say("stars", event=text, stars=report.value(event))


def _kept_item(kept: KeptAway, words: Messages) -> str:
    return words.say(
        "kept_item",
        item=_name(kept.item, words),
        before=kept.rank_before,
        rank=kept.rank,
        event=_event(kept.event, words) if kept.event else words["none"],
    )
