"""Groundedness: is everything in a sentence supported by its facts?

Titles, numbers, names, words and claimed actions are looked up. Each has to come from the facts or be a word
that claims nothing (checker_words.toml), so an invented name, date, price or quality is found without a list of
what may be invented. In doubt the check rejects: that costs a template, a false sentence costs trust.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from ...models.numbers import Numeral, numerals
from ...models.records import Language
from .claims import FIRST_TITLE, CoveredText, UserAction, checker_words, claims, inflected

SpanKind = Literal["markup", "title", "name", "number", "word", "action", "relation"]

_MOST_TITLES = 0x80
_MOST_TEXT = 10_000
_NEAR_TITLE = 40  # characters after "the same director" in which the other item is named
_MASKED_QUOTE = chr(FIRST_TITLE + 0xFF)
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
class UngroundedSpan:
    """A span of a sentence that no fact supports: its kind, its text, and the index of its first character."""

    kind: SpanKind
    text: str
    start: int

    def __str__(self) -> str:
        """Kind and text."""
        return f"{self.kind} {self.text}"


@dataclass(frozen=True)
class Facts:
    """What a sentence may rest on.

    `item` is the pick's title. `texts` are source texts: the item's, those of the cited events, and the
    interest. `actions` are the user's on the cited items. `attributes` are the item's, by name, and `shared`
    has the attributes that a cited item has with the same value, as attribute and title. Of an item that is
    not `described` a sentence may say little more than its tags.
    """

    item: str
    texts: tuple[str, ...]
    actions: tuple[UserAction, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    shared: frozenset[tuple[str, str]] = frozenset()
    kind: str = ""
    described: bool = True

    @cached_property
    def titles(self) -> list[str]:
        """The known titles, folded and bare; the pick's first."""
        named = dict.fromkeys(
            bare(title) for title in (self.item, *(action.title for action in self.actions))
        )
        return list(named)[:_MOST_TITLES]

    @cached_property
    def covered(self) -> CoveredText:
        """The words of the facts, folded."""
        values = (value for _, value in self.attributes)
        return CoveredText(fold(" \n ".join(text[:_MOST_TEXT] for text in (self.item, *self.texts, *values))))

    @cached_property
    def numbers(self) -> list[Numeral]:
        """Every number of the texts."""
        return list(numerals(self.covered.text))

    def words(self, language: Language) -> frozenset[str]:
        """The words for the attributes and the kind that the item has."""
        words = checker_words(language)
        named = {word for name, _ in self.attributes for word in (name, *words.attributes.get(name, ()))}
        return frozenset(named | set(words.kinds.get(self.kind.casefold(), ())))


def ungrounded_spans(sentence: str, facts: Facts, language: Language) -> list[UngroundedSpan]:
    """The spans of a sentence that the facts do not support.

    Args:
        sentence: one sentence as a reader would see it.
        facts: what it may rest on.
        language: the language of the sentence.

    Returns:
        The spans by place; empty where the sentence is grounded.
    """
    masked = _mask_titles(fold(sentence), facts)
    spans = list(_unknown_titles(masked, facts))
    masked = _mask_quotes(masked, facts)
    spans += [UngroundedSpan("markup", match[0], match.start()) for match in _MARKUP.finditer(masked)]
    actions = [UserAction(bare(action.title), action.action, action.value) for action in facts.actions]
    claimed = list(claims(masked, facts.titles, actions, language))
    spans += [
        UngroundedSpan("action", masked[claim.start : claim.end], claim.start)
        for claim in claimed
        if not claim.is_true
    ]
    numbers = [number for number in numerals(masked) if not _counts_nothing(number, masked, language)]
    invented = [number for number in numbers if not _is_given(number, facts, language)]
    spans += [
        UngroundedSpan("number", masked[number.start : number.unit_end], number.start) for number in invented
    ]
    spans += _unknown_names(masked, sentence, facts)
    checked = [(claim.start, claim.end) for claim in claimed]
    checked += [(number.start, number.unit_end) for number in numbers]
    spans += _unknown_words(_blank(masked, checked), sentence, facts, language)
    spans += _false_relations(masked, facts, language)
    return sorted((_readable(span, sentence) for span in spans), key=lambda span: (span.start, span.kind))


def _readable(span: UngroundedSpan, sentence: str) -> UngroundedSpan:
    """The span with the sentence's own text where that is masked."""
    if not any(map(_is_title, span.text)):
        return span
    start = span.start + (span.kind == "title")  # after the quotation mark
    return replace(span, text=sentence[start : start + len(span.text)])


def fold(text: str) -> str:
    """NFKC and case folding, character by character, so that every index stays."""
    return "".join(_folded(char) for char in text)


def bare(title: str) -> str:
    """A title for comparison: folded, without quotation marks around the whole of it."""
    text = fold(title).strip()
    while len(text) > 2 and text[0] + text[-1] in _PAIRS:
        text = text[1:-1].strip()
    return text


def _folded(char: str) -> str:
    if char in "’‘":
        return "'"
    new = unicodedata.normalize("NFKC", char).casefold()
    return new if len(new) == 1 else char


def _mask_titles(text: str, facts: Facts) -> str:
    """Mask known titles by private characters, longest first; the words of a search only in quotation marks."""
    words = {bare(action.title) for action in facts.actions if action.action == "search"}
    for at, title in sorted(enumerate(facts.titles), key=lambda pair: -len(pair[1])):
        if title:
            before, after = (
                ('(?<=[“"《])', '(?=[”"》])') if title in words else ("(?<![a-z0-9])", "(?![a-z0-9])")
            )
            masked = chr(FIRST_TITLE + at) * len(title)
            text = re.sub(f"{before}{re.escape(title)}{after}", masked, text)
    return text


def _unknown_titles(masked: str, facts: Facts) -> Iterator[UngroundedSpan]:
    """Text in quotation marks that is in no fact."""
    for match in _QUOTED.finditer(masked):
        inner = next(group for group in match.groups() if group is not None).strip()
        if not _is_masked(bare(inner)) and (match[0][0] == "《" or not facts.covered.has_phrase(inner)):
            yield UngroundedSpan("title", inner, match.start())


def _is_masked(text: str) -> bool:
    return all(FIRST_TITLE <= ord(char) <= FIRST_TITLE + 0xFF for char in text)


def _mask_quotes(masked: str, facts: Facts) -> str:
    """Mask text that is quoted from the facts."""

    def hide(match: re.Match[str]) -> str:
        inner = next(group for group in match.groups() if group is not None)
        known = (
            match[0][0] != "《" and not _is_masked(bare(inner)) and facts.covered.has_phrase(inner.strip())
        )
        return _MASKED_QUOTE * len(match[0]) if known else match[0]

    return _QUOTED.sub(hide, masked)


def _blank(masked: str, spans: Iterable[tuple[int, int]]) -> str:
    """The sentence with the spans masked that have been checked."""
    chars = list(masked)
    for start, end in spans:
        chars[start:end] = _MASKED_QUOTE * (end - start)
    return "".join(chars)


def _counts_nothing(number: Numeral, masked: str, language: Language) -> bool:
    """Whether a numeral is only an article or part of a word, as in 一个, 十分 and "one of"."""
    text = masked[number.start : number.end]
    if text in ("one", "一"):
        return number.unit not in _ONE_OF
    if language == "en" or len(text) > 1 or number.unit in _ONE_OF - {"分"}:
        return False
    plain = checker_words(language).plain
    return any(
        masked[start:end] in plain
        for start in range(max(0, number.start - 3), number.start + 1)
        for end in range(number.end, start + 5)
        if end - start > 1
    )


def _is_given(number: Numeral, facts: Facts, language: Language) -> bool:
    plain = checker_words(language).plain
    return _is_attribute(number, facts, language) or any(
        _same(number, known, plain) for known in facts.numbers
    )


def _same(number: Numeral, known: Numeral, plain: frozenset[str]) -> bool:
    """Whether value and unit are equal; a unit that claims nothing matches any."""
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
    """Whether it is the value of an attribute of the item, or the stars that the user gave."""
    names = checker_words(language).attributes
    for name, value in facts.attributes:
        units = names.get(name, (number.unit,))
        counted = any(unit.startswith(number.unit) for unit in units) or (
            name == "price" and number.unit in _MONEY
        )
        if counted and any(known.value == number.value for known in numerals(value)):
            return True
    stars = _SAME_UNIT.get(number.unit, number.unit) == "star"
    return stars and any(
        action.action == "rating" and action.value == number.value for action in facts.actions
    )


def _unknown_names(masked: str, sentence: str, facts: Facts) -> Iterator[UngroundedSpan]:
    """Sequences of capitalised words that the facts do not have in this order."""
    cased = "".join(old if new.isascii() else new for new, old in zip(masked, sentence, strict=True))
    for match in _CAPITALS.finditer(cased):
        words, at = match[0], match.start()
        if not cased[:at].rstrip(" “‘\"'"):  # the first word of a sentence is always capitalised
            at += len(words) - len(words.partition(" ")[2])
            words = words.partition(" ")[2]
        if " " in words and not facts.covered.has_phrase(fold(words).removesuffix("'s")):
            yield UngroundedSpan("name", words, at)


def _unknown_words(masked: str, sentence: str, facts: Facts, language: Language) -> Iterator[UngroundedSpan]:
    words = checker_words(language)
    named = facts.words(language)
    for match in _WORD.finditer(masked):
        word, is_name = match[0], _is_name(sentence, match.start())
        known = words.is_plain(word) if facts.described else word in words.spare
        plain = known and not is_name  # May, Will and Art are names inside a sentence
        if not (len(word) == 1 or plain or word in named or facts.covered.has_word(word)):
            yield UngroundedSpan("name" if is_name else "word", word, match.start())
    for phrase in (claim for claim in words.claims if "-" in claim):
        hyphenated = re.search(phrase.replace("-", "[- ]"), masked)
        if hyphenated and not facts.covered.has_phrase(hyphenated[0]):
            yield UngroundedSpan("word", hyphenated[0], hyphenated.start())
    for run in _HAN.finditer(masked):
        for start, end in facts.covered.gaps(
            run[0], (words.plain if facts.described else words.spare) | named
        ):
            yield UngroundedSpan("word", run[0][start:end], run.start() + start)
        yield from _claiming(run, facts, words.claims, words.plain)


def _is_name(sentence: str, at: int) -> bool:
    """Whether the word there is capitalised without being the first of a sentence."""
    before = sentence[:at].rstrip(" \"'“‘(")
    return sentence[at].isupper() and bool(before) and before[-1] not in ".!?:"


def _claiming(
    run: re.Match[str], facts: Facts, claims: frozenset[str], plain: frozenset[str]
) -> Iterator[UngroundedSpan]:
    """Chinese words that consist of plain ones and yet claim something, unless the facts have them."""
    for claim in claims:
        at = run[0].find(claim)
        if at >= 0 and claim not in facts.covered.text and not _in_longer(run[0], at, claim, plain):
            yield UngroundedSpan("word", claim, run.start() + at)


def _in_longer(text: str, at: int, claim: str, plain: frozenset[str]) -> bool:
    return any(
        text[start:end] in plain
        for start in range(max(0, at - 2), at + 1)
        for end in range(at + len(claim), at + len(claim) + 3)
        if end - start > len(claim)
    )


def _false_relations(masked: str, facts: Facts, language: Language) -> Iterator[UngroundedSpan]:
    """Claims of something in common ("the same director") that no cited item has, or not the one named."""
    for name, words in checker_words(language).relations.items():
        choice = "|".join(map(re.escape, words))
        same = (
            rf"\bsame (?:\w+ )?(?:{choice})\b"
            if language == "en"
            else rf"(?:同一|同|相同的?)[位个家名]?(?:{choice})"
        )
        for match in re.finditer(same, masked):
            clause = masked[_clause_start(masked, match.start()) : match.end() + _NEAR_TITLE]
            named = {facts.titles[ord(char) - FIRST_TITLE] for char in clause if _is_title(char)} - {
                facts.titles[0]
            }
            having = {title for attribute, title in facts.shared if attribute == name}
            if not having or named - having:
                yield UngroundedSpan("relation", match[0], match.start())


def _clause_start(masked: str, at: int) -> int:
    return max(masked.rfind(mark, 0, at) for mark in ",;:。.") + 1


def _is_title(char: str) -> bool:
    return FIRST_TITLE <= ord(char) < FIRST_TITLE + _MOST_TITLES


__all__ = ["UserAction", "Facts", "SpanKind", "UngroundedSpan", "bare", "fold", "ungrounded_spans"]
