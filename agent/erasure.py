"""What is removed when a user, or one interest of a user, is forgotten."""

from contextlib import ExitStack
from pathlib import Path

from ..models.engine import forget_prefixes
from ..models.language_model import LanguageModel
from .profile import forgotten_events, without_interests
from .ranking import clear_engagement
from .store import Edit, Forgotten, Memory, refuse_open_chat, remove_reports, remove_user_folder


class Erasure:
    """Removes data of a user from the database, the user's folder and the caches of a home."""

    def __init__(self, memory: Memory, model: LanguageModel | None, home: Path) -> None:
        """Erase in one home.

        Args:
            memory: the SQL database of the home.
            model: the model whose KV cache in memory is cleared too; None where none is loaded.
            home: the folder that holds the users' folders and the engagement cache.
        """
        self._memory = memory
        self._model = model
        self._home = home

    def forget_user(self, user: str) -> Forgotten:
        """Remove everything of a user; every step is carried out even if another one fails.

        Returns:
            The number of rows removed, and whether their bytes were overwritten.

        Raises:
            CatalogueError: a chat of the user is open (nothing is removed), a file cannot be removed, or
                the rows are gone but another process keeps their bytes on the disk.
            ModelError: a file of the KV cache cannot be removed.
        """
        refuse_open_chat(self._home, user)
        with ExitStack() as steps:
            # Typed lines, conversations, reports.
            steps.callback(remove_user_folder, self._home, user)
            # Prompts in the KV cache, in memory and on the disk.
            steps.callback(self._forget_prompts, user)
            # Co-engagement counts over all users, recomputed without this one.
            steps.callback(clear_engagement, self._memory, self._home)
            # Events, profiles, edits, runs, cached answers of the model: every table with a user column.
            return self._memory.forget_user(user)

    def forget_interest(self, user: str, edit: Edit) -> None:
        """Remove the words of a forgotten interest from everything derived; its events stay.

        Raises:
            CatalogueError: a file cannot be removed, or another process keeps removed bytes on the disk.
            ModelError: a file of the KV cache cannot be removed.
        """
        events = forgotten_events([edit])
        with ExitStack() as steps:
            # Reports that the chat wrote into the home.
            steps.callback(remove_reports, self._home, user)
            # Prompts in the KV cache, in memory and on the disk.
            steps.callback(self._forget_prompts, user)
            # The interest in all profile versions, the runs that cite its events, cached answers of the model.
            self._memory.redact(user, events, lambda version: without_interests(version, events))

    def _forget_prompts(self, user: str) -> None:
        if self._model is not None:
            self._model.forget(user)
        forget_prefixes(user)  # other models may have left files
