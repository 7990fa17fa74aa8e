"""Which words of a sentence a text covers, and which words claim nothing; Chinese and English.

Chinese is written without spaces: a run of characters is covered where it can be segmented into plain words
and pieces of the text of two characters or more.
"""

import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

from ...models.records import Language

Verb = Literal["buy", "rate", "search", "view", "like", "dislike", "other"]
"""The kinds of user actions that a sentence may claim; "other" are those that no event can support."""

_LONGEST = 8
_LATIN = re.compile(r"[a-z]+(?:'[a-z]+)?")
_INFLECTIONS = ("ings", "ing", "ies", "ied", "es", "ed", "s")
_DERIVATIONS = (
    "ization", "isation", "ising", "izing", "ized", "ised", "ational", "ations", "ation", "ingly",
    "ically", "ical", "ious", "ments", "ment", "ness", "ings", "ing", "ions", "ion", "ians", "ian",
    "ists", "ist", "ics", "ers", "er", "ors", "or", "ies", "ied", "ily", "ives", "ive", "ful", "less",
    "ly", "al", "es", "ed", "ic", "y", "s", "e",
)  # fmt: skip
_IRREGULAR = {
    "children": "child",
    "women": "woman",
    "men": "man",
    "lives": "life",
    "knives": "knife",
    "feet": "foot",
}


@dataclass(frozen=True)
class CheckerWords:
    """The word lists of one language (checker_words.toml).

    `plain` words claim nothing; `spare` are the few of them that are allowed for an item without a description.
    `claims` are words that always need a source. `attributes` and `kinds` name what an item has and is,
    `relations` what two items can have in common, and `verbs` are regular expressions by kind of action.
    """

    plain: frozenset[str]
    spare: frozenset[str]
    claims: frozenset[str]
    attributes: dict[str, tuple[str, ...]]
    kinds: dict[str, tuple[str, ...]]
    relations: dict[str, tuple[str, ...]]
    verbs: dict[Verb, str]

    @cached_property
    def stems(self) -> frozenset[str]:
        """The plain words without their inflections."""
        return frozenset(inflected(word) for word in self.plain)

    def is_plain(self, word: str) -> bool:
        """Whether a folded word of a language with spaces claims nothing."""
        return word not in self.claims and (word in self.plain or inflected(word) in self.stems)


@cache
def checker_words(language: Language) -> CheckerWords:
    """The word lists of a language, read once."""
    text = (files(__package__) / "checker_words.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)[language]
    return CheckerWords(
        plain=frozenset(table["plain"].split()),
        spare=frozenset(table["spare"].split()),
        claims=frozenset(table["claims"].split()),
        attributes=_lists(table["attributes"]),
        kinds=_lists(table["kinds"]),
        relations=_lists(table["relations"]),
        verbs={verb: "|".join(patterns) for verb, patterns in table["verbs"].items()},
    )


def _lists(table: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(words.split()) for name, words in table.items()}


def inflected(word: str) -> str:
    """The word without plural, tense and possessive endings."""
    return _without(word, _INFLECTIONS)


def root(word: str) -> str:
    """The stem without inflections and derivations: the same for photographer, photographs and photography."""
    return _without(_IRREGULAR.get(word, word), _DERIVATIONS)


def _without(word: str, endings: tuple[str, ...]) -> str:
    word = word.removesuffix("'s").removesuffix("'")
    for ending in endings:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    if word.endswith("ed"):
        word = word[:-1]  # used, use
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]  # running, run
    return word.removesuffix("e") if len(word) > 3 else word


class CoveredText:
    """The words of a folded text, indexed for look-up."""

    def __init__(self, text: str) -> None:
        """Index the text."""
        self.text = text
        self._roots = frozenset(root(match[0]) for match in _LATIN.finditer(text))

    def has_word(self, word: str) -> bool:
        """Whether a folded Latin word, or another form of it, is in the text."""
        return root(word) in self._roots

    def has_phrase(self, phrase: str) -> bool:
        """Whether the text has these characters, not inside a longer Latin word."""
        before = r"(?<![a-z0-9])" if phrase[:1].isascii() else ""
        after = r"(?![a-z0-9])" if phrase[-1:].isascii() else ""
        return bool(re.search(before + re.escape(phrase) + after, self.text))

    def gaps(self, run: str, plain: Collection[str]) -> Iterator[tuple[int, int]]:
        """The stretches of a run of Chinese that neither plain words nor the text cover, as short as possible.

        A single character that the text has anywhere is covered too.

        Args:
            run: Chinese characters of a sentence.
            plain: the words that claim nothing.

        Yields:
            Start and end of each stretch within `run`.
        """
        gap: int | None = None
        for at, is_covered in enumerate([*self._cover(run, plain), True]):
            if not is_covered and gap is None:
                gap = at
            elif is_covered and gap is not None:
                if at - gap > 1 or run[gap] not in self.text:
                    yield gap, at
                gap = None

    def _cover(self, run: str, plain: Collection[str]) -> list[bool]:
        """Which characters are covered, in the segmentation that leaves the fewest open (dynamic programming)."""
        best: list[tuple[int, int]] = [(0, 0)]  # (characters left open, pieces) up to each place
        back: list[tuple[int, bool]] = [(0, True)]
        for end in range(1, len(run) + 1):
            options = [((best[end - 1][0] + 1, best[end - 1][1] + 1), end - 1, False)]
            for start in range(max(0, end - _LONGEST), end):
                piece = run[start:end]
                if piece in plain or (end - start > 1 and piece in self.text):
                    options.append(((best[start][0], best[start][1] + 1), start, True))
            score, start, is_covered = min(options)
            best.append(score)
            back.append((start, is_covered))
        covered = [True] * len(run)
        end = len(run)
        while end:
            start, is_covered = back[end]
            covered[start:end] = [is_covered] * (end - start)
            end = start
        return covered


__all__ = ["CoveredText", "Verb", "CheckerWords", "inflected", "root", "checker_words"]
