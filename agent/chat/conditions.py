"""Conditions on items as a conversation keeps them, each with the words that it was parsed from.

A later rule replaces an earlier one about the same, so that the filter is always the user's latest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from ...models.records import Item, Record
from ...models.text import fold
from ..messages import Messages
from .quantities import Operator
from .vocabulary import (
    FieldValue,
    Mention,
    Vocabulary,
    bounded,
    kind_mentions,
    phrase_tables,
)

Reason = Literal["no_field", "currency", "no_value", "no_title"]


class Rule(Record):
    """One condition: it holds when any of `fields` passes; for `$nin`, when all of them do.

    `said` are the words of the message.
    """

    fields: tuple[str, ...]
    operator: Operator
    value: float | str | tuple[str, ...]
    said: str = ""

    @property
    def where(self) -> dict[str, object]:
        """The rule in the dialect of filters."""
        value = list(self.value) if isinstance(self.value, tuple) else _whole(self.value)
        tests: list[dict[str, object]] = [{name: {self.operator: value}} for name in self.fields]
        if len(tests) == 1:
            return tests[0]
        return {"$and" if self.operator == "$nin" else "$or": tests}

    @property
    def key(self) -> tuple[tuple[str, ...], str]:
        """Rules of one key replace each other: a new upper limit takes the place of the old one."""
        sides = {"$lt": "upper", "$lte": "upper", "$gt": "lower", "$gte": "lower"}
        return self.fields, sides.get(self.operator, self.operator)


@dataclass(frozen=True, slots=True)
class UncheckedCondition:
    """Words that look like a condition which this catalogue cannot check, and why."""

    said: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class ParsedConditions:
    """The conditions of a message.

    Attributes:
        rules: the filter.
        wishes: the words that are left, to be searched by meaning.
        like: items that the result should resemble.
        named: other items named by title.
        count: how many items are asked for.
        lifted: fields whose limits no longer hold.
        unseen: whether only unseen items are asked for.
        missed: words that look like a condition which cannot be checked.
    """

    rules: tuple[Rule, ...] = ()
    wishes: str = ""
    like: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    count: int | None = None
    lifted: tuple[str, ...] = ()
    unseen: bool = False
    missed: tuple[UncheckedCondition, ...] = ()


def merge(old: Sequence[Rule], new: Sequence[Rule], lifted: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules of a conversation after a message: later ones replace earlier ones about the same.

    Args:
        old: the rules before.
        new: the rules of the message. Exclusions add up; a value that is asked for is no longer excluded.
        lifted: fields whose earlier rules no longer hold.

    Returns:
        The rules in force, without duplicates, oldest first.
    """
    kept = [rule for rule in old if not set(rule.fields) & set(lifted)]
    for rule in new:
        if rule.operator == "$nin":
            kept = [*(one for one in kept if one != rule), rule]  # said again, it is the latest
            continue
        exact = rule.operator in ("$eq", "$in")
        kept = [one for one in kept if one.key != rule.key and not (exact and _about_number(one, rule))]
        if rule.operator == "$in":
            kept = [rest for one in kept if (rest := _without(one, rule)) is not None]
        kept.append(rule)
    return tuple(dict.fromkeys(kept))


def _about_number(one: Rule, rule: Rule) -> bool:
    return one.fields == rule.fields and not isinstance(one.value, tuple)


def _without(one: Rule, wanted: Rule) -> Rule | None:
    """An exclusion minus what is now wanted; None if nothing is left of it."""
    if one.operator != "$nin" or not isinstance(one.value, tuple) or not isinstance(wanted.value, tuple):
        return one
    rest = tuple(
        value for value in one.value if value not in wanted.value and not _is_kind(value, wanted.value)
    )
    return one.model_copy(update={"value": rest}) if rest else None


def _is_kind(value: str, kinds: tuple[str, ...]) -> bool:
    """Whether a value is a word for one of the kinds: who asks for books has 图书 again."""
    words = phrase_tables()["kinds"]
    return any(kind in words and re.fullmatch(words[kind], fold(value)) for kind in kinds)


def _whole(value: float | str) -> float | str:
    return int(value) if isinstance(value, float) and value.is_integer() else value


_SIGNS = {"$lt": "<", "$lte": "≤", "$gt": ">", "$gte": "≥", "$eq": "="}


def describe(rule: Rule, words: Messages) -> str:
    """A rule in the user's language: "price ≤ 200", "类别 ≠ 恐怖"."""
    fields = words.table("condition_fields")
    names = " / ".join(fields.get(name, name) for name in rule.fields)
    if isinstance(rule.value, tuple):
        kinds = words.table("kinds") if rule.fields == ("kind",) else {}
        listed = words["joined"].join(kinds.get(value, value) for value in rule.value)
        return f"{names} {'≠' if rule.operator == '$nin' else '='} {listed}"
    value = f"{rule.value:,g}" if isinstance(rule.value, float) and "year" not in rule.fields else rule.value
    return f"{names} {_SIGNS[rule.operator]} {_whole(value)}"


MAX_MESSAGE = 500
"""Characters of a message that are read."""

TAKEN = "\0"
"""Stands for characters that were read: fold leaves none, and no pattern takes it for a space."""


class Reader:
    """The text that is left to be read, and the conditions parsed so far."""

    def __init__(self, text: str, vocabulary: Vocabulary, shown: Sequence[Item], today: date | None) -> None:
        """Begin with a whole message.

        Args:
            text: the message; its first 500 characters are read.
            vocabulary: the fields and values of the catalogue.
            shown: the items that "cheaper" compares with.
            today: what "this year" refers to; None for the newest year of the catalogue.
        """
        self.text = fold(text[:MAX_MESSAGE])
        self.vocabulary = vocabulary
        self.shown = shown
        self.today = today
        self.parsed = ParsedConditions()
        self.cues: dict[str, str] = phrase_tables()["cues"]

    def take(self, start: int, end: int) -> str:
        """Mark a span as read and return its words."""
        words = self.text[start:end].replace(TAKEN, " ").strip()
        self.text = self.text[:start] + TAKEN * (end - start) + self.text[end:]
        return words

    def add(self, rule: Rule) -> None:
        """Add a condition; it replaces an earlier one about the same."""
        self.parsed = replace(self.parsed, rules=merge(self.parsed.rules, [rule]))

    def miss(self, words: str, reason: Reason) -> None:
        """Note words that look like a condition which cannot be checked."""
        missed = (*self.parsed.missed, UncheckedCondition(words, reason))
        self.parsed = replace(self.parsed, missed=missed)

    def cue(self, name: str) -> re.Match[str] | None:
        """The first occurrence of a cue of phrases.toml."""
        return bounded(self.cues[name]).search(self.text)


def plain_words(text: str) -> str:
    """What is left of a text, in one line."""
    return " ".join(text.replace(TAKEN, " ").split())


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
