"""Room."""

from .diversity import places, same_thing, same_words, select, share_taken
from .engagement_cache import EngagementCache, forget_engagement
from .exploration import Explorer, share_of
from .freshness import fresh_stories
from .ranker import (
    SIGNALS,
    WEIGHTS_FILE,
    Ranker,
    RankingWeights,
    best_matches,
    interest_values,
    load_weights,
    weights_in_force,
)
from .retrieval import Channels, everything
from .tuning import keep, tune

__all__ = [
    "Channels",
    "EngagementCache",
    "Explorer",
    "Ranker",
    "RankingWeights",
    "SIGNALS",
    "WEIGHTS_FILE",
    "best_matches",
    "everything",
    "fresh_stories",
    "forget_engagement",
    "interest_values",
    "keep",
    "load_weights",
    "places",
    "same_thing",
    "same_words",
    "select",
    "share_of",
    "share_taken",
    "tune",
    "weights_in_force",
]
