"""The items of a catalogue in SQL: what is there, what changed, and what the index has not seen yet."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from ..models.records import Enrichment, Item
from . import enriched
from .database import METADATA
from .enriched import ENRICHED
from .facets import Facets, count_facets, facets_of
from .filters import Fields

_CHUNK = 500
"""Values of one `IN (...)`, and rows of one transaction: well below every database's limit."""

_ITEMS = Table(
    "items",
    METADATA,
    Column("row", Integer, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("kind", String, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("digest", String, nullable=False),
    Column("words", String, nullable=False),
    sqlite_autoincrement=True,  # a row number is never used twice: vectors are kept by it
)
_PENDING = Table("items_pending", METADATA, Column("id", String, primary_key=True))
_META = Table(
    "catalogue_meta",
    METADATA,
    Column("key", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

T = TypeVar("T")


class Stored(NamedTuple):
    """How many items were new, changed, or the same as before."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


class Entry(NamedTuple):
    """What the index needs of an item; `row` is None for one that is gone."""

    id: str
    row: int | None
    content: str


_ENTRY = (
    _ITEMS.c.id, _ITEMS.c.row, _ITEMS.c.title, _ITEMS.c.text, _ITEMS.c.tags,
    ENRICHED.c.keywords, ENRICHED.c.theme,
)  # fmt: skip
_WITH_ENRICHED = _ITEMS.outerjoin(ENRICHED, _ITEMS.c.id == ENRICHED.c.id)


class ItemRows:
    """The SQL side of a catalogue.

    Whatever changes is marked *pending* in the same transaction, and stays so until `settled` is told
    that the index has it: a process killed in between loses nothing.
    """

    def __init__(self, engine: Engine) -> None:
        """Use a database whose tables exist (`open_database`)."""
        self.engine = self._engine = engine

    def __len__(self) -> int:
        """Number of items."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(_ITEMS)) or 0)

    def __contains__(self, id_: object) -> bool:
        with self._engine.connect() as connection:
            found = connection.scalar(select(_ITEMS.c.row).where(_ITEMS.c.id == str(id_)))
            return found is not None

    def ids(self, limit: int | None = None) -> list[str]:
        """All ids, or the first `limit`, in the order in which they were first added."""
        with self._engine.connect() as connection:
            return list(connection.scalars(select(_ITEMS.c.id).order_by(_ITEMS.c.row).limit(limit)))

    def get(self, ids: Sequence[str]) -> list[Item]:
        """Items in the order asked; missing ones are left out."""
        found: dict[str, Item] = {}
        with self._engine.connect() as connection:
            for part in chunks(list(dict.fromkeys(ids)), _CHUNK):
                rows = connection.execute(select(_ITEMS).where(_ITEMS.c.id.in_(part)))
                found |= {row.id: _item(row) for row in rows}
        return [found[id_] for id_ in ids if id_ in found]

    def facets(self, limit: int) -> Facets:
        """Which values each field holds, at most `limit` words of one field."""
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                return count_facets(connection, limit)
        return facets_of((fields for _, fields in self.fields()), limit)

    def rows(self, ids: Sequence[str]) -> dict[str, int]:
        """The row numbers of those ids that are there."""
        found: dict[str, int] = {}
        with self._engine.connect() as connection:
            for part in chunks(list(dict.fromkeys(ids)), _CHUNK):
                picked = select(_ITEMS.c.id, _ITEMS.c.row).where(_ITEMS.c.id.in_(part))
                found |= {row.id: row.row for row in connection.execute(picked)}
        return found

    def fields(self) -> Iterator[tuple[int, Fields]]:
        """(row, what filters see) of all items in the order of ids(); no Item is made, for speed."""
        last = 0
        columns = (_ITEMS.c.row, _ITEMS.c.id, _ITEMS.c.kind, _ITEMS.c.tags, _ITEMS.c.attributes)
        while True:
            wanted = select(*columns).where(_ITEMS.c.row > last).order_by(_ITEMS.c.row).limit(5000)
            with self._engine.connect() as connection:
                rows = connection.execute(wanted).all()
            if not rows:
                return
            yield from ((row.row, cast(Fields, row)) for row in rows)
            last = rows[-1].row

    def batches(self, size: int, every: int = 1) -> Iterator[list[Entry]]:
        """All items in the order of ids(), `size` at a time; only every n-th by row number."""
        last = 0
        while True:
            joined = select(*_ENTRY).select_from(_WITH_ENRICHED)
            wanted = joined.where(_ITEMS.c.row > last, _ITEMS.c.row % every == 0)
            with self._engine.connect() as connection:
                rows = connection.execute(wanted.order_by(_ITEMS.c.row).limit(size)).all()
            if not rows:
                return
            yield [_entry(row) for row in rows]
            last = rows[-1].row

    def entries(self, ids: Sequence[str]) -> Iterator[Entry]:
        """What the index needs of those ids that are there."""
        wanted = select(*_ENTRY).select_from(_WITH_ENRICHED)
        for part in chunks(list(dict.fromkeys(ids)), _CHUNK):
            with self._engine.connect() as connection:
                rows = connection.execute(wanted.where(_ITEMS.c.id.in_(part))).all()
            yield from map(_entry, rows)

    def digests(self) -> Iterator[tuple[str, str]]:
        """(id, digest of an entry's content) of all items, in no particular order."""
        last = 0
        columns = (_ITEMS.c.row, _ITEMS.c.id, _ITEMS.c.words, ENRICHED.c.id)
        wanted = select(*columns).select_from(_WITH_ENRICHED).order_by(_ITEMS.c.row).limit(20_000)
        while True:
            with self._engine.connect() as connection:
                rows = connection.execute(wanted.where(_ITEMS.c.row > last)).all()
            if not rows:
                return
            yield from ((id_, words) for _, id_, words, enriched_id in rows if enriched_id is None)
            written = [id_ for _, id_, _, enriched_id in rows if enriched_id is not None]
            yield from ((entry.id, digest(entry.content)) for entry in self.entries(written))
            last = rows[-1][0]

    def store(self, items: Sequence[Item]) -> Stored:
        """Insert or update items of different ids; what is the same as before costs one look."""
        total = Stored()
        for part in chunks(items, _CHUNK):
            with self._engine.begin() as connection:
                stored = _store(connection, part)
                if stored.added or stored.changed:
                    _bump(connection)
            total = Stored(*(old + new for old, new in zip(total, stored, strict=True)))
        return total

    def remove(self, ids: Sequence[str]) -> int:
        """Delete items; returns how many were there."""
        removed = 0
        for part in chunks(list(dict.fromkeys(ids)), _CHUNK):
            with self._engine.begin() as connection:
                picked = select(_ITEMS.c.id, _ITEMS.c.digest).where(_ITEMS.c.id.in_(part))
                rows = connection.execute(picked).all()
                connection.execute(delete(_ITEMS).where(_ITEMS.c.id.in_(part)))
                _mark(connection, [row.id for row in rows])
                _add_content(connection, (-int(row.digest, 16) for row in rows))
                _add_content(connection, [enriched.drop(connection, part)])
                _bump(connection)
            removed += len(rows)
        return removed

    def enrich(self, given: Sequence[tuple[Item, Enrichment]]) -> int:
        """Keep what was written about items, if they still say what they said; how many are changed by it."""
        changed = 0
        for part in chunks(given, _CHUNK):
            with self._engine.begin() as connection:
                picked = select(_ITEMS.c.id, _ITEMS.c.words).where(
                    _ITEMS.c.id.in_([one.id for one, _ in part])
                )
                words = {row.id: row.words for row in connection.execute(picked)}
                same = {one.id: found for one, found in part if words.get(one.id) == digest(one.content)}
                ids, added = enriched.put(connection, same)
                if ids:
                    _mark(connection, ids)
                    _add_content(connection, [added])
                    _bump(connection)
            changed += len(ids)
        return changed

    def enrichments(self, ids: Sequence[str]) -> dict[str, Enrichment]:
        """What was written about those of these items that have it."""
        found: dict[str, Enrichment] = {}
        with self._engine.connect() as connection:
            for part in chunks(list(dict.fromkeys(ids)), _CHUNK):
                found |= enriched.read(connection, part)
        return found

    def pending_batches(self, size: int) -> Iterator[list[Entry]]:
        """What the index has not seen, in the order of ids as text, `size` at a time."""
        last = ""
        joined = _PENDING.outerjoin(_ITEMS, _PENDING.c.id == _ITEMS.c.id)
        joined = joined.outerjoin(ENRICHED, _PENDING.c.id == ENRICHED.c.id)
        wanted = select(_PENDING.c.id, *_ENTRY[1:]).select_from(joined).order_by(_PENDING.c.id).limit(size)
        while True:
            with self._engine.connect() as connection:
                rows = connection.execute(wanted.where(_PENDING.c.id > last)).all()
            if not rows:
                return
            yield [_entry(row) for row in rows]
            last = rows[-1].id

    def count_pending(self) -> int:
        """How many items the index has not seen."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(_PENDING)) or 0)

    def settled(self, ids: Sequence[str]) -> None:
        """The index has these as they are now."""
        with self._engine.begin() as connection:
            for part in chunks(ids, _CHUNK):
                connection.execute(delete(_PENDING).where(_PENDING.c.id.in_(part)))
            _bump(connection)

    def read(self, key: str) -> bytes | None:
        """A value of the catalogue's own notes."""
        with self._engine.connect() as connection:
            return _read(connection, key)

    def write(self, values: dict[str, bytes], *, settled: bool = False) -> None:
        """Set several notes at once; `settled` says that the index has everything."""
        with self._engine.begin() as connection:
            for key, value in values.items():
                _write(connection, key, value)
            if settled:
                connection.execute(delete(_PENDING))
            _bump(connection)

    @property
    def version(self) -> int:
        """Grows with every change of items, notes or index."""
        return int(self.read("version") or b"0")

    @property
    def content(self) -> str:
        """32 hex digits: the same for the same items, whatever the order in which they came."""
        return (self.read("content") or b"0" * 32).decode()


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The values in pieces of at most `size`."""
    return (values[at : at + size] for at in range(0, len(values), size))


def _item(row: Any) -> Item:  # a row of _ITEMS
    # Not validated again, which takes five times as long: JSON changes nothing in an item but tuples.
    plain = row.attributes.items()
    attributes = {name: tuple(value) if isinstance(value, list) else value for name, value in plain}
    return Item.model_construct(
        id=row.id, title=row.title, text=row.text, tags=tuple(row.tags), kind=row.kind, attributes=attributes
    )


def _entry(row: Any) -> Entry:  # a row of _ENTRY, whose type depends on how it was selected
    """An entry with `Item.content` and the enrichment; no Item is made, as every indexed item passes here."""
    parts = (row.title, " ".join(row.tags or ()), row.text, " ".join(row.keywords or ()), row.theme)
    return Entry(row.id, row.row, " ".join(part for part in parts if part))


def digest(text: str) -> str:
    """32 hex digits of a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _values(item: Item) -> dict[str, object]:
    """The columns of an item, with the hashes of all of it and of what is embedded."""
    record = [item.id, item.title, item.text, item.tags, item.kind, item.attributes]
    return {
        "id": item.id,
        "title": item.title,
        "text": item.text,
        "tags": list(item.tags),
        "kind": item.kind,
        "attributes": item.attributes,
        "digest": digest(json.dumps(record, sort_keys=True)),
        "words": digest(item.content),
    }


def _store(connection: Connection, items: Sequence[Item]) -> Stored:
    picked = select(_ITEMS.c.id, _ITEMS.c.digest, _ITEMS.c.words)
    known = {
        row.id: row for row in connection.execute(picked.where(_ITEMS.c.id.in_([one.id for one in items])))
    }
    values = [_values(item) for item in items]
    new = [one for one in values if one["id"] not in known]
    changed = [one for one in values if one["id"] in known and one["digest"] != known[one["id"]].digest]
    if new:
        connection.execute(insert(_ITEMS), new)
    if changed:
        names = [name for name in changed[0] if name != "id"]
        statement = update(_ITEMS).where(_ITEMS.c.id == bindparam("old_id"))
        connection.execute(
            statement.values({name: bindparam(f"new_{name}") for name in names}),
            [{"old_id": one["id"]} | {f"new_{name}": one[name] for name in names} for one in changed],
        )
    reworded = [one for one in changed if one["words"] != known[one["id"]].words]
    _mark(connection, [str(one["id"]) for one in (*new, *reworded)])
    _add_content(connection, [enriched.drop(connection, [str(one["id"]) for one in reworded])])
    sums = [int(str(one["digest"]), 16) for one in (*new, *changed)]
    _add_content(connection, (*sums, *(-int(known[one["id"]].digest, 16) for one in changed)))
    return Stored(len(new), len(changed), len(items) - len(new) - len(changed))


def _mark(connection: Connection, ids: Sequence[str]) -> None:
    """Note that the index has to look at these ids."""
    if ids:
        connection.execute(delete(_PENDING).where(_PENDING.c.id.in_(ids)))
        connection.execute(insert(_PENDING), [{"id": id_} for id_ in ids])


def _add_content(connection: Connection, amounts: Iterable[int]) -> None:
    """The hash of a set of items is the sum of theirs: it can be kept up to date one by one."""
    old = int((_read(connection, "content") or b"0").decode(), 16)
    _write(connection, "content", f"{(old + sum(amounts)) % 2**128:032x}".encode())


def _bump(connection: Connection) -> None:
    _write(connection, "version", str(int(_read(connection, "version") or b"0") + 1).encode())


def _read(connection: Connection, key: str) -> bytes | None:
    value: bytes | None = connection.scalar(select(_META.c.value).where(_META.c.key == key))
    return value


def _write(connection: Connection, key: str, value: bytes) -> None:
    changed = connection.execute(update(_META).where(_META.c.key == key).values(value=value))
    if not changed.rowcount:
        connection.execute(insert(_META).values(key=key, value=value))


__all__ = ["Entry", "ItemRows", "Stored", "chunks", "digest"]
