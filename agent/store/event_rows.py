"""Events as rows: how they are stored in order of arrival, and which of them support their item."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ...models.errors import InputError
from ...models.records import Event
from .tables import (
    BATCH,
    EVENTS,
    IDS_PER_QUERY,
    LIKED_FROM,
    RecordResult,
    Took,
    UserData,
    advance,
    chunks,
    lock_writers,
    moment_of,
    ticks_of,
)


def taken_to(took: Took = "seen") -> list[sa.ColumnElement[bool]]:
    """The condition for an event that speaks for its item, as `ACTION_WEIGHTS` has it."""
    action, value = EVENTS.c.action, EVENTS.c.value
    liked = sa.or_(action == "like", sa.and_(action == "rating", value >= LIKED_FROM))
    further = {"bought": [action == "purchase"], "liked": [liked], "seen": []}
    return [
        *further[took],
        EVENTS.c.item.is_not(None),
        action != "dislike",
        sa.or_(action != "rating", value.is_(None), value >= 3),
        sa.or_(action != "purchase", value.is_(None), value >= 0),
    ]


def record_events(connection: Connection, events: Iterable[Event], stamp: int) -> RecordResult:
    """Store events in order of arrival.

    Args:
        connection: that of the transaction.
        events: of any users; of equal ids the last one wins.
        stamp: the time of events without one, in microseconds since 1970.

    Returns:
        How many were new, replaced and unchanged.
    """
    if connection.dialect.name == "postgresql":
        # It plans the look-up of ids while the table is empty, and would go on to read all of it.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    lock_writers(connection)
    added = replaced = unchanged = 0
    for chunk in chunks(events, BATCH):
        last = {event.id: _row(event) for event in chunk}
        known = _known(connection, list(last))
        same = {key for key, row in last.items() if key in known and _says_the_same(row, known[key])}
        # The place of an id in the arrival order is that of its last event.
        order = dict.fromkeys(event.id for event in reversed(chunk) if event.id not in same)
        rows = [last[key] for key in reversed(order)]
        _write(connection, rows, [key for key in order if key in known], stamp)
        added += len(last) - len(known)
        unchanged += len(same)
        replaced += len(chunk) - (len(last) - len(known)) - len(same)
    return RecordResult(added, replaced, unchanged)


def _write(connection: Connection, rows: list[dict[str, Any]], outdated: Sequence[str], stamp: int) -> None:
    """Insert the rows in order of arrival, after what they replace was removed."""
    if not rows:
        return
    for ids in chunks(outdated, IDS_PER_QUERY):
        connection.execute(sa.delete(EVENTS).where(EVENTS.c.id.in_(ids)))
    first = advance(connection, len(rows)) - len(rows) + 1
    for seq, row in enumerate(rows, first):
        row.update(seq=seq, time=stamp if row["time"] is None else row["time"])
    connection.execute(sa.insert(EVENTS), rows)


_STORED = ("id", "user", "item", "query", "action", "value", "time")


def _row(event: Event) -> dict[str, Any]:
    """The columns of `_STORED`, in that order."""
    return {
        "id": event.id,
        "user": event.user,
        "item": event.item,
        "query": event.query,
        "action": event.action,
        "value": event.value,
        "time": None if event.time is None else ticks_of(event.time),
    }


def _says_the_same(row: dict[str, Any], stored: tuple[Any, ...]) -> bool:
    """Whether a row adds nothing to the stored one; without a time it cannot contradict its time."""
    *values, time = row.values()
    return (*values, stored[-1]) == stored and time in (None, stored[-1])


def _known(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """What is stored under these ids."""
    query = sa.select(*(EVENTS.c[name] for name in _STORED))
    rows = (
        row
        for chunk in chunks(ids, IDS_PER_QUERY)
        for row in connection.execute(query.where(EVENTS.c.id.in_(chunk)))
    )
    return {row[0]: tuple(row) for row in rows}


def event_of(row: Any) -> Event:  # Any: a row has the columns that its query names; so below
    """The event that a row of `EVENTS` stores."""
    values = {name: getattr(row, name) for name in _STORED}
    return Event(**{**values, "time": moment_of(values["time"])})


def refuse_taken_ids(connection: Connection, data: UserData) -> None:
    """An import must not take events away from somebody else."""
    for row in _known(connection, [event.id for event in data.events]).values():
        if row[1] != data.user:
            msg = f"the event id {row[0]!r} belongs to another user here: give the event another id"
            raise InputError(msg)
