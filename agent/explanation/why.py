"""Why this, and why not that: answered from the signal values of a run, with no model.

What was kept away is named too: by which dislike, by which filter, or because it was used before.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...models.errors import NotFoundError
from ...models.records import Bridge, Event, HistoryEvent, Id, Item, Language, Recommendation, Record, Run
from ...models.text import clean
from ...vectorstore import Catalogue, compile_where
from ..messages import counterfactuals as what_if
from ..messages import messages_for, number, quoted, shown
from .exclusions import LEAST, is_pushed, pushed_down
from .groundedness import bare

_KEPT_AWAY_SHOWN = 5
_TITLES = 50  # how many hits of its words are looked at for a title

Status = Literal["picked", "new", "ranked", "seen", "filtered", "muted", "not found"]


class Part(Record):
    """What one signal adds to a score, or to the difference of two."""

    signal: str
    value: float


class Standing(Record):
    """Where an item stands in a run: its place among the picks, its rank among the candidates, and why.

    `parts` sum to `score`. `events` are those that say why it was left out: what the user did with it, or
    what they turned down that is most like it.
    """

    item: Item
    status: Status
    place: int | None = None
    rank: int | None = None
    score: float = 0.0
    interest: str | None = None
    new_for_you: Bridge | None = None
    parts: tuple[Part, ...] = ()
    events: tuple[HistoryEvent, ...] = ()


class KeptAway(Record):
    """A candidate that would be among the picks if nothing had been turned down."""

    item: Item
    rank_before: int
    rank: int
    event: HistoryEvent | None


class Why(Record):
    """Why an item, and why it and not another; `text` says it in the user's language."""

    user: Id
    language: Language
    item: Standing
    other: Standing | None
    difference: tuple[Part, ...]
    kept_away: tuple[KeptAway, ...]
    text: str


@dataclass(frozen=True)
class WhySource:
    """What an answer is read from: a run, the events of its user as they are now, and the catalogue."""

    run: Run
    events: Sequence[Event]
    catalogue: Catalogue


def why(source: WhySource, item: str, not_: str | None = None) -> Why:
    """Why `item` is or is not recommended in a run, and why it and not the item `not_`; no model is needed.

    Args:
        source: the run and what it was made from.
        item: an id, or a whole title.
        not_: another one to compare it with.

    Raises:
        NotFoundError: the catalogue has no such item.
    """
    run = source.run
    found = [find_item(source.catalogue, one) for one in (item, not_) if one is not None]
    standings = [_standing(source, one) for one in found]
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
    """The candidates that what was turned down keeps from the picks, by the rank they would have."""
    return [
        KeptAway(
            item=one.candidate.item,
            rank_before=before,
            rank=one.rank,
            event=_turned_down(source, one.candidate.item),
        )
        for before, one in pushed_down(source.run)
    ]


def find_item(catalogue: Catalogue, wanted: str) -> Item:
    """The item of this id, or else of this title; raises NotFoundError."""
    found = catalogue.get([wanted])
    if not found:
        ids = [one for one, _ in catalogue.search_words(wanted, _TITLES)]
        found = [item for item in catalogue.get(ids) if bare(item.title) == bare(wanted)]
    if not found:
        name = clean(wanted, 80)
        msg = f"the catalogue has no item {name!r}: give an id or a whole title, as `tanqu recommend` prints"
        raise NotFoundError(msg)
    return found[0]


def _standing(source: WhySource, item: Item) -> Standing:
    run = source.run
    new = next((pick for pick in run.recommendations if pick.item.id == item.id and pick.new_for_you), None)
    if new:
        return _apart(new)
    ranked = next((one for one in run.candidates if one.candidate.item.id == item.id), None)
    if ranked is None:
        return _absent(source, item)
    place = next((pick.rank for pick in run.recommendations if pick.item.id == item.id), None)
    muted = {one.keyword for one in run.profile.interests if one.muted}
    interest = ranked.candidate.interest
    pushed = _turned_down(source, item) if is_pushed(ranked) else None
    return Standing(
        item=item,
        status="picked" if place else "muted" if interest in muted else "ranked",
        place=place,
        rank=ranked.rank,
        score=ranked.score,
        interest=interest,
        parts=tuple(Part(signal=name, value=value) for name, value in ranked.signals.items()),
        events=(pushed,) if pushed else (),
    )


def _apart(pick: Recommendation) -> Standing:
    """A pick that is new for the user: it stands in no ranking with the others."""
    return Standing(
        item=pick.item,
        status="new",
        place=pick.rank,
        score=pick.score,
        new_for_you=pick.new_for_you,
        parts=tuple(Part(signal=name, value=value) for name, value in pick.signals.items()),
    )


def _absent(source: WhySource, item: Item) -> Standing:
    """Why an item is not even a candidate."""
    ids = {event.id for event in source.events if event.item == item.id}
    known = tuple(event for event in source.run.history if event.id in ids)
    if known:
        return Standing(item=item, status="seen", events=known)
    passes = compile_where(source.run.where)(item)
    return Standing(item=item, status="not found" if passes else "filtered")


def _turned_down(source: WhySource, item: Item) -> HistoryEvent | None:
    """The event of a negative interest that is about what is most like the item."""
    wanted = {event for one in source.run.profile.negative for event in one.evidence}
    against = [event for event in source.events if event.id in wanted]
    known = [event for event in against if event.item is not None and event.item in source.catalogue]
    shown_ = {event.id: event for event in source.run.history}
    if not known:
        return next((shown_[event.id] for event in against if event.id in shown_), None)
    vectors = source.catalogue.vectors([item.id, *(str(event.item) for event in known)])
    nearest = known[int((vectors[1:] @ vectors[0]).argmax())]
    return shown_.get(nearest.id)


def _difference(first: Standing, second: Standing) -> tuple[Part, ...]:
    """What each signal adds to the first more than to the second, the largest first; empty if one has none."""
    if first.rank is None or second.rank is None:
        return ()
    ours, theirs = ({part.signal: part.value for part in one.parts} for one in (first, second))
    names = dict.fromkeys((*ours, *theirs))
    parts = [Part(signal=name, value=ours.get(name, 0.0) - theirs.get(name, 0.0)) for name in names]
    return tuple(sorted(parts, key=lambda part: -abs(part.value)))


_PARTS_SHOWN = 3
_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "picked": "{item} is pick {place} of {picks}: rank {rank} of {all} candidates, score {score}.",
        "new": "{item} is pick {place} of {picks}, new for you: from {interest} to {topic}. It is ranked apart.",
        "ranked": "{item} is no pick: rank {rank} of {all} candidates, score {score}.",
        "passed": " It ranks before some picks, but its interest has its share of the list, "
        "or it is the same as one of them.",
        "muted": "{item} is no pick: it belongs to “{interest}”, which you muted.",
        "seen": "{item} is no pick, since you know it: {events}.",
        "filtered": "{item} is no pick: the filter {where} keeps it away.",
        "not found": "{item} is no pick: no search found it among the {all} candidates.",
        "interest": "Nearest interest: {interest}.",
        "for": "For it: {parts}.",
        "against": "Against it: {parts}.",
        "dislike": "Pushed down by what you turned down: {event}.",
        "ahead": "{first} is {gap} ahead of {second}: {parts}.",
        "kept": "Kept away by what you turned down: {items}.",
        "kept_one": "{item} (would be {before}, is {rank}; {event})",
        "none": "nothing stands out",
        "list": ", ",
    },
    "zh": {
        "picked": "{item}是 {picks} 个推荐中的第 {place} 个：在 {all} 个候选中排第 {rank}，得分 {score}。",
        "new": "{item}是 {picks} 个推荐中的第 {place} 个，是新鲜尝试：从{interest}到{topic}，单独排序。",
        "ranked": "{item}没有被推荐：在 {all} 个候选中排第 {rank}，得分 {score}。",
        "passed": "它排在一些推荐之前，但所属的兴趣已经占满份额，或与其中一个重复。",
        "muted": "{item}没有被推荐：它属于你屏蔽的兴趣“{interest}”。",
        "seen": "{item}没有被推荐，因为你已经知道它：{events}。",
        "filtered": "{item}没有被推荐：被筛选条件 {where} 排除。",
        "not found": "{item}没有被推荐：{all} 个候选里没有找到它。",
        "interest": "最接近的兴趣：{interest}。",
        "for": "加分：{parts}。",
        "against": "减分：{parts}。",
        "dislike": "因为与你不喜欢的相近而降低：{event}。",
        "ahead": "{first}比{second}高 {gap}：{parts}。",
        "kept": "因为你不喜欢的东西而靠后：{items}。",
        "kept_one": "{item}（本可排第 {before}，现排第 {rank}；{event}）",
        "none": "没有明显的差别",
        "list": "，",
    },
}


def _text(
    run: Run, standings: Sequence[Standing], difference: Sequence[Part], kept: Sequence[KeptAway]
) -> str:
    """The whole answer, a sentence per line.

    `difference` is the first item's score less the second's, by signal.
    """
    lines = [line for one in standings for line in _lines(run, one)]
    language = run.profile.language
    if difference:
        first, second = (standings if standings[0].score >= standings[1].score else standings[::-1])[:2]
        sign = 1.0 if first is standings[0] else -1.0
        parts = [Part(signal=one.signal, value=sign * one.value) for one in difference]
        gap = number(first.score - second.score)
        lines.append(
            _say("ahead", language, first=_name(first.item, language), second=_name(second.item, language),
                 gap=gap, parts=_parts(parts, language))
        )  # fmt: skip
    if kept:
        items = _WORDS[language]["list"].join(_kept_one(one, language) for one in kept)
        lines.append(_say("kept", language, items=items))
    return "\n".join(lines)


def _lines(run: Run, standing: Standing) -> list[str]:
    """What there is to say about one item."""
    language = run.profile.language
    bridge = standing.new_for_you
    first = _say(
        standing.status,
        language,
        item=_name(standing.item, language),
        place=standing.place,
        picks=len(run.recommendations),
        rank=standing.rank,
        all=len(run.candidates),
        score=number(standing.score),
        interest=shown(bridge.interest if bridge else standing.interest or ""),
        topic=shown(bridge.topic if bridge else ""),
        where=json.dumps(run.where, ensure_ascii=False),
        events=_events(standing.events, language),
    )
    if standing.status == "ranked" and (standing.rank or 0) < _last_rank(run):
        first += _WORDS[language]["passed"]
    if standing.rank is None and bridge is None:
        return [first]
    lines = [first]
    if standing.interest and standing.status != "muted":
        lines.append(_say("interest", language, interest=shown(standing.interest)))
    for key, sign in (("for", 1.0), ("against", -1.0)):
        parts = sorted(
            (one for one in standing.parts if sign * one.value > LEAST), key=lambda one: -sign * one.value
        )
        if parts:
            lines.append(_say(key, language, parts=_parts(parts, language)))
    for pick in run.recommendations:
        if pick.item.id == standing.item.id:
            lines += what_if.told(run, pick)
    if standing.events:
        lines.append(_say("dislike", language, event=_events(standing.events, language)))
    return lines


def _say(key: str, language: Language, **values: object) -> str:
    return _WORDS[language][key].format(**values)


def _name(item: Item, language: Language) -> str:
    return quoted(item.title, item, language)


def _parts(parts: Sequence[Part], language: Language) -> str:
    words = messages_for(language, "report")
    told = [one for one in parts if abs(one.value) > LEAST][:_PARTS_SHOWN]
    text = _WORDS[language]["list"].join(
        f"{words.part(one.signal, one.value)} {'+' if one.value > 0 else ''}{number(one.value)}"
        for one in told
    )
    return text or _WORDS[language]["none"]


def _events(events: Sequence[HistoryEvent], language: Language) -> str:
    words = messages_for(language, "report")
    space = " " if language == "en" else ""
    told = [
        f"{words.name('actions', one.action)}{space}{words.quoted(shown(one.text))}{_stars(one, language)}"
        for one in events[:_PARTS_SHOWN]
    ]
    return _WORDS[language]["list"].join(told)


def _stars(event: HistoryEvent, language: Language) -> str:
    """How many stars were given, in brackets: they say whether a rating speaks for or against a thing."""
    if event.action != "rating" or event.value is None:
        return ""
    stars = messages_for(language, "report").value(event)
    return f" ({stars})" if language == "en" else f"，{stars}"


def _kept_one(one: KeptAway, language: Language) -> str:
    event = _events([one.event], language) if one.event else _WORDS[language]["none"]
    return _say(
        "kept_one",
        language,
        item=_name(one.item, language),
        before=one.rank_before,
        rank=one.rank,
        event=event,
    )


def _last_rank(run: Run) -> int:
    """The rank of the lowest pick among the candidates."""
    ids = {pick.item.id for pick in run.recommendations if pick.new_for_you is None}
    return max((one.rank for one in run.candidates if one.candidate.item.id in ids), default=0)


__all__ = ["KeptAway", "Part", "Standing", "Why", "WhySource", "find_item", "kept_away", "why"]
