"""A home's database: private, shared between processes, and clear about what is wrong with it."""

import stat
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from tanqu.models.errors import CatalogueError
from tanqu.vectorstore.database import METADATA, create_tables, memory_database, open_database, private_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    engine = open_database(home)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    assert mode(home) == 0o700
    for path in home.iterdir():
        assert mode(path) == 0o600, path
    engine.dispose()


def test_a_home_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    open_database(tmp_path).dispose()
    assert mode(tmp_path) == 0o755
    assert mode(tmp_path / "tanqu.db") == 0o600


def test_readers_do_not_wait_for_writers_and_references_are_checked(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA busy_timeout")) == 15_000
    engine.dispose()


def test_opening_twice_keeps_what_is_there(tmp_path: Path) -> None:
    first = open_database(str(tmp_path))
    with first.begin() as connection:
        connection.execute(insert(METADATA.tables["catalogue_meta"]).values(key="k", value=b"v"))
    first.dispose()
    second = open_database(tmp_path)
    with second.connect() as connection:
        assert connection.scalar(select(METADATA.tables["catalogue_meta"].c.value)) == b"v"
    second.dispose()


def test_a_url_of_sqlite_is_a_database_too(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    assert (tmp_path / "other.db").exists()
    engine.dispose()


def test_tables_may_be_made_again() -> None:
    engine = memory_database()
    before = set(inspect(engine).get_table_names())
    create_tables(engine)
    assert set(inspect(engine).get_table_names()) == before and before
    engine.dispose()


@pytest.mark.parametrize("home", ["/proc/nope", "/dev/null", "/dev/null/home", "nul\x00"])
def test_an_impossible_home_is_named_with_advice(home: str) -> None:
    with pytest.raises(CatalogueError, match=r"cannot be made .*--home") as raised:
        open_database(Path(home))
    assert home in str(raised.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "tanqu.db").write_text("not a database at all" * 100)
    with pytest.raises(CatalogueError, match=r"tanqu\.db cannot be used \(file is not a database\)"):
        open_database(tmp_path)


def test_a_database_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "tanqu.db").mkdir()
    with pytest.raises(CatalogueError, match=r"tanqu\.db cannot be written"):
        open_database(tmp_path)


@pytest.mark.parametrize("url", ["nodb://here", "://", "postgresql+nothing://u:secret@h/x"])
def test_a_url_that_cannot_be_used_is_an_error(url: str) -> None:
    with pytest.raises(CatalogueError, match="URL cannot be used") as raised:
        open_database(url)
    assert "secret" not in str(raised.value)


def test_a_database_that_vanishes_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="unable to open database file"):
        open_database(f"sqlite:///{tmp_path}/missing/x.db")


def test_our_own_mistakes_are_not_dressed_up() -> None:
    engine = memory_database()
    table = Table("unique_things", MetaData(), Column("id", String, primary_key=True))
    table.create(engine)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(table), [{"id": "a"}, {"id": "a"}])
    engine.dispose()


def test_a_private_folder_may_exist(tmp_path: Path) -> None:
    assert private_folder(tmp_path / "a") == private_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700
