"""Which way leads to the nearest items sooner: ask Chroma and drop what does not pass, or compare all.

Chroma's own filters take time with every item that passes (81 ms for 18,000), so they are not used. What
Chroma's graph leaves out, the exact way finds: a filter holds always, and fewer than k come back only
where fewer pass.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ..models.embedder import Vectors
from .filters import Columns, Mask
from .indexing import Indexer
from .vectors import ChromaIndex

Found = list[tuple[str, float]]
Where = Mapping[str, object]

MARGIN = 1.5
"""What is asked for beyond the expected need: items that pass are not spread evenly."""

FETCH_COST = 6.0
"""Microseconds for each item that Chroma returns."""

READ_COST, PRODUCT_COST = 0.8, 0.1
"""Microseconds to read a vector, and to compare it with one query."""


def nearest(
    indexer: Indexer,
    load_columns: Callable[[], Columns],
    queries: Vectors,
    k: int,
    exclude: frozenset[str],
    where: Where | None,
) -> list[Found]:
    """The items nearest to each of some queries.

    Args:
        indexer: the vector index.
        load_columns: reads ids and attributes of all items, when a filter or an exact search needs them.
        queries: centred unit vectors that are not zero, of shape (n, d).
        k: how many for each.
        exclude: ids of items that are left out.
        where: a filter; None and {} let everything through.

    Returns:
        One list of (id, cosine similarity) pairs per query, best first, ties by id.
    """
    chroma = indexer.chroma
    if chroma is not None and not where:
        fetch = k + len(exclude)
        found = _passing(chroma.query(queries, fetch), k, lambda id_: id_ not in exclude)
        if _complete(found, k) or chroma.count() <= fetch:
            return found
    columns = load_columns()
    mask = columns.allowed(where, exclude)
    if chroma is not None and where:
        tried = _over_fetched(chroma, columns, queries, k, mask)
        if tried is not None:
            return tried
    return _exact(indexer, columns, queries, k, mask)


def _over_fetched(
    chroma: ChromaIndex, columns: Columns, queries: Vectors, k: int, mask: Mask
) -> list[Found] | None:
    """Ask Chroma for enough that `k` should pass, then for more; None once comparing all costs less."""
    allowed = max(1, int(mask.sum()))
    compare = allowed * (READ_COST + PRODUCT_COST * len(queries))
    fetch = int(k * MARGIN * len(mask) / allowed)
    while fetch < len(mask) and fetch * FETCH_COST * len(queries) < compare:
        found = _passing(chroma.query(queries, fetch), k, lambda id_: columns.passes(id_, mask))
        if _complete(found, k):
            return found
        fetch *= 4
    return None


def _exact(indexer: Indexer, columns: Columns, queries: Vectors, k: int, mask: Mask) -> list[Found]:
    """The best of all items that the mask lets through, by comparing every one."""
    places = np.flatnonzero(mask)
    scores = indexer.similarities(columns.rows(places), queries)
    found = []
    for row in scores:
        picked = np.argpartition(-row, k - 1)[:k] if k < len(row) else np.arange(len(row))
        found.append(_sorted(zip(columns.ids(places[picked]), row[picked].tolist(), strict=True)))
    return found


def _passing(found: Iterable[Found], k: int, passes: Callable[[str], bool]) -> list[Found]:
    """The first `k` of each list that pass."""
    return [_sorted([one for one in part if passes(one[0])][:k]) for part in found]


def _complete(found: list[Found], k: int) -> bool:
    return all(len(one) == k for one in found)


def _sorted(found: Iterable[tuple[str, float]]) -> Found:
    """Best first, ties by id, so that the same question has the same answer."""
    return sorted(found, key=lambda one: (-one[1], one[0]))


__all__ = ["Found", "Where", "nearest"]
