"""What is left of a forgotten user in a home, after chats in a real terminal and after failures."""

import os
import sys
from pathlib import Path

import pexpect
import pytest

from tanqu.agent.chat.agent import ChatAgent
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.agent.store import reports_folder, user_folder
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import CatalogueError, NotFoundError

USER, TYPED = "zqxv", "show me a quorkly lamp"

_CHAT = """
import sys
from pathlib import Path
from tanqu.agent.chat.terminal import talk
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder

with Recommender.open(settings=Settings(home=Path(sys.argv[1])), embedder=HashEmbedder()) as recommender:
    sys.exit(talk(recommender, sys.argv[2]))
"""


def _open(home: Path) -> Recommender:
    return Recommender.open(settings=Settings(home=home), embedder=HashEmbedder())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two items and one event of the user and one of somebody else."""
    with _open(tmp_path) as recommender:
        recommender.add_items([{"id": "a", "title": "Lamp"}, {"id": "b", "title": "Stove"}])
        events = [{"user": user, "action": "view", "item": "a"} for user in (USER, "other")]
        recommender.record(events)
    return tmp_path


def _chat(home: Path, *lines: str) -> None:
    """Type lines in a pseudo-terminal."""
    env = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    arguments = ["-c", _CHAT, str(home), USER]
    child = pexpect.spawn(sys.executable, arguments, env=env, encoding="utf-8", timeout=60)
    for line in lines:
        child.expect("›")
        child.sendline(line)
    child.expect("›")
    child.sendline("/exit")
    child.expect(pexpect.EOF)


def _traces(home: Path, *words: str) -> list[str]:
    """The files and folders that have one of the words in their name or in their bytes."""
    paths = list(home.rglob("*"))
    named = [str(path) for path in paths if any(word in path.name for word in words)]
    files = [path for path in paths if path.is_file()]
    wanted = [word.encode() for word in words]
    return named + [str(path) for path in files if any(word in path.read_bytes() for word in wanted)]


def test_nothing_typed_in_a_terminal_is_left_of_a_forgotten_user(home: Path) -> None:
    _chat(home, TYPED, "recommend something", "/report html")
    assert _traces(home, "quorkly")
    with _open(home) as recommender:
        recommender.forget_user(USER)
    assert _traces(home, USER, "quorkly") == []
    assert _traces(home, "other")


def test_a_report_that_was_killed_in_its_writing_is_removed_with_the_user(home: Path) -> None:
    (reports_folder(home, USER) / ".tanqu-killed.part").write_text("quorkly")
    with _open(home) as recommender:
        recommender.forget_user(USER)
    assert _traces(home, "quorkly") == []


def test_damaged_conversations_do_not_keep_the_rows_from_being_removed(home: Path) -> None:
    (user_folder(home, USER) / "conversations.db").write_bytes(b"quorkly, and no database")
    with _open(home) as recommender:
        recommender.forget_user(USER)
        with pytest.raises(NotFoundError):
            recommender.profile(USER)
    assert _traces(home, USER, "quorkly") == []


def test_files_that_cannot_be_removed_do_not_keep_the_rows_from_being_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError(13, "not permitted")

    user_folder(home, USER)
    monkeypatch.setattr("shutil.rmtree", refuse)
    with _open(home) as recommender:
        with pytest.raises(CatalogueError, match="not permitted"):
            recommender.forget_user(USER)
        assert not recommender.memory.has_user(USER)


def test_a_user_whose_chat_is_open_is_not_forgotten_in_part(home: Path) -> None:
    with _open(home) as recommender:
        with ChatAgent(recommender, USER) as chat:
            chat.send(TYPED)
            with pytest.raises(CatalogueError, match="is open"):
                recommender.forget_user(USER)
            assert recommender.memory.has_user(USER)
        recommender.forget_user(USER)
    assert _traces(home, USER, "quorkly") == []
