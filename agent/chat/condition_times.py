"""Conditions on dates and years: today, the last three years, 10月5日以后, "before October 5"."""

import re
from datetime import date

from ...models.numbers import read_number
from .condition_reader import Reader
from .conditions import Rule
from .quantities import Operator
from .vocabulary import bounded, phrase_tables

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


__all__ = ["read_times"]
