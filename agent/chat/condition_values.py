"""Conditions on values: genres, topics, names and kinds that are excluded, or the only ones wanted."""

import re
from collections.abc import Sequence

from .condition_reader import Reader, plain_words
from .conditions import Rule
from .quantities import Operator
from .vocabulary import FieldValue, Mention, kind_mentions, phrase_tables

_A_KIND = re.compile(r"(?<![a-z])(?:a|an|some|any)(?:[\s\0]+[a-z0-9'-]+){0,2}[\s\0]+$")
_CLAUSE_ENDS = re.compile(
    r"[\s\0]*(?:$|[,.;!?]|(?:please|from|under|with|for|without|but|shorter|no)(?![a-z]))"
)
_UNLIKED = re.compile(  # with a word that looks like a genre; anything else may be an item or a mood
    r"(?<![a-z])(?:hate|dislike|can'?t stand|(?:don'?t|do not) (?:really )?like|not into)"
    r" (?!(?:this|these|those|others|things|its|yours|his|hers|ours|theirs)(?![a-z]))[a-z]{3,}s(?=\s*(?:[.,!]|$))"
    r"|(?:不喜欢|讨厌|不爱看?)[^这那第它他她，。的]{1,6}[片剧类书](?=[，。！]|$)"
)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def read_values(reader: Reader) -> None:
    """Genres, topics and names: kept out, or the only ones let in, where the message says so."""
    mentions = reader.vocabulary.mentions(reader.text)
    spans = _negated(reader, mentions)
    out = {
        value for mention, span in zip(mentions, spans, strict=True) if span for _, value in mention.places
    }
    for mention, span in zip(mentions, spans, strict=True):
        if span is not None:
            _add_values(reader, "$nin", mention.places, reader.take(*span))
        elif {value for _, value in mention.places} <= out:
            continue  # "scary stuff frightens me, so no horror"
        elif _is_filter(reader, mention.start, mention.end, mention.places):
            _add_values(reader, "$in", mention.places, reader.text[mention.start : mention.end])


def read_kinds(reader: Reader) -> None:
    """Books, films, people: a filter where the catalogue has several kinds."""
    wanted: dict[str, str] = {}
    unwanted: dict[str, str] = {}
    for match, kind in _kind_spans(reader) if len(reader.vocabulary.kinds) > 1 else ():
        negative, after = _negation(reader, match.start()), _negation_after(reader, match.end())
        if negative is None and after is None:
            wanted[kind] = match[0]
        else:
            start = match.start() if negative is None else negative
            unwanted[kind] = reader.take(start, after or match.end())
    if wanted:
        reader.add(_kind_rule("$in", wanted))
    if unwanted:
        reader.add(_kind_rule("$nin", unwanted))


def read_unknown_exclusions(reader: Reader) -> None:
    """A negation before words that no field holds: said, since nothing can enforce it."""
    strong = "不要|别推荐|不想看|不想要|除了|去掉|排除|no|without|except|exclude|anything but|avoid"
    pattern = rf"(?<![a-z])(?:{strong})(?![a-z])\s?([^\0,，。.!?;；]{{2,20}})"
    negated = [*re.finditer(pattern, reader.text), *_UNLIKED.finditer(reader.text)]
    found = [one for one in negated if not _asks_why(reader.text[: one.start()])]
    after = r"[\u4e00-\u9fff]{2,8}的(?:就|都|也|我)*(?:不要(?!紧)|不看|不想看|别推|别来|别给我|免了|算了|少来|少推)"
    found += re.finditer(after, reader.text)
    for match in found:
        reader.miss(reader.take(*match.span()), "no_value")


def _kind_spans(reader: Reader) -> list[tuple[re.Match[str], str]]:
    """Where kinds are named; of overlapping words ("short film") the longest."""
    found = [
        (match, kind)
        for pattern, kind in kind_mentions(reader.vocabulary.kinds)
        for match in pattern.finditer(reader.text)
    ]
    found.sort(key=lambda one: one[0].start() - one[0].end())
    chosen: list[tuple[re.Match[str], str]] = []
    for match, kind in found:
        if all(match.end() <= one.start() or match.start() >= one.end() for one, _ in chosen):
            chosen.append((match, kind))
    return chosen


def _negated(reader: Reader, mentions: Sequence[Mention]) -> list[tuple[int, int] | None]:
    """For each mention what it covers with its negation, which also reaches over "and" and "or"."""
    spans: list[tuple[int, int] | None] = []
    for at, mention in enumerate(mentions):
        start, end = _negation(reader, mention.start), _class_end(reader, mention.end)
        before = spans[-1] if spans else None
        if start is None and before and _joined(reader, before[1], mention.start):
            start = mention.start  # "no horror or mystery"
        after = _negation_after(reader, end)
        if after is not None:  # 恐怖片和悬疑片都不要, "horror is out"
            start, end = mention.start if start is None else start, after
            for back in range(at - 1, -1, -1):
                edge = _class_end(reader, mentions[back].end)
                if spans[back] or not _joined(reader, edge, mentions[back + 1].start):
                    break
                spans[back] = (mentions[back].start, edge)
        spans.append(None if start is None else (start, end))
    return spans


def _joined(reader: Reader, start: int, end: int) -> bool:
    """Whether two values are enumerated; Chinese ones may follow each other: 足球篮球都不要."""
    chinese = start == end and not reader.text[end].isascii()
    return chinese or re.fullmatch(rf"\s*(?:{reader.cues['join']})\s*", reader.text[start:end]) is not None


def _class_end(reader: Reader, end: int) -> int:
    """Where a word such as "films" or 片 ends that follows a value; `end` if there is none."""
    kinds = "|".join(phrase_tables()["kinds"].values())
    classes = rf"(?:{reader.cues['class_after']}|{kinds})(?![a-z])"
    after = re.compile(rf"\s?(?:的)?(?<![a-z]){classes}").match(reader.text, end)
    return after.end() if after else end


def _negation(reader: Reader, at: int) -> int | None:
    """Where a negation begins that reaches up to `at`; None if there is none."""
    cues = reader.cues
    pattern = rf"(?<![a-z])(?:{cues['negative']})(?:\s|(?:{cues['negative_filler']})(?![a-z]))*$"
    match = re.search(pattern, reader.text[:at])
    if match and _asks_why(reader.text[: match.start()]):
        return None
    return match.start() if match else None


def _negation_after(reader: Reader, end: int) -> int | None:
    """Where a negation ends that follows directly; None if there is none."""
    after = re.compile(rf"\s?(?:{reader.cues['negative_after']})(?![a-z])").match(reader.text, end)
    if after and after[0].startswith(" ") and _CHINESE.match(reader.text, after.end()):
        return None  # 喜剧 不要恐怖: it is said of what follows
    return after.end() if after else None


def _is_filter(reader: Reader, start: int, end: int, places: Sequence[FieldValue]) -> bool:
    """Whether a value is meant as a condition: "only X", "by X", "X films", "X 类"."""
    only = rf"(?<![a-z])(?:{reader.cues['only']}|{reader.cues['of_name']})\s*(?:the\s|看|要|有)?\s*$"
    if re.search(only, reader.text[:start]):
        return True
    after = reader.text[end:]
    if re.match(rf"\s?(?:片|类)?(?:{reader.cues['only_after']})(?![a-z])", after):
        return True
    if after.startswith("的") and any(name != "tags" for name, _ in places):
        return True
    genre = any(name in ("genre", "category") for name, _ in places)
    if genre and _A_KIND.search(reader.text[:start]) and _CLAUSE_ENDS.match(after):
        return True  # "a good 90s comedy"
    return _class_end(reader, end) > end


def _add_values(reader: Reader, operator: Operator, places: Sequence[FieldValue], said: str) -> None:
    fields = tuple(dict.fromkeys(name for name, _ in places))
    values = tuple(dict.fromkeys(value for _, value in places))
    reader.add(Rule(fields=fields, operator=operator, value=values, said=plain_words(said)))


def _asks_why(before: str) -> bool:
    """Whether a negation that follows is part of a question: "why no headphones"."""
    there = r"(?: (?:are|is) there| there (?:are|is)| do you have| you have)?"
    why = rf"(?:(?:why|how come){there}|(?:为什么|为啥|怎么|为何|咋)(?:就|都|会)?)\s*$"
    return re.search(why, before) is not None


def _kind_rule(operator: Operator, said: dict[str, str]) -> Rule:
    return Rule(fields=("kind",), operator=operator, value=tuple(said), said=" ".join(said.values()))


__all__ = ["read_kinds", "read_unknown_exclusions", "read_values"]
