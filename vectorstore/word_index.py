"""The lexical index of a catalogue: kept in its home, and brought up to date when it is needed."""

import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .filters import Columns
from .items import ItemRows
from .lexical import PART, LexicalIndex, short

_KEPT = 0.01
"""What part of the documents must have changed before an index is written anew: less is read again sooner."""


class WordIndex:
    """The words of all items of one catalogue. Threads may read while one writes."""

    def __init__(self, home: Path | None, items: ItemRows) -> None:
        """Nothing is read before the first call of `current`."""
        self._home, self._items = home, items
        self._guard = threading.RLock()
        self._index: LexicalIndex | None = None
        self._changed: set[str] | None = set()  # ids whose texts are to be read again; None: not known which
        self._aligned: NDArray[np.int64] | None = None  # the place in the columns of each document

    def note_changes(self, ids: Iterable[str]) -> None:
        """Have the texts of these items read again before the next search."""
        self._aligned = None
        if self._index is not None and self._changed is not None:
            self._changed.update(ids)

    def invalidate(self) -> None:
        """Have all texts compared before the next search: another process wrote."""
        self._aligned = self._changed = None

    def current(self) -> LexicalIndex:
        """The index of the present texts, from the home folder if it is of their content."""
        with self._guard:
            index, changed = self._index, self._changed
            if index is not None and changed is not None and not changed:
                return index
            if index is None:
                index = _of_home(self._home, self._items)
            elif changed is None:
                index, _ = _updated(index, self._items)
            else:
                index = index.changed(changed, _documents_of(self._items, list(changed)))
            self._index, self._aligned, self._changed = index, None, set()
            return index

    def aligned(self, columns: Columns) -> NDArray[np.int64]:
        """The place in `columns` of each document of `current`, -1 where it has none."""
        with self._guard:
            index = self.current()
            if self._aligned is None:
                self._aligned = columns.aligned(index.ids)
            return self._aligned


def _of_home(home: Path | None, items: ItemRows) -> LexicalIndex:
    """The words of a catalogue, kept in its home under the hash of its content.

    If those that are kept are of other content, the texts that differ are read and the rest is reused.

    Returns:
        The index of the present texts.
    """
    if home is None:
        return LexicalIndex.build(_documents(items))
    folder = home / "words" / items.content
    found = LexicalIndex.load(folder)
    if found is not None:
        return found
    kept = [path for path in (home / "words").glob("*") if path.suffix != PART]
    old = next(filter(None, map(LexicalIndex.load, kept)), None) or LexicalIndex.build(())
    found, differing = _updated(old, items)
    if not 0 < differing < _KEPT * len(found.ids) and folder.name == items.content:
        for other in kept:
            shutil.rmtree(other, ignore_errors=True)
        found.save(folder)
    return found


def _updated(index: LexicalIndex, items: ItemRows) -> tuple[LexicalIndex, int]:
    """An index of the present texts, and how many of them were not in the index before."""
    gone, new, known = set(index.ids), [], index.digests.tolist()
    for id_, words in items.digests():
        gone.discard(id_)
        place = index.place.get(id_)
        if place is None or short(words) != known[place]:
            new.append(id_)
    if not gone and not new:
        return index, 0
    if len(new) > len(index.ids):
        return LexicalIndex.build(_documents(items)), len(new)
    return index.changed(gone, _documents_of(items, new)), len(gone) + len(new)


def _documents(items: ItemRows) -> Iterator[tuple[str, str]]:
    return ((entry.id, entry.content) for batch in items.batches(5000) for entry in batch)


def _documents_of(items: ItemRows, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((entry.id, entry.content) for entry in items.entries(ids))


__all__ = ["WordIndex"]
