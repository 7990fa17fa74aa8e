"""The topics of a catalogue: clusters of its items by meaning and words, named when they are first shown.

The clusters are stored with the fingerprint of the catalogue and recomputed when that has changed. Names are cached by
prompt, so a topic whose items stay the same keeps its name.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ...models.embedder import Vectors
from ...models.records import Event, Id, Item, Record
from ...prompts import item_line
from ...vectorstore import Catalogue
from ..profile import EventCluster, History, average_linkage, read_history
from ..settings import Settings
from ..store import Memory

MOST_TOPICS = 64
_SAMPLE = 2000  # items that are grouped: all pairs are compared
_LEAST, _LEAST_SHARE = 3, 0.01  # smaller groups share a word of their titles rather than a subject
_OF = 0.3  # similarity to a topic from which on something is of it
_SHOWN = 30  # items of a topic, the most typical ones, by which it is named
_KEPT_AS = "topics"


class _Grouping(Record):
    """The clusters as they are stored: item ids, most typical first."""

    catalogue: str
    topics: tuple[Annotated[tuple[Id, ...], Field(min_length=1)], ...]


@dataclass(frozen=True)
class Topics:
    """The topics of a catalogue, largest first.

    `members` are item ids, `vectors` unit centroids, (topics, dimensions); `closeness` is the mean similarity of the
    members to the centroid; `tags` are those of half of the members that distinguish the topic.
    """

    members: tuple[tuple[str, ...], ...]
    vectors: Vectors
    closeness: tuple[float, ...]
    tags: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        """How many topics."""
        return len(self.members)

    def of(self, vectors: Vectors) -> NDArray[np.int64]:
        """The nearest topic of each vector.

        Args:
            vectors: (rows, dimensions), of unit length.

        Returns:
            (rows,): places of topics, -1 where none has a similarity of 0.3 or more.
        """
        if not len(self):
            return np.full(len(vectors), -1, np.int64)
        similarity = vectors @ self.vectors.T
        return np.where(similarity.max(axis=1) >= _OF, similarity.argmax(axis=1), -1).astype(np.int64)

    def touched(self, history: History) -> set[int]:
        """The topics of any event of a history, whatever its action.

        By vector, by membership, or by a tag: one horror film among science fiction touches horror.

        Returns:
            Their places.
        """
        found = {int(place) for place in self.of(history.vectors) if place >= 0}
        consumed, tags = history.consumed, {tag for item in history.items for tag in item.tags}
        places = enumerate(zip(self.members, self.tags, strict=True))
        return found | {place for place, (ids, own) in places if consumed & set(ids) or tags & own}


def topics_of(catalogue: Catalogue, memory: Memory) -> Topics:
    """The topics of a catalogue as it is now; clustered if it has changed since."""
    fingerprint = catalogue.fingerprint
    kept = _kept(memory.meta(_KEPT_AS))
    if kept is None or kept.catalogue != fingerprint:
        kept = _Grouping(catalogue=fingerprint, topics=tuple(map(tuple, _grouped(catalogue))))
        memory.set_meta(_KEPT_AS, kept.model_dump_json())
    return _with_vectors(catalogue, kept.topics)


def _kept(text: str | None) -> _Grouping | None:
    try:
        return _Grouping.model_validate_json(text) if text else None
    except ValidationError:  # of another version: recomputed
        return None


def _grouped(catalogue: Catalogue) -> list[list[str]]:
    """Cluster the items as events are clustered; of a large catalogue every n-th item. Deterministic.

    Returns:
        The ids of each topic, largest topic first, most typical item first.
    """
    ids = catalogue.ids()
    ids = ids[:: -(-len(ids) // _SAMPLE)] if ids else []
    if len(ids) < _LEAST:
        return []
    vectors = catalogue.vectors(ids)
    words = catalogue.word_vectors([item_line(item) for item in catalogue.get(ids)])
    similarity = (vectors.astype(np.float64) @ vectors.T + (words @ words.T).toarray()) / 2
    labels = np.array(average_linkage(similarity))
    least = max(_LEAST, round(_LEAST_SHARE * len(ids)))
    groups = [np.flatnonzero(labels == label) for label in range(1, int(labels.max()) + 1)]
    large = sorted((one for one in groups if len(one) >= least), key=lambda one: (-len(one), int(one[0])))
    return [_typical_first(ids, vectors, one) for one in large[:MOST_TOPICS]]


def _typical_first(ids: Sequence[str], vectors: Vectors, places: NDArray[np.intp]) -> list[str]:
    near = np.round(vectors[places] @ _unit(vectors[places].mean(axis=0)), 6)
    return [ids[place] for place in places[np.argsort(-near, kind="stable")]]


def _with_vectors(catalogue: Catalogue, members: tuple[tuple[str, ...], ...]) -> Topics:
    rows = [catalogue.vectors(ids) for ids in members]
    centres = [_unit(row.mean(axis=0)) for row in rows]
    closeness = tuple(float((row @ centre).mean()) for row, centre in zip(rows, centres, strict=True))
    tags = _common_tags([catalogue.get(ids) for ids in members])
    width = catalogue.embedder.dimensions
    vectors = np.stack(centres) if centres else np.zeros((0, width), np.float32)
    return Topics(members, vectors, closeness, tags)


def _common_tags(topics: Sequence[Sequence[Item]]) -> tuple[frozenset[str], ...]:
    """The tags of half of each topic's items, without those of half of all items."""
    counted = [Counter(tag for item in items for tag in set(item.tags)) for items in topics]
    whole, size = sum(counted, Counter[str]()), sum(map(len, topics))
    return tuple(
        frozenset(tag for tag, times in own.items() if 2 * times >= len(items) and 2 * whole[tag] < size)
        for own, items in zip(counted, topics, strict=True)
    )


def _unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def as_groups(
    topics: Topics, places: Sequence[int], catalogue: Catalogue, settings: Settings
) -> tuple[History, list[EventCluster]]:
    """Some topics as clusters of a history, so that they are named as interests are.

    Args:
        topics: of the catalogue.
        places: which of them.
        catalogue: has their items.
        settings: as for `read_history`.

    Returns:
        A history of the most typical items, and a cluster of it for each of the places.
    """
    ids = [topics.members[place][:_SHOWN] for place in places]
    flat = [one for part in ids for one in part]
    events = [Event(id=one, user="catalogue", item=one, action="view") for one in flat]
    read = read_history(events, catalogue, settings)
    ends = np.cumsum([len(part) for part in ids]).tolist()
    groups = [
        EventCluster(tuple(range(end - len(part), end)), float(len(part)), "positive")
        for part, end in zip(ids, ends, strict=True)
    ]
    return read, groups


__all__ = ["MOST_TOPICS", "Topics", "as_groups", "topics_of"]
