"""Messages with only one possible meaning: the rules of intent_rules.toml, and small talk."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ...models.text import fold
from .conditions import ParsedConditions
from .references import References

_REMEMBERS = frozenset({"like", "dislike", "seen", "not_interested", "undo"})
_EXPLAINS = frozenset({"why", "why_not", "about", "compare"})
_FOLLOWS = _REMEMBERS | {"other", "narrow", "more", "less", "report", "show", "why", "about"}
_CUT = re.compile(
    r"(?:\s*(?:[,，;；。!！?？]|\.(?=\s|$))+|(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])|\s(?=(?:and|but|then|also) ))"
    r"\s*(?:(?:and|but|then|also|so|plus|now) )*(?:顺便|另外|然后|而且|不过|但是?)?"
)
_ASKS = re.compile(
    r"(?:can (?:you|i|we) |please |maybe |i(?:'d like| want| need) (?:to see )?|let's see )*"
    r"(?:show|give|find|recommend|suggest|more|another|something|anything|any|what else|got)(?![a-z])"
    r"|(?:再|请|就|帮我|给我|我?想要?)*(?:来|换|推荐|找|看看|看点|有没有|有什么|还有|多来|给我)"
)


def split_request(text: str, sure: Callable[[str], str | None]) -> tuple[str, ...]:
    """The message, or its two requests in the order of execution.

    Feedback comes first: it is about the list that is shown now.

    Args:
        text: a folded message.
        sure: returns the action of a text that a rule decides, None otherwise.

    Returns:
        One or two texts.
    """
    for cut in _CUT.finditer(text):
        left, right = text[: cut.start()].strip(), text[cut.end() :].strip()
        if not left or not right:
            continue
        first, second = sure(left), sure(right)
        if first in _EXPLAINS and second in _EXPLAINS and first != second:
            return left, right
        if first in _REMEMBERS and (second in _FOLLOWS or (second is None and _ASKS.match(right))):
            return left, right
        if second in _REMEMBERS and (first in _FOLLOWS or (first is None and _ASKS.match(left))):
            return right, left
    return (text,)


WordTest = Callable[[str], bool]

_SHORTEST = 5  # letters of a word that is correct_spelling: of shorter ones too many are a slip apart
_LONG = 7  # letters from which any one letter may be wrong: "house" is no slip of "horse"
_ENDINGS = frozenset("sdrny")  # at the end, they make another form of the same word
_VOWELS = "aeiou"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_QUOTED = r"《[^》]*》|\"[^\"]*\"|“[^”]*”|「[^」]*」"
_WORD = re.compile(rf"(?<![a-z0-9'-])[a-z]{{{_SHORTEST},24}}(?![a-z0-9'-])")
_FIGURES = "零一二三四五六七八九十百千万亿元块年月日天"
_DRAWN_OUT = re.compile(rf"((?![{_FIGURES}])[a-vx-z\u4e00-\u9fff!?~])\1{{2,}}")


def expand_shorthand(text: str, titles: Sequence[str] = ()) -> str:
    """A folded text without shorthand and repeated letters, but for quotations and the given titles."""
    return _outside(titles, _written_out, text)


def correct_spelling(
    text: str, is_known: WordTest, is_word: WordTest, titles: Sequence[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """Correct typing errors: a word that is neither known nor a word, and one edit away from a known word.

    Args:
        text: a folded text.
        is_known: whether a word is one that may have been meant.
        is_word: whether a word that is not known is a word all the same.
        titles: titles that the text names, which stay as they are.

    Returns:
        The corrected text, and the words that were put in, without duplicates.
    """
    corrections: list[str] = []

    def correct(match: re.Match[str]) -> str:
        meant = None if is_known(match[0]) or is_word(match[0]) else _meant(match[0], is_known)
        corrections.extend([meant] if meant else [])
        return meant or match[0]

    return _outside(titles, lambda part: _WORD.sub(correct, part), text), tuple(dict.fromkeys(corrections))


def _outside(titles: Sequence[str], change: Callable[[str], str], text: str) -> str:
    """The text with what stands outside of quotation marks and titles changed."""
    kept = re.compile("|".join([_QUOTED, *map(re.escape, titles)]))
    parts, at = [], 0
    for match in kept.finditer(text):
        parts += [change(text[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*parts, change(text[at:])])


def _written_out(text: str) -> str:
    text = _DRAWN_OUT.sub(r"\1\1", text)
    pattern, words = _shorthand()
    return pattern.sub(lambda match: words[match[0]], text)


@cache
def _shorthand() -> tuple[re.Pattern[str], dict[str, str]]:
    """The table of spelling.toml, longest first; Latin shorthand counts as whole words only."""
    text = files(__package__).joinpath("spelling.toml").read_text(encoding="utf-8")
    words = {fold(short): long for short, long in tomllib.loads(text)["shorthand"].items()}
    ordered = sorted(words, key=len, reverse=True)
    latin = "|".join(re.escape(short) for short in ordered if short.isascii())
    other = "|".join(re.escape(short) for short in ordered if not short.isascii())
    return re.compile(rf"(?<![a-z0-9'&./-])(?:{latin})(?![a-z0-9'&-])|{other}"), words


def _meant(word: str, is_known: WordTest) -> str | None:
    """The one known word that is an edit away; None if there is none, or several."""
    meant = {candidate for candidate in _edits(word) if is_known(candidate)}
    return meant.pop() if len(meant) == 1 else None


def _edits(word: str) -> set[str]:
    """The words from which this one is a single edit away; first letter and ending are kept."""
    # Of short words only common typing errors: two letters swapped, a letter doubled or not doubled, a vowel
    # left out. Any other edit turns most short words into another word.
    long, candidates = len(word) >= _LONG, set()
    for at in range(1, len(word) + 1):
        before, head, tail = word[at - 1], word[:at], word[at:]
        if len(tail) > 1:
            candidates.add(head + tail[1] + tail[0] + tail[2:])
        if long and tail[1:]:
            candidates |= {head + letter + tail[1:] for letter in _LETTERS}
        if tail[1:] and (long or (tail[0] == before and before not in _VOWELS)):
            candidates.add(head + tail[1:])
        left_out = _LETTERS if long else {before, *(_VOWELS if tail else "")}
        candidates |= {head + letter + tail for letter in left_out if tail or letter not in _ENDINGS}
    return candidates - {word}


_ENDS = " 。.!！?？~～,，"


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """What was parsed from a message before an action is selected.

    Attributes:
        text: the folded message.
        references: the items that it refers to.
        conditions: the conditions on items that it sets.
        interest: the keyword of the interest that it names.
        topic: the message with that name replaced by "this topic"; empty if it names none.
    """

    text: str
    references: References
    conditions: ParsedConditions
    interest: str | None
    topic: str

    @property
    def has_items(self) -> bool:
        """Whether it refers to items, existing or not."""
        return bool(self.references.items or self.references.wrong or self.conditions.like)


@cache
def _tables() -> tuple[list[dict[str, Any]], dict[str, str]]:  # Any: patterns and words
    """The rules of intent_rules.toml, compiled, and its patterns of small talk."""
    tables = tomllib.loads(files(__package__).joinpath("intent_rules.toml").read_text(encoding="utf-8"))
    rules = [
        rule | {"pattern": re.compile(rule["pattern"]), "without": re.compile(rule.get("without", r"(?!)"))}
        for rule in tables["rule"]
    ]
    return rules, tables["small_talk"]


def matching_rule(message: ParsedMessage, *, spoken_of: bool) -> str | None:
    """The action of the first rule that matches a message; `spoken_of` says whether "it" means an item."""
    rules, _ = _tables()
    return next((str(rule["action"]) for rule in rules if _matches(rule, message, spoken_of)), None)


def _matches(rule: Mapping[str, Any], message: ParsedMessage, spoken_of: bool) -> bool:
    needs = rule.get("needs", "")
    met = {
        "": True,
        "whole": True,
        "spoken": spoken_of and not message.references.items,
        "items": message.has_items,
        "none": not message.has_items,
        "two": len(message.references.items) > 1,
        "like": bool(message.conditions.like),
        "interest": message.interest is not None,
        "interest_alone": message.interest is not None and not message.has_items,
    }[needs]
    if not met:
        return False
    if needs in ("whole", "spoken"):
        return rule["pattern"].fullmatch(message.text.strip(_ENDS)) is not None
    return bool(rule["pattern"].search(message.text)) and not rule["without"].search(message.text)


def small_talk(text: str, *, can_write: bool) -> str:
    """The key of the message that answers small talk; "small_talk" leaves it to the model, if `can_write`."""
    _, patterns = _tables()
    key = next((key for key, pattern in patterns.items() if re.search(pattern, text)), None)
    return key or ("small_talk" if can_write else "unclear")
