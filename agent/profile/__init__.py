"""Room."""

from .clustering import Group, linked
from .event_weights import event_weights, newest
from .history import History, HistoryEntry, read_history
from .interests import build_profile, interest_vectors, name_groups
from .profile_edits import (
    Change,
    apply_edits,
    compare,
    forgotten_events,
    payload_of,
    pinned_events,
    silenced,
    without,
    without_interests,
)
from .profiles import Profiles
from .query import Query

__all__ = [
    "Change",
    "HistoryEntry",
    "Group",
    "History",
    "Profiles",
    "Query",
    "apply_edits",
    "build_profile",
    "compare",
    "event_weights",
    "forgotten_events",
    "interest_vectors",
    "linked",
    "name_groups",
    "newest",
    "payload_of",
    "pinned_events",
    "read_history",
    "silenced",
    "without",
    "without_interests",
]
