"""Numbers in English and Chinese text: digits (1,200, 1.5k), number words, Chinese numerals (一千二百, 1.5万)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: float(value) for value, word in enumerate(_TO_NINETEEN.split())}
_SMALL |= {word: 10.0 * value for value, word in enumerate(_TENS.split(), 2)}
_COLLOQUIAL = ("a", "an", "half", "couple")
_LARGE = {"dozen": 12, "hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_ZH_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {
    "〇": 0, "两": 2, "俩": 2, "仨": 3,
}  # fmt: skip
_ZH_UNITS = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "亿": 100_000_000}
_SUFFIXES = {"k": 1_000, "w": 10_000}

_words = "|".join(sorted({*_SMALL, *_LARGE}, key=len, reverse=True))
_all_words = "|".join(sorted({*_SMALL, *_LARGE, *_COLLOQUIAL}, key=len, reverse=True))

NUMBER = (
    r"(?:(?<![\d.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d])"
    r"|(?<![\d.])\d{1,12}(?:\.\d{1,6})?(?!\d)(?:\s?[kw](?![a-z])|[千万百])?"
    r"|[零〇一二两三四五六七八九十百千万亿]+半?|半"
    rf"|(?<![a-z])(?:{_all_words})(?:(?:[ -]|\ and\ )(?:{_all_words}))*(?![a-z]))"
)
"""A pattern for a number as people write it, in text that is NFKC-normalised and lower case; it has no groups."""

LARGEST = 1e12
"""`read_number` refuses larger numbers: no field of an item holds them."""

_DIGITS = r"\d+(?:[,.]\d+)*"
_ENGLISH = re.compile(
    rf"(?<![\w.])(?:{_DIGITS}|(?:{_words})\b)(?:(?:[\s-]+(?:and[\s-]+)?)(?:{_words})\b)*", re.IGNORECASE
)
_CHINESE = re.compile(rf"{_DIGITS} ?[百千万亿]*|[零〇一二两俩仨三四五六七八九十百千万亿]+")
_UNIT_AFTER = re.compile(r"[ \u00a0-]*(%|[A-Za-z]+|[\u4e00-\u9fff])")
_CURRENCY_BEFORE = re.compile(r"[$¥￥€£]\s*$")


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number in a text: its value, its unit, and its place.

    `unit` is what follows it (a word in lower case, or one Chinese character), "$" for any currency sign
    before it, and "" where nothing follows; number and unit end at `unit_end`.
    """

    value: float
    unit: str
    start: int
    end: int
    unit_end: int


def numerals(text: str) -> Iterator[Numeral]:
    """Every number of `text` (NFKC), in order and without overlaps; "a", "half" and "couple" count as words."""
    taken = 0
    matches = sorted(
        (*_ENGLISH.finditer(text), *_CHINESE.finditer(text)), key=lambda match: (match.start(), -match.end())
    )
    for match in matches:
        value = None if match.start() < taken else _value(match[0])
        if value is not None:
            taken = match.end()
            unit, end = _unit(text, match.start(), match.end())
            yield Numeral(value, unit, match.start(), match.end(), end)


def read_number(text: str) -> float | None:
    """The value of a text that NUMBER matched, 0 to 1e12; None if it is no such number after all."""
    value = _value(text.strip().lower())
    return value if value is not None and value <= LARGEST else None


def _unit(text: str, start: int, end: int) -> tuple[str, int]:
    if _CURRENCY_BEFORE.search(text[:start]):
        return "$", end
    match = _UNIT_AFTER.match(text, end)
    return (match[1].lower(), match.end()) if match else ("", end)


def _value(text: str) -> float | None:
    """The value of one number; None where its parts do not make one."""
    head = re.match(_DIGITS, text)
    if head and head[0].count(".") > 1:
        return None
    first = float(head[0].replace(",", "")) if head else None
    rest = text[head.end() :].strip() if head else text
    if first is not None and rest in _SUFFIXES:
        return first * _SUFFIXES[rest]
    if re.search(r"[A-Za-z]", rest):
        return _english(rest.lower(), first)
    return _chinese(re.sub(r"\s", "", rest), first)


def _english(text: str, first: float | None) -> float | None:
    total, section = 0.0, first or 0.0
    for word in re.findall(r"[a-z]+", text):
        if word == "couple":
            section = 2.0  # also "a couple"
        elif word in _LARGE:
            section = (section or 1.0) * _LARGE[word]
            if _LARGE[word] >= 1_000:
                total, section = total + section, 0.0
        elif word in ("a", "an"):
            section = section or 1.0  # "half a dozen" is 6
        elif word == "half" or word in _SMALL:
            section += _SMALL.get(word, 0.5)
        elif word != "and":
            return None
    return total + section


def _chinese(text: str, first: float | None) -> float | None:
    """Positional numerals (三千四百五十), digits in a row (一九九八), and the colloquial 一百五 (150) and 半."""
    if not all(char in _ZH_DIGITS or char in _ZH_UNITS for char in text.removesuffix("半")):
        return None
    half = 0.5 if text.endswith("半") else 0.0
    text = text.removesuffix("半")
    if first is None and len(text) > 1 and all(char in _ZH_DIGITS for char in text):
        return float("".join(str(_ZH_DIGITS[char]) for char in text)) + half
    total, section, digit, last_unit = 0.0, 0.0, first, 1
    for char in text:
        if char in _ZH_DIGITS:
            digit = float(_ZH_DIGITS[char])
            last_unit = 10 if char in "零〇" else last_unit
            continue
        last_unit = _ZH_UNITS[char]
        if last_unit >= 10_000:
            total = (total + section + (digit or 0.0) or (1.0 if digit is None else 0.0)) * last_unit
            section = 0.0
        else:
            section += (1.0 if digit is None else digit) * last_unit
        digit = None
    # A last digit counts a tenth of the unit before it: 两万三 is 23,000.
    rest = (digit or 0.0) * (last_unit // 10 if last_unit > 10 else 1)
    return total + section + rest + half


__all__ = ["LARGEST", "NUMBER", "Numeral", "numerals", "read_number"]
