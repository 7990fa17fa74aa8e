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
from .condition_reader import MAX_MESSAGE, Reader, plain_words
from .condition_times import read_times
from .condition_values import read_kinds, read_unknown_exclusions, read_values
from .conditions import ParsedConditions, Rule
from .fillers import is_generic, strip_fillers
from .quantities import Operator, Quantity, quantities
from .vocabulary import Vocabulary, bounded, phrase_tables


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


__all__ = ["MAX_MESSAGE", "ParsedConditions", "parse_conditions"]
