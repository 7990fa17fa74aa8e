"""Numbers as people write them: 1,200 and 1.5k, 一千二百 and 1.5万, "two hundred and fifty"."""

import re

_ZH_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_ZH_TENS = {"十": 10, "百": 100, "千": 1000}
_ZH_MYRIADS = {"万": 10_000, "亿": 100_000_000}
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_EN_SMALL = {word: float(value) for value, word in enumerate(_ONES)} | {
    "a": 1.0, "an": 1.0, "half": 0.5, "dozen": 12.0, "couple": 2.0,
}  # fmt: skip
_EN_TENS = {word: 10.0 * value for value, word in enumerate(_TENS, 2)}
_EN_LARGE = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_SUFFIXES = {"k": 1000, "w": 10_000, "千": 1000, "万": 10_000, "百": 100, "": 1}

_words = "|".join(sorted({*_EN_SMALL, *_EN_TENS, *_EN_LARGE}, key=len, reverse=True))
_EN = rf"(?<![a-z])(?:{_words})(?:(?:[ -]|\ and\ )(?:{_words}))*(?![a-z])"
_ZH = "[零〇一二两三四五六七八九十百千万亿]+半?|半"
_DIGITS = (
    r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d])"
    r"|(?<![\d.])\d{1,12}(?:\.\d{1,6})?(?!\d)(?:\s?[kw](?![a-z])|[千万百])?"
)

NUMBER = rf"(?:{_DIGITS}|{_ZH}|{_EN})"
"""A pattern for any of them, in text that is NFKC-normalised and lower case; it has no groups."""

LARGEST = 1e12
"""Larger numbers are taken for none: no field of an item holds them."""

_PLAIN = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s?([kw千万百]?)")


def read_number(text: str) -> float | None:
    """The value of a text that NUMBER matched, 0 to 1e12; None if it is no such number after all."""
    text = text.strip()
    plain = _PLAIN.fullmatch(text)
    if plain:
        value: float | None = float(plain[1].replace(",", "")) * _SUFFIXES[plain[2]]
    else:
        value = _chinese(text[:40]) if re.fullmatch(_ZH, text) else _english(text)
    return value if value is not None and value <= LARGEST else None


def _chinese(text: str) -> float | None:
    if text == "半":
        return 0.5
    half = 0.5 if text.endswith("半") else 0.0
    text = text.removesuffix("半")
    if len(text) > 1 and all(char in _ZH_DIGITS for char in text):  # 二〇一五
        return float("".join(str(_ZH_DIGITS[char]) for char in text)) + half
    total, section, digit = 0, 0, None
    last_unit = 1
    for char in text:
        if char in _ZH_DIGITS:
            digit = _ZH_DIGITS[char]
            last_unit = 10 if char == "零" else last_unit
        elif char in _ZH_TENS:
            last_unit = _ZH_TENS[char]
            section += (1 if digit is None else digit) * last_unit
            digit = None
        else:
            last_unit = _ZH_MYRIADS[char]
            total = (total + section + (digit or 0) or 1) * last_unit
            section, digit = 0, None
    # 一百五 is 150 and 两万三 is 23,000: a last digit counts a tenth of the unit before it.
    rest = (digit or 0) * (last_unit // 10 if last_unit > 10 else 1)
    return float(total + section + rest) + half


def _english(text: str) -> float | None:
    total, section = 0.0, 0.0
    for word in re.split(r"[ -]+", text):
        if word == "and":
            continue
        if word in _EN_LARGE:
            large = _EN_LARGE[word]
            if large == 100:
                section = max(section, 1) * 100
            else:
                total, section = total + max(section, 1) * large, 0.0
        elif word in _EN_SMALL or word in _EN_TENS:
            section = _EN_SMALL[word] * max(section, 1) if word == "dozen" else section + _value(word)
        else:
            return None
    return total + section


def _value(word: str) -> float:
    return float(_EN_SMALL[word] if word in _EN_SMALL else _EN_TENS[word])
