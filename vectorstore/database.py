"""The SQL database of a home folder: one SQLite file by default, PostgreSQL by URL."""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from ..models.errors import CatalogueError

METADATA = MetaData()
"""Every table of Tanqu, whichever module defines it."""

DATABASE_FILE = "tanqu.db"
BUSY_SECONDS = 15.0
"""How long a connection waits for another process to end its transaction."""


_OUR_FAULT = (IntegrityError, ProgrammingError, DataError)
"""Errors that mean a bug here, not a database that cannot be used."""


def open_database(url_or_home: str | Path) -> Engine:
    """Open the database of a home folder, or of a URL (`postgresql://...`), and create the missing tables.

    In a home folder the database is `tanqu.db`, readable by its owner only, and so are folders that are
    created. Modules imported later call `create_tables` for their own tables.

    Returns:
        The engine, to be disposed of by the caller.

    Raises:
        CatalogueError: the folder or the database cannot be used.
    """
    if isinstance(url_or_home, str) and "://" in url_or_home:
        engine = _engine_of_url(url_or_home)
    else:
        engine = _sqlite(f"sqlite:///{_database_file(Path(url_or_home))}")
    create_tables(engine)
    return engine


def memory_database() -> Engine:
    """An empty database in memory, gone with its engine; its one connection serves all threads."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "handle_error", _explain)
    create_tables(engine)
    return engine


def create_tables(engine: Engine) -> None:
    """Create those tables of METADATA that are missing; safe when two processes do it at once.

    Raises:
        CatalogueError: the database cannot be reached, or is not one.
    """
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def private_folder(path: Path) -> Path:
    """Create the folder `path` for its owner only; one that is already there keeps its mode.

    Returns:
        The same path.

    Raises:
        CatalogueError: it cannot be created, or is something else.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"the folder {path} cannot be made ({reason}): choose another home with --home"
        raise CatalogueError(msg) from error
    return path


def _database_file(home: Path) -> Path:
    """The database file in `home`, made with mode 0600 before SQLite would make it readable to all."""
    path = private_folder(home).resolve() / DATABASE_FILE
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): choose another home with --home"
        raise CatalogueError(msg) from error
    return path


def _engine_of_url(text: str) -> Engine:
    try:
        url = make_url(text)
        if url.get_backend_name() == "sqlite":
            return _sqlite(text) if url.database else memory_database()
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, ImportError, SQLAlchemyError) as error:
        msg = f"the database URL cannot be used ({error}): write it as postgresql+psycopg://user@host/name"
        raise CatalogueError(msg) from error
    event.listen(engine, "handle_error", _explain)
    return engine


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "handle_error", _explain)
    return engine


def _configure(connection: Any, _record: Any) -> None:  # types of the driver, which SQLAlchemy hides
    """Readers do not block the writer (WAL), and a reference to a missing row is an error."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _explain(context: ExceptionContext) -> CatalogueError | None:
    """Say in our words that a database is locked, full, damaged or out of reach."""
    error = context.sqlalchemy_exception
    if not isinstance(error, DatabaseError) or isinstance(error, _OUR_FAULT):
        return None
    where = context.engine.url.render_as_string(hide_password=True) if context.engine else "of this home"
    msg = f"the database {where} cannot be used ({context.original_exception}): {_advice(str(error))}"
    return CatalogueError(msg)


def _advice(text: str) -> str:
    if "locked" in text:
        return "another process is writing to it; try again when it has finished"
    if "full" in text:
        return "make room on the disk and try again"
    return "check that it is there, writable, and one of Tanqu's"


__all__ = [
    "BUSY_SECONDS",
    "DATABASE_FILE",
    "METADATA",
    "create_tables",
    "memory_database",
    "open_database",
    "private_folder",
]
