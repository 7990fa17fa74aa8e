"""A message in plain spelling: shorthand is written out, drawn-out letters are cut, slips of a key mended.

A word is mended only if neither the catalogue nor the examples know it, and only to the one word they know
that is a single slip away. What stands between quotation marks is left as it is: it may be a title.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Sequence
from functools import cache
from importlib.resources import files

from .vocabulary import fold

_SHORTEST = 5  # letters of a word that is mended: of shorter ones too many are a slip apart
_LONG = 7  # letters from which any one letter may be wrong: "house" is no slip of "horse"
_ENDINGS = frozenset("sdrny")  # at the end, they make another form of the same word
_VOWELS = "aeiou"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_QUOTED = r"《[^》]*》|\"[^\"]*\"|“[^”]*”|「[^」]*」"
_WORD = re.compile(rf"(?<![a-z0-9'-])[a-z]{{{_SHORTEST},24}}(?![a-z0-9'-])")
_FIGURES = "零一二三四五六七八九十百千万亿元块年月日天"
_DRAWN_OUT = re.compile(rf"((?![{_FIGURES}])[a-vx-z\u4e00-\u9fff!?~])\1{{2,}}")


def spelled_out(text: str, titles: Sequence[str] = ()) -> str:
    """A folded text without shorthand and drawn-out letters: "gimme sth" becomes "give me something".

    Titles that it names, and what it quotes, stay as they are.
    """
    return _outside(titles, _written_out, text)


def mended(
    text: str, known: Collection[str], is_word: Callable[[str], bool], titles: Sequence[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """A folded text with slips of a key mended, and the words that were put in.

    Args:
        text: a folded text.
        known: words that a slip may have been meant for.
        is_word: whether a word that is not known is a word all the same.
        titles: titles that the text names, which stay as they are.
    """
    put_in: list[str] = []

    def mend(match: re.Match[str]) -> str:
        found = None if match[0] in known or is_word(match[0]) else _meant(match[0], known)
        put_in.extend([found] if found else [])
        return found or match[0]

    return _outside(titles, lambda part: _WORD.sub(mend, part), text), tuple(dict.fromkeys(put_in))


def _outside(titles: Sequence[str], change: Callable[[str], str], text: str) -> str:
    """The text with what stands outside of quotation marks and titles changed."""
    kept = re.compile("|".join([_QUOTED, *map(re.escape, titles)]))
    parts, at = [], 0
    for one in kept.finditer(text):
        parts += [change(text[at : one.start()]), one[0]]
        at = one.end()
    return "".join([*parts, change(text[at:])])


def _written_out(text: str) -> str:
    text = _DRAWN_OUT.sub(r"\1\1", text)
    pattern, words = _shorthand()
    return pattern.sub(lambda match: words[match[0]], text)


@cache
def _shorthand() -> tuple[re.Pattern[str], dict[str, str]]:
    """The table of chat_spelling.toml, longest first; Latin shorthand counts as whole words only."""
    text = files(__package__).joinpath("chat_spelling.toml").read_text(encoding="utf-8")
    words = {fold(short): long for short, long in tomllib.loads(text)["shorthand"].items()}
    ordered = sorted(words, key=len, reverse=True)
    latin = "|".join(re.escape(one) for one in ordered if one.isascii())
    other = "|".join(re.escape(one) for one in ordered if not one.isascii())
    return re.compile(rf"(?<![a-z0-9'&./-])(?:{latin})(?![a-z0-9'&-])|{other}"), words


def _meant(word: str, known: Collection[str]) -> str | None:
    """The one known word that is a slip away; None if there is none, or several."""
    meant = {one for one in _slips(word) if one in known}
    return meant.pop() if len(meant) == 1 else None


def _slips(word: str) -> set[str]:
    """The words that a single slip turns into this one; the first letter stands, and so does the ending.

    In short words only slips that people make while they type: letters in the wrong order, a letter
    doubled or not doubled, a vowel left out. Any other letter makes another word of most short ones.
    """
    long, found = len(word) >= _LONG, set()
    for at in range(1, len(word) + 1):
        before, head, tail = word[at - 1], word[:at], word[at:]
        if len(tail) > 1:
            found.add(head + tail[1] + tail[0] + tail[2:])
        if long and tail[1:]:
            found |= {head + letter + tail[1:] for letter in _LETTERS}
        if tail[1:] and (long or (tail[0] == before and before not in _VOWELS)):
            found.add(head + tail[1:])
        left_out = _LETTERS if long else {before, *(_VOWELS if tail else "")}
        found |= {head + letter + tail for letter in left_out if tail or letter not in _ENDINGS}
    return found - {word}


__all__ = ["mended", "spelled_out"]
