"""Conversations on disk: one LangGraph thread each, in a SQLite file that only its owner can read."""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from ...models.errors import CatalogueError
from ...models.records import Language
from ...models.text import language_of
from ..recommender import Recommender
from ..store import user_folder
from .tool_calls import ChatState

_RECENT = 50


def chat_language(recommender: Recommender, user: str) -> Language:
    """The language of the settings; else of the user's latest items and queries; else of the catalogue."""
    if recommender.settings.language != "auto":
        return recommender.settings.language
    events = recommender.memory.recent(user, _RECENT)
    ids = [event.item for event in events if event.item] or recommender.catalogue.ids(_RECENT)
    titles = [item.title for item in recommender.catalogue.get(ids)]
    return language_of([*titles, *(event.query or "" for event in events)])


MAX_MESSAGES = 400
"""Messages of a conversation that are kept."""

_KEPT_CHECKPOINTS = 8
_MAX_CONVERSATIONS = 64
_RECURSION_LIMIT = 12


class Conversation:
    """The stored conversation of one user that this process holds; a lock keeps other processes out.

    A user with several chats open at once has several conversations.
    """

    def __init__(self, home: Path, user: str) -> None:
        """Open the user's first conversation in `home` that no other process holds.

        Raises:
            CatalogueError: all conversations of the user are open elsewhere.
        """
        folder = user_folder(home, user)
        self.thread, self._lock = _lock_thread(folder, user)
        self.history_file = folder / "typed.history"
        self.saver = _open_saver(folder / "conversations.db")

    @property
    def config(self) -> dict[str, Any]:  # Any: LangGraph's own configuration
        """What LangGraph needs to run on this conversation."""
        return {"configurable": {"thread_id": self.thread}, "recursion_limit": _RECURSION_LIMIT}

    def delete(self) -> None:
        """Remove every message of it."""
        self.saver.delete_thread(self.thread)

    def prune(self) -> None:
        """Drop all but the newest checkpoints, each of which holds the whole conversation."""
        keep = "SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? ORDER BY checkpoint_id DESC LIMIT ?"
        with self.saver.cursor() as cursor:
            for table in ("checkpoints", "writes"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id NOT IN ({keep})",  # noqa: S608  # two fixed names
                    (self.thread, self.thread, _KEPT_CHECKPOINTS),
                )

    def close(self) -> None:
        """Close the database and release the lock."""
        self.saver.conn.close()
        self._lock.release()


def _lock_thread(folder: Path, user: str) -> tuple[str, FileLock]:
    """The id of the first thread of a user that no living process holds, and the lock on it."""
    for number in range(_MAX_CONVERSATIONS):
        lock = FileLock(folder / f"chat-{number}.lock", mode=0o600)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return f"{folder.name}/{number}", lock
    msg = f"user {user!r} has {_MAX_CONVERSATIONS} chats open: close one of them"
    raise CatalogueError(msg)


def _open_saver(path: Path) -> SqliteSaver:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, check_same_thread=False, timeout=15)
    # None: nothing but plain data and LangChain's own messages is ever deserialised.
    saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    saver.setup()
    return saver


def excess_messages(messages: Sequence[AnyMessage]) -> list[RemoveMessage]:
    """Removals of the oldest messages beyond MAX_MESSAGES."""
    return [RemoveMessage(id=str(message.id)) for message in messages[: max(0, len(messages) - MAX_MESSAGES)]]


def restored_messages(lines: Iterable[tuple[str, str]], state: ChatState) -> list[AnyMessage]:
    """A transcript of (role, text) pairs as messages; the last one carries the state in which it ended."""
    messages: list[AnyMessage] = [
        HumanMessage(text) if role == "user" else AIMessage(text) for role, text in lines
    ]
    end = {"state": state.model_dump(mode="json")}
    return [*messages, ToolMessage("", tool_call_id="restored", artifact=end)]
