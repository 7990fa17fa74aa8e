"""Room."""

from .counterfactual import Ranking, counterfactuals, with_counterfactuals, with_names
from .exclusions import passed_over, pushed_down
from .groundedness import problems
from .social_proof import CoUsers
from .templates import Thing
from .why import KeptAway, Why, WhySource, find_item, kept_away, why
from .writer import Basis, Explainer

__all__ = [
    "Basis",
    "Explainer",
    "CoUsers",
    "Ranking",
    "Thing",
    "counterfactuals",
    "passed_over",
    "problems",
    "pushed_down",
    "KeptAway",
    "Why",
    "WhySource",
    "find_item",
    "kept_away",
    "why",
    "with_counterfactuals",
    "with_names",
]
