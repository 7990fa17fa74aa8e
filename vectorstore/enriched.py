"""What a model wrote about items, apart from what their owner says of them.

Everything here is a part of a transaction of `ItemRows`, which tells the index. The hash of a catalogue's
content is a sum over its items, so each change returns what it adds to that sum.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

from sqlalchemy import JSON, Column, Connection, String, Table, Text, delete, insert, select

from ..models.records import Enrichment
from .database import METADATA

ENRICHED = Table(
    "items_enriched",
    METADATA,
    Column("id", String, primary_key=True),
    Column("keywords", JSON, nullable=False),
    Column("theme", Text, nullable=False),
)


def read(connection: Connection, ids: Sequence[str]) -> dict[str, Enrichment]:
    """What was written about these items, by id."""
    rows = connection.execute(select(ENRICHED).where(ENRICHED.c.id.in_(ids)))
    return {row.id: Enrichment(keywords=row.keywords, theme=row.theme) for row in rows}


def put(connection: Connection, given: Mapping[str, Enrichment]) -> tuple[list[str], int]:
    """Keep this in place of what was there; the ids of those that differ, and the change of the sum."""
    before = read(connection, list(given))
    changed = {id_: one for id_, one in given.items() if before.get(id_) != one}
    less = drop(connection, list(changed))
    if changed:
        rows = [
            {"id": id_, "keywords": list(one.keywords), "theme": one.theme} for id_, one in changed.items()
        ]
        connection.execute(insert(ENRICHED), rows)
    return list(changed), less + sum(_digest(id_, one) for id_, one in changed.items())


def drop(connection: Connection, ids: Sequence[str]) -> int:
    """Forget what was written about these items; the change of the sum."""
    gone = read(connection, ids)
    if gone:
        connection.execute(delete(ENRICHED).where(ENRICHED.c.id.in_(list(gone))))
    return -sum(_digest(id_, one) for id_, one in gone.items())


def _digest(id_: str, one: Enrichment) -> int:
    told = json.dumps([id_, one.keywords, one.theme]).encode()
    return int(hashlib.blake2b(told, digest_size=16).hexdigest(), 16)


__all__ = ["ENRICHED", "drop", "put", "read"]
