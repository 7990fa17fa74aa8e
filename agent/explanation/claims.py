"""What a sentence claims that the user did, compared with the user's recorded actions."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...models.numbers import numerals
from ...models.records import Action, Language
from .word_coverage import Verb, checker_words

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


__all__ = ["FIRST_TITLE", "Claim", "UserAction", "claims"]
