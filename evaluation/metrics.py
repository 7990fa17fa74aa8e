"""Metrics of rankings, and their uncertainty; all are fractions, 0 to 1, unless stated otherwise.

A ranking is a sequence of item ids, best first, none twice. Relevance is binary. The definitions are those of
trec_eval: NDCG with the discount of Järvelin and Kekäläinen (2002, section 2.2), MRR is its RR@k, HR its Success@k.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (1, 5, 10, 20, 50)

_DRAWS = 2_000
_DRAWS_OF_STATISTIC = 1_000
_PERMUTATIONS = 10_000
_AT_ONCE = 500

Values = NDArray[np.float64]
Unit = TypeVar("Unit")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over users, and the bounds between which 95 percent of its bootstrap draws lie."""

    mean: float
    low: float
    high: float


def ndcg(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """NDCG@k: the sum of 1 / log2(rank + 1) over the relevant items, as a share of the best possible.

    Args:
        ranking: item ids, best first.
        relevant: the ids of the relevant items.
        k: how many of the ranking count.

    Returns:
        0 to 1; 0 if nothing is relevant.
    """
    gains = sum(1 / math.log2(rank + 1) for rank in _hits(ranking, relevant, k))
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(set(relevant))) + 1))
    return gains / best if best else 0.0


def ndcg_of_scores(scores: NDArray[np.float64], target: int, k: int) -> float:
    """NDCG@k of one relevant item among scored candidates; equal scores share their mean rank.

    Args:
        scores: shape (candidates,), higher is better.
        target: the position of the relevant item.
        k: how many ranks count.

    Returns:
        1 at the first rank, 0 beyond rank k.
    """
    above, tied = int((scores > scores[target]).sum()), int((scores == scores[target]).sum()) - 1
    rank = 1 + above + tied / 2
    return 1 / math.log2(rank + 1) if rank <= k else 0.0


def hit_rate(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """HR@k: 1 if something relevant is among the first k, else 0.

    Args:
        ranking: item ids, best first.
        relevant: the ids of the relevant items.
        k: how many of the ranking count.

    Returns:
        1 or 0.
    """
    return float(any(_hits(ranking, relevant, k)))


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """RR@k: 1 / rank of the first relevant item; 0 if it is not among the first k.

    Args:
        ranking: item ids, best first.
        relevant: the ids of the relevant items.
        k: how many of the ranking count.

    Returns:
        0 to 1.
    """
    return 1 / next(iter(_hits(ranking, relevant, k)), math.inf)


METRICS: Mapping[str, Callable[[Sequence[str], Collection[str], int], float]] = {
    "ndcg": ndcg,
    "hr": hit_rate,
    "mrr": reciprocal_rank,
}


def figures(ranking: Sequence[str], relevant: Collection[str]) -> dict[str, float]:
    """Every metric at 1, 5, 10, 20 and 50, by names such as `ndcg@10`."""
    return {f"{name}@{k}": metric(ranking, relevant, k) for name, metric in METRICS.items() for k in CUTOFFS}


def coverage(lists: Sequence[Sequence[str]], catalogue_size: int) -> float:
    """The share of the catalogue that is in at least one list."""
    return len({item for ranking in lists for item in ranking}) / catalogue_size if catalogue_size else 0.0


def novelty(ranking: Sequence[str], users: Mapping[str, int], total: int) -> float:
    """Mean self-information of the items: minus log2 of the share of all users who used each.

    The formula is that of Zhou et al. (2010, PNAS 107, "Measures of diversity and novelty").

    Args:
        ranking: item ids.
        users: how many users used each item; one that is missing counts as used by one user.
        total: the number of users.

    Returns:
        Bits, 0 or more; 0 for an empty ranking.
    """
    shares = [max(1, users.get(item, 0)) / max(total, 1) for item in ranking]
    return -sum(math.log2(min(1.0, share)) for share in shares) / len(shares) if shares else 0.0


def diversity(vectors: NDArray[np.float32]) -> float:
    """Intra-list diversity: the mean of 1 - cosine over all pairs (Ziegler et al. 2005, section 3.3).

    Args:
        vectors: shape (items, dimensions), rows of length 1 or 0.

    Returns:
        0 to 2; 0 for fewer than two items.
    """
    count = len(vectors)
    if count < 2:
        return 0.0
    similarity = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    pairs = count * (count - 1)
    return float((pairs - (similarity.sum() - np.trace(similarity))) / pairs)


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean of per-user values with its 95 percent percentile bootstrap interval (2,000 draws of users).

    The percentile interval is that of Efron and Tibshirani (1993, chapter 13).

    Args:
        values: one per user.
        seed: draws the users.

    Returns:
        The mean and its bounds.

    Raises:
        ValueError: there are no values.
    """
    given = np.asarray(values, dtype=np.float64)
    if not len(given):
        msg = "there is no mean of nothing"
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(given), size=(_AT_ONCE, len(given))) for _ in range(_DRAWS // _AT_ONCE))
    low, high = np.percentile([given[users].mean(axis=1) for users in drawn], [2.5, 97.5])
    return Interval(float(given.mean()), float(low), float(high))


def bootstrap_statistic(
    units: Sequence[Unit], statistic: Callable[[Sequence[Unit]], float], seed: int = 0
) -> Interval | None:
    """Any statistic of units, such as a ratio of sums over users, with its bootstrap interval (1,000 draws).

    Args:
        units: what is drawn with replacement: users, or clusters such as dialogues with their turns.
        statistic: computes the figure from units; NaN where it is undefined.
        seed: draws the units.

    Returns:
        The statistic of all units and its 95 percent bounds; None where it is undefined.
    """
    mean = statistic(units) if units else math.nan
    if math.isnan(mean):
        return None
    draws = np.random.default_rng(seed).integers(0, len(units), (_DRAWS_OF_STATISTIC, len(units)))
    values = [statistic([units[at] for at in draw]) for draw in draws.tolist()]
    low, high = np.nanpercentile(values, [2.5, 97.5]).tolist()
    return Interval(mean, low, high)


def permutation_test(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> float:
    """The two-sided p-value of a paired randomisation test (Smucker et al. 2007, section 2.1).

    Under the null hypothesis each user's difference could have had either sign: 10,000 random choices of
    signs; the observed one counts among them, so that p is never 0.

    Args:
        ours: one system's values, one per user.
        theirs: the other's, of the same users in the same order.
        seed: draws the signs.

    Returns:
        More than 0, at most 1.

    Raises:
        ValueError: the two are of different length.
    """
    differences = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    rng = np.random.default_rng(seed)
    # A hair of tolerance: sums of the same numbers with other signs differ in their last bits.
    observed = abs(differences.sum()) - 1e-9
    extreme = 0
    for start in range(0, _PERMUTATIONS, _AT_ONCE):
        size = (min(_AT_ONCE, _PERMUTATIONS - start), len(differences))
        signs = rng.integers(0, 2, size=size, dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ differences) >= observed).sum())
    return (extreme + 1) / (_PERMUTATIONS + 1)


def _hits(ranking: Sequence[str], relevant: Collection[str], k: int) -> list[int]:
    """The ranks, from 1, of the relevant items among the first `k`."""
    wanted = set(relevant)
    return [rank for rank, item in enumerate(ranking[:k], 1) if item in wanted]


__all__ = [
    "CUTOFFS",
    "METRICS",
    "Interval",
    "bootstrap",
    "bootstrap_statistic",
    "coverage",
    "diversity",
    "figures",
    "hit_rate",
    "ndcg",
    "ndcg_of_scores",
    "novelty",
    "permutation_test",
    "reciprocal_rank",
]
