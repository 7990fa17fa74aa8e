"""The folder of one user in a home: typed lines, conversations and reports, removed as a whole."""

import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from ...models.errors import CatalogueError
from ...models.files import safe_name
from ...vectorstore import private_folder

USERS = "users"
REPORTS = "reports"
TYPED = "typed.history"
CONVERSATIONS = "conversations.db"
CHAT_LOCKS = "chat-*.lock"
OLD_CHATS = "chats"  # of all users, in homes of format 1


def user_folder(home: Path, user: str) -> Path:
    """The folder `users/<plain characters of the id>-<hash>` of a user, created for its owner only.

    Returns:
        The path of the folder in `home`.

    Raises:
        CatalogueError: it cannot be created.
    """
    return private_folder(private_folder(home / USERS) / safe_name(user))


def reports_folder(home: Path, user: str) -> Path:
    """The folder of the reports that the chat writes for a user, created for its owner only.

    Returns:
        The path of the folder in `home`.

    Raises:
        CatalogueError: it cannot be created.
    """
    return private_folder(user_folder(home, user) / REPORTS)


def remove_reports(home: Path, user: str) -> None:
    """Remove the reports that the chat wrote, unfinished ones too; those written elsewhere are the user's.

    Raises:
        CatalogueError: a file cannot be removed.
    """
    _remove(home / USERS / safe_name(user) / REPORTS)


def remove_user_folder(home: Path, user: str) -> None:
    """Remove the user's folder with everything in it; nothing happens where there is none.

    Raises:
        CatalogueError: a chat of this user is open, or a file cannot be removed.
    """
    refuse_open_chat(home, user)
    _remove(home / USERS / safe_name(user))
    # The conversations of a home of format 1 that were damaged, and so could not be given to their users.
    _remove(home / OLD_CHATS)


def refuse_open_chat(home: Path, user: str) -> None:
    """Raise CatalogueError if a process holds a chat of this user open: it would write into removed files."""
    for path in (home / USERS / safe_name(user)).glob(CHAT_LOCKS):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout as error:
            msg = f"a chat of {user!r} is open: close it and repeat the command; nothing was removed"
            raise CatalogueError(msg) from error


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"the files in {folder} cannot be removed ({error.strerror}): remove the folder"
        raise CatalogueError(msg) from error


__all__ = ["refuse_open_chat", "remove_reports", "remove_user_folder", "reports_folder", "user_folder"]
