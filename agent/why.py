"""Why this, and why not that: told from the signal values of a run, with no model.

What was kept away is told too: by which dislike, by which filter, or because it was used before.
"""

import json
from collections.abc import Sequence
from typing import Literal

from ..models.errors import NotFoundError
from ..models.records import HistoryEvent, Id, Item, Language, Ranked, Record, Run
from ..vectorstore.filters import compile_where
from .recommender import Recommender
from .report_text import number, shown, words_of
from .told import quoted

Status = Literal["picked", "ranked", "seen", "filtered", "muted", "not found"]

_PARTS_SHOWN = 3
_KEPT_AWAY_SHOWN = 5
_LEAST = 0.005
"""A contribution below this is not worth a word."""

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "picked": "{item} is pick {place} of {picks}: rank {rank} of {all} candidates, score {score}.",
        "ranked": "{item} is no pick: rank {rank} of {all} candidates, score {score}.",
        "passed": " It ranks before some picks, but its interest has its share of the list, "
        "or it is the same as one of them.",
        "muted": "{item} is no pick: it belongs to {interest}, which you muted.",
        "seen": "{item} is no pick, since you know it: {events}.",
        "filtered": "{item} is no pick: the filter {where} keeps it away.",
        "not found": "{item} is no pick: no search found it among the {all} candidates.",
        "interest": "Interest: {interest}.",
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
        "ranked": "{item}没有被推荐：在 {all} 个候选中排第 {rank}，得分 {score}。",
        "passed": "它排在一些推荐之前，但所属的兴趣已经占满份额，或与其中一个重复。",
        "muted": "{item}没有被推荐：它属于你屏蔽的兴趣{interest}。",
        "seen": "{item}没有被推荐，因为你已经知道它：{events}。",
        "filtered": "{item}没有被推荐：被筛选条件 {where} 排除。",
        "not found": "{item}没有被推荐：{all} 个候选里没有找到它。",
        "interest": "兴趣：{interest}。",
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


def why(recommender: Recommender, user: str, item: str, not_: str | None = None) -> Why:
    """Why `item` is or is not recommended to `user`, and why it and not the item `not_`.

    Told from the user's last run if that still holds, else from a new one.

    Raises:
        NotFoundError: the user or an item is unknown.
    """
    found = [_item(recommender, one) for one in (item, not_) if one is not None]
    run = _run(recommender, user)
    standings = [_standing(recommender, run, one) for one in found]
    other = standings[1] if len(standings) > 1 else None
    difference = _difference(standings[0], other) if other else ()
    kept = tuple(kept_away(recommender, run))[:_KEPT_AWAY_SHOWN]
    return Why(
        user=run.user,
        language=run.profile.language,
        item=standings[0],
        other=other,
        difference=difference,
        kept_away=kept,
        text=_told(run, standings, difference, kept),
    )


def kept_away(recommender: Recommender, run: Run) -> list[KeptAway]:
    """The candidates that what was turned down keeps from the picks, by the rank they would have."""
    free = sorted(run.candidates, key=lambda one: (-(one.score - one.signals.get("negative", 0.0)), one.rank))
    picks = len(run.recommendations)
    found = [
        (before, one) for before, one in enumerate(free[:picks], 1) if one.rank > picks and _is_pushed(one)
    ]
    return [
        KeptAway(
            item=one.candidate.item,
            rank_before=before,
            rank=one.rank,
            event=_turned_down(recommender, run, one.candidate.item),
        )
        for before, one in found
    ]


def _item(recommender: Recommender, wanted: str) -> Item:
    found = recommender.catalogue.get([wanted])
    if not found:
        msg = f"the catalogue has no item {wanted!r}: `tanqu recommend USER --json` shows the ids"
        raise NotFoundError(msg)
    return found[0]


def _run(recommender: Recommender, user: str) -> Run:
    """The last run of the user, unless events, changes or the catalogue are newer."""
    last = recommender.memory.last_run(user)
    if last is not None:
        known = {event.id for event in recommender.memory.events(user)}
        edits = recommender.memory.edits(user)
        same = known == {event.id for event in last.history} and all(
            one.created < last.created for one in edits
        )
        if same and last.fingerprints.get("catalogue") == recommender.catalogue.fingerprint:
            return last
    return recommender.recommend(user)


def _standing(recommender: Recommender, run: Run, item: Item) -> Standing:
    ranked = next((one for one in run.candidates if one.candidate.item.id == item.id), None)
    if ranked is None:
        return _absent(recommender, run, item)
    place = next((pick.rank for pick in run.recommendations if pick.item.id == item.id), None)
    muted = {one.keyword for one in run.profile.interests if one.muted}
    interest = ranked.candidate.interest
    pushed = _turned_down(recommender, run, item) if _is_pushed(ranked) else None
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


def _absent(recommender: Recommender, run: Run, item: Item) -> Standing:
    """Why an item is not even a candidate."""
    ids = {event.id for event in recommender.memory.events(run.user) if event.item == item.id}
    known = tuple(event for event in run.history if event.id in ids)
    if known:
        return Standing(item=item, status="seen", events=known)
    passes = compile_where(run.where)(item)
    return Standing(item=item, status="not found" if passes else "filtered")


def _is_pushed(ranked: Ranked) -> bool:
    """Whether what was turned down pushes it down: the signal is above nought, and its weight below."""
    return ranked.signals.get("negative", 0.0) < -_LEAST and ranked.raw.get("negative", 0.0) > 0


def _turned_down(recommender: Recommender, run: Run, item: Item) -> HistoryEvent | None:
    """The event of a negative interest that is about what is most like the item."""
    wanted = {event for one in run.profile.negative for event in one.evidence}
    against = [event for event in recommender.memory.events(run.user) if event.id in wanted]
    known = [event for event in against if event.item is not None and event.item in recommender.catalogue]
    shown_ = {event.id: event for event in run.history}
    if not known:
        return next((shown_[event.id] for event in against if event.id in shown_), None)
    vectors = recommender.catalogue.vectors([item.id, *(str(event.item) for event in known)])
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


def _told(
    run: Run, standings: Sequence[Standing], difference: Sequence[Part], kept: Sequence[KeptAway]
) -> str:
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
    first = _say(
        standing.status,
        language,
        item=_name(standing.item, language),
        place=standing.place,
        picks=len(run.recommendations),
        rank=standing.rank,
        all=len(run.candidates),
        score=number(standing.score),
        interest=shown(standing.interest or ""),
        where=json.dumps(run.where, ensure_ascii=False),
        events=_events(standing.events, language),
    )
    if standing.status == "ranked" and any((standing.rank or 0) < one.rank for one in _picked(run)):
        first += _WORDS[language]["passed"]
    if standing.rank is None:
        return [first]
    lines = [first]
    if standing.interest and standing.status != "muted":
        lines.append(_say("interest", language, interest=shown(standing.interest)))
    for key, sign in (("for", 1.0), ("against", -1.0)):
        parts = sorted(
            (one for one in standing.parts if sign * one.value > _LEAST), key=lambda one: -sign * one.value
        )
        if parts:
            lines.append(_say(key, language, parts=_parts(parts, language)))
    if standing.events:
        lines.append(_say("dislike", language, event=_events(standing.events, language)))
    return lines


def _picked(run: Run) -> list[Ranked]:
    ids = {pick.item.id for pick in run.recommendations}
    return [one for one in run.candidates if one.candidate.item.id in ids]


def _say(key: str, language: Language, **values: object) -> str:
    return _WORDS[language][key].format(**values)


def _name(item: Item, language: Language) -> str:
    return quoted(item.title, item, language)


def _parts(parts: Sequence[Part], language: Language) -> str:
    words = words_of(language)
    told = [one for one in parts if abs(one.value) > _LEAST][:_PARTS_SHOWN]
    text = _WORDS[language]["list"].join(
        f"{words.name('signals', one.signal)} {'+' if one.value > 0 else ''}{number(one.value)}"
        for one in told
    )
    return text or _WORDS[language]["none"]


def _events(events: Sequence[HistoryEvent], language: Language) -> str:
    words = words_of(language)
    told = [
        f"{words.name('actions', one.action)} {words.quoted(shown(one.text))}"
        for one in events[:_PARTS_SHOWN]
    ]
    return _WORDS[language]["list"].join(told)


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


__all__ = ["KeptAway", "Part", "Standing", "Why", "kept_away", "why"]
