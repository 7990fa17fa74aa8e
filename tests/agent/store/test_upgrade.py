"""A home that the version before the format was counted made (commit 9d9ecc1) opens, and nothing is lost."""

import tarfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from filelock import FileLock

from tanqu.agent.chat.agent import ChatAgent
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.agent.store import user_folder
from tanqu.agent.store.upgrade import FORMAT
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import CatalogueError
from tanqu.vectorstore import open_database

USER, OTHER = "orla quist", "pim"
ARCHIVE = Path(__file__).parent / "data" / "home_format_1.tar.gz"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Ten items, two users with runs, chats and reports, one muted interest; all of it invented."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "home"


def _open(home: Path) -> Recommender:
    settings = Settings(home=home, scenario="shop")
    return Recommender.open(settings=settings, embedder=HashEmbedder(dimensions=16))


def _holding(home: Path, *texts: str) -> set[str]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return {path.name for path in files if any(text.encode() in path.read_bytes() for text in texts)}


def test_events_edits_profiles_and_runs_are_those_of_before(home: Path) -> None:
    with _open(home) as recommender:
        memory = recommender.memory
        assert len(recommender.catalogue) == 10
        assert (len(memory.events(USER)), len(memory.events(OTHER))) == (3, 2)
        assert [edit.kind for edit in memory.edits(USER)] == ["mute"]
        assert any(interest.muted for interest in recommender.profile(USER).interests)
        [*_, last] = memory.runs(USER)
        assert len(last.candidates) == 8 and all(one.raw for one in last.candidates)
        assert {one.candidate.item.title for one in last.candidates} >= {"Floor Lamp", "Camp Stove"}
        assert memory.last_run(OTHER) is not None and recommender.why(OTHER, "item-5").text


def test_conversations_typed_lines_and_reports_are_in_the_folders_of_their_users(home: Path) -> None:
    with _open(home) as recommender:
        for user, line in ((USER, "show me a quorkly lamp"), (OTHER, "recommend something")):
            folder = user_folder(home, user)
            assert line in (folder / "typed.history").read_text()
            assert len(list((folder / "reports").glob("*.json"))) == 1
            with ChatAgent(recommender, user) as chat:
                assert ("user", line) in chat.transcript()
    assert not (home / "chats").exists() and not (home / "reports").exists()


def test_a_user_of_an_upgraded_home_can_be_forgotten_without_a_trace(home: Path) -> None:
    with _open(home) as recommender:
        recommender.forget_user(USER)
        assert _holding(home, USER, "quorkly", "vexillary") == set()
        assert recommender.memory.has_user(OTHER)
        with ChatAgent(recommender, OTHER) as chat:
            assert chat.resumed


def test_a_forgotten_event_takes_along_the_runs_and_profiles_of_before(home: Path) -> None:
    with _open(home) as recommender:
        recommender.memory.forget_events(USER, ["o-9"])
        assert recommender.memory.runs(USER) == [] and recommender.memory.profile(USER) is None
        assert recommender.memory.runs(OTHER)


def test_a_home_is_upgraded_once(home: Path) -> None:
    with _open(home) as recommender:
        runs = recommender.memory.runs(USER)
        assert recommender.memory.meta("format") == str(FORMAT)
    with _open(home) as recommender:
        assert recommender.memory.runs(USER) == runs


def test_damaged_conversations_do_not_keep_a_home_from_opening_and_go_with_the_first_erasure(
    home: Path,
) -> None:
    (home / "chats" / "conversations.db").write_bytes(b"quorkly, and no database")
    with _open(home) as recommender:
        recommender.forget_user(USER)
    assert _holding(home, "quorkly") == set()


def test_an_open_chat_of_the_earlier_version_is_an_error_and_nothing_changes(home: Path) -> None:
    lock = next((home / "chats").glob("*.lock"))
    with FileLock(lock), pytest.raises(CatalogueError, match="earlier version"):
        _open(home)
    with _open(home) as recommender:
        assert recommender.memory.runs(USER)


def test_a_home_of_a_later_format_is_an_error_that_says_so(home: Path) -> None:
    _open(home).close()
    engine = open_database(home)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE meta SET value = '99' WHERE name = 'format'"))
    engine.dispose()
    with pytest.raises(CatalogueError, match=r"later version.*format 99"):
        _open(home)
