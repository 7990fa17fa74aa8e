"""Clusters of a user's events by meaning and words: each becomes an interest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from ...models.records import Polarity
from .history import History, repetition_weight

_CLUSTERED = (
    400  # clustering compares all pairs: of longer histories the items of most weight form the clusters
)
_DISTANCE = 0.9  # two groups join while their mean distance is below; best F1 on hand-labelled topics
_SATURATION = 0.5  # power of a sum of weights; with 0.75 held-out purchases rank 1 percent worse


@dataclass(frozen=True, slots=True)
class EventCluster:
    """Events of one interest: their places in the history, strongest first, and their joint weight."""

    places: tuple[int, ...]
    weight: float
    polarity: Polarity


def cluster_events(history: History, polarity: Polarity) -> list[EventCluster]:
    """Clusters of the events with positive (or negative) weight.

    Agglomerative clustering with average linkage over cosine distance. Events about the same item are one point;
    beyond 400 items, those of less weight join the nearest cluster of the others, or form one alone.

    Returns:
        Clusters, heaviest first; the weight of each is the square root of the summed weights of its items.
    """
    sign = 1 if polarity == "positive" else -1
    items: dict[str, list[int]] = {}
    for place, entry in enumerate(history.entries):
        if entry.weight * sign > 0 and entry.content:
            items.setdefault(entry.key, []).append(place)
    if not items:
        return []
    weights = {
        key: repetition_weight([history.entries[place] for place in places], history.scenario)
        for key, places in items.items()
    }
    # Ties are decided by what they are about, never by their place: events of equal time have no order.
    order = sorted(items, key=lambda key: (-round(weights[key], 9), key))
    groups = []
    for members in _clusters(history, [items[key][0] for key in order]):
        keys = [order[member] for member in members]
        places = sorted(
            (place for key in keys for place in items[key]),
            key=lambda place: (
                -round(abs(history.entries[place].weight), 9),
                history.entries[place].event.id,
            ),
        )
        total = math.fsum(weights[key] for key in keys)
        groups.append(EventCluster(tuple(places), total**_SATURATION, polarity))
    return sorted(groups, key=lambda one: (-round(one.weight, 9), history.entries[one.places[0]].event.id))


def _clusters(history: History, places: Sequence[int]) -> list[list[int]]:
    """Members of each cluster as indices into `places` (heaviest items first)."""
    if len(places) == 1:
        return [[0]]
    head = min(len(places), _CLUSTERED)
    similarity = _similarity(history, places[:head], places)
    clusters: dict[int, list[int]] = {}
    for place, label in enumerate(average_linkage(similarity[:, :head])):
        clusters.setdefault(label, []).append(place)
    return _with_rest(list(clusters.values()), similarity, head)


def average_linkage(similarity: NDArray[np.float64]) -> list[int]:
    """Cluster labels by average linkage (Sokal and Michener 1958), cut at a mean distance of 0.9.

    Args:
        similarity: cosine similarities, (points, points), symmetric, of two points or more.

    Returns:
        A label for each point, from 1.
    """
    rows, columns = np.triu_indices(len(similarity), 1)
    # Rounded, so that the last bits of a sum decide nothing.
    tree = linkage(np.clip(np.round(1.0 - similarity[rows, columns], 6), 0.0, 2.0), method="average")
    return [int(label) for label in fcluster(tree, _DISTANCE, criterion="distance")]


def _similarity(history: History, rows: Sequence[int], columns: Sequence[int]) -> NDArray[np.float64]:
    """Mean of the cosine similarities of meaning and of words, (rows, columns): either alone joins less."""
    meaning = history.vectors[list(rows)].astype(np.float64) @ history.vectors[list(columns)].T
    words = (history.words[list(rows)] @ history.words[list(columns)].T).toarray()
    return np.asarray((meaning + words) / 2)


def _with_rest(clusters: list[list[int]], similarity: NDArray[np.float64], head: int) -> list[list[int]]:
    """Assign each point after the first `head` to the cluster most similar on average, or to one of its own."""
    if similarity.shape[1] == head:
        return clusters
    means = np.stack([similarity[members, head:].mean(axis=0) for members in clusters])
    alone: list[list[int]] = []
    for offset, best in enumerate(means.argmax(axis=0).tolist()):
        if means[best, offset] >= 1.0 - _DISTANCE:
            clusters[best].append(head + offset)
        else:
            alone.append([head + offset])
    return clusters + alone


__all__ = ["EventCluster", "cluster_events", "average_linkage"]
