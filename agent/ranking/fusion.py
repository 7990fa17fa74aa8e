"""Reciprocal rank fusion: several rankings of the same items become one."""

from collections import defaultdict
from collections.abc import Iterable

RANK_CONSTANT = 60
"""k of the formula; 60 is the value of the paper."""


def reciprocal_rank_fusion(rankings: Iterable[Iterable[tuple[str, float]]]) -> list[str]:
    """The items of all rankings, the largest sum of 1 / (60 + rank) first (ranks from 1).

    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods", SIGIR 2009, section 2. Scores are not compared, so the rankings may be on different scales.

    Args:
        rankings: lists of (item id, score), best first; only the order counts.

    Returns:
        Item ids, each once, best first; ties by id.
    """
    fused: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (item, _) in enumerate(ranking, 1):
            fused[item] += 1 / (RANK_CONSTANT + rank)
    return sorted(fused, key=lambda item: (-fused[item], item))
