"""Room."""

from .diversity import duplicate_key, exhausted_interest, interest_quotas, normalised_title, select
from .engagement_cache import EngagementCache, clear_engagement
from .exploration import Explorer, exploration_count
from .freshness import fresh_stories
from .fusion import reciprocal_rank_fusion
from .ranker import (
    SIGNALS,
    WEIGHTS_FILE,
    Ranker,
    RankingWeights,
    history_similarity,
    interest_matches,
    load_weights,
    weights_in_force,
)
from .retrieval import Retriever, as_candidates
from .tuning import tune, write_weights

__all__ = [
    "Retriever",
    "EngagementCache",
    "Explorer",
    "Ranker",
    "RankingWeights",
    "SIGNALS",
    "WEIGHTS_FILE",
    "history_similarity",
    "as_candidates",
    "fresh_stories",
    "clear_engagement",
    "interest_matches",
    "write_weights",
    "load_weights",
    "interest_quotas",
    "duplicate_key",
    "normalised_title",
    "select",
    "exploration_count",
    "reciprocal_rank_fusion",
    "exhausted_interest",
    "tune",
    "weights_in_force",
]
