"""Events about the same thing and things of the same kind become groups, by meaning and words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from ...models.records import Polarity
from .history import History, repetition_weight

_GROUPED = 400  # grouping compares all pairs: of longer histories the heaviest things found the groups
_DISTANCE = 0.9  # two groups join while their mean distance is below; best F1 on hand-labelled topics
_SATURATION = 0.5  # power of a sum of weights; with 0.75 held-out purchases rank 1 percent worse


@dataclass(frozen=True, slots=True)
class EventCluster:
    """Entries about the same thing: their places in the history, strongest first, and their weight."""

    places: tuple[int, ...]
    weight: float
    polarity: Polarity


def cluster_events(history: History, polarity: Polarity) -> list[EventCluster]:
    """Groups of the events that speak for (or against) something, heaviest first.

    Average linkage over cosine distance. Things met more than once are folded into one point; beyond 400
    things the lighter ones join the nearest group that the heavier ones formed, or stand alone.
    """
    sign = 1 if polarity == "positive" else -1
    things: dict[str, list[int]] = {}
    for place, entry in enumerate(history.entries):
        if entry.weight * sign > 0 and entry.content:
            things.setdefault(entry.key, []).append(place)
    if not things:
        return []
    weights = {
        key: repetition_weight([history.entries[place] for place in places], history.scenario)
        for key, places in things.items()
    }
    # Ties are decided by what things are, never by their place: events of equal time have no order.
    order = sorted(things, key=lambda key: (-round(weights[key], 9), key))
    groups = []
    for members in _clusters(history, [things[key][0] for key in order]):
        keys = [order[member] for member in members]
        places = sorted(
            (place for key in keys for place in things[key]),
            key=lambda place: (
                -round(abs(history.entries[place].weight), 9),
                history.entries[place].event.id,
            ),
        )
        total = math.fsum(weights[key] for key in keys)
        groups.append(EventCluster(tuple(places), total**_SATURATION, polarity))
    return sorted(groups, key=lambda one: (-round(one.weight, 9), history.entries[one.places[0]].event.id))


def _clusters(history: History, places: Sequence[int]) -> list[list[int]]:
    """Members of each cluster as indices into `places` (heaviest things first)."""
    if len(places) == 1:
        return [[0]]
    head = min(len(places), _GROUPED)
    similarity = _similarity(history, places[:head], places)
    clusters: dict[int, list[int]] = {}
    for place, label in enumerate(average_linkage(similarity[:, :head])):
        clusters.setdefault(label, []).append(place)
    return _with_rest(list(clusters.values()), similarity, head)


def average_linkage(similarity: NDArray[np.float64]) -> list[int]:
    """The group of each row of a square matrix of two or more: average linkage, cut at one distance."""
    rows, columns = np.triu_indices(len(similarity), 1)
    # Rounded, so that the last bits of a sum decide nothing.
    tree = linkage(np.clip(np.round(1.0 - similarity[rows, columns], 6), 0.0, 2.0), method="average")
    return [int(label) for label in fcluster(tree, _DISTANCE, criterion="distance")]


def _similarity(history: History, rows: Sequence[int], columns: Sequence[int]) -> NDArray[np.float64]:
    """Half the cosine of meanings, half that of words: either alone joins less of what belongs together."""
    meaning = history.vectors[list(rows)].astype(np.float64) @ history.vectors[list(columns)].T
    words = (history.words[list(rows)] @ history.words[list(columns)].T).toarray()
    return np.asarray((meaning + words) / 2)


def _with_rest(clusters: list[list[int]], similarity: NDArray[np.float64], head: int) -> list[list[int]]:
    """Give each lighter thing to the cluster it is most similar to on average, or let it stand alone."""
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
