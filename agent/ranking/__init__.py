"""Retrieval, ranking, selection, exploration, and the weights of the signals.

In: a `Query` (a user's history, profile and request), the catalogue, what other users used.
Out: candidates from `Retriever`, their order from `Ranker`, the picks of a list from `select` and `Explorer`.
A new signal begins in `signals.py`; its weight stands in `ranking.toml`, and `tune` fits the weights to a home.
May import: agent.profile, agent.store, agent.settings, agent.messages, agent.run_trace, vectorstore, prompts, models.
"""

from .engagement_cache import EngagementCache, clear_engagement
from .exploration import Explorer, exploration_count
from .ranker import Ranker
from .retrieval import Retriever, as_candidates, reciprocal_rank_fusion
from .selection import (
    duplicate_key,
    exhausted_interest,
    fresh_stories,
    interest_quotas,
    normalised_title,
    select,
)
from .signals import SIGNALS, history_similarity, interest_matches
from .tuning import TuningInputs, held_out_event, tune
from .weights import WEIGHTS_FILE, RankingWeights, load_weights, save_weights, weights_in_force

__all__ = [
    "SIGNALS",
    "WEIGHTS_FILE",
    "EngagementCache",
    "Explorer",
    "Ranker",
    "RankingWeights",
    "Retriever",
    "TuningInputs",
    "as_candidates",
    "clear_engagement",
    "duplicate_key",
    "exhausted_interest",
    "exploration_count",
    "fresh_stories",
    "held_out_event",
    "history_similarity",
    "interest_matches",
    "interest_quotas",
    "load_weights",
    "normalised_title",
    "reciprocal_rank_fusion",
    "save_weights",
    "select",
    "tune",
    "weights_in_force",
]
