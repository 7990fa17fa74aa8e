"""What the fields of a catalogue hold, and which words of a message mean them.

Everything that a message can be understood to say about items is looked up here: numbers have fields and
ranges, genres and kinds have the values that exist, titles have ids.
"""

import re
import tomllib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from statistics import median
from typing import Any, Self

from ...models.records import Item

Place = tuple[str, str]
"""A field and a value of it, as the catalogue writes it."""

MAX_SURFACE = 60
"""Characters of the longest word or title that is recognised in a message."""

_MIN_TITLE = 5
_EDGES = " \t\"'“”‘’《》「」『』.。!！?？"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_COMPARED_BEFORE = re.compile(r"(?:像|跟|和|与|同|类似于?)$")
_COMPARED_AFTER = re.compile(r"(?:那|这)[种样类]|一样|差不多|类似|相似")
_ASCII = re.compile(r"[a-z0-9]")


def fold(text: str) -> str:
    """One spelling for comparison: NFKC, lower case, straight quotes, no control characters."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("‘", "'")
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") else char for char in plain)


@cache
def sayings() -> dict[str, Any]:  # Any: tables of patterns and words, in shapes of their own
    """The tables of constraints.toml."""
    text = files(__package__).joinpath("constraints.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@dataclass(frozen=True, slots=True)
class NumberField:
    """The smallest, largest and middle value of a numeric attribute."""

    low: float
    high: float
    middle: float


@dataclass(frozen=True, slots=True)
class Mention:
    """Where a message names something: `[start, end)`, and what it names."""

    start: int
    end: int
    places: tuple[Place, ...] = ()
    item: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """The fields and values of one catalogue."""

    numbers: Mapping[str, NumberField] = field(default_factory=dict)
    dates: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    words: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    currencies: frozenset[str] = frozenset()

    @classmethod
    def of(cls, items: Iterable[Item]) -> Self:
        """Read all items once; about 20 microseconds each."""
        numbers: dict[str, list[float]] = defaultdict(list)
        dates: dict[str, list[str]] = defaultdict(list)
        places: dict[Place, None] = {}
        titles: dict[str, str] = {}
        for item in items:
            titles.setdefault(fold(item.title).strip(_EDGES), item.id)
            for name, value in _fields(item):
                if isinstance(value, bool):
                    continue
                if isinstance(value, int | float):
                    numbers[name].append(float(value))
                elif _DATE.match(value):
                    dates[name].append(value)
                else:
                    places.setdefault((name, value))
        return cls(
            numbers={name: NumberField(min(some), max(some), median(some)) for name, some in numbers.items()},
            dates={name: (min(some), max(some)) for name, some in dates.items()},
            words=_surfaces(places),
            titles=titles,
            kinds=tuple(value for name, value in places if name == "kind"),
            currencies=frozenset(fold(value) for name, value in places if name == "currency"),
        )

    def attribute(self, role: str) -> str | None:
        """The attribute of the catalogue that a role ("price", "year") goes by; None if it has none."""
        known = {**self.numbers, **self.dates}
        return next((name for name in sayings()["attributes"][role] if name in known), None)

    @cached_property
    def spellings(self) -> frozenset[str]:
        """Every Latin word of the titles and values, as it is spelled."""
        return frozenset(re.findall(r"[a-z]{4,}", " ".join([*self.titles, *self.words])))

    def mentions(self, text: str) -> list[Mention]:
        """Values of fields that a folded text names, longest first at each place, without overlaps."""
        return list(self._scan(text, self.words))

    def titled(self, text: str) -> list[Mention]:
        """Items that a folded text names by their whole title; a short one only between quotes."""
        return [one for one in self._scan(text, self.titles) if self._is_title(text, one)]

    def _scan(self, text: str, known: Mapping[str, Any]) -> Iterator[Mention]:  # Any: places or an id
        at = 0
        while at < len(text):
            for end in range(min(len(text), at + MAX_SURFACE), at, -1):
                found = known.get(text[at:end])
                if found and _is_whole(text, at, end):
                    yield Mention(at, end, item=found) if isinstance(found, str) else Mention(at, end, found)
                    at = end - 1
                    break
            at += 1

    def _is_title(self, text: str, one: Mention) -> bool:
        surface = text[one.start : one.end]
        quoted = text[one.start - 1 : one.start] in ("《", '"', "“", "「") if one.start else False
        if quoted:
            return True
        if _COMPARED_BEFORE.search(text[: one.start]) and _COMPARED_AFTER.match(text, one.end):
            return True  # 跟门将那种差不多的
        long_enough = len(surface) >= _MIN_TITLE or (not surface.isascii() and len(surface) >= 3)
        topics = {"tags", "genre", "category", "section"}
        return long_enough and not any(name in topics for name, _ in self.words.get(surface, ()))


def _fields(item: Item) -> Iterator[tuple[str, str | float]]:
    """Every field with each of its values."""
    if item.kind:
        yield "kind", item.kind
    for tag in item.tags:
        yield "tags", tag
    for name, value in item.attributes.items():
        for one in value if isinstance(value, tuple) else (value,):
            yield name, one


def _surfaces(places: Iterable[Place]) -> dict[str, tuple[Place, ...]]:
    """Each word that means a value: the value itself, its plural, and other names of the same genre."""
    found: dict[str, dict[Place, None]] = defaultdict(dict)
    synonyms: dict[str, set[str]] = defaultdict(set)
    for group in sayings()["groups"].values():
        for word in group:
            synonyms[word] |= set(group)
    for place in places:
        value = fold(place[1]).strip()
        if place[0] in ("kind", "currency") or not 0 < len(value) <= MAX_SURFACE:
            continue
        for surface in {value, *synonyms.get(value, ())}:
            found[surface].setdefault(place)
            if surface.isascii() and len(surface) > 3 and not surface.endswith("s"):
                found[f"{surface}s"].setdefault(place)
    return {surface: tuple(some) for surface, some in found.items()}


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether Latin words are not cut in the middle."""
    before = text[start - 1 : start]
    after = text[end : end + 1]
    cut_before = bool(before and _ASCII.match(before) and _ASCII.match(text[start]))
    cut_after = bool(after and _ASCII.match(after) and _ASCII.match(text[end - 1]))
    return not cut_before and not cut_after


def kinds_said(kinds: Sequence[str]) -> list[tuple[re.Pattern[str], str]]:
    """For each kind of the catalogue, the pattern of the words that mean it."""
    found = []
    for name, pattern in sayings()["kinds"].items():
        bounded = re.compile(_bounded(pattern))
        for kind in kinds:
            if fold(kind) == name or bounded.fullmatch(fold(kind)):
                found.append((bounded, kind))
    return found


def _bounded(pattern: str) -> str:
    return rf"(?<![a-z])(?:{pattern})(?![a-z])"


__all__ = ["MAX_SURFACE", "Mention", "NumberField", "Place", "Vocabulary", "fold", "kinds_said", "sayings"]
