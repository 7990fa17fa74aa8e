"""What the fields of a catalogue hold, and which words of a message mean them.

Conditions are checked against it: numbers have fields and ranges, genres and kinds have the values that
exist, titles have ids. It is aggregated by the database, and titles are looked up when a message may name
them, so that its size does not grow with the number of items.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from weakref import WeakKeyDictionary

from ...models.text import fold
from ...vectorstore import Catalogue, Facets, NumberFacet

FieldValue = tuple[str, str]
"""A field and a value of it, as the catalogue writes it."""

MAX_SURFACE = 60
"""Characters of the longest word or title that is recognised in a message."""

MAX_WORDS = 20_000
"""Values of one field that are recognised: the commonest."""

_MIN_TITLE = 5
_TITLE_HITS = 200  # items sharing words with a message whose titles are compared with it
_EDGES = " \t\"'“”‘’《》「」『』.。!！?？"
_QUOTED = re.compile(r"[《「“\"]([^》」”\"]{1,60})[》」”\"]")
_COMPARED_BEFORE = re.compile(r"(?:像|跟|和|与|同|类似于?)$")
_COMPARED_AFTER = re.compile(r"(?:那|这)[种样类]|一样|差不多|类似|相似")
_ASCII = re.compile(r"[a-z0-9]")
_TOPICS = frozenset({"tags", "genre", "category", "section"})


@cache
def phrase_tables() -> dict[str, Any]:  # Any: tables of patterns and words, in shapes of their own
    """The tables of phrases.toml."""
    text = files(__package__).joinpath("phrases.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@dataclass(frozen=True, slots=True)
class Mention:
    """The span `[start, end)` of a message that names values of fields, or an item by its title."""

    start: int
    end: int
    places: tuple[FieldValue, ...] = ()
    item: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """The fields, values and titles of one version of a catalogue.

    Attributes:
        catalogue: whose titles are looked up.
        numbers: the range of each numeric field.
        dates: the earliest and latest ISO date of each field of dates.
        words: for each word that means a value, the values.
        kinds: the kinds of items.
        currencies: the currencies of prices, folded.
        spellings: every Latin word of the values.
    """

    catalogue: Catalogue
    numbers: Mapping[str, NumberFacet]
    dates: Mapping[str, tuple[str, str]]
    words: Mapping[str, tuple[FieldValue, ...]]
    kinds: tuple[str, ...]
    currencies: frozenset[str]
    spellings: frozenset[str]

    def attribute(self, role: str) -> str | None:
        """The attribute of the catalogue that a role ("price", "year") goes by; None if it has none."""
        names = phrase_tables()["attributes"][role]
        return next((name for name in names if name in self.numbers or name in self.dates), None)

    def has_word(self, word: str) -> bool:
        """Whether a Latin word occurs in a value or in a title, as it is spelled."""
        if word in self.spellings:
            return True
        if not self.catalogue.items_with(word):
            return False
        return any(word in _latin_words(title) for title in self._titles_near(word))

    def mentions(self, text: str) -> list[Mention]:
        """Values of fields that a folded text names, the longest at each position, without overlaps."""
        return [Mention(start, end, self.words[name]) for start, end, name in _scan(text, self.words)]

    def titled(self, text: str) -> list[Mention]:
        """Items that a folded text names by their whole title; a short title only between quotation marks."""
        titles = self._titles_near(text)
        for quoted in _QUOTED.finditer(text):
            titles = self._titles_near(quoted[1]) | titles
        found = [Mention(start, end, item=titles[name]) for start, end, name in _scan(text, titles)]
        return [mention for mention in found if self._is_title(text, mention)]

    def _titles_near(self, text: str) -> dict[str, str]:
        """The folded titles of the items that share the most words with a text, with their ids, best first."""
        hits = [item for item, _ in self.catalogue.search_words(text, _TITLE_HITS)]
        titles: dict[str, str] = {}
        for item in self.catalogue.get(hits):
            titles.setdefault(fold(item.title).strip(_EDGES), item.id)
        return titles

    def _is_title(self, text: str, mention: Mention) -> bool:
        surface = text[mention.start : mention.end]
        if mention.start and text[mention.start - 1] in '《"“「':
            return True
        if _COMPARED_BEFORE.search(text[: mention.start]) and _COMPARED_AFTER.match(text, mention.end):
            return True  # 跟门将那种差不多的
        long_enough = len(surface) >= _MIN_TITLE or (not surface.isascii() and len(surface) >= 3)
        return long_enough and not any(name in _TOPICS for name, _ in self.words.get(surface, ()))


_VALUES: WeakKeyDictionary[Catalogue, tuple[str, dict[str, Any]]] = WeakKeyDictionary()  # Any: of Vocabulary


def vocabulary_of(catalogue: Catalogue) -> Vocabulary:
    """The vocabulary of a catalogue as it is now; the values are aggregated once for each of its versions."""
    fingerprint = catalogue.fingerprint
    known = _VALUES.get(catalogue)
    if known is None or known[0] != fingerprint:
        known = _VALUES[catalogue] = fingerprint, _values(catalogue.facets(MAX_WORDS))
    return Vocabulary(catalogue, **known[1])


def _values(facets: Facets) -> dict[str, Any]:
    words = _surfaces((name, value) for name, values in facets.words.items() for value in values)
    return {
        "numbers": facets.numbers,
        "dates": facets.dates,
        "words": words,
        "kinds": facets.words.get("kind", ()),
        "currencies": frozenset(map(fold, facets.words.get("currency", ()))),
        "spellings": _latin_words(" ".join(words)),
    }


def _scan(text: str, known: Mapping[str, object]) -> Iterator[tuple[int, int, str]]:
    """Where a text holds whole known words, the longest at each position: (start, end, word)."""
    at = 0
    while at < len(text):
        for end in range(min(len(text), at + MAX_SURFACE), at, -1):
            if text[at:end] in known and _is_whole(text, at, end):
                yield at, end, text[at:end]
                at = end - 1
                break
        at += 1


def _surfaces(places: Iterable[FieldValue]) -> dict[str, tuple[FieldValue, ...]]:
    """Each word that means a value: the value itself, its plural, and synonyms of the same genre."""
    surfaces: dict[str, dict[FieldValue, None]] = defaultdict(dict)
    synonyms: dict[str, set[str]] = defaultdict(set)
    for group in phrase_tables()["groups"].values():
        for word in group:
            synonyms[word] |= set(group)
    for place in places:
        value = fold(place[1]).strip()
        if place[0] in ("kind", "currency") or not 0 < len(value) <= MAX_SURFACE:
            continue
        for surface in {value, *synonyms.get(value, ())}:
            surfaces[surface].setdefault(place)
            if surface.isascii() and len(surface) > 3 and not surface.endswith("s"):
                surfaces[f"{surface}s"].setdefault(place)
    return {surface: tuple(values) for surface, values in surfaces.items()}


def _latin_words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]{4,}", text))


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether Latin words are not cut in the middle."""
    before = text[start - 1 : start]
    after = text[end : end + 1]
    cut_before = bool(before and _ASCII.match(before) and _ASCII.match(text[start]))
    cut_after = bool(after and _ASCII.match(after) and _ASCII.match(text[end - 1]))
    return not cut_before and not cut_after


def kind_mentions(kinds: Sequence[str]) -> list[tuple[re.Pattern[str], str]]:
    """For each kind of the catalogue, the pattern of the words that mean it."""
    patterns = []
    for name, words in phrase_tables()["kinds"].items():
        pattern = bounded(words)
        patterns += [(pattern, kind) for kind in kinds if fold(kind) == name or pattern.fullmatch(fold(kind))]
    return patterns


@cache
def bounded(pattern: str) -> re.Pattern[str]:
    """A pattern that matches no part of a longer Latin word."""
    return re.compile(rf"(?<![a-z])(?:{pattern})(?![a-z])")


def is_generic(text: str) -> bool:
    """Whether words ask for nothing in particular: "今晚看什么好", "what should I read next"."""
    generic = phrase_tables()["generic"]
    return bool(
        re.fullmatch(
            rf"(?:(?:{generic['zh']})|(?<![a-z'])(?:{generic['en']})(?![a-z'])|[\s?？。.!！,，])*", text
        )
    )


def strip_fillers(text: str) -> str:
    """A folded text without the polite words at its ends: "请给我推荐科幻的" becomes "科幻"."""
    edges = " ,，。.、;；:：!！?？~～\"'“”《》「」()（）-"
    previous = ""
    while previous != text:
        previous = text
        text = text.strip(edges)
        for language in ("zh", "en"):
            fillers = phrase_tables()["fillers"][language]
            first, last = (r"", r"") if language == "zh" else (r"(?![a-z'])", r"(?<![a-z'])")
            text = re.sub(rf"^(?:{fillers}){first}", "", text).strip(edges)
            text = re.sub(rf"{last}(?:{fillers})$", "", text).strip(edges)
    return text


__all__ = [
    "MAX_SURFACE",
    "FieldValue",
    "Mention",
    "Vocabulary",
    "bounded",
    "kind_mentions",
    "phrase_tables",
    "vocabulary_of",
]
