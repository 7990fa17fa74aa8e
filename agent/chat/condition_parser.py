"""Conditions on items in a message, parsed by rules: a filter, words to search by, and what cannot be checked.

No model takes part, so that a filter always means what the message says. Every rule carries the words it was
read from; a limit that no field of the catalogue can hold is reported, never dropped.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from ...models.numbers import read_number
from ...models.records import Item
from .conditions import (
    ParsedConditions,
    Reader,
    Rule,
    plain_words,
    read_kinds,
    read_unknown_exclusions,
    read_values,
)
from .quantities import Operator, Quantity, quantities
from .vocabulary import Vocabulary, bounded, is_generic, phrase_tables, strip_fillers


def parse_conditions(
    text: str, vocabulary: Vocabulary, shown: Sequence[Item] = (), today: date | None = None
) -> ParsedConditions:
    """Parse the conditions of a message against the fields of the catalogue.

    Args:
        text: the message; its first 500 characters are read.
        vocabulary: the fields and values of the catalogue.
        shown: the items that "cheaper" compares with; without them it compares with the catalogue.
        today: what "this year" refers to; without it, the newest year of the catalogue.

    Returns:
        The conditions; `wishes` has the words that are left, without fillers.
    """
    reader = Reader(text, vocabulary, shown, today)
    for step in (
        _read_titles, _read_cues, read_times, _read_limits, _read_count, _read_steps, read_values, read_kinds,
        read_unknown_exclusions,
    ):  # fmt: skip
        step(reader)
    rest = strip_fillers(plain_words(reader.text))
    return replace(reader.parsed, wishes="" if is_generic(rest) else rest)


def _read_titles(reader: Reader) -> None:
    """Items named by title, those after "like" apart; a title in brackets that is unknown."""
    for mention in reader.vocabulary.titled(reader.text):
        like = _likeness(reader, mention.start, mention.end)
        start, end = like or (mention.start, mention.end)
        reader.take(start, end)
        if like:
            reader.parsed = replace(reader.parsed, like=(*reader.parsed.like, mention.item))
        else:
            reader.parsed = replace(reader.parsed, named=(*reader.parsed.named, mention.item))
    for quoted in re.finditer(r"《[^》\0]{1,60}》", reader.text):
        reader.miss(quoted[0], "no_title")
    called = bounded(rf"(?:{reader.cues['called']})\s?[\"“]?([^\0,，。.?？!！\"”《]{{2,60}})").search(
        reader.text
    )
    if called:
        reader.miss(called[1].strip(), "no_title")


def _likeness(reader: Reader, start: int, end: int) -> tuple[int, int] | None:
    """The span of "like X" around a title; None if the title is only named."""
    cues, quote = reader.cues, r"\s*[《\"“「]?\s*$"
    before = re.search(rf"(?<![a-z])(?:{cues['like']}){quote}", reader.text[:start])
    joined = re.search(rf"(?:{cues['like_with']}){quote}", reader.text[:start])
    after = re.compile(cues["like_after"]).match(reader.text, end)
    if not before and not after:
        return None
    first = before or joined
    return first.start() if first else start, after.end() if after else end


def _read_cues(reader: Reader) -> None:
    """Words that always hold (unseen), and limits that are taken back."""
    for match in list(bounded(reader.cues["unseen"]).finditer(reader.text)):
        reader.take(*match.span())
        reader.parsed = replace(reader.parsed, unseen=True)
    for role, called in phrase_tables()["called"].items():
        lifted = bounded(_lifting(role, called)).search(reader.text)
        name = reader.vocabulary.attribute(role)
        if lifted:
            reader.take(*lifted.span())
            reader.parsed = replace(reader.parsed, lifted=(*reader.parsed.lifted, name or role))


def _read_limits(reader: Reader) -> None:
    """Numbers with a unit or a comparison: prices, lengths, years."""
    for one in quantities(reader.text, reader.vocabulary):
        said = reader.take(one.start, one.end)
        _limit(reader, one, said)


def _limit(reader: Reader, one: Quantity, said: str) -> None:
    known = {**reader.vocabulary.numbers, **reader.vocabulary.dates}
    if one.attribute is None or one.attribute not in known:
        reader.miss(said, "no_field")
    elif one.currency and not _same_currency(reader, one.currency):
        reader.miss(said, "currency")
    else:
        dated = one.attribute in reader.vocabulary.dates
        for operator, value in one.bounds:
            shown: float | str = _as_date(operator, value) if dated else value
            reader.add(Rule(fields=(one.attribute,), operator=operator, value=shown, said=said))


def _same_currency(reader: Reader, currency: str) -> bool:
    names = phrase_tables()["currencies"][currency]
    return not reader.vocabulary.currencies or any(name in reader.vocabulary.currencies for name in names)


def _read_count(reader: Reader) -> None:
    """How many are asked for."""
    number = r"\d{1,3}|[一二两三四五六七八九十]{1,3}|one|two|three|four|five|six|seven|eight|nine|ten"
    match = bounded(reader.cues["count"].replace("{number}", number)).search(reader.text)
    if match:
        start, end = next(match.span(name) for name in "nmk" if match[name])
        before = reader.text[max(0, start - 1) : start]
        count = int(read_number(reader.text[start:end]) or 0)
        if 1 <= count <= 100 and before not in ("第", "前", "那", "这"):
            # The counted noun stays: it may say which kind is meant.
            reader.take(start, end + (1 if match["n"] else 0))
            reader.parsed = replace(reader.parsed, count=count)


def _read_steps(reader: Reader) -> None:
    """Cheaper, shorter, newer: below or above the middle of what is compared with."""
    for name, pattern in phrase_tables()["more"].items():
        role, _, direction = name.partition("_")
        match = bounded(pattern).search(reader.text)
        if not match:
            continue
        said = reader.take(*match.span())
        attribute = _time_attribute(reader) if role == "time" else reader.vocabulary.attribute(role)
        operator: Operator = "$lt" if direction == "down" else "$gt"
        if attribute and _is_limited(reader, attribute, operator):
            continue  # "too expensive, 150 at most" says how much
        middle = _middle(reader, attribute) if attribute else None
        if attribute is None or middle is None:
            reader.miss(said, "no_field")
            continue
        reader.add(Rule(fields=(attribute,), operator=operator, value=middle, said=said))


def _is_limited(reader: Reader, attribute: str, operator: Operator) -> bool:
    """Whether the message has set a limit on that side of a field already."""
    side = Rule(fields=(attribute,), operator=operator, value=0).key
    return any(rule.key == side for rule in reader.parsed.rules)


def _time_attribute(reader: Reader) -> str | None:
    return reader.vocabulary.attribute("year") or reader.vocabulary.attribute("published")


def _middle(reader: Reader, attribute: str) -> float | str | None:
    """The middle value of the items shown, else of the catalogue (of dates: the newest)."""
    values = sorted(item.attributes[attribute] for item in reader.shown if attribute in item.attributes)
    if values and isinstance(values[len(values) // 2], int | float | str):
        return values[len(values) // 2]  # type: ignore[return-value]  # the line above looked
    if attribute in reader.vocabulary.numbers:
        return reader.vocabulary.numbers[attribute].median
    return reader.vocabulary.dates[attribute][1] if attribute in reader.vocabulary.dates else None


def _lifting(role: str, called: str) -> str:
    """The pattern of what takes back the limits of a field."""
    table = phrase_tables()["lifted"]
    return "|".join([table["any"].replace("{called}", called), *([table[role]] if role in table else [])])


def _as_date(operator: str, year: float) -> str:
    """The date that a year begins with, or ends with where it is an upper limit that includes it."""
    whole = int(year)
    return f"{whole:04d}-12-31" if operator in ("$lte", "$gt") else f"{whole:04d}-01-01"


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SPANS = {"天": 1, "day": 1, "周": 7, "星期": 7, "礼拜": 7, "week": 7, "月": 30, "month": 30}  # in days


def read_times(reader: Reader) -> None:
    """Today, this week, the last three years: counted back from the newest item or from `today`."""
    days = {"today": 0, "yesterday": 1, "week": 6, "month": 30}
    name = reader.vocabulary.attribute("published")
    for cue, back in days.items():
        match = reader.cue(cue)
        if match and (name or cue != "today" or match[0].endswith(("的", "s"))):
            _published(reader, match, name, back)  # "I am tired today" is no condition
    number = r"[\d一二两三四五六七八九十]+|two|three|four|five|six|seven|ten|few|an?|one"
    match = bounded(reader.cues["last_days"].replace("{number}", number)).search(reader.text)
    if match:
        count, unit = next((match[c], match[u]) for c, u in ("nu", "mv", "ow", "px") if match[c])
        back = int(read_number(count) or 3) * next(length for word, length in _SPANS.items() if word in unit)
        _published(reader, match, name, max(back - 1, 0))
    match = bounded(reader.cues["last_years"].replace("{number}", number)).search(reader.text)
    if match:
        _year(reader, match, "$gte", 1 - int(read_number(match["n"] or match["m"]) or 3))
    _dates(reader, name)
    for cue, back in (("this_year", 0), ("last_year", -1)):
        match = reader.cue(cue)
        if match:
            _year(reader, match, "$eq", back)


def _dates(reader: Reader, name: str | None) -> None:
    """A day of the year, such as 10月5日以后 and "before October 5"."""
    table = phrase_tables()["compare_years"]
    day = reader.cues["month_day"]
    pattern = (
        rf"(?P<pre>(?:{table['since_before']}|{table['after_before']}|{table['before_before']})\s?)?"
        rf"(?:{day})(?P<post>{table['later_after']}|{table['earlier_after']})?"
    )
    match = bounded(pattern).search(reader.text)
    if match and name is None and "-" in match[0]:
        return  # "10-20" is a range of something else
    when = _day(match, reader.vocabulary.dates.get(name or "", ("", "2000"))[1]) if match else None
    if match is None or when is None:
        return
    said = reader.take(*match.span())
    if name is None or name not in reader.vocabulary.dates:
        reader.miss(said, "no_field")
        return
    reader.add(Rule(fields=(name,), operator=_order(match["pre"], match["post"]), value=when, said=said))


def _published(reader: Reader, match: re.Match[str], name: str | None, days_back: int) -> None:
    said = reader.take(*match.span())
    if name is None or name not in reader.vocabulary.dates:
        reader.miss(said, "no_field")
        return
    newest = date.fromisoformat(reader.vocabulary.dates[name][1][:10])
    since = date.fromordinal(newest.toordinal() - days_back).isoformat()
    reader.add(Rule(fields=(name,), operator="$gte", value=since, said=said))


def _year(reader: Reader, match: re.Match[str], operator: Operator, offset: int) -> None:
    said = reader.take(*match.span())
    name = reader.vocabulary.attribute("year")
    if name is None:
        reader.miss(said, "no_field")
        return
    newest = reader.today.year if reader.today else int(reader.vocabulary.numbers[name].high)
    reader.add(Rule(fields=(name,), operator=operator, value=newest + offset, said=said))


def _day(match: re.Match[str], newest: str) -> str | None:
    """The date that was said, in the year of the newest item unless it names one; None if there is none."""
    month = _MONTHS.index(match["name"]) + 1 if match["name"] else int(match["m"])
    try:
        return date(int(match["y"] or newest[:4]), month, int(match["day"] or match["d"])).isoformat()
    except ValueError:
        return None


def _order(before: str | None, after: str | None) -> Operator:
    table = phrase_tables()["compare_years"]
    if before:
        return "$lt" if re.match(table["before_before"], before) else "$gte"
    if after:
        return "$lt" if re.match(table["earlier_after"], after) else "$gte"
    return "$eq"
