"""A message in plain spelling: shorthand is written out, drawn-out letters are cut, slips of a key correct_spelling.

A word is correct_spelling only if neither the catalogue nor the examples know it, and only to the one word they know
that is a single slip away. What stands between quotation marks is left as it is: it may be a title.
"""

import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

from ...models.text import fold

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


__all__ = ["correct_spelling", "expand_shorthand"]
