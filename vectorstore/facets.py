"""Facets: which values the fields of a catalogue hold, counted by the database rather than by reading items."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from sqlalchemy import Connection, text

from .filters import Fields

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIELDS = """
WITH fields(name, value, type, row) AS (
    SELECT 'kind', kind, 'text', row FROM items WHERE kind != ''
    UNION ALL
    SELECT 'tags', tag.value, tag.type, items.row FROM items, json_each(items.tags) AS tag
    UNION ALL
    SELECT field.key, part.value, part.type, items.row
    FROM items, json_each(items.attributes) AS field,
        json_each(CASE field.type WHEN 'array' THEN field.value ELSE json_array(field.value) END) AS part
    WHERE field.type IN ('array', 'text', 'integer', 'real')
)
"""
_IS_DATE = "type = 'text' AND value GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"
_NUMBERS = f"""{_FIELDS}
SELECT name, MIN(value), MAX(value), AVG(CASE WHEN place IN ((n + 1) / 2, (n + 2) / 2) THEN value END)
FROM (
    SELECT name, value, ROW_NUMBER() OVER (PARTITION BY name ORDER BY value) AS place,
        COUNT(*) OVER (PARTITION BY name) AS n
    FROM fields WHERE type IN ('integer', 'real')
) GROUP BY name
"""  # noqa: S608  # fixed parts
_DATES = f"{_FIELDS} SELECT name, MIN(value), MAX(value) FROM fields WHERE {_IS_DATE} GROUP BY name"  # noqa: S608
_WORDS = f"""{_FIELDS}
SELECT name, value FROM (
    SELECT name, value, MIN(row) AS first,
        ROW_NUMBER() OVER (PARTITION BY name ORDER BY COUNT(*) DESC, MIN(row)) AS place
    FROM fields WHERE type = 'text' AND NOT ({_IS_DATE}) GROUP BY name, value
) WHERE place <= :limit ORDER BY first, name = 'kind' DESC, name = 'tags' DESC
"""  # noqa: S608


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
    words: dict[str, list[str]] = defaultdict(list)
    for name, value in connection.execute(text(_WORDS), {"limit": limit}):
        words[name].append(value)
    return Facets(
        {name: NumberFacet(*map(float, ranged)) for name, *ranged in connection.execute(text(_NUMBERS))},
        {name: (first, last) for name, first, last in connection.execute(text(_DATES))},
        {name: tuple(values) for name, values in words.items()},
    )


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
