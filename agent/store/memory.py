"""What is remembered of people, in SQL: events, profile versions, the owner's edits, and runs.

Events are the truth; profiles and runs are made from them and can be made again. Everything of a user can
be taken out as JSON (`export_user`) and removed without a trace (`forget_user`).
"""

import reprlib
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, get_args

import sqlalchemy as sa
from pydantic import JsonValue, ValidationError
from sqlalchemy import Connection

from ...models.errors import InputError, NotFoundError
from ...models.records import Profile, Run
from ...vectorstore import METADATA, ItemRows
from ..settings import RUNS_KEPT
from .event_store import EventStore, record_events, refuse_taken_ids
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
    EDITS,
    EVENTS,
    IDS_PER_QUERY,
    LIKED_FROM,
    Edit,
    EditKind,
    Forgotten,
    ProfileVersion,
    RecordResult,
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


class Memory(EventStore):
    """Events, profiles, edits and runs of all users in one SQL database (SQLite or PostgreSQL)."""

    def __init__(self, engine: sa.Engine, runs_kept: int = RUNS_KEPT) -> None:
        """Create the tables that are not there yet; of each user the last `runs_kept` runs are kept."""
        super().__init__(engine)
        self._runs_kept = runs_kept
        self._items = ItemRows(engine)
        self.names = NameCache(engine)

    # Users

    def has_user(self, user: str) -> bool:
        """Whether anything at all is remembered of `user`, even if it is no event."""
        tables = (EVENTS, PROFILES, EDITS, RUNS)
        queries = (sa.select(sa.literal(1)).where(table.c.user == user).limit(1) for table in tables)
        return any(self._all(query, bool) for query in queries)

    def forget_events(self, user: str, ids: Iterable[str]) -> Forgotten:
        """Remove events of a user, and the profile versions and runs that rest on them; edits stay.

        Ids that are not this user's are ignored.

        Returns:
            How many rows were removed, and whether their bytes were overwritten.

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
        return Forgotten(removed, scrub(self.engine))

    def redact(self, user: str, ids: Iterable[str], change: Callable[[Profile], Profile]) -> Forgotten:
        """Remove what was derived from events from everything that is stored, and leave the events.

        Args:
            user: whose events they are.
            ids: of the events; the runs that rest on one of them are removed.
            change: is applied to every stored profile version.

        Returns:
            How many rows were removed, and whether their bytes were overwritten.

        Raises:
            CatalogueError: the rows are changed, but another process keeps their bytes on the disk.
        """
        with self._transaction() as connection:
            lock_writers(connection)
            change_profiles(connection, user, change)
            removed = remove_runs(connection, user, ids) + remove_cached_answers(connection, user)
        return Forgotten(removed, scrub(self.engine))

    # Profiles

    def save_profile(self, profile: Profile, now: datetime | None = None) -> int:
        """Keep the profile as its user's newest version, unless it equals that, and return its number."""
        with self._transaction() as connection:
            return add_profile(connection, profile, ticks_of(now))

    def profile(self, user: str, version: int | None = None) -> Profile | None:
        """A stored profile of a user.

        Returns:
            The one of that version, or the newest; None if there is none at all.

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
        """Store a correction of the profile after the others.

        Args:
            user: whose profile it is.
            kind: mute, pin, rename or forget.
            payload: what the kind needs, as JSON with finite numbers.
            now: the time of the correction; None is the present.

        Returns:
            The correction as it was stored.

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
        """Take back the last correction in force.

        Returns:
            That correction.

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

    def current_run(self, user: str, catalogue: str) -> Run | None:
        """The last run of a user; None if events, edits or the catalogue (its fingerprint) are newer."""
        last = self.last_run(user)
        if last is None or last.fingerprints.get("catalogue") != catalogue:
            return None
        edited = any(edit.created >= last.created for edit in self.edits(user))
        same = {event.id for event in self.events(user)} == {event.id for event in last.history}
        return last if same and not edited else None

    def last_run(self, user: str) -> Run | None:
        """The newest run of a user; None if there is none."""
        return next(iter(self.runs(user, 1)), None)

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
        """Store what `export_user` gave; `export_user` then gives the same again.

        Args:
            data: the export.
            replace: remove what is stored of this user first.
            now: the time of events that have none, and of the profile; None is the present.

        Returns:
            The user of the export.

        Raises:
            InputError: the data is not an export, holds data of several users or takes an event id of another
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

        Returns:
            How many rows were removed, and whether their bytes were overwritten.

        Raises:
            CatalogueError: the rows are gone, but another process keeps their bytes on the disk.
        """
        with self._transaction() as connection:
            removed = self._delete_user(connection, user)
        return Forgotten(removed, scrub(self.engine))

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


__all__ = ["LIKED_FROM", "Edit", "EditKind", "Forgotten", "Memory", "RecordResult", "Took"]
