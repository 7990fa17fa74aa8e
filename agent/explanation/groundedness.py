"""Is a sentence covered by its facts? Titles, numbers, names, words and claimed actions are looked up.

Whatever a sentence says has to come from the facts, or be a word that claims nothing (checker_words.toml):
so a name, a date, a price or a quality that nobody gave is found without a list of what may be invented.
The checker errs on the side of refusing: a refused sentence costs a template, a false one costs trust.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from ...models.numbers import Numeral, numerals
from ...models.records import Language
from .claims import FIRST_TITLE, Deed, claims
from .word_coverage import Covered, inflected, vocabulary

Kind = Literal["markup", "title", "name", "number", "word", "action", "relation"]

_MOST_TITLES = 0x80
_MOST_TEXT = 10_000
_NEAR_TITLE = 40  # characters after "the same director" in which the other thing is named
_HELD_QUOTE = chr(FIRST_TITLE + 0xFF)
_QUOTED = re.compile('《([^《》]{1,200})》|“([^“”]{1,200})”|「([^「」]{1,200})」|"([^"]{1,200})"')
_PAIRS = ("《》", "“”", "「」", '""')
_MARKUP = re.compile(r"<\||\|>|https?:|www\.|[<>{}\[\]`|#*_\\]")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_CAPITALS = re.compile(r"[A-Z][\w']*(?: [A-Z][\w']*)+")
_HAN = re.compile(r"[\u4e00-\u9fff]+")
# "one" and 一 count something only before these.
_UNITS = """
star stars dollar dollars percent year years month months week weeks season seasons hour hours
% $ 月 日 号 元 块 折 星 集 季 成 倍 年 周 分 岁 级 万
"""
_ONE_OF = frozenset(_UNITS.split())
_SAME_UNIT = {
    "percent": "%",
    "per": "%",
    "stars": "star",
    "星": "star",
    "分": "star",
    "位": "个",
    "名": "个",
    "块": "元",
}
_YEARS = range(1000, 2101)
_MONEY = frozenset(("$", "元", "dollar", "dollars", "usd", "yuan", "rmb"))


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that the facts do not cover: what kind of thing, its words, and where it begins."""

    kind: Kind
    what: str
    at: int

    def __str__(self) -> str:
        """Kind and words."""
        return f"{self.kind} {self.what}"


@dataclass(frozen=True)
class Facts:
    """What a sentence may rest on.

    `item` is the pick's title. `texts` are the words given: the item's, those of the cited events, and the
    interest. `deeds` are what the user did with the things cited. `attributes` are the item's, by name, and
    `shared` says which of them a cited thing has with the same value, by attribute and title. Of an item that
    is not `described` a sentence may say little more than its tags.
    """

    item: str
    texts: tuple[str, ...]
    deeds: tuple[Deed, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    shared: frozenset[tuple[str, str]] = frozenset()
    kind: str = ""
    described: bool = True

    @cached_property
    def titles(self) -> list[str]:
        """The known titles, folded and bare; the pick's first."""
        named = dict.fromkeys(bare(title) for title in (self.item, *(deed.title for deed in self.deeds)))
        return list(named)[:_MOST_TITLES]

    @cached_property
    def covered(self) -> Covered:
        """The words of the facts, folded."""
        values = (value for _, value in self.attributes)
        return Covered(fold(" \n ".join(text[:_MOST_TEXT] for text in (self.item, *self.texts, *values))))

    @cached_property
    def numbers(self) -> list[Numeral]:
        """Every number of the texts."""
        return list(numerals(self.covered.text))

    def words(self, language: Language) -> frozenset[str]:
        """What the attributes that the item has may be called."""
        words = vocabulary(language)
        named = {word for name, _ in self.attributes for word in (name, *words.attributes.get(name, ()))}
        return frozenset(named | set(words.kinds.get(self.kind.casefold(), ())))


def problems(sentence: str, facts: Facts, language: Language) -> list[Problem]:
    """What in `sentence` the facts do not cover, by place; empty if nothing was found."""
    held = _hold_titles(fold(sentence), facts)
    found = list(_unknown_titles(held, facts))
    held = _hold_quotes(held, facts)
    found += [Problem("markup", match[0], match.start()) for match in _MARKUP.finditer(held)]
    deeds = [Deed(bare(deed.title), deed.action, deed.value) for deed in facts.deeds]
    claimed = list(claims(held, facts.titles, deeds, language))
    found += [Problem("action", held[one.start : one.end], one.start) for one in claimed if not one.is_true]
    numbers = [one for one in numerals(held) if not _counts_nothing(one, held, language)]
    false = [one for one in numbers if not _is_given(one, facts, language)]
    found += [Problem("number", held[one.start : one.unit_end], one.start) for one in false]
    found += _unknown_names(held, sentence, facts)
    read = [(one.start, one.end) for one in claimed] + [(one.start, one.unit_end) for one in numbers]
    found += _unknown_words(_blank(held, read), sentence, facts, language)
    found += _false_relations(held, facts, language)
    return sorted((_readable(one, sentence) for one in found), key=lambda one: (one.at, one.kind))


def _readable(problem: Problem, sentence: str) -> Problem:
    """The problem with the words of the sentence where they stand for a title."""
    if not any(map(_is_title, problem.what)):
        return problem
    start = problem.at + (problem.kind == "title")  # after the quotation mark
    return replace(problem, what=sentence[start : start + len(problem.what)])


def fold(text: str) -> str:
    """Compatible forms made one (NFKC) and lower case, each character by itself: every place stays."""
    return "".join(_folded(char) for char in text)


def bare(title: str) -> str:
    """A title to compare by: folded, and without the quotation marks around the whole of it."""
    text = fold(title).strip()
    while len(text) > 2 and text[0] + text[-1] in _PAIRS:
        text = text[1:-1].strip()
    return text


def _folded(char: str) -> str:
    if char in "’‘":
        return "'"
    new = unicodedata.normalize("NFKC", char).casefold()
    return new if len(new) == 1 else char


def _hold_titles(text: str, facts: Facts) -> str:
    """Known titles as private characters, the longest first; words that were searched for only in quotation marks."""
    words = {bare(deed.title) for deed in facts.deeds if deed.action == "search"}
    for at, title in sorted(enumerate(facts.titles), key=lambda pair: -len(pair[1])):
        if title:
            before, after = ('(?<=[“"])', '(?=[”"])') if title in words else ("(?<![a-z0-9])", "(?![a-z0-9])")
            held = chr(FIRST_TITLE + at) * len(title)
            text = re.sub(f"{before}{re.escape(title)}{after}", held, text)
    return text


def _unknown_titles(held: str, facts: Facts) -> Iterator[Problem]:
    """What stands in quotation marks and is in no fact."""
    for match in _QUOTED.finditer(held):
        inner = next(group for group in match.groups() if group is not None).strip()
        if not _is_held(inner) and (match[0][0] == "《" or not facts.covered.has_phrase(inner)):
            yield Problem("title", inner, match.start())


def _is_held(text: str) -> bool:
    return all(FIRST_TITLE <= ord(char) <= FIRST_TITLE + 0xFF for char in text)


def _hold_quotes(held: str, facts: Facts) -> str:
    """Words quoted from the facts made unreadable too."""

    def hide(match: re.Match[str]) -> str:
        inner = next(group for group in match.groups() if group is not None)
        known = match[0][0] != "《" and not _is_held(inner) and facts.covered.has_phrase(inner.strip())
        return _HELD_QUOTE * len(match[0]) if known else match[0]

    return _QUOTED.sub(hide, held)


def _blank(held: str, spans: Iterable[tuple[int, int]]) -> str:
    """The sentence with what has been looked at made unreadable."""
    chars = list(held)
    for start, end in spans:
        chars[start:end] = _HELD_QUOTE * (end - start)
    return "".join(chars)


def _counts_nothing(number: Numeral, held: str, language: Language) -> bool:
    """Whether a numeral is only an article or part of a word, as in 一个, 十分 and "one of"."""
    text = held[number.start : number.end]
    if text in ("one", "一"):
        return number.unit not in _ONE_OF
    if language == "en" or len(text) > 1 or number.unit in _ONE_OF - {"分"}:
        return False
    plain = vocabulary(language).plain
    return any(
        held[start:end] in plain
        for start in range(max(0, number.start - 3), number.start + 1)
        for end in range(number.end, start + 5)
        if end - start > 1
    )


def _is_given(number: Numeral, facts: Facts, language: Language) -> bool:
    plain = vocabulary(language).plain
    return _is_attribute(number, facts, language) or any(_same(number, one, plain) for one in facts.numbers)


def _same(number: Numeral, known: Numeral, plain: frozenset[str]) -> bool:
    """Whether two numbers are the same of the same; a unit that says nothing is any."""
    if number.value != known.value:
        return False
    ours, theirs = _unit(number), _unit(known)
    if not ours and number.value in _YEARS:  # a year counts nothing: what follows it in the facts is no unit
        return True
    return ours == theirs or (ours in plain and ours.isascii())


def _unit(number: Numeral) -> str:
    unit = _SAME_UNIT.get(number.unit, number.unit)
    return "money" if unit in _MONEY else inflected(unit)


def _is_attribute(number: Numeral, facts: Facts, language: Language) -> bool:
    """Whether it is the value of an attribute of the item, or the stars that were given."""
    names = vocabulary(language).attributes
    for name, value in facts.attributes:
        units = names.get(name, (number.unit,))
        counted = any(unit.startswith(number.unit) for unit in units) or (
            name == "price" and number.unit in _MONEY
        )
        if counted and any(known.value == number.value for known in numerals(value)):
            return True
    stars = _SAME_UNIT.get(number.unit, number.unit) == "star"
    return stars and any(deed.action == "rating" and deed.value == number.value for deed in facts.deeds)


def _unknown_names(held: str, sentence: str, facts: Facts) -> Iterator[Problem]:
    """Several capitalised words in a row that the facts do not have in this order."""
    cased = "".join(old if new.isascii() else new for new, old in zip(held, sentence, strict=True))
    for match in _CAPITALS.finditer(cased):
        words, at = match[0], match.start()
        if not cased[:at].rstrip(" “‘\"'"):  # the first word of a sentence is always capitalised
            at += len(words) - len(words.partition(" ")[2])
            words = words.partition(" ")[2]
        if " " in words and not facts.covered.has_phrase(fold(words).removesuffix("'s")):
            yield Problem("name", words, at)


def _unknown_words(held: str, sentence: str, facts: Facts, language: Language) -> Iterator[Problem]:
    words = vocabulary(language)
    named = facts.words(language)
    for match in _WORD.finditer(held):
        word, is_name = match[0], _is_name(sentence, match.start())
        known = words.is_plain(word) if facts.described else word in words.spare
        plain = known and not is_name  # May, Will and Art are names inside a sentence
        if not (len(word) == 1 or plain or word in named or facts.covered.has_word(word)):
            yield Problem("name" if is_name else "word", word, match.start())
    for phrase in (claim for claim in words.claims if "-" in claim):
        said = re.search(phrase.replace("-", "[- ]"), held)
        if said and not facts.covered.has_phrase(said[0]):
            yield Problem("word", said[0], said.start())
    for run in _HAN.finditer(held):
        for start, end in facts.covered.gaps(
            run[0], (words.plain if facts.described else words.spare) | named
        ):
            yield Problem("word", run[0][start:end], run.start() + start)
        yield from _claiming(run, facts, words.claims, words.plain)


def _is_name(sentence: str, at: int) -> bool:
    """Whether the word there has a capital that does not come from beginning a sentence."""
    before = sentence[:at].rstrip(" \"'“‘(")
    return sentence[at].isupper() and bool(before) and before[-1] not in ".!?:"


def _claiming(
    run: re.Match[str], facts: Facts, claims: frozenset[str], plain: frozenset[str]
) -> Iterator[Problem]:
    """Chinese words that are made of plain ones and yet claim something, unless the facts have them."""
    for claim in claims:
        at = run[0].find(claim)
        if at >= 0 and claim not in facts.covered.text and not _in_longer(run[0], at, claim, plain):
            yield Problem("word", claim, run.start() + at)


def _in_longer(text: str, at: int, claim: str, plain: frozenset[str]) -> bool:
    return any(
        text[start:end] in plain
        for start in range(max(0, at - 2), at + 1)
        for end in range(at + len(claim), at + len(claim) + 3)
        if end - start > len(claim)
    )


def _false_relations(held: str, facts: Facts, language: Language) -> Iterator[Problem]:
    """Claims of having something in common ("the same director") that no cited thing has, or not the one named."""
    for name, words in vocabulary(language).relations.items():
        choice = "|".join(map(re.escape, words))
        same = (
            rf"\bsame (?:\w+ )?(?:{choice})\b"
            if language == "en"
            else rf"(?:同一|同|相同的?)[位个家名]?(?:{choice})"
        )
        for match in re.finditer(same, held):
            clause = held[_clause_start(held, match.start()) : match.end() + _NEAR_TITLE]
            named = {facts.titles[ord(char) - FIRST_TITLE] for char in clause if _is_title(char)} - {
                facts.titles[0]
            }
            having = {title for attribute, title in facts.shared if attribute == name}
            if not having or named - having:
                yield Problem("relation", match[0], match.start())


def _clause_start(held: str, at: int) -> int:
    return max(held.rfind(mark, 0, at) for mark in ",;:。.") + 1


def _is_title(char: str) -> bool:
    return FIRST_TITLE <= ord(char) < FIRST_TITLE + _MOST_TITLES


__all__ = ["Deed", "Facts", "Kind", "Problem", "bare", "fold", "problems"]
