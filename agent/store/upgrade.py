"""The format of a home, and the upgrade of a home that an earlier version made.

Format 1 stored whole candidates in each run, scores of the model in two tables, and the files of all users
in the folders `chats` and `reports`.
"""

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy import Connection

from ...models.errors import CatalogueError
from ...models.records import Profile, Run
from ...vectorstore import private_folder
from .model_cache import ALL_USERS, SCORES
from .stored_runs import (
    PROFILE_EVENTS,
    PROFILES,
    RUN_EVENTS,
    RUNS,
    cite,
    events_of_profile,
    events_of_run,
    stored,
)
from .tables import META, lock_writers
from .user_files import CONVERSATIONS, OLD_CHATS, REPORTS, TYPED, USERS

FORMAT = 2
_NAME = "format"
_OLD_SCORES = ("model_priors", "tuned_likelihoods")
_OLD_REPORT = re.compile(r"(?P<folder>.+-[0-9a-f]{12})-(?P<name>\d{8}-\d{6}\..+)")


def upgrade_home(engine: sa.Engine, home: Path) -> None:
    """Bring a home to the present format, once, in one transaction.

    Raises:
        CatalogueError: the home is of a later format, or a chat of the earlier version is open.
    """
    with engine.begin() as connection:
        if _format(connection, home) == FORMAT:
            return
        lock_writers(connection)
        if _format(connection, home) == FORMAT:  # another process was faster
            return
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        _upgrade_files(home)
        _upgrade_rows(connection)
        connection.execute(sa.delete(META).where(META.c.name == _NAME))
        connection.execute(sa.insert(META).values(name=_NAME, value=str(FORMAT)))


def _format(connection: Connection, home: Path) -> int:
    text = connection.scalar(sa.select(META.c.value).where(META.c.name == _NAME))
    found = int(text or 1)
    if found > FORMAT:
        msg = (
            f"{home} was written by a later version of Tanqu (format {found}, this version reads {FORMAT}): "
        )
        msg += "install the later version, or choose another home with --home"
        raise CatalogueError(msg)
    return found


def _upgrade_rows(connection: Connection) -> None:
    for row in connection.execute(sa.select(RUNS)).all():
        run = Run.model_validate_json(row.json)
        connection.execute(sa.update(RUNS).where(RUNS.c.id == row.id).values(json=stored(run)))
        cite(connection, RUN_EVENTS, row.user, row.id, events_of_run(run))
    for row in connection.execute(sa.select(PROFILES)).all():
        events = events_of_profile(Profile.model_validate_json(row.json))
        cite(connection, PROFILE_EVENTS, row.user, row.version, events)
    present = set(sa.inspect(connection).get_table_names()).intersection(_OLD_SCORES)
    if "model_priors" in present:
        old = sa.table("model_priors", sa.column("key"), sa.column("value"))
        values = sa.select(sa.literal(ALL_USERS), old.c.key, old.c.value)
        connection.execute(sa.insert(SCORES).from_select(["user", "key", "value"], values))
    for name in sorted(present):
        connection.exec_driver_sql(f"DROP TABLE {name}")


def _upgrade_files(home: Path) -> None:
    chats = home / OLD_CHATS
    _refuse_open_chats(chats)
    if (chats / CONVERSATIONS).is_file():
        _split_conversations(home, chats / CONVERSATIONS)
    for path in sorted(chats.glob("*.history")):
        path.replace(_folder(home, path.stem) / TYPED)
    for path in sorted((home / REPORTS).glob("*")):
        if path.name.startswith(".tanqu-"):  # a report killed in its writing: nobody knows whose
            path.unlink()
        elif named := _OLD_REPORT.fullmatch(path.name):
            path.replace(private_folder(_folder(home, named["folder"]) / REPORTS) / named["name"])
    for folder in (chats, home / REPORTS):
        with contextlib.suppress(OSError):  # not there, or with files of the user's own
            folder.rmdir()


def _folder(home: Path, name: str) -> Path:
    return private_folder(private_folder(home / USERS) / name)


def _refuse_open_chats(chats: Path) -> None:
    for path in sorted(chats.glob("*.lock")):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout as error:
            msg = f"a chat of an earlier version of Tanqu is open in {chats}: close it and repeat the command"
            raise CatalogueError(msg) from error
        path.unlink(missing_ok=True)


def _split_conversations(home: Path, database: Path) -> None:
    """Give each user a copy of the conversations that holds only theirs; a damaged database stays as it is."""
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            threads = [
                str(row[0]) for row in connection.execute("SELECT DISTINCT thread_id FROM checkpoints")
            ]
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError:
        return
    for name in sorted({thread.rpartition("/")[0] for thread in threads}):
        _keep_only(name, Path(shutil.copy(database, _folder(home, name) / CONVERSATIONS)))
    for path in database.parent.glob(f"{CONVERSATIONS}*"):
        path.unlink()


def _keep_only(name: str, database: Path) -> None:
    database.chmod(0o600)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for table in ("checkpoints", "writes"):
            others = f"DELETE FROM {table} WHERE substr(thread_id, 1, ?) <> ?"  # noqa: S608  # two fixed names
            connection.execute(others, (len(name) + 1, f"{name}/"))
        connection.commit()
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


__all__ = ["FORMAT", "upgrade_home"]
