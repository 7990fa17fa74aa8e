"""Numbers in a text, as digits, English words or Chinese numerals, each with what it counts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TEENS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: value for value, word in enumerate(_TEENS.split())}
_SMALL |= {word: 20 + 10 * at for at, word in enumerate(_TENS.split())}
_LARGE = {"dozen": 12, "hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_DIGIT_ZH = {char: value for value, char in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
    "俩": 2,
    "仨": 3,
}
_UNIT_ZH = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "亿": 100_000_000}

_WORDS = "|".join(sorted({*_SMALL, *_LARGE}, key=len, reverse=True))
_DIGITS = r"\d+(?:[,.]\d+)*"
_ENGLISH = re.compile(
    rf"(?<![\w.])(?:{_DIGITS}|(?:{_WORDS})\b)(?:(?:[\s-]+(?:and[\s-]+)?)(?:{_WORDS})\b)*", re.IGNORECASE
)
_CHINESE = re.compile(rf"{_DIGITS} ?[百千万亿]*|[零〇一二两俩仨三四五六七八九十百千万亿]+")
_UNIT_AFTER = re.compile(r"[ \u00a0-]*(%|[A-Za-z]+|[\u4e00-\u9fff])")
_MONEY = re.compile(r"[$¥￥€£]\s*$")


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number: its value, what follows it (a word in lower case, or one Chinese character), and where.

    `unit` is "$" for any sign of money before it, and "" where nothing follows; it ends at `unit_end`.
    """

    value: float
    unit: str
    start: int
    end: int
    unit_end: int


def numerals(text: str) -> Iterator[Numeral]:
    """Every number of `text` (NFKC), in order; Chinese numerals inside Chinese, number words elsewhere."""
    taken = 0
    for match in sorted((*_ENGLISH.finditer(text), *_CHINESE.finditer(text)), key=_longest_first):
        if match.start() < taken:
            continue
        value = _value(match[0])
        if value is None:
            continue
        taken = match.end()
        unit, end = _unit(text, match.start(), match.end())
        yield Numeral(value, unit, match.start(), match.end(), end)


def _longest_first(match: re.Match[str]) -> tuple[int, int]:
    return match.start(), -match.end()


def _unit(text: str, start: int, end: int) -> tuple[str, int]:
    if _MONEY.search(text[:start]):
        return "$", end
    found = _UNIT_AFTER.match(text, end)
    return (found[1].lower(), found.end()) if found else ("", end)


def _value(text: str) -> float | None:
    """The value of one number; None where its parts do not make one."""
    head = re.match(_DIGITS, text)
    rest = text[head.end() :] if head else text
    first = float(head[0].replace(",", "")) if head and head[0].count(".") < 2 else None
    if head and first is None:
        return None
    if re.search(r"[A-Za-z]", rest):
        return _english(rest.lower(), first)
    return _chinese(re.sub(r"\s", "", rest), first)


def _english(text: str, first: float | None) -> float:
    total, current = 0.0, first or 0.0
    for word in re.findall(r"[a-z]+", text):
        if word in _SMALL:
            current += _SMALL[word]
        elif word in _LARGE:
            current = max(current, 1.0) * _LARGE[word]
            if _LARGE[word] >= 1_000:
                total, current = total + current, 0.0
    return total + current


def _chinese(text: str, first: float | None) -> float:
    """By the rules of 三千四百五十; digits in a row (一九九八) are read one by one."""
    if first is None and len(text) > 1 and all(char in _DIGIT_ZH for char in text):
        return float("".join(str(_DIGIT_ZH[char]) for char in text))
    total, section, digit = 0.0, 0.0, first
    for char in text:
        if char in _DIGIT_ZH:
            digit = float(_DIGIT_ZH[char])
        elif _UNIT_ZH[char] >= 10_000:
            total = (total + section + (digit if digit is not None else 0.0) or 1.0) * _UNIT_ZH[char]
            section, digit = 0.0, None
        else:
            section += (1.0 if digit is None else digit) * _UNIT_ZH[char]
            digit = None
    return total + section + (digit or 0.0)


__all__ = ["Numeral", "numerals"]
