"""The tables of what is remembered of people, what their rows mean, and the statements that change them.

All of it is used by `Memory` alone, within its transactions.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar

import sqlalchemy as sa
from pydantic import AfterValidator, JsonValue, ValidationError
from sqlalchemy import Connection

from ...models.errors import CatalogueError, InputError
from ...models.records import MAX_ID, Event, Id, Profile, Record, Run, Time
from ...vectorstore import METADATA
from .name_cache import NAMES
from .tuned import TUNED

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
CLOCK = "memory.clock"
REMOVALS = "memory.removals"
BATCH = 10_000
IDS_PER_QUERY = 500  # far below every database's limit of parameters

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


def ticks_of(moment: datetime | None) -> int:
    """Microseconds since 1970; of the present for None."""
    moment = datetime.now(UTC) if moment is None else moment
    return ((moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - _EPOCH) // _TICK


def moment_of(ticks: int) -> datetime:
    """The moment of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=ticks)


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in order, in lists of `size` and a last one with the rest."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk


def affected(connection: Connection, statement: Any) -> int:  # Any: SQLAlchemy's deletes share no plain type
    """Run a statement; how many rows it changed."""
    result: sa.CursorResult[Any] = connection.execute(statement)
    return result.rowcount


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


def _advance(connection: Connection, steps: int) -> int:
    """Move the clock on by `steps` and return where it stands; safe between processes."""
    moved = sa.cast(sa.cast(META.c.value, sa.BigInteger) + steps, sa.Text)
    connection.execute(sa.update(META).where(META.c.name == CLOCK).values(value=moved))
    return int(connection.execute(sa.select(META.c.value).where(META.c.name == CLOCK)).scalar_one())


def count_removal(connection: Connection) -> None:
    """Write down that something was removed, so that what was counted over all users is counted again."""
    _advance(connection, 1)
    more = sa.cast(sa.cast(META.c.value, sa.BigInteger) + 1, sa.Text)
    if not affected(connection, sa.update(META).where(META.c.name == REMOVALS).values(value=more)):
        connection.execute(sa.insert(META).values(name=REMOVALS, value="1"))


def lock_writers(connection: Connection) -> None:
    """Let no other transaction write until this one ends: what it reads from here on stays true."""
    _advance(connection, 0)


def record_events(connection: Connection, events: Iterable[Event], stamp: int) -> RecordResult:
    """Store events in order of arrival; one without a time happened at `stamp`."""
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


def edit_of(row: Any) -> Edit:
    """The edit that a row of `EDITS` stores."""
    return Edit(kind=row.kind, payload=json.loads(row.payload), created=moment_of(row.created))


def edit_row(user: str, edit: Edit) -> dict[str, Any]:
    """The columns of an edit."""
    return {
        "user": user,
        "kind": edit.kind,
        "payload": _json(edit.payload),
        "created": ticks_of(edit.created),
    }


def _json(payload: dict[str, JsonValue]) -> str:
    # Not escaped: what is stored can then be found, and found missing, in the bytes of a file.
    return json.dumps(payload, ensure_ascii=False, allow_nan=False)


def store_profile(connection: Connection, profile: Profile, stamp: int) -> int:
    """Keep a profile as a new version unless it is the newest one; the number of its version."""
    lock_writers(connection)
    query = sa.select(PROFILES.c.version, PROFILES.c.json).where(PROFILES.c.user == profile.user)
    newest = connection.execute(query.order_by(PROFILES.c.version.desc()).limit(1)).first()
    text = profile.model_dump_json()
    if newest is not None and newest.json == text:
        return int(newest.version)
    version = 1 if newest is None else int(newest.version) + 1
    row = {"user": profile.user, "version": version, "json": text, "created": stamp}
    connection.execute(sa.insert(PROFILES).values(row))
    return version


def remove_resting_on(connection: Connection, user: str, ids: set[str]) -> int:
    """Delete the profile versions and runs of a user that cite one of the events."""
    versions = [
        row.version
        for row in connection.execute(sa.select(PROFILES).where(PROFILES.c.user == user))
        if ids & _cited(Profile.model_validate_json(row.json))
    ]
    removed = remove_runs(connection, user, ids) + remove_names(connection, user)
    for chunk in chunks(versions, IDS_PER_QUERY):
        chosen = sa.delete(PROFILES).where(PROFILES.c.user == user, PROFILES.c.version.in_(chunk))
        removed += affected(connection, chosen)
    return removed


def remove_runs(connection: Connection, user: str, ids: set[str]) -> int:
    """Remove the runs of a user that cite one of the events."""
    numbers = [
        row.id
        for row in connection.execute(sa.select(RUNS).where(RUNS.c.user == user))
        if ids & _cited_by_run(Run.model_validate_json(row.json))
    ]
    return sum(
        affected(connection, sa.delete(RUNS).where(RUNS.c.id.in_(chunk)))
        for chunk in chunks(numbers, IDS_PER_QUERY)
    )


def remove_names(connection: Connection, user: str) -> int:
    """Remove the names of a user's groups, and what a model said after their history: both are from its words."""
    tables = (NAMES, TUNED)
    return sum(affected(connection, sa.delete(one).where(one.c.user == user)) for one in tables)


def _cited(profile: Profile) -> set[str]:
    return {key for interest in profile.interests for key in interest.evidence}


def _cited_by_run(run: Run) -> set[str]:
    explained = {key for one in run.recommendations for key in one.explanation.evidence}
    return _cited(run.profile) | explained | {event.id for event in run.history}


def user_data(data: object) -> UserData:
    """An export as a record; raises InputError if it is none, or holds data of somebody else."""
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


def refuse_taken_ids(connection: Connection, data: UserData) -> None:
    """An import must not take events away from somebody else."""
    for row in _known(connection, [event.id for event in data.events]).values():
        if row[1] != data.user:
            msg = f"the event id {row[0]!r} belongs to another user here: give the event another id"
            raise InputError(msg)


def not_scrubbed(reason: str) -> CatalogueError:
    """The error for bytes that could not be overwritten."""
    return CatalogueError(
        f"the rows are removed, but their bytes may still be on the disk ({reason}): close every other "
        "program that uses this home and repeat the command"
    )
