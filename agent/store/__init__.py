"""Room."""

from .memory import LIKED_FROM, Edit, EditKind, Forgotten, Memory, RecordResult, Took
from .name_cache import NOBODY, NameStore, TopicNames, key_of
from .priors import Priors
from .tuned import CachedRunTrace
from .user_folder import (
    refuse_open_chat,
    remove_reports,
    remove_user_folder,
    reports_folder,
    user_folder,
)

__all__ = [
    "Edit",
    "EditKind",
    "Forgotten",
    "LIKED_FROM",
    "Memory",
    "NOBODY",
    "NameStore",
    "Priors",
    "RecordResult",
    "Took",
    "TopicNames",
    "CachedRunTrace",
    "key_of",
    "refuse_open_chat",
    "remove_reports",
    "remove_user_folder",
    "reports_folder",
    "user_folder",
]
