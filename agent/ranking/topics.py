"""The topics of a catalogue: its items grouped once by meaning and words, and named when first shown.

The grouping is kept with the fingerprint of the catalogue it was made from, and made anew when that has
changed. Names are kept by what the model was shown, so a topic whose items stay the same keeps its name.
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
    """A grouping as it is kept; members are the items that were grouped, most typical first."""

    catalogue: str
    topics: tuple[Annotated[tuple[Id, ...], Field(min_length=1)], ...]


@dataclass(frozen=True)
class Topics:
    """The topics of a catalogue, largest first: their items, and one unit vector each.

    `closeness` is the mean similarity of its items to each vector, `tags` are those that half of them carry
    and that tell them from others.
    """

    members: tuple[tuple[str, ...], ...]
    vectors: Vectors
    closeness: tuple[float, ...]
    tags: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        """How many topics."""
        return len(self.members)

    def of(self, vectors: Vectors) -> NDArray[np.int64]:
        """The place of the topic that each row is nearest to; -1 for what is of none."""
        if not len(self):
            return np.full(len(vectors), -1, np.int64)
        similarity = vectors @ self.vectors.T
        return np.where(similarity.max(axis=1) >= _OF, similarity.argmax(axis=1), -1).astype(np.int64)

    def touched(self, history: History) -> set[int]:
        """The places of the topics that anything in a history is of, whatever was done with it.

        By meaning, by the grouping, or by a tag: one horror film among the science fiction has touched horror.
        """
        found = {int(place) for place in self.of(history.vectors) if place >= 0}
        consumed, tags = history.consumed, {tag for item in history.items for tag in item.tags}
        places = enumerate(zip(self.members, self.tags, strict=True))
        return found | {place for place, (ids, own) in places if consumed & set(ids) or tags & own}


def topics_of(catalogue: Catalogue, memory: Memory) -> Topics:
    """The topics of a catalogue as it is now; grouped if that has not been done since it changed."""
    fingerprint = catalogue.fingerprint
    kept = _kept(memory.meta(_KEPT_AS))
    if kept is None or kept.catalogue != fingerprint:
        kept = _Grouping(catalogue=fingerprint, topics=tuple(map(tuple, _grouped(catalogue))))
        memory.set_meta(_KEPT_AS, kept.model_dump_json())
    return _with_vectors(catalogue, kept.topics)


def _kept(text: str | None) -> _Grouping | None:
    try:
        return _Grouping.model_validate_json(text) if text else None
    except ValidationError:  # of another version: it is made again
        return None


def _grouped(catalogue: Catalogue) -> list[list[str]]:
    """The ids of each topic, largest topic first, its most typical item first; deterministic.

    As events are grouped, which gives the hand-labelled catalogues one group per subject. Of a large
    catalogue every n-th item is grouped.
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
    """The tags that half of each topic's items carry, but for those that half of all carry: they tell nothing."""
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
    """Some topics as the groups of a history, so that they are named as interests are."""
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
