"""The tables of events, edits and small facts, the records that their rows hold, and the clock of changes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar

import sqlalchemy as sa
from pydantic import AfterValidator, JsonValue, ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from ...models.errors import CatalogueError, InputError
from ...models.records import MAX_ID, Event, Id, Profile, Record, Time
from ...vectorstore import METADATA

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

_NOT_SCRUBBED = (
    "the rows are removed, but their bytes may still be on the disk ({}): close every other program that uses "
    "this home and repeat the command"
)

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


def advance(connection: Connection, steps: int) -> int:
    """Move the clock on by `steps` and return where it stands; safe between processes."""
    moved = sa.cast(sa.cast(META.c.value, sa.BigInteger) + steps, sa.Text)
    connection.execute(sa.update(META).where(META.c.name == CLOCK).values(value=moved))
    return int(connection.execute(sa.select(META.c.value).where(META.c.name == CLOCK)).scalar_one())


def count_removal(connection: Connection) -> None:
    """Write down that something was removed, so that what was counted over all users is counted again."""
    advance(connection, 1)
    more = sa.cast(sa.cast(META.c.value, sa.BigInteger) + 1, sa.Text)
    if not affected(connection, sa.update(META).where(META.c.name == REMOVALS).values(value=more)):
        connection.execute(sa.insert(META).values(name=REMOVALS, value="1"))


def lock_writers(connection: Connection) -> None:
    """Let no other transaction write until this one ends: what it reads from here on stays true."""
    connection.execute(sa.update(META).where(META.c.name == CLOCK).values(value=META.c.value))


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


def scrub(engine: sa.Engine) -> bool:
    """Rewrite the SQLite files so that nothing deleted can be read from them.

    Returns:
        False, and nothing is done, on a database server, whose own vacuum and log rotation are in charge.

    Raises:
        CatalogueError: another connection is reading or writing; close it and call this again.
    """
    if engine.dialect.name != "sqlite":
        return False
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Zeros alone left copies of 5 to 11 in 4,500 deleted rows, where pages had been split: so
            # the file is rewritten, and the log, which holds old and new pages, is cut to nothing.
            connection.exec_driver_sql("VACUUM")
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
    except OperationalError as error:
        raise CatalogueError(_NOT_SCRUBBED.format(error.orig)) from error
    if busy:
        raise CatalogueError(_NOT_SCRUBBED.format("the log is in use"))
    return True
