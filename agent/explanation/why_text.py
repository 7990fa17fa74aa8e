"""How the answer to "why" is worded, in both languages."""

import json
from collections.abc import Sequence

from ...models.records import HistoryEvent, Item, Language, Run
from ..messages import counterfactuals as what_if
from ..messages.words import number, shown, words_of
from .templates import quoted
from .why_records import LEAST, KeptAway, Part, Standing

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


def told(
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
    words = words_of(language)
    told = [one for one in parts if abs(one.value) > LEAST][:_PARTS_SHOWN]
    text = _WORDS[language]["list"].join(
        f"{words.part(one.signal, one.value)} {'+' if one.value > 0 else ''}{number(one.value)}"
        for one in told
    )
    return text or _WORDS[language]["none"]


def _events(events: Sequence[HistoryEvent], language: Language) -> str:
    words = words_of(language)
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
    stars = words_of(language).value(event)
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


__all__ = ["told"]
