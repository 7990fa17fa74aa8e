"""What is remembered of people, in SQL: events, profile versions, the owner's edits, and runs.

Events are the truth; profiles and runs are made from them and can be made again. Everything of a user can
be taken out as JSON (`export_user`) and removed without a trace (`forget_user`).
"""

import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from typing import Any, get_args

import sqlalchemy as sa
from pydantic import JsonValue, ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from ...models.errors import CatalogueError, InputError, NotFoundError
from ...models.records import Event, Profile, Run
from ...vectorstore import METADATA, ItemRows, create_tables
from .event_rows import event_of, record_events, refuse_taken_ids, taken_to
from .model_cache import NameCache
from .stored_runs import (
    CITATIONS,
    PROFILES,
    RUNS,
    add_profile,
    add_run,
    change_profiles,
    remove_cached_answers,
    remove_profiles,
    remove_runs,
    restored,
)
from .tables import (
    BATCH,
    CLOCK,
    EDITS,
    EVENTS,
    IDS_PER_QUERY,
    LIKED_FROM,
    META,
    REMOVALS,
    Edit,
    EditKind,
    Forgotten,
    ProfileVersion,
    RecordResult,
    T,
    Took,
    UserData,
    affected,
    chunks,
    count_removal,
    edit_of,
    edit_row,
    lock_writers,
    moment_of,
    scrub,
    ticks_of,
    user_data,
)

RUNS_KEPT = 20


class Memory:
    """Events, profiles, edits and runs of all users in one SQL database (SQLite or PostgreSQL)."""

    def __init__(self, engine: sa.Engine, runs_kept: int = RUNS_KEPT) -> None:
        """Create the tables that are not there yet; of each user the last `runs_kept` runs are kept."""
        self.engine = self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        create_tables(engine)
        self._runs_kept = runs_kept
        self._items = ItemRows(engine)
        self.names = NameCache(engine)
        if self.meta(CLOCK) is None:
            self._start_clock()

    # Events

    def record(self, events: Iterable[Event], now: datetime | None = None) -> RecordResult:
        """Keep all events or, if something fails, none; an id that is known is replaced, the last one wins.

        Ids are unique over all users. Events without a time get `now` (default: the present). An event
        equal to the stored one keeps its time and place, so recording a file twice changes nothing.
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

    def forget_events(self, user: str, ids: Iterable[str]) -> Forgotten:
        """Remove events of a user, and the profile versions and runs that rest on them; edits stay.

        Ids that are not this user's are ignored.

        Raises:
            CatalogueError: the rows are gone, but another process keeps their bytes on the disk.
        """
        gone = set(ids)
        with self._transaction() as connection:
            removed = sum(
                affected(connection, sa.delete(EVENTS).where(EVENTS.c.user == user, EVENTS.c.id.in_(chunk)))
                for chunk in chunks(sorted(gone), IDS_PER_QUERY)
            )
            if removed:
                count_removal(connection)
                removed += remove_runs(connection, user, gone) + remove_profiles(connection, user, gone)
                removed += remove_cached_answers(connection, user)
        # Even if nothing was there: an earlier attempt may have been cut off before the scrubbing.
        return Forgotten(removed, scrub(self._engine))

    def redact(self, user: str, ids: Iterable[str], change: Callable[[Profile], Profile]) -> Forgotten:
        """Take what was made of these events out of everything that is stored, and leave the events.

        `change` is applied to every profile version; names, and the runs that cite one of the events, go.

        Raises:
            CatalogueError: the rows are changed, but another process keeps their bytes on the disk.
        """
        with self._transaction() as connection:
            lock_writers(connection)
            change_profiles(connection, user, change)
            removed = remove_runs(connection, user, ids) + remove_cached_answers(connection, user)
        return Forgotten(removed, scrub(self._engine))

    # Profiles

    def save_profile(self, profile: Profile, now: datetime | None = None) -> int:
        """Keep the profile as its user's newest version, unless it equals that, and return its number."""
        with self._transaction() as connection:
            return add_profile(connection, profile, ticks_of(now))

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
        query = sa.select(PROFILES.c.json).where(
            PROFILES.c.user == user, PROFILES.c.created <= ticks_of(when)
        )
        return self._newest_profile(query)

    def profile_versions(self, user: str) -> list[ProfileVersion]:
        """The stored versions of a user's profile, oldest first."""
        query = sa.select(PROFILES.c.version, PROFILES.c.created).where(PROFILES.c.user == user)
        return self._all(
            query.order_by(PROFILES.c.version), lambda row: ProfileVersion(row[0], moment_of(row[1]))
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
            edit = Edit(kind=kind, payload=payload, created=moment_of(ticks_of(now)))
        except ValidationError as error:
            msg = f"the edit {kind!r} with {reprlib.repr(payload)} cannot be kept: the kind must be one of "
            msg += f"{', '.join(get_args(EditKind))} and the payload plain JSON with finite numbers"
            raise InputError(msg) from error
        with self._transaction() as connection:
            connection.execute(sa.insert(EDITS).values(edit_row(user, edit)))
        return edit

    def edits(self, user: str) -> list[Edit]:
        """The corrections in force (not undone), in the order in which they were made."""
        query = sa.select(EDITS).where(EDITS.c.user == user, EDITS.c.undone.is_(False)).order_by(EDITS.c.id)
        return self._all(query, edit_of)

    def undo(self, user: str) -> Edit:
        """Take back the last correction in force and return it.

        Raises:
            NotFoundError: there is none.
        """
        query = sa.select(EDITS).where(EDITS.c.user == user, EDITS.c.undone.is_(False))
        with self._transaction() as connection:
            lock_writers(connection)
            row = connection.execute(query.order_by(EDITS.c.id.desc()).limit(1)).first()
            if row is None:
                msg = f"there is no change of the profile of {user!r} to take back"
                raise NotFoundError(msg)
            connection.execute(sa.update(EDITS).where(EDITS.c.id == row.id).values(undone=True))
            return edit_of(row)

    # Runs

    def save_run(self, run: Run) -> int:
        """Keep a run and return its number; the user's oldest runs beyond those kept are removed."""
        with self._transaction() as connection:
            return add_run(connection, run, self._runs_kept)

    def runs(self, user: str, n: int | None = None) -> list[Run]:
        """The last `n` runs of a user (default: all that are kept), oldest first."""
        query = sa.select(RUNS.c.json).where(RUNS.c.user == user).order_by(RUNS.c.id.desc())
        query = query if n is None else query.limit(max(n, 0))
        texts = self._all(query, lambda row: str(row[0]))
        return [restored(text, self._items.get) for text in reversed(texts)]

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
        found = user_data(data)
        if self.has_user(found.user) and not replace:
            msg = f"there is data of user {found.user!r} already: say that it is to be replaced, or forget it"
            raise InputError(msg)
        stamp = ticks_of(now)
        with self._transaction() as connection:
            lock_writers(connection)
            refuse_taken_ids(connection, found)
            self._delete_user(connection, found.user)
            record_events(connection, found.events, stamp)
            for edit in found.edits:
                connection.execute(sa.insert(EDITS).values(edit_row(found.user, edit)))
            if found.profile is not None:
                add_profile(connection, found.profile, stamp)
        return found.user

    def forget_user(self, user: str) -> Forgotten:
        """Remove every row of a user from every table with a `user` column, and the bytes from the disk.

        What other users did, and items that carry the user's name, are not the user's rows and stay.

        Raises:
            CatalogueError: the rows are gone, but another process keeps their bytes on the disk.
        """
        with self._transaction() as connection:
            removed = self._delete_user(connection, user)
        return Forgotten(removed, scrub(self._engine))

    def _delete_user(self, connection: Connection, user: str) -> int:
        present = set(sa.inspect(connection).get_table_names())
        tables = [one for one in METADATA.sorted_tables if one.name in present and "user" in one.c]
        counts = {
            table.name: affected(connection, sa.delete(table).where(table.c.user == user))
            for table in reversed(tables)
        }
        removed = sum(count for name, count in counts.items() if name not in CITATIONS)
        if removed:
            count_removal(connection)
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
                connection.execute(sa.insert(META).values(name=CLOCK, value="0"))
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


__all__ = ["LIKED_FROM", "Edit", "EditKind", "Forgotten", "Memory", "RecordResult", "Took"]
