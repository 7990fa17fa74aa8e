"""The user profile: a history, the weights of its events, its clusters, their names, and the user's edits.

In: the events of a user, the catalogue, what the store has of earlier names, edits and profiles.
Out: a `History` (events with vectors and weights), a `Profile` (named, weighted interests), a `Query` to rank for.
The weight of each action is set in `agent/settings.py` (`ACTION_WEIGHTS`) and applied in `event_weights.py`.
May import: agent.store, agent.settings, agent.messages, agent.run_trace, vectorstore, prompts, models.
"""

from .clustering import EventCluster, average_linkage
from .event_weights import decayed_weights, newest_time
from .history import History, HistoryEntry, Query, read_history
from .interest_naming import name_clusters
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
from .user_profile import Profiles, build_profile, interest_vectors

__all__ = [
    "EventCluster",
    "History",
    "HistoryEntry",
    "InterestChange",
    "Profiles",
    "Query",
    "apply_edits",
    "average_linkage",
    "build_profile",
    "compare_profiles",
    "decayed_weights",
    "edit_payload",
    "forgotten_events",
    "interest_vectors",
    "name_clusters",
    "newest_time",
    "pinned_events",
    "read_history",
    "without_events",
    "without_interests",
    "without_muted",
]
