"""Quantities in a message, and the limits they set: "200元以内", "between $20 and $50", "after 2015"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from ...models.numbers import NUMBER, read_number
from .vocabulary import Vocabulary, phrase_tables

Operator = Literal["$lt", "$lte", "$gt", "$gte", "$eq", "$in", "$nin"]
Bound = tuple[Operator, float]

ABOUT = 0.2
"""How far from a number "about" reaches, as a share of it."""

_SMALLEST_BARE = 10  # "at least one", "一起": smaller numbers without a unit are no limits
_CENTURY = 50  # years of two digits below it are of this century
_YEARS = range(1880, 2101)
_FLIPPED: dict[Operator, Operator] = {"$lte": "$gt", "$lt": "$gte", "$gte": "$lt", "$gt": "$lte"}
_ROUND = ("百", "千", "万")
_TURNED_DOWN_BEFORE = re.compile(
    r"(?<![a-z])(?:不要|不想要|不想看|别(?:给我)?(?:推荐|推|看|来)?|去掉|过滤掉|排除|剔除"
    r"|no|not|nothing|don't want|don't show(?: me)?|hide|skip|drop|exclude|remove|(?:leave|filter) out|avoid)\s*"
    r"(?:any(?:thing|one|body)?|one|body|people|accounts?|whatever|everything|every|all|items?|ones?|those"
    r"|things?|任何|所有|那些)?\s*"
    r"(?:(?:that|which|who) )?(?:with|having|has|have|costs?|costing|is|are|was|were|runs?)?\s*$"
)
_TURNED_DOWN_AFTER = re.compile(
    r"的?(?:那些|东西|商品|片子|电影|书|人|文章)?(?:我|就|都|一律|统统|通通)*"
    r"(?:不要(?!紧)|别(?:给我|推荐|推|看|来)|不看|不买|不考虑|免了|算了|除外|去掉|剔|过滤|排除|pass)"
    r"|\s?(?:ones?|items?|things?|films?|books?)?\s?(?:is|are) (?:out|no good)(?![a-z])"
)
_LOOSE = re.compile(r"\s?-?(?:ish|odd)(?![a-z])|来|多")  # 三百来块, "90ish minutes"
_FEW = re.compile(r"(?P<many>大)?[几数](?P<tens>[十百千万])(?:来|多)?(?:元钱?|块钱?)")
_SHORT_YEAR = re.compile(r"(?<!\d)(?P<y>\d{2})年(?=的|以后|之后|后|以前|之前|起|拍|出|上映)的?")
_DURATIONS = (
    (r"an? hour and a half|one and a half hours?|一个半(?:小时|钟头)", 90.0),
    (r"half an hour|a half[- ]hour|半个?(?:小时|钟头)", 30.0),
)
_SUMS = (
    rf"(?P<h>{NUMBER})\s?(?:个?小时|个?钟头|hours?|hrs?|h)\s?(?:and |零)?"
    r"(?P<m>\d{1,2})\s?(?:分钟?|minutes?|mins?|m)(?![a-z])",
    rf"(?P<h>{NUMBER})(?:个半小时|个半钟头)",
    rf"(?P<h>{NUMBER}) and a half hours?",
)
_DECADES = (
    r"(?P<c>19|20)?(?P<d>[1-9]0)(?:'?s(?![a-z])|年代)|(?P<z>[二三四五六七八九]十)年代"
    r"|(?P<w>(?:twen|thir|for|fif|six|seven|eigh|nine)ties)"
)
_WORDED = {"twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70,
           "eighties": 80, "nineties": 90}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with what it limits; the span `[start, end)` includes the words of the comparison."""

    start: int
    end: int
    value: float
    role: str = ""
    currency: str = ""
    bounds: tuple[Bound, ...] = ()
    attribute: str | None = None


def quantities(text: str, vocabulary: Vocabulary) -> list[Quantity]:
    """The quantities of a folded text that set a limit.

    Returns:
        In their order, without overlaps; `attribute` is None where the catalogue has no field for it.
    """
    found = sorted(_raw(text), key=lambda one: (one.start, -one.end))
    single = [one for at, one in enumerate(found) if not any(_covers(other, one) for other in found[:at])]
    limits: list[Quantity] = []
    at = 0
    while at < len(single):
        ranged = _range(text, single[at], single[at + 1], vocabulary) if at + 1 < len(single) else None
        one = ranged or _limited(text, single[at], vocabulary)
        at += 2 if ranged else 1
        if one is not None and (not limits or one.start >= limits[-1].end):
            limits.append(one)
    return limits


def _covers(other: Quantity, one: Quantity) -> bool:
    return other.start <= one.start and one.end <= other.end and other is not one


def _raw(text: str) -> Iterator[Quantity]:
    """Every number with its unit; longer readings of the same place come out beside shorter ones."""
    for pattern, minutes in _DURATIONS:
        for match in re.finditer(rf"(?<![a-z])(?:{pattern})(?![a-z])", text):
            yield Quantity(*match.span(), minutes, "minutes")
    for pattern in _SUMS:
        for match in re.finditer(pattern, text):
            hours = read_number(match["h"])
            rest = float(match["m"]) if "m" in match.groupdict() else 30.0
            if hours is not None:
                yield Quantity(*match.span(), hours * 60 + rest, "minutes")
    for match in re.finditer(rf"(?<![a-z])(?:the )?(?:{_DECADES})", text):
        first = _decade(match)
        yield Quantity(*match.span(), first, "year", bounds=(("$gte", first), ("$lte", first + 9)))
    yield from _shortened(text)
    for match in re.finditer(rf"([$¥￥€£])\s?({NUMBER})", text):
        value = read_number(match[2])
        if value is not None:
            yield Quantity(*match.span(), value, "price", phrase_tables()["symbols"][match[1]])
    yield from _with_units(text)


def _shortened(text: str) -> Iterator[Quantity]:
    """Round sums and years of two digits: 几十块 is from two to ten of them, 大几百块 from five; 24年以后."""
    for match in _FEW.finditer(text):
        one = float(read_number(match["tens"]) or 0)
        low = 5 * one if match["many"] else 2 * one
        yield Quantity(*match.span(), one, "price", bounds=(("$gte", low), ("$lt", 10 * one)))
    for match in _SHORT_YEAR.finditer(text):
        year = int(match["y"])
        yield Quantity(*match.span(), float(year + (2000 if year < _CENTURY else 1900)), "year")


def _decade(match: re.Match[str]) -> float:
    number = match["d"] or ""
    tens = int(number) if number else int(read_number(match["z"]) or 0) if match["z"] else _WORDED[match["w"]]
    century = int(match["c"]) * 100 if match["c"] else 1900 if tens >= 30 else 2000
    return float(century + tens)


def _with_units(text: str) -> Iterator[Quantity]:
    for match in re.finditer(NUMBER, text):
        value = read_number(match[0])
        if value is None:
            continue
        end = match.end()
        loose = _LOOSE.match(text, end)
        end = loose.end() if loose else end
        unit = next((one for one in _units() if one[0].match(text, end)), None)
        end = end if unit else match.end()
        if unit:
            pattern, role, factor, currency = unit
            stop = pattern.match(text, end)
            yield Quantity(match.start(), stop.end() if stop else end, value * factor, role, currency)
        elif (
            int(value) in _YEARS
            and value.is_integer()
            and re.fullmatch(r"\d{4}|[一二〇零九八七六五四三]{4}", match[0])
        ):
            year = re.compile(r"\s?年(?!代)(?:的)?").match(text, end)
            yield Quantity(match.start(), year.end() if year else end, value, "year" if year else "year?")
        else:
            yield Quantity(match.start(), end, value)


@cache
def _units() -> list[tuple[re.Pattern[str], str, float, str]]:
    """Unit patterns with role, factor and currency."""
    return [
        (re.compile(rf"\s?-?(?:{one['unit']})(?![a-z])"), role, float(one["factor"]), one.get("currency", ""))
        for role, units in phrase_tables()["units"].items()
        for one in units
    ]


def _range(text: str, one: Quantity, two: Quantity, vocabulary: Vocabulary) -> Quantity | None:
    """Two numbers as one range, such as 100到200元 and "between $20 and $50"."""
    between = text[one.end : two.start]
    if one.bounds or two.bounds or not re.fullmatch(r"\s?(?:到|至|-|–|—|~|～|to|and|和)\s?", between):
        return None
    before = re.search(r"(?<![a-z])(?:between|from|从|在)\s?$", text[: one.start])
    if between.strip() in ("and", "和") and not before:
        return None
    role = two.role.rstrip("?") or one.role.rstrip("?")
    if one.role.rstrip("?") not in ("", role):
        return None
    start = before.start() if before else one.start
    stop = re.compile(r"\s?(?:之间|以内)").match(text, two.end)
    low, high = one.value, two.value
    if not one.role and role == "minutes" and two.value >= 60 and low <= 10:
        low *= 60  # "one to two hours"
    whole = replace(
        two,
        start=start,
        end=stop.end() if stop else two.end,
        role=role,
        currency=two.currency or one.currency,
    )
    bare = min(low, high) >= _SMALLEST_BARE and between.strip() not in ("and", "和")  # "50-90"
    placed = _placed(text, whole, vocabulary, compared=bool(before or stop) or bare)
    return replace(placed, bounds=(("$gte", min(low, high)), ("$lte", max(low, high)))) if placed else None


def _limited(text: str, one: Quantity, vocabulary: Vocabulary) -> Quantity | None:
    """The quantity with the comparison beside it; None if it is just a number."""
    if one.bounds and one.role == "price":
        return replace(one, attribute=vocabulary.attribute("price"))
    if one.bounds:  # a decade
        joined = re.search(r"(?<![a-z])(?:from|in|of)\s+$", text[: one.start])
        return replace(
            one, start=joined.start() if joined else one.start, attribute=vocabulary.attribute("year")
        )
    start, end, operator = _comparison(text, one)
    placed = _placed(text, replace(one, start=start, end=end), vocabulary, compared=operator is not None)
    if placed is None:
        return None
    if operator is not None and operator != "$eq":
        flipped = _TURNED_DOWN_BEFORE.search(text[: placed.start])
        after = _TURNED_DOWN_AFTER.match(text, placed.end)
        if flipped or after:
            start, end = flipped.start() if flipped else placed.start, after.end() if after else placed.end
            return replace(placed, start=start, end=end, bounds=((_FLIPPED[operator], one.value),))
        return replace(placed, bounds=((operator, one.value),))
    if placed.role == "year":
        return replace(placed, bounds=(("$eq", one.value),))
    budget = re.search(r"(?:预算|budget|控制在)\D{0,6}$", text[:start])
    if budget:
        return replace(placed, start=budget.start(), bounds=(("$lte", one.value),))
    return replace(placed, bounds=(("$gte", one.value * (1 - ABOUT)), ("$lte", one.value * (1 + ABOUT))))


def _comparison(text: str, one: Quantity) -> tuple[int, int, Operator | None]:
    """The comparison before or after: what it covers, and its operator ("$eq" for "about", None for none)."""
    left, right = text[: one.start], text[one.end :]
    if text[one.start : one.end].startswith(_ROUND) and left.endswith(("上", "过", "破")):
        return one.start - 1, one.end, "$gte"  # 上万, 过百
    for before, pattern, operator in _comparisons(one.role.startswith("year")):
        match = pattern.search(left) if before else pattern.match(right)
        if match and before:
            return match.start(), one.end, operator
        if match and not _is_word(text, one, match[0]):
            return one.start, one.end + match.end(), operator
    return one.start, one.end, None


_OPERATORS: dict[str, Operator] = {
    "upper": "$lte", "lower": "$gte", "below": "$lt", "above": "$gt", "about": "$eq",
    "later": "$gte", "earlier": "$lt", "since": "$gte", "after": "$gt", "before": "$lt",
}  # fmt: skip


@cache
def _comparisons(years: bool) -> list[tuple[bool, re.Pattern[str], Operator]]:
    """(whether it stands before the number, its pattern, its operator), in the order of the table."""
    found = []
    tables = ("compare_years", "compare") if years else ("compare",)
    for name, words in [pair for table in tables for pair in phrase_tables()[table].items()]:
        kind, _, side = name.partition("_")
        if years and kind == "lower" and side == "before":
            continue  # "films from 2015" are of that year
        before = side == "before"
        edge = rf"(?<![a-z])(?:{words})\s?(?:the |是|在)?$" if before else rf"\s?(?:{words})(?![a-z])"
        found.append((before, re.compile(edge), _OPERATORS[kind]))
    return found


def _is_word(text: str, one: Quantity, after: str) -> bool:
    """Whether a bare Chinese numeral only begins a word, as in 一起 and 一上来."""
    bare = one.role in ("", "year?") and (
        not text[one.start].isascii() or after.strip() in ("后", "起", "前")
    )
    return bare and (one.value < _SMALLEST_BARE or one.role == "year?")


def _placed(text: str, one: Quantity, vocabulary: Vocabulary, *, compared: bool) -> Quantity | None:
    """The quantity with its field: by unit, by a word for the field nearby, by its size, or the only one."""
    if one.role in ("year", *phrase_tables()["units"]):
        return replace(one, attribute=_attribute(vocabulary, one.role))
    called = _called(text, one, vocabulary, compared=compared)
    if called:
        return called
    if one.role == "year?":
        marked = re.search(r"(?<![a-z])(?:in|from|of|year)\s?$", text[: one.start])
        start = marked.start() if marked else one.start
        if compared or marked:
            return replace(one, start=start, role="year", attribute=_attribute(vocabulary, "year"))
        return None
    if not compared or one.value < _SMALLEST_BARE:
        return None
    role = next((role for role in ("price", "minutes", "followers") if vocabulary.attribute(role)), "")
    return replace(one, role=role, attribute=vocabulary.attribute(role) if role else None)


def _called(text: str, one: Quantity, vocabulary: Vocabulary, *, compared: bool) -> Quantity | None:
    """The quantity with the field that a word beside it names."""
    before, after = text[max(0, one.start - 14) : one.start], text[one.end : one.end + 10]
    for role, called in phrase_tables()["called"].items():
        left = re.search(rf"(?<![a-z])(?:{called})\s?(?:is|of|at|在|是|为|要|:|：)?\s?$", before)
        right = re.match(rf"\s?(?:in )?(?:{called})(?![a-z])", after)
        if (left or right) and (compared or role not in ("year", "minutes")):
            start = one.start - (len(before) - left.start()) if left else one.start
            end = one.end + right.end() if right else one.end
            return replace(one, start=start, end=end, role=role, attribute=_attribute(vocabulary, role))
    return None


def _attribute(vocabulary: Vocabulary, role: str) -> str | None:
    """The catalogue's attribute; years are also looked for in dates."""
    return vocabulary.attribute(role) or (vocabulary.attribute("published") if role == "year" else None)


__all__ = ["ABOUT", "Operator", "Quantity", "quantities"]
