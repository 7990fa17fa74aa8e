"""The events of all users in SQL, the counts over them, and the transactions of everything that is stored."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from ...models.errors import CatalogueError, InputError
from ...models.records import Event
from ...vectorstore import create_tables
from .tables import (
    BATCH,
    CLOCK,
    EVENTS,
    IDS_PER_QUERY,
    LIKED_FROM,
    META,
    REMOVALS,
    RecordResult,
    T,
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


class EventStore:
    """Events of all users in one SQL database (SQLite or PostgreSQL)."""

    def __init__(self, engine: sa.Engine) -> None:
        """Create the tables that are not there yet."""
        self.engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        create_tables(engine)
        if self.meta(CLOCK) is None:
            self._start_clock()

    # Events

    def record(self, events: Iterable[Event], now: datetime | None = None) -> RecordResult:
        """Store all events or, if something fails, none; of equal ids the last one wins, also over stored ones.

        Ids are unique over all users. Events without a time get `now` (default: the present). An event
        equal to the stored one keeps its time and place, so recording a file twice changes nothing.

        Returns:
            How many were new, replaced and unchanged.
        """
        with self._transaction() as connection:
            return record_events(connection, events, ticks_of(now))

    def events(self, user: str) -> list[Event]:
        """All events of a user, oldest first; of equal time, in order of arrival."""
        query = sa.select(EVENTS).where(EVENTS.c.user == user).order_by(EVENTS.c.time, EVENTS.c.seq)
        return self._all(query, event_of)

    def recent(self, user: str, n: int) -> list[Event]:
        """The last `n` events of a user, oldest first."""
        query = sa.select(EVENTS).where(EVENTS.c.user == user)
        query = query.order_by(EVENTS.c.time.desc(), EVENTS.c.seq.desc()).limit(max(n, 0))
        return self._all(query, event_of)[::-1]

    def users(self) -> dict[str, int]:
        """The users that have events, in order of their id, each with how many."""
        query = sa.select(EVENTS.c.user, sa.func.count()).group_by(EVENTS.c.user)
        return dict(sorted(self._all(query, lambda row: (str(row[0]), int(row[1])))))

    def consumed(self, user: str) -> set[str]:
        """The ids of all items that a user has any event with, disliked ones included."""
        query = sa.select(EVENTS.c.item).where(EVENTS.c.user == user, EVENTS.c.item.is_not(None)).distinct()
        return set(self._all(query, lambda row: str(row[0])))

    def all_sequences(self) -> Iterator[tuple[str, list[str]]]:
        """Each user with the items of positive events, in order of time; rows are streamed, not held.

        Dislikes, ratings below 3 and returns are left out, and so are users with nothing else. Exhaust or
        close the iterator before `forget_user`: an open reader keeps old pages on the disk.

        Yields:
            (user, item ids oldest first), in order of the user id.
        """
        query = (
            sa.select(EVENTS.c.user, EVENTS.c.item)
            .where(*taken_to())
            .order_by(EVENTS.c.user, EVENTS.c.time, EVENTS.c.seq)
        )
        with self._transaction() as connection:
            rows = connection.execution_options(yield_per=BATCH).execute(query)
            for user, group in groupby(rows, key=lambda row: row[0]):
                yield user, [row[1] for row in group]

    def popularity(self) -> dict[str, int]:
        """How many users took to each item (as in `all_sequences`), the most popular first, then by id."""
        query = sa.select(EVENTS.c.item, sa.func.count(sa.distinct(EVENTS.c.user))).where(*taken_to())
        counts = self._all(query.group_by(EVENTS.c.item), lambda row: (str(row[0]), int(row[1])))
        return dict(sorted(counts, key=lambda pair: (-pair[1], pair[0])))

    def users_of(self, item: str, took: Took) -> set[str]:
        """The users who took to an item in this way."""
        query = sa.select(EVENTS.c.user).where(EVENTS.c.item == item, *taken_to(took)).distinct()
        return set(self._all(query, lambda row: str(row[0])))

    @property
    def version(self) -> int:
        """A number that grows whenever an event is added, replaced or forgotten; caches are keyed by it."""
        return int(self.meta(CLOCK) or 0)

    @property
    def removals(self) -> int:
        """How often events were taken out: what was counted with them must not be used any more."""
        return int(self.meta(REMOVALS) or 0)

    # Small facts

    def meta(self, name: str) -> str | None:
        """What was kept under `name` (the scenario, for one); None if nothing."""
        found = self._all(sa.select(META.c.value).where(META.c.name == name), lambda row: str(row[0]))
        return found[0] if found else None

    def set_meta(self, name: str, value: str) -> None:
        """Keep `value` under `name`, in place of what was there."""
        with self._transaction() as connection:
            connection.execute(sa.delete(META).where(META.c.name == name))
            connection.execute(sa.insert(META).values(name=name, value=value))

    def _all(self, query: sa.Select[Any], read: Callable[[Any], T]) -> list[T]:
        """Every row of a query, read; Any because a row has the columns that its query names."""
        with self._transaction() as connection:
            return [read(row) for row in connection.execute(query)]

    def _start_clock(self) -> None:
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(META).values(name=CLOCK, value="0"))
        except IntegrityError:
            return  # another process was faster; its row is as good

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """All or nothing; on SQLite, what is deleted is overwritten with zeros."""
        try:
            with self.engine.begin() as connection:
                if self._sqlite:
                    connection.exec_driver_sql("PRAGMA secure_delete=ON")
                yield connection
        except OperationalError as error:
            msg = (
                f"the database cannot be used, nothing was changed: {error.orig}; see that no other process "
            )
            msg += "is writing and that the disk is not full, then try again"
            raise CatalogueError(msg) from error
        except UnicodeEncodeError as error:
            msg = f"the text {error.object[:100]!r} is not valid Unicode and cannot be stored or looked up"
            raise InputError(msg) from error
