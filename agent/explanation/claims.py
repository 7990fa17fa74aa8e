"""What a sentence says that the user did, held against what they did."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...models.numbers import numerals
from ...models.records import Action, Language
from .word_coverage import Verb, vocabulary

FIRST_TITLE = 0xE100
"""Known titles are held as one private character each, repeated: the pick's is this one, then the others."""
_ITEM, _TITLE = chr(FIRST_TITLE), f"[{chr(FIRST_TITLE)}-{chr(FIRST_TITLE + 0xFF)}]"
_HIGH = 4.0


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that the user did: the title as the sentence shows it, the action, and its value."""

    title: str
    action: Action
    value: float | None = None

    def bears(self, verb: Verb) -> bool:
        """Whether a sentence may use this kind of verb for it; who rates or likes a thing has seen it."""
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

# The verbs of checker_words.toml: regular expressions, in which TITLE is any title that is held.
_VERBS: dict[Language, list[tuple[Verb, re.Pattern[str]]]] = {
    language: [
        (verb, re.compile(f"(?:{pattern.replace('TITLE', _TITLE)}){end}"))
        for verb, pattern in vocabulary(language).verbs.items()
    ]
    for language, end in _ENDS.items()
}
# What the user did is told from a "you" to the clause of which the pick is the subject.
_SCOPE: dict[Language, re.Pattern[str]] = {
    "en": re.compile(rf"\byou\b.*?(?=[,;:.]\s*(?:and |so |but )?[\"“'‘]?{_ITEM}|\.\s|$)", re.DOTALL),
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
    """Something that the sentence says the user did: the verb, its place, and whether a deed bears it."""

    verb: Verb
    start: int
    end: int
    is_true: bool = False


def claims(held: str, titles: Sequence[str], deeds: Sequence[Deed], language: Language) -> Iterator[Claim]:
    """What a folded sentence says that the user did, in order.

    `held` is the sentence with the title `titles[n]` (folded; the pick's first) turned into the n-th private
    character. With a thing that it names a claim has to be true of that thing, else of anything.
    """
    found = sorted(_claims(held, language), key=lambda one: (one.start, -one.end))
    for at, claim in enumerate(found):
        following = found[at + 1].start if at + 1 < len(found) else len(held)
        clause = _CLAUSE[language].search(held, claim.end)
        stop = max(claim.end, min(following, clause.start() if clause else len(held)))
        span = held[claim.start : stop]
        named = [titles[ord(char) - FIRST_TITLE] for char in _named(held, claim, span)]
        yield replace(claim, is_true=_borne(claim.verb, span, named, deeds))


def _named(held: str, claim: Claim, span: str) -> list[str]:
    """The titles a claim is about: those after the verb, else one right before the "you" (X, which you read)."""
    following = sorted(set(re.findall(_TITLE, span)))
    before = _BEFORE_YOU.search(held[: claim.start])
    return following or ([before[1]] if before else [])


def _claims(held: str, language: Language) -> Iterator[Claim]:
    for scope in _SCOPE[language].finditer(held):
        if language == "en":
            yield from _english(held, scope.start(), scope.end())
        else:
            yield from _chinese(held, scope.start(), scope.end())


def _english(held: str, start: int, end: int) -> Iterator[Claim]:
    for place in _ENGLISH_PLACE.finditer(held, start, end):
        for verb, pattern in _VERBS["en"]:
            match = pattern.match(held, place.end(), end)
            if match:
                yield Claim(verb, match.start(), match.end())
                break


def _chinese(held: str, start: int, end: int) -> Iterator[Claim]:
    taken = start
    found = [
        Claim(verb, match.start(), match.end())
        for verb, pattern in _VERBS["zh"]
        for match in pattern.finditer(held, start, end)
    ]
    for claim in sorted(found, key=lambda one: (one.start, -one.end)):
        if claim.start >= taken:
            taken = claim.end
            yield claim


def _borne(verb: Verb, span: str, named: Sequence[str], deeds: Sequence[Deed]) -> bool:
    def true_of(title: str | None) -> bool:
        return any(
            deed.bears(verb) and (verb != "rate" or _rated(span, deed))
            for deed in deeds
            if title is None or deed.title == title
        )

    return all(true_of(title) for title in named) if named else true_of(None)


def _rated(span: str, deed: Deed) -> bool:
    """Whether the stars that a claim names, or its "highly", are those of the rating."""
    stars = [one.value for one in numerals(span) if one.unit in _STARS]
    if _HIGHLY.search(span) and (deed.value or 0.0) < _HIGH:
        return False
    return all(one == deed.value for one in stars)


__all__ = ["FIRST_TITLE", "Claim", "Deed", "claims"]
