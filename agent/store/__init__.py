"""What is remembered of users, in SQL and in one folder per user.

In: events, profiles, edits of profiles, runs, answers of the model. Out: the same, with versions, export,
import and erasure without a trace; homes of an earlier format are upgraded when they are opened.
May import: models, vectorstore.
"""

from .memory import Memory
from .model_cache import ALL_USERS, NameCache, ScoreCache, key_of
from .tables import LIKED_FROM, Edit, EditKind, Forgotten, RecordResult, Took
from .upgrade import upgrade_home
from .user_files import (
    refuse_open_chat,
    remove_reports,
    remove_user_folder,
    reports_folder,
    user_folder,
)

__all__ = [
    "ALL_USERS",
    "LIKED_FROM",
    "Edit",
    "EditKind",
    "Forgotten",
    "Memory",
    "NameCache",
    "RecordResult",
    "ScoreCache",
    "Took",
    "key_of",
    "refuse_open_chat",
    "remove_reports",
    "remove_user_folder",
    "reports_folder",
    "upgrade_home",
    "user_folder",
]
