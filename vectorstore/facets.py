"""Facets: which values the fields of a catalogue hold, counted by the database rather than by reading items."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from sqlalchemy import Connection, text

from .filters import Fields

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# One scan of the items counts the values of every field. Of the numbers whose ranks are (total + 1) / 2 and
# (total + 2) / 2, in whole numbers, the mean is the median.
_FACETS = """
WITH fields(name, value, type, row) AS (
    SELECT 'kind', kind, 'text', row FROM items WHERE kind != ''
    UNION ALL
    SELECT 'tags', tag.value, tag.type, items.row FROM items, json_each(items.tags) AS tag
    UNION ALL
    SELECT field.key, field.value, field.type, items.row FROM items, json_each(items.attributes) AS field
    WHERE field.type IN ('text', 'integer', 'real')
    UNION ALL
    SELECT field.key, part.value, part.type, items.row
    FROM items, json_each(items.attributes) AS field, json_each(field.value) AS part WHERE field.type = 'array'
), counts AS MATERIALIZED (
    SELECT name, value, COUNT(*) AS n, MIN(row) AS first, CASE
        WHEN type != 'text' THEN 'number'
        WHEN value GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' THEN 'date'
        ELSE 'word'
    END AS class
    FROM fields GROUP BY name, class, value
), words AS (
    SELECT name, value, first, ROW_NUMBER() OVER (PARTITION BY name ORDER BY n DESC, first) AS place
    FROM counts WHERE class = 'word'
), numbers AS (
    SELECT name, CAST(value AS REAL) AS value, n, SUM(n) OVER (PARTITION BY name) AS total,
        SUM(n) OVER (PARTITION BY name ORDER BY CAST(value AS REAL)) AS upto
    FROM counts WHERE class = 'number'
), ranked AS (
    SELECT name, value, (upto - n < (total + 1) / 2 AND (total + 1) / 2 <= upto)
        + (upto - n < (total + 2) / 2 AND (total + 2) / 2 <= upto) AS middles
    FROM numbers
)
SELECT * FROM (
SELECT 'word' AS class, name, value AS low, value AS high, NULL AS median, first
FROM words WHERE place <= :limit
UNION ALL
SELECT 'date', name, MIN(value), MAX(value), NULL, 0 FROM counts WHERE class = 'date' GROUP BY name
UNION ALL
SELECT 'number', name, MIN(value), MAX(value), SUM(value * middles) / 2, 0 FROM ranked GROUP BY name
) ORDER BY first, name = 'kind' DESC, name = 'tags' DESC
"""


@dataclass(frozen=True, slots=True)
class NumberFacet:
    """The smallest, largest and middle value of a numeric field."""

    low: float
    high: float
    median: float


@dataclass(frozen=True)
class Facets:
    """The values of each field: `kind`, `tags`, and the attributes by name.

    Attributes:
        numbers: the range of each numeric field.
        dates: the earliest and the latest ISO date of each field of dates.
        words: the commonest other values of each field, in the order of the items in which they first occur.
    """

    numbers: Mapping[str, NumberFacet]
    dates: Mapping[str, tuple[str, str]]
    words: Mapping[str, tuple[str, ...]]


def count_facets(connection: Connection, limit: int) -> Facets:
    """The facets of the items table, from aggregate queries in SQLite's dialect.

    Args:
        connection: to the database with the items.
        limit: how many words of a field are returned at most: the commonest.

    Returns:
        The facets; the number of rows read does not grow with the number of items beyond `limit` per field.
    """
    numbers: dict[str, NumberFacet] = {}
    dates: dict[str, tuple[str, str]] = {}
    words: dict[str, list[str]] = defaultdict(list)
    for kind, name, low, high, middle, _ in connection.execute(text(_FACETS), {"limit": limit}):
        if kind == "number":
            numbers[name] = NumberFacet(low, high, middle)
        elif kind == "date":
            dates[name] = (low, high)
        else:
            words[name].append(low)
    return Facets(numbers, dates, {name: tuple(values) for name, values in words.items()})


def facets_of(items: Iterable[Fields], limit: int) -> Facets:
    """The facets of given items, for databases without SQLite's JSON functions; every item is read.

    Args:
        items: whose fields are counted.
        limit: how many words of a field are returned at most: the commonest.

    Returns:
        The same facets as `count_facets` for the same items.
    """
    numbers: dict[str, list[float]] = defaultdict(list)
    dates: dict[str, list[str]] = defaultdict(list)
    words: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        for name, value in _values(item):
            if isinstance(value, str):
                if _DATE.match(value):
                    dates[name].append(value)
                else:
                    words[name][value] += 1
            elif not isinstance(value, bool):
                numbers[name].append(float(value))
    return Facets(
        {name: NumberFacet(min(some), max(some), median(some)) for name, some in numbers.items()},
        {name: (min(some), max(some)) for name, some in dates.items()},
        {name: _commonest(counts, limit) for name, counts in words.items()},
    )


def _commonest(counts: Counter[str], limit: int) -> tuple[str, ...]:
    kept = {value for value, _ in counts.most_common(limit)}
    return tuple(value for value in counts if value in kept)


def _values(item: Fields) -> Iterator[tuple[str, str | float]]:
    """Every field of an item with each of its values."""
    if item.kind:
        yield "kind", item.kind
    for tag in item.tags:
        yield "tags", tag
    for name, value in item.attributes.items():
        for part in value if isinstance(value, tuple | list) else (value,):
            yield name, part


__all__ = ["Facets", "NumberFacet", "count_facets", "facets_of"]
