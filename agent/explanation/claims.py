"""What a sentence says, compared with the record: the actions it claims of the user, and the words it uses.

Chinese is written without spaces: a run of characters is covered where it can be segmented into plain words
and pieces of the text of two characters or more.
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

from ...models.numbers import numerals
from ...models.records import Action, Language

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


FIRST_TITLE = 0xE100
"""Known titles are masked by repeating one private-use character each: the pick's is this, then the others."""
_ITEM, _TITLE = chr(FIRST_TITLE), f"[{chr(FIRST_TITLE)}-{chr(FIRST_TITLE + 0xFF)}]"
_HIGH = 4.0


@dataclass(frozen=True, slots=True)
class UserAction:
    """A recorded action: the title as the sentence shows it, the action, and its value (stars of a rating)."""

    title: str
    action: Action
    value: float | None = None

    def supports(self, verb: Verb) -> bool:
        """Whether a sentence may use this kind of verb for it; who rates or likes an item has seen it."""
        if verb == "view":
            return self.action in ("view", "rating", "like")
        if verb == "like":
            return self.action == "like" or (self.action == "rating" and (self.value or 0.0) >= _HIGH)
        return _ACTIONS.get(verb) == self.action


_ACTIONS: dict[Verb, Action] = {
    "buy": "purchase", "rate": "rating", "search": "search", "dislike": "dislike",
}  # fmt: skip

_ADVERBS = r"(?:(?:have|had|already|also|recently|once|just|even|really|both|then|previously|first|last)\s+)*"
_ENDS: dict[Language, str] = {"en": "(?![a-z])", "zh": ""}
_ENGLISH_PLACE = re.compile(rf"(?:\byou(?:'ve|'d)?|,|\band|\bor)\s+(?:you(?:'ve)?\s+)?{_ADVERBS}")

# The verbs of checker_words.toml: regular expressions, in which TITLE is any masked title.
_VERBS: dict[Language, list[tuple[Verb, re.Pattern[str]]]] = {
    language: [
        (verb, re.compile(f"(?:{pattern.replace('TITLE', _TITLE)}){end}"))
        for verb, pattern in checker_words(language).verbs.items()
    ]
    for language, end in _ENDS.items()
}
# Claims about the user stand between a "you" and the clause of which the pick is the subject.
_SCOPE: dict[Language, re.Pattern[str]] = {
    "en": re.compile(rf"\byou\b.*?(?=[,;:.]\s*(?:and |so |but )?[\"“'‘]?《?{_ITEM}|\.\s|$)", re.DOTALL),
    "zh": re.compile(
        rf"(?:(?<=因为)|(?<![带让教帮给为陪使供助对与和跟离]))[你您].*?(?=[,;:。][《“]?{_ITEM}|。|$)",
        re.DOTALL,
    ),
}
_CLAUSE: dict[Language, re.Pattern[str]] = {"en": re.compile(r"[,;.:]"), "zh": re.compile("[,;:。]")}
_BEFORE_YOU = re.compile(rf"({_TITLE})[》”\"']?,?\s*(?:which |that )?(?:you|[你您])[^{_TITLE[1:-1]},.;:。]*$")
_STARS = frozenset(("star", "stars", "星", "分"))
_HIGHLY = re.compile(r"highly|top marks|full marks|高分|满分|好评")


@dataclass(frozen=True, slots=True)
class Claim:
    """An action that the sentence ascribes to the user, its place, and whether a recorded action supports it."""

    verb: Verb
    start: int
    end: int
    is_true: bool = False


def claims(
    masked: str, titles: Sequence[str], actions: Sequence[UserAction], language: Language
) -> Iterator[Claim]:
    """The claims of a sentence about the user, in order.

    A claim that names a title has to be true of that item, any other of some item.

    Args:
        masked: the folded sentence, in which every character of `titles[n]` is the n-th private character.
        titles: the known titles, folded; the pick's first.
        actions: the user's recorded actions, with folded titles.
        language: the language of the sentence.

    Yields:
        The claims, each with whether it is true.
    """
    ordered = sorted(_claims(masked, language), key=lambda claim: (claim.start, -claim.end))
    for at, claim in enumerate(ordered):
        following = ordered[at + 1].start if at + 1 < len(ordered) else len(masked)
        clause = _CLAUSE[language].search(masked, claim.end)
        stop = max(claim.end, min(following, clause.start() if clause else len(masked)))
        span = masked[claim.start : stop]
        named = [_title(char, titles) for char in _named(masked, claim, span)]
        yield replace(claim, is_true=_supported(claim.verb, span, named, actions))


def _named(masked: str, claim: Claim, span: str) -> list[str]:
    """The titles that a claim is about: those after the verb, else the one before the "you" (X, which you read)."""
    following = sorted(set(re.findall(_TITLE, span)))
    before = _BEFORE_YOU.search(masked[: claim.start])
    return following or ([before[1]] if before else [])


def _title(char: str, titles: Sequence[str]) -> str:
    """The title that a private character stands for; empty for masked text that is no title."""
    at = ord(char) - FIRST_TITLE
    return titles[at] if at < len(titles) else ""


def _claims(masked: str, language: Language) -> Iterator[Claim]:
    for scope in _SCOPE[language].finditer(masked):
        if language == "en":
            yield from _english(masked, scope.start(), scope.end())
        else:
            yield from _chinese(masked, scope.start(), scope.end())


def _english(masked: str, start: int, end: int) -> Iterator[Claim]:
    for place in _ENGLISH_PLACE.finditer(masked, start, end):
        for verb, pattern in _VERBS["en"]:
            match = pattern.match(masked, place.end(), end)
            if match:
                yield Claim(verb, match.start(), match.end())
                break


def _chinese(masked: str, start: int, end: int) -> Iterator[Claim]:
    taken = start
    matches = [
        Claim(verb, match.start(), match.end())
        for verb, pattern in _VERBS["zh"]
        for match in pattern.finditer(masked, start, end)
    ]
    for claim in sorted(matches, key=lambda claim: (claim.start, -claim.end)):
        if claim.start >= taken:
            taken = claim.end
            yield claim


def _supported(verb: Verb, span: str, named: Sequence[str], actions: Sequence[UserAction]) -> bool:
    def true_of(title: str | None) -> bool:
        return any(
            action.supports(verb) and (verb != "rate" or _rated(span, action))
            for action in actions
            if title is None or action.title == title
        )

    return all(true_of(title) for title in named) if named else true_of(None)


def _rated(span: str, action: UserAction) -> bool:
    """Whether the stars that a claim names, or its "highly", are those of the rating."""
    stars = [numeral.value for numeral in numerals(span) if numeral.unit in _STARS]
    if _HIGHLY.search(span) and (action.value or 0.0) < _HIGH:
        return False
    return all(given == action.value for given in stars)
