"""Room."""

from .clustering import EventCluster, average_linkage
from .event_weights import event_weights, newest_time
from .history import History, HistoryEntry, read_history
from .profile_building import build_profile, interest_vectors, name_clusters
from .profile_edits import (
    InterestChange,
    apply_edits,
    compare_profiles,
    edit_payload,
    forgotten_events,
    pinned_events,
    without_events,
    without_interests,
    without_muted,
)
from .profiles import Profiles
from .query import Query

__all__ = [
    "InterestChange",
    "HistoryEntry",
    "EventCluster",
    "History",
    "Profiles",
    "Query",
    "apply_edits",
    "build_profile",
    "compare_profiles",
    "event_weights",
    "forgotten_events",
    "interest_vectors",
    "average_linkage",
    "name_clusters",
    "newest_time",
    "edit_payload",
    "pinned_events",
    "read_history",
    "without_muted",
    "without_events",
    "without_interests",
]
