"""What people may do with all that is known of them: change it, take it back, take it out, have it gone."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ..models.engine import forget_prefixes
from ..models.errors import CatalogueError, NotFoundError
from ..models.language_model import LanguageModel
from ..models.records import Profile
from .profile import forgotten_events, payload_of, without_interests
from .ranking import forget_engagement
from .report import page_name
from .store import Edit, EditKind, Forgotten, Memory

REPORTS = "reports"
CHATS = "chats"


class Owner:
    """Carries out what owners ask for, in the database, the caches of the model, and the files of a home."""

    def __init__(self, memory: Memory, model: LanguageModel | None, home: Path) -> None:
        """`home` is the folder whose files are cleared when somebody is forgotten."""
        self._memory = memory
        self._model = model
        self._home = home

    def change(self, profile: Profile, kind: EditKind, wanted: str, new: str = "") -> Edit:
        """Keep a change of an interest of this profile. What is forgotten leaves all caches at once.

        Raises:
            NotFoundError: there is no interest of that name.
            InputError: the new name cannot be used.
        """
        edit = self._memory.add_edit(profile.user, kind, payload_of(profile, kind, wanted, new))
        if kind == "forget":
            self._redact(profile.user, [edit])
        return edit

    def _redact(self, user: str, edits: Sequence[Edit]) -> None:
        events = forgotten_events(edits)
        self._memory.redact(user, events, lambda version: without_interests(version, events))
        self._forget_prompts(user)
        self._remove_reports(user)

    def undo(self, user: str) -> Edit:
        """Take back the last change; raises NotFoundError if there is none."""
        edit = self._memory.undo(user)
        if edit is None:
            msg = f"there is no change of the profile of {user!r} to take back"
            raise NotFoundError(msg)
        return edit

    def forget(self, user: str) -> Forgotten:
        """Remove everything of a user: rows, prompts the model has read, reports, what was counted with them.

        Raises:
            CatalogueError: the rows are gone, but another process keeps their bytes on the disk.
            ModelError: a file of the model's cache cannot be removed.
        """
        self._forget_prompts(user)
        self._remove_reports(user)
        self._remove_chats(user)
        forget_engagement(self._memory, self._home)
        return self._memory.forget_user(user)

    def _forget_prompts(self, user: str) -> None:
        if self._model is not None:
            self._model.forget(user)
        forget_prefixes(user)  # other models may have left files

    def _remove_reports(self, user: str) -> None:
        """Remove the reports that a chat wrote into the home; those written elsewhere are the user's."""
        stem = Path(page_name(user)).stem
        with contextlib.suppress(FileNotFoundError):
            for path in [*(self._home / REPORTS).glob(f"{stem}-*")]:
                path.unlink()

    def _remove_chats(self, user: str) -> None:
        """Remove the user's conversations; their threads begin with the name of the user's page."""
        folder, stem = self._home / CHATS, Path(page_name(user)).stem
        database = folder / "conversations.db"
        if not database.is_file():
            return
        try:
            with contextlib.closing(sqlite3.connect(database, timeout=15)) as connection:
                connection.execute("PRAGMA secure_delete=ON")
                for table in ("checkpoints", "writes"):
                    begins = "substr(thread_id, 1, ?) = ?"
                    connection.execute(
                        f"DELETE FROM {table} WHERE {begins}",  # noqa: S608  # two fixed names
                        (len(stem) + 1, f"{stem}/"),
                    )
                connection.commit()
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            msg = f"the conversations of {user!r} in {database} cannot be removed ({error}): close every chat"
            raise CatalogueError(msg) from error
        for lock in folder.glob(f"{stem}-*.lock"):
            lock.unlink(missing_ok=True)
