"""What is remembered of people, in SQL: events, profile versions, the owner's edits, and runs.

Events are the truth; profiles and runs are made from them and can be made again. Everything of a user can
be taken out as JSON (`export_user`) and removed without a trace (`forget_user`).
"""

import json
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import Annotated, Any, Literal, TypeVar, get_args

import sqlalchemy as sa
from pydantic import AfterValidator, JsonValue, ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from ..models.errors import CatalogueError, InputError, NotFoundError
from ..models.records import MAX_ID, Event, Id, Profile, Record, Run, Time
from ..vectorstore.database import METADATA, create_tables
from .names import NAMES, NameRows

EditKind = Literal["mute", "pin", "rename", "forget"]
Took = Literal["bought", "liked", "seen"]
"""How somebody took to an item: bought it, liked it (or gave 4 stars or more), or anything that speaks for it."""
LIKED_FROM = 4.0
"""Stars from which on a rating says that somebody liked it."""

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("id", sa.String(MAX_ID), primary_key=True),
    sa.Column("user", sa.String(MAX_ID), nullable=False),
    sa.Column("item", sa.String(MAX_ID)),
    sa.Column("query", sa.Text),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("value", sa.Float),
    # Microseconds since 1970 in UTC: exact, sortable and the same in every database.
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Index("events_of_user", "user", "time", "seq"),
    sa.Index("events_of_item", "item"),
)
PROFILES = sa.Table(
    "profiles",
    METADATA,
    sa.Column("user", sa.String(MAX_ID), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("json", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)
EDITS = sa.Table(
    "edits",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user", sa.String(MAX_ID), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("undone", sa.Boolean, nullable=False, default=False),
)
RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user", sa.String(MAX_ID), nullable=False, index=True),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("json", sa.Text, nullable=False),
)
META = sa.Table(
    "meta",
    METADATA,
    sa.Column("name", sa.String(MAX_ID), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_CLOCK = "memory.clock"
_REMOVALS = "memory.removals"
_BATCH = 10_000
_IDS_PER_QUERY = 500  # far below every database's limit of parameters

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordResult:
    """How many of the recorded events were new, took the place of one with their id, or were known."""

    added: int
    replaced: int
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    """A stored profile: its number (from 1) and when it was saved (UTC)."""

    version: int
    created: datetime


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows were removed; `scrubbed` is False where the database's own vacuum clears the disk."""

    rows: int
    scrubbed: bool


def _plain(payload: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _json(payload).encode()  # refuses half characters, as _json refuses NaN
    return payload


class Edit(Record):
    """A correction that the owner of a profile made; what `payload` holds is up to its kind."""

    kind: EditKind
    payload: Annotated[dict[str, JsonValue], AfterValidator(_plain)]
    created: Time


class UserData(Record):
    """Everything of a user that cannot be computed again, and the profile in force."""

    format: Literal["tanqu-user-1"] = "tanqu-user-1"
    user: Id
    events: tuple[Event, ...] = ()
    edits: tuple[Edit, ...] = ()
    profile: Profile | None = None


class Memory:
    """Events, profiles, edits and runs of all users in one SQL database (SQLite or PostgreSQL)."""

    def __init__(self, engine: sa.Engine) -> None:
        """Create the tables that are not there yet."""
        self.engine = self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        create_tables(engine)
        self.names = NameRows(engine)
        if self.meta(_CLOCK) is None:
            self._start_clock()

    # Events

    def record(self, events: Iterable[Event], now: datetime | None = None) -> RecordResult:
        """Keep all events or, if something fails, none; an id that is known is replaced, the last one wins.

        Ids are unique over all users. Events without a time get `now` (default: the present). An event
        equal to the stored one keeps its time and place, so recording a file twice changes nothing.
        """
        with self._transaction() as connection:
            return _record(connection, events, _ticks(now))

    def events(self, user: str) -> list[Event]:
        """All events of a user, oldest first; of equal time, in order of arrival."""
        query = sa.select(EVENTS).where(EVENTS.c.user == user).order_by(EVENTS.c.time, EVENTS.c.seq)
        return self._all(query, _event)

    def recent(self, user: str, n: int) -> list[Event]:
        """The last `n` events of a user, oldest first."""
        query = sa.select(EVENTS).where(EVENTS.c.user == user)
        query = query.order_by(EVENTS.c.time.desc(), EVENTS.c.seq.desc()).limit(max(n, 0))
        return self._all(query, _event)[::-1]

    def users(self) -> dict[str, int]:
        """The users that have events, in order of their id, each with how many."""
        query = sa.select(EVENTS.c.user, sa.func.count()).group_by(EVENTS.c.user)
        return dict(sorted(self._all(query, lambda row: (str(row[0]), int(row[1])))))

    def has_user(self, user: str) -> bool:
        """Whether anything at all is remembered of `user`, even if it is no event."""
        tables = (EVENTS, PROFILES, EDITS, RUNS)
        queries = (sa.select(sa.literal(1)).where(table.c.user == user).limit(1) for table in tables)
        return any(self._all(query, bool) for query in queries)

    def consumed(self, user: str) -> set[str]:
        """The ids of all items that a user has any event with, disliked ones included."""
        query = sa.select(EVENTS.c.item).where(EVENTS.c.user == user, EVENTS.c.item.is_not(None)).distinct()
        return set(self._all(query, lambda row: str(row[0])))

    def all_sequences(self) -> Iterator[tuple[str, list[str]]]:
        """Each user with the items they took to, in order of time; rows are streamed, not held.

        Dislikes, ratings below 3 and returns are left out, and so are users with nothing else. Exhaust or
        close the iterator before `forget_user`: an open reader keeps old pages on the disk.
        """
        query = (
            sa.select(EVENTS.c.user, EVENTS.c.item)
            .where(*_taken_to())
            .order_by(EVENTS.c.user, EVENTS.c.time, EVENTS.c.seq)
        )
        with self._transaction() as connection:
            rows = connection.execution_options(yield_per=_BATCH).execute(query)
            for user, group in groupby(rows, key=lambda row: row[0]):
                yield user, [row[1] for row in group]

    def popularity(self) -> dict[str, int]:
        """How many users took to each item (as in `all_sequences`), the most popular first, then by id."""
        query = sa.select(EVENTS.c.item, sa.func.count(sa.distinct(EVENTS.c.user))).where(*_taken_to())
        counts = self._all(query.group_by(EVENTS.c.item), lambda row: (str(row[0]), int(row[1])))
        return dict(sorted(counts, key=lambda pair: (-pair[1], pair[0])))

    def users_of(self, item: str, took: Took) -> set[str]:
        """The users who took to an item in this way."""
        query = sa.select(EVENTS.c.user).where(EVENTS.c.item == item, *_taken_to(took)).distinct()
        return set(self._all(query, lambda row: str(row[0])))

    @property
    def version(self) -> int:
        """A number that grows whenever an event is added, replaced or forgotten; caches are keyed by it."""
        return int(self.meta(_CLOCK) or 0)

    @property
    def removals(self) -> int:
        """How often events were taken out: what was counted with them must not be used any more."""
        return int(self.meta(_REMOVALS) or 0)

    def forget_events(self, user: str, ids: Iterable[str]) -> Forgotten:
        """Remove events of a user, and the profile versions and runs that rest on them; edits stay.

        Ids that are not this user's are ignored.

        Raises:
            CatalogueError: the rows are gone, but another process keeps their bytes on the disk.
        """
        gone = set(ids)
        with self._transaction() as connection:
            removed = sum(
                _rows(connection, sa.delete(EVENTS).where(EVENTS.c.user == user, EVENTS.c.id.in_(chunk)))
                for chunk in _chunks(sorted(gone), _IDS_PER_QUERY)
            )
            if removed:
                _count_removal(connection)
                removed += _remove_resting_on(connection, user, gone)
        # Even if nothing was there: an earlier attempt may have been cut off before the scrubbing.
        return Forgotten(removed, self.scrub())

    def redact(self, user: str, ids: Iterable[str], change: Callable[[Profile], Profile]) -> Forgotten:
        """Take what was made of these events out of everything that is stored, and leave the events.

        `change` is applied to every profile version; names, and the runs that cite one of the events, go.

        Raises:
            CatalogueError: the rows are changed, but another process keeps their bytes on the disk.
        """
        gone = set(ids)
        with self._transaction() as connection:
            _lock(connection)
            rows = connection.execute(sa.select(PROFILES).where(PROFILES.c.user == user)).all()
            for row in rows:
                text = change(Profile.model_validate_json(row.json)).model_dump_json()
                own = (PROFILES.c.user == user, PROFILES.c.version == row.version)
                if text != row.json:
                    connection.execute(sa.update(PROFILES).where(*own).values(json=text))
            removed = _remove_runs(connection, user, gone) + _remove_names(connection, user)
        return Forgotten(removed, self.scrub())

    # Profiles

    def save_profile(self, profile: Profile, now: datetime | None = None) -> int:
        """Keep the profile as its user's newest version, unless it equals that, and return its number."""
        with self._transaction() as connection:
            return _save_profile(connection, profile, _ticks(now))

    def profile(self, user: str, version: int | None = None) -> Profile | None:
        """The newest profile of a user (None if there is none), or the one of that version.

        Raises:
            NotFoundError: there is no such version.
        """
        query = sa.select(PROFILES.c.json).where(PROFILES.c.user == user)
        if version is None:
            return self._newest_profile(query)
        found = self._newest_profile(query.where(PROFILES.c.version == version))
        if found is None:
            known = ", ".join(str(one.version) for one in self.profile_versions(user)) or "none"
            msg = f"user {user!r} has no profile version {version}; there are: {known}"
            raise NotFoundError(msg)
        return found

    def profile_at(self, user: str, when: datetime) -> Profile | None:
        """The profile that was in force at `when`; None if there was none yet."""
        query = sa.select(PROFILES.c.json).where(PROFILES.c.user == user, PROFILES.c.created <= _ticks(when))
        return self._newest_profile(query)

    def profile_versions(self, user: str) -> list[ProfileVersion]:
        """The stored versions of a user's profile, oldest first."""
        query = sa.select(PROFILES.c.version, PROFILES.c.created).where(PROFILES.c.user == user)
        return self._all(
            query.order_by(PROFILES.c.version), lambda row: ProfileVersion(row[0], _moment(row[1]))
        )

    # The owner's edits

    def add_edit(
        self, user: str, kind: EditKind, payload: dict[str, JsonValue], now: datetime | None = None
    ) -> Edit:
        """Keep a correction after the others.

        Raises:
            InputError: the kind is unknown or the payload is not JSON.
        """
        try:
            edit = Edit(kind=kind, payload=payload, created=_moment(_ticks(now)))
        except ValidationError as error:
            msg = f"the edit {kind!r} with {reprlib.repr(payload)} cannot be kept: the kind must be one of "
            msg += f"{', '.join(get_args(EditKind))} and the payload plain JSON with finite numbers"
            raise InputError(msg) from error
        with self._transaction() as connection:
            connection.execute(sa.insert(EDITS).values(_edit_row(user, edit)))
        return edit

    def edits(self, user: str) -> list[Edit]:
        """The corrections in force (not undone), in the order in which they were made."""
        query = sa.select(EDITS).where(EDITS.c.user == user, EDITS.c.undone.is_(False)).order_by(EDITS.c.id)
        return self._all(query, _edit)

    def undo(self, user: str) -> Edit | None:
        """Take back the last correction in force and return it; None if there is none."""
        query = sa.select(EDITS).where(EDITS.c.user == user, EDITS.c.undone.is_(False))
        with self._transaction() as connection:
            _lock(connection)
            row = connection.execute(query.order_by(EDITS.c.id.desc()).limit(1)).first()
            if row is None:
                return None
            connection.execute(sa.update(EDITS).where(EDITS.c.id == row.id).values(undone=True))
            return _edit(row)

    # Runs

    def save_run(self, run: Run) -> int:
        """Keep a run and return its number."""
        row = {"user": run.user, "created": _ticks(run.created), "json": run.model_dump_json()}
        with self._transaction() as connection:
            key = connection.execute(sa.insert(RUNS).values(row)).inserted_primary_key
            return int(key[0]) if key else 0

    def runs(self, user: str, n: int | None = None) -> list[Run]:
        """The last `n` runs of a user (default: all), oldest first."""
        query = sa.select(RUNS.c.json).where(RUNS.c.user == user).order_by(RUNS.c.id.desc())
        query = query if n is None else query.limit(max(n, 0))
        return self._all(query, lambda row: Run.model_validate_json(row[0]))[::-1]

    def last_run(self, user: str) -> Run | None:
        """The newest run of a user; None if there is none."""
        return next(iter(self.runs(user, 1)), None)

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

    # The user's data as a whole

    def export_user(self, user: str) -> dict[str, Any]:
        """Events, edits in force and the newest profile of a user as plain JSON values."""
        data = UserData(
            user=user,
            events=tuple(self.events(user)),
            edits=tuple(self.edits(user)),
            profile=self.profile(user),
        )
        return data.model_dump(mode="json")

    def import_user(self, data: object, *, replace: bool = False, now: datetime | None = None) -> str:
        """Take in what `export_user` gave and return the user; `export_user` then gives the same again.

        Raises:
            InputError: the data is not an export, speaks of several users or takes an event id of another
                user; or there is data of this user already and `replace` is not set. Nothing is changed.
        """
        found = _user_data(data)
        if self.has_user(found.user) and not replace:
            msg = f"there is data of user {found.user!r} already: say that it is to be replaced, or forget it"
            raise InputError(msg)
        stamp = _ticks(now)
        with self._transaction() as connection:
            _lock(connection)
            _refuse_taken_ids(connection, found)
            self._delete_user(connection, found.user)
            _record(connection, found.events, stamp)
            for edit in found.edits:
                connection.execute(sa.insert(EDITS).values(_edit_row(found.user, edit)))
            if found.profile is not None:
                _save_profile(connection, found.profile, stamp)
        return found.user

    def forget_user(self, user: str) -> Forgotten:
        """Remove every row of a user from every table with a `user` column, and the bytes from the disk.

        What other users did, and items that carry the user's name, are not the user's rows and stay.

        Raises:
            CatalogueError: the rows are gone, but another process keeps their bytes on the disk.
        """
        with self._transaction() as connection:
            removed = self._delete_user(connection, user)
        return Forgotten(removed, self.scrub())

    def scrub(self) -> bool:
        """Rewrite the SQLite files so that nothing deleted can be read from them.

        False, and nothing done, on a database server, whose own vacuum and log rotation are in charge.

        Raises:
            CatalogueError: another connection is reading or writing; close it and call this again.
        """
        if not self._sqlite:
            return False
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                # Zeros alone left copies of 5 to 11 in 4,500 deleted rows, where pages had been split: so
                # the file is written anew, and the log, which holds old and new pages, is cut to nothing.
                connection.exec_driver_sql("VACUUM")
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
        except OperationalError as error:
            raise _not_scrubbed(str(error.orig)) from error
        if busy:
            raise _not_scrubbed("the log is in use")
        return True

    def _delete_user(self, connection: Connection, user: str) -> int:
        present = set(sa.inspect(connection).get_table_names())
        tables = [one for one in METADATA.sorted_tables if one.name in present and "user" in one.c]
        removed = sum(_rows(connection, sa.delete(one).where(one.c.user == user)) for one in reversed(tables))
        if removed:
            _count_removal(connection)
        return removed

    def _newest_profile(self, query: sa.Select[Any]) -> Profile | None:
        newest = query.order_by(PROFILES.c.version.desc()).limit(1)
        found = self._all(newest, lambda row: Profile.model_validate_json(row[0]))
        return found[0] if found else None

    def _all(self, query: sa.Select[Any], read: Callable[[Any], T]) -> list[T]:
        """Every row of a query, read; Any because a row has the columns that its query names."""
        with self._transaction() as connection:
            return [read(row) for row in connection.execute(query)]

    def _start_clock(self) -> None:
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(META).values(name=_CLOCK, value="0"))
        except IntegrityError:
            return  # another process was faster; its row is as good

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """All or nothing; on SQLite, what is deleted is overwritten with zeros."""
        try:
            with self._engine.begin() as connection:
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


def _ticks(moment: datetime | None) -> int:
    """Microseconds since 1970; of the present for None."""
    moment = datetime.now(UTC) if moment is None else moment
    return ((moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - _EPOCH) // _TICK


def _moment(ticks: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ticks)


def _chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _rows(connection: Connection, statement: Any) -> int:  # Any: SQLAlchemy's deletes share no plain type
    result: sa.CursorResult[Any] = connection.execute(statement)
    return result.rowcount


def _taken_to(took: Took = "seen") -> list[sa.ColumnElement[bool]]:
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


def _advance(connection: Connection, steps: int) -> int:
    """Move the clock on by `steps` and return where it stands; safe between processes."""
    moved = sa.cast(sa.cast(META.c.value, sa.BigInteger) + steps, sa.Text)
    connection.execute(sa.update(META).where(META.c.name == _CLOCK).values(value=moved))
    return int(connection.execute(sa.select(META.c.value).where(META.c.name == _CLOCK)).scalar_one())


def _count_removal(connection: Connection) -> None:
    _advance(connection, 1)
    more = sa.cast(sa.cast(META.c.value, sa.BigInteger) + 1, sa.Text)
    if not _rows(connection, sa.update(META).where(META.c.name == _REMOVALS).values(value=more)):
        connection.execute(sa.insert(META).values(name=_REMOVALS, value="1"))


def _lock(connection: Connection) -> None:
    """Let no other transaction write until this one ends: what it reads from here on stays true."""
    _advance(connection, 0)


def _record(connection: Connection, events: Iterable[Event], stamp: int) -> RecordResult:
    if connection.dialect.name == "postgresql":
        # It plans the look-up of ids while the table is empty, and would go on to read all of it.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    _lock(connection)
    added = replaced = unchanged = 0
    for chunk in _chunks(events, _BATCH):
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
    for ids in _chunks(outdated, _IDS_PER_QUERY):
        connection.execute(sa.delete(EVENTS).where(EVENTS.c.id.in_(ids)))
    first = _advance(connection, len(rows)) - len(rows) + 1
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
        "time": None if event.time is None else _ticks(event.time),
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
        for chunk in _chunks(ids, _IDS_PER_QUERY)
        for row in connection.execute(query.where(EVENTS.c.id.in_(chunk)))
    )
    return {row[0]: tuple(row) for row in rows}


def _event(row: Any) -> Event:  # Any: a row has the columns that its query names; so below
    values = {name: getattr(row, name) for name in _STORED}
    return Event(**{**values, "time": _moment(values["time"])})


def _edit(row: Any) -> Edit:
    return Edit(kind=row.kind, payload=json.loads(row.payload), created=_moment(row.created))


def _edit_row(user: str, edit: Edit) -> dict[str, Any]:
    return {
        "user": user,
        "kind": edit.kind,
        "payload": _json(edit.payload),
        "created": _ticks(edit.created),
    }


def _json(payload: dict[str, JsonValue]) -> str:
    # Not escaped: what is stored can then be found, and found missing, in the bytes of a file.
    return json.dumps(payload, ensure_ascii=False, allow_nan=False)


def _save_profile(connection: Connection, profile: Profile, stamp: int) -> int:
    _lock(connection)
    query = sa.select(PROFILES.c.version, PROFILES.c.json).where(PROFILES.c.user == profile.user)
    newest = connection.execute(query.order_by(PROFILES.c.version.desc()).limit(1)).first()
    text = profile.model_dump_json()
    if newest is not None and newest.json == text:
        return int(newest.version)
    version = 1 if newest is None else int(newest.version) + 1
    row = {"user": profile.user, "version": version, "json": text, "created": stamp}
    connection.execute(sa.insert(PROFILES).values(row))
    return version


def _remove_resting_on(connection: Connection, user: str, ids: set[str]) -> int:
    """Delete the profile versions and runs of a user that cite one of the events."""
    versions = [
        row.version
        for row in connection.execute(sa.select(PROFILES).where(PROFILES.c.user == user))
        if ids & _cited(Profile.model_validate_json(row.json))
    ]
    removed = _remove_runs(connection, user, ids) + _remove_names(connection, user)
    for chunk in _chunks(versions, _IDS_PER_QUERY):
        chosen = sa.delete(PROFILES).where(PROFILES.c.user == user, PROFILES.c.version.in_(chunk))
        removed += _rows(connection, chosen)
    return removed


def _remove_runs(connection: Connection, user: str, ids: set[str]) -> int:
    """Remove the runs of a user that cite one of the events."""
    numbers = [
        row.id
        for row in connection.execute(sa.select(RUNS).where(RUNS.c.user == user))
        if ids & _cited_by_run(Run.model_validate_json(row.json))
    ]
    return sum(
        _rows(connection, sa.delete(RUNS).where(RUNS.c.id.in_(chunk)))
        for chunk in _chunks(numbers, _IDS_PER_QUERY)
    )


def _remove_names(connection: Connection, user: str) -> int:
    """Remove the names of a user's groups: they were made from words that are to go."""
    return _rows(connection, sa.delete(NAMES).where(NAMES.c.user == user))


def _cited(profile: Profile) -> set[str]:
    return {key for interest in profile.interests for key in interest.evidence}


def _cited_by_run(run: Run) -> set[str]:
    explained = {key for one in run.recommendations for key in one.explanation.evidence}
    return _cited(run.profile) | explained | {event.id for event in run.history}


def _user_data(data: object) -> UserData:
    try:
        found = UserData.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        msg = (
            f"this is not an export of a user: {where}: {first['msg']}; give what the export wrote, unchanged"
        )
        raise InputError(msg) from error
    owners = {event.user for event in found.events} | ({found.profile.user} if found.profile else set())
    if others := sorted(owners - {found.user}):
        msg = f"the export of user {found.user!r} also holds data of {others[0]!r}: one user per file"
        raise InputError(msg)
    return found


def _refuse_taken_ids(connection: Connection, data: UserData) -> None:
    """An import must not take events away from somebody else."""
    for row in _known(connection, [event.id for event in data.events]).values():
        if row[1] != data.user:
            msg = f"the event id {row[0]!r} belongs to another user here: give the event another id"
            raise InputError(msg)


def _not_scrubbed(reason: str) -> CatalogueError:
    return CatalogueError(
        f"the rows are removed, but their bytes may still be on the disk ({reason}): close every other "
        "program that uses this home and repeat the command"
    )
