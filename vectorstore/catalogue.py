"""The catalogue: items in SQL, which is the truth, with their vectors and their words beside it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout
from sqlalchemy import Engine

from ..models.embedder import Embedder
from ..models.errors import CatalogueError
from ..models.records import Enrichment, Item
from .database import memory_database, open_database, private_folder
from .indexing import Progress
from .item_search import ItemSearch
from .items import ItemRows

LOCK_SECONDS = 5.0
"""How long a writer waits for another one."""


@dataclass(frozen=True)
class UpsertResult:
    """How many items were new, changed, the same as before; `repeated` ids came again (the last won)."""

    added: int
    changed: int
    unchanged: int
    repeated: int = 0


class Catalogue(ItemSearch):
    """Items that can be recommended, found by meaning, by words and by filters.

    A home folder holds the database, and beside it what can be rebuilt from it: vectors, their index in
    ChromaDB, words. Several processes may read a home while one writes: readers take up what
    changed at their next search. Vectors are *centred*: what all items share is removed from them.
    """

    def __init__(self, items: ItemRows, embedder: Embedder, home: Path | None, engine: Engine | None) -> None:
        """Use `Catalogue.open` or `Catalogue.in_memory`.

        Args:
            items: the rows of the catalogue.
            embedder: makes the vectors.
            home: the folder of the index; None keeps it in memory.
            engine: is disposed of by `close`, if given.
        """
        super().__init__(items, embedder, home)
        self._engine = engine
        self._lock = FileLock(home / ".lock", timeout=LOCK_SECONDS, mode=0o600) if home else None

    @classmethod
    def open(
        cls,
        home: Path,
        embedder: Embedder,
        engine: Engine | None = None,
        *,
        rebuild: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Open the catalogue of a home folder, which is created if it is not there.

        Args:
            home: the folder of the database, the vectors and the words.
            embedder: makes the vectors; a home is of one embedder.
            engine: the database, if it is open already; it is not disposed of by `close`.
            rebuild: rebuild the vector index, which makes a home usable that is damaged or of another embedder.
            progress: is called with the numbers of items indexed and to be indexed.

        Returns:
            The catalogue, in which items that a killed process left unindexed are indexed.

        Raises:
            CatalogueError: the folder cannot be used, belongs to another embedder, or is damaged.
        """
        private_folder(home)
        items = ItemRows(engine or open_database(home))
        self = cls(items, embedder, home, None if engine else items.engine)
        if rebuild:
            self.rebuild(progress)
        else:
            self._indexer.open()
            self._heal(progress)
        return self

    @classmethod
    def in_memory(cls, items: Iterable[Item], embedder: Embedder) -> Self:
        """A catalogue that is in no folder and gone when closed; its search is exact."""
        engine = memory_database()
        self = cls(ItemRows(engine), embedder, None, engine)
        self.upsert(items)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and connections; twice is once."""
        self._indexer.close()
        if self._engine is not None:
            self._engine.dispose()

    # -- writing ------------------------------------------------------------------------------

    def upsert(self, items: Iterable[Item], progress: Progress | None = None) -> UpsertResult:
        """Add items or replace those of the same id; only those whose words changed are embedded.

        When it returns, everything is on disk and searchable. When it does not (killed, interrupted),
        what reached the database is indexed by the next writer or `open`.

        Returns:
            How many items were new, changed, unchanged and repeated.

        Raises:
            CatalogueError: another process is writing.
        """
        given = list(items)
        unique = {item.id: item for item in given}
        with self._writing():
            self._words.note_changes(unique)
            stored = self._items.store(list(unique.values()))
            if self._columns is not None:
                known = self._items.rows(list(unique))
                for id_, item in unique.items():
                    self._columns.put(known[id_], item)
            self._indexer.settle(progress)
        return UpsertResult(*stored, repeated=len(given) - len(unique))

    def enrich(self, given: Sequence[tuple[Item, Enrichment]]) -> int:
        """Store keywords and themes that a model wrote about items, by which the items are searched too.

        They are stored apart from the items, and removed when an item is removed or changed.

        Returns:
            How many items this changed; these are embedded again.

        Raises:
            CatalogueError: another process is writing.
        """
        with self._writing():
            self._words.note_changes(item.id for item, _ in given)
            changed = self._items.enrich(given)
            self._indexer.settle(None)
        return changed

    def delete(self, ids: Iterable[str]) -> int:
        """Remove items.

        Returns:
            How many of them were there.

        Raises:
            CatalogueError: another process is writing.
        """
        doomed = list(ids)
        with self._writing():
            self._words.note_changes(doomed)
            removed = self._items.remove(doomed)
            for id_ in doomed if self._columns is not None else ():
                self._columns.drop(id_)  # type: ignore[union-attr]  # looked at in the line above
            self._indexer.settle(None)
        return removed

    def rebuild(self, progress: Progress | None = None) -> None:
        """Embed everything again into an index built aside, then swap; the old one serves meanwhile.

        Raises:
            CatalogueError: another process is writing.
        """
        with self._writing():
            self._indexer.rebuild(progress)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer of this home, see what others wrote, and note that we have seen our own."""
        with self._guard, self._locked():
            self._refresh()
            self._version = -1  # unless it ends well, everything is read again
            yield
            self._version = self._items.version

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock is None:
            yield
            return
        try:
            with self._lock:
                yield
        except Timeout as error:
            msg = f"another process is writing to {self._home}: wait until it has finished, then try again"
            raise CatalogueError(msg) from error

    def _heal(self, progress: Progress | None) -> None:
        """Index what a killed process left, unless a living one is at it."""
        if self._lock is None or not self._items.count_pending():
            return
        try:
            with self._lock.acquire(timeout=0):
                self._indexer.settle(progress)
                self._version = self._items.version
        except Timeout:
            return


__all__ = ["Catalogue", "UpsertResult"]
