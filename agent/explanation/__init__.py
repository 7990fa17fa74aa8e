"""Explanations: why an item was picked or not, and what the ranking would be without an item of the history.

In: picks or a run, with the query, the history and the catalogue they rest on. Out: `Explanation` and
`Counterfactual` records, `Why` answers, the excluded candidates. A sentence of the model is used only as far
as the check of groundedness supports it; templates stand in for the rest.
May import: models, prompts, vectorstore, and of the agent messages, run_trace, settings, store, profile, ranking.
"""

from .counterfactual import RankingSnapshot, counterfactuals, with_counterfactuals, with_names
from .evidence import CoUsers, PickEvidence, collect_evidence
from .exclusions import passed_over, pushed_down
from .groundedness import ungrounded_spans
from .templates import HistoryItem
from .why import Why, WhySource, answer_why, find_item
from .writer import Explainer

__all__ = [
    "CoUsers",
    "Explainer",
    "HistoryItem",
    "PickEvidence",
    "RankingSnapshot",
    "Why",
    "WhySource",
    "answer_why",
    "collect_evidence",
    "counterfactuals",
    "find_item",
    "passed_over",
    "pushed_down",
    "ungrounded_spans",
    "with_counterfactuals",
    "with_names",
]
