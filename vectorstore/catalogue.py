"""The catalogue: items in SQL, which is the truth, with their vectors and their words beside it."""

import hashlib
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from scipy import sparse
from sqlalchemy import Engine

from ..models.embedder import Embedder, Vectors
from ..models.errors import CatalogueError
from ..models.records import Enrichment, Item
from .database import memory_database, open_database, private_folder
from .facets import Facets
from .filters import Columns, compile_where
from .indexing import Indexer, Progress
from .items import ItemRows
from .lexical import LexicalIndex, caught_up, of_home, told
from .search import Found, Where, nearest

LOCK_SECONDS = 5.0
"""How long a writer waits for another one."""


@dataclass(frozen=True)
class UpsertResult:
    """How many items were new, changed, the same as before; `repeated` ids came again (the last won)."""

    added: int
    changed: int
    unchanged: int
    repeated: int = 0


class Catalogue:
    """Items that can be recommended, found by meaning, by words and by filters.

    A home folder holds the database, and beside it what can be rebuilt from it: vectors, their index in
    ChromaDB, words. Several processes may read a home while one writes: readers take up what
    changed at their next search. Vectors are *centred*: what all items share is removed from them.
    """

    def __init__(self, items: ItemRows, embedder: Embedder, home: Path | None, engine: Engine | None) -> None:
        """Use `Catalogue.open` or `Catalogue.in_memory`; `engine` is disposed of by `close`."""
        self._items, self._embedder, self._home, self._engine = items, embedder, home, engine
        self._guard = threading.RLock()
        self._lock = FileLock(home / ".lock", timeout=LOCK_SECONDS, mode=0o600) if home else None
        self._indexer = Indexer(items, embedder, home)
        self._columns: Columns | None = None
        self._lexical: LexicalIndex | None = None
        self._reworded: set[str] | None = set()  # what the lexical index has not heard of; None: not known
        self._aligned: NDArray[np.int64] | None = None  # the place in the columns of each lexical document
        self._counted = (-1, 0)  # at which version, how many items
        self._version = items.version

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
        """Open the catalogue of a home folder, made if it is not there.

        What a killed process left unindexed is indexed now. `rebuild` makes the index anew, which is
        how a home made with another embedder, or one whose index is damaged, becomes usable.

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
        """Add items or replace those of the same id; embeds only those whose words changed.

        When it returns, everything is on disk and searchable. When it does not (killed, interrupted),
        what reached the database is indexed by the next writer or `open`.

        Raises:
            CatalogueError: another process is writing.
        """
        given = list(items)
        unique = {item.id: item for item in given}
        with self._writing():
            self._noticed(unique)
            stored = self._items.store(list(unique.values()))
            if self._columns is not None:
                known = self._items.rows(list(unique))
                for id_, item in unique.items():
                    self._columns.put(known[id_], item)
            self._indexer.settle(progress)
        return UpsertResult(*stored, repeated=len(given) - len(unique))

    def enrich(self, given: Sequence[tuple[Item, Enrichment]]) -> int:
        """Have items found by what a model wrote about them too; how many this changed, which are embedded.

        It is kept apart from the items, and goes when an item goes or says something else.

        Raises:
            CatalogueError: another process is writing.
        """
        with self._writing():
            self._noticed(item.id for item, _ in given)
            changed = self._items.enrich(given)
            self._indexer.settle(None)
        return changed

    def delete(self, ids: Iterable[str]) -> int:
        """Remove items; returns how many were there.

        Raises:
            CatalogueError: another process is writing.
        """
        doomed = list(ids)
        with self._writing():
            self._noticed(doomed)
            removed = self._items.remove(doomed)
            for id_ in doomed if self._columns is not None else ():
                self._columns.drop(id_)  # type: ignore[union-attr]  # looked at in the line above
            self._indexer.settle(None)
        return removed

    def rebuild(self, progress: Progress | None = None) -> None:
        """Embed everything anew into an index built aside, then swap; the old one serves meanwhile.

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

    def _noticed(self, ids: Iterable[str]) -> None:
        """Have the words of these looked at before they are searched again."""
        self._aligned = None
        if self._lexical is not None and self._reworded is not None:
            self._reworded.update(ids)

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

    def _refresh(self) -> None:
        """Take up what another process wrote since we looked."""
        if self._home is None:
            return
        version = self._items.version
        if version != self._version:
            with self._guard:
                self._indexer.reopen()
                self._columns = self._aligned = self._reworded = None
                self._version = version

    # -- reading ------------------------------------------------------------------------------

    @property
    def embedder(self) -> Embedder:
        """What makes the vectors."""
        return self._embedder

    def __len__(self) -> int:
        """Number of items; counted again only after a change, as it takes 20 ms of a million."""
        version = self._items.version
        if self._counted[0] != version:
            self._counted = version, len(self._items)
        return self._counted[1]

    def __contains__(self, id_: object) -> bool:
        return id_ in self._items

    def ids(self, limit: int | None = None) -> list[str]:
        """All ids, or the first `limit`, in the order in which they were first added."""
        return self._items.ids(limit)

    def facets(self, limit: int) -> Facets:
        """Which values each field holds, counted by the database: at most `limit` words of one field."""
        return self._items.facets(limit)

    def get(self, ids: Sequence[str]) -> list[Item]:
        """Items in the order asked; missing ones are left out."""
        return self._items.get(ids)

    def enrichments(self, ids: Sequence[str]) -> dict[str, Enrichment]:
        """What a model wrote about those of these items that have it, by id."""
        return self._items.enrichments(ids)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with the items, the embedder, and what centring removes."""
        self._refresh()
        parts = (self._items.content, self._embedder.fingerprint, self._indexer.mean.tobytes().hex())
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Centred unit vectors of any texts, shape (len(texts), d), to be compared with those of items.

        A blank text gives a zero row.
        """
        self._refresh()
        return self._indexer.embed(texts)

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """Centred unit vectors of items, shape (len(ids), d); zero rows for missing items."""
        self._refresh()
        known = self._items.rows(ids)
        places = [place for place, id_ in enumerate(ids) if id_ in known]
        found = np.zeros((len(ids), self._embedder.dimensions), dtype=np.float32)
        found[places] = self._indexer.vectors(
            np.array([known[ids[place]] for place in places], dtype=np.int64)
        )
        return found

    def search(
        self, vector: Vectors, k: int, *, exclude: Collection[str] = (), where: Where | None = None
    ) -> Found:
        """The `k` items nearest to a vector of `embed` or `vectors`, as (id, cosine similarity), best first.

        Fewer come back only if fewer pass. A zero vector is near to nothing.

        Raises:
            InputError: the filter is malformed.
        """
        return self.search_many(np.asarray(vector)[None], k, exclude=exclude, where=where)[0]

    def search_many(
        self, vectors: Vectors, k: int, *, exclude: Collection[str] = (), where: Where | None = None
    ) -> list[Found]:
        """`search` for several vectors at once, shape (n, d).

        Raises:
            InputError: the filter is malformed.
        """
        compile_where(where)  # a malformed filter is an error in an empty catalogue too
        self._refresh()
        queries = np.asarray(vectors, dtype=np.float32)
        filled = np.flatnonzero(queries.any(axis=1))
        found: list[Found] = [[] for _ in queries]
        if k > 0 and len(filled):
            parts = nearest(
                self._indexer, self._loaded_columns, queries[filled], k, frozenset(exclude), where
            )
            for place, part in zip(filled, parts, strict=True):
                found[place] = part
        return found

    def search_words(
        self, text: str, k: int, *, exclude: Collection[str] = (), where: Where | None = None
    ) -> Found:
        """The `k` items that share words with a text, as (id, BM25 > 0), best first.

        Raises:
            InputError: the filter is malformed.
        """
        compile_where(where)
        self._refresh()
        if not where:
            lexical = self._loaded_lexical()
            allowed = np.ones(len(lexical.ids), dtype=np.bool_)
            allowed[[lexical.place[id_] for id_ in exclude if id_ in lexical.place]] = False
            return lexical.search(text, k, allowed)
        with self._guard:
            lexical, columns = self._loaded_lexical(), self._loaded_columns()
            if self._aligned is None:
                self._aligned = columns.aligned(lexical.ids)
            allowed = np.append(columns.allowed(where, exclude), False)[self._aligned]
        return lexical.search(text, k, allowed)

    def word_scores(self, text: str, ids: Sequence[str]) -> NDArray[np.float32]:
        """BM25 of each id for a text; 0 where no word is shared or the item is missing."""
        self._refresh()
        return self._loaded_lexical().scores_of(text, ids)

    def passing(self, ids: Collection[str], where: Where | None = None) -> set[str]:
        """Those of some ids that are here and pass a filter.

        Raises:
            InputError: the filter is malformed.
        """
        compile_where(where)
        self._refresh()
        if not where and self._columns is None:
            return set(self._items.rows(list(ids)))
        columns = self._loaded_columns()
        mask = columns.allowed(where)
        return {id_ for id_ in ids if columns.passes(id_, mask)}

    def matching(self, where: Where | None) -> list[str]:
        """Ids of the items that pass a filter, in no particular order.

        Raises:
            InputError: the filter is malformed.
        """
        compile_where(where)
        self._refresh()
        columns = self._loaded_columns()
        return columns.ids(np.flatnonzero(columns.allowed(where)))

    def check(self) -> list[str]:
        """What is wrong with the index, in words; empty when it is sound.

        A damaged Chroma file can take the process down: a caller that must survive runs this in
        another process.
        """
        return self._indexer.problems()

    def _loaded_columns(self) -> Columns:
        """Ids and attributes of all items, read at the first need."""
        with self._guard:
            if self._columns is None:
                self._columns = Columns(self._items.fields())
            return self._columns

    def word_vectors(self, texts: Sequence[str]) -> sparse.csr_array:
        """Sparse unit rows whose products are the cosines of the texts' words, weighted by rarity here."""
        return self._loaded_lexical().vectors(texts)

    def items_with(self, text: str) -> int:
        """How many items hold all words of a text at most; as many as hold the rarest of them."""
        return self._loaded_lexical().at_most(text)

    def _loaded_lexical(self) -> LexicalIndex:
        """The words of all items, from the home folder if they are those of its present content."""
        with self._guard:
            known, heard = self._lexical, self._reworded
            if known is not None and not heard and heard is not None:
                return known
            if known is None:
                known = of_home(self._home, self._items)
            elif heard is None:
                known, _ = caught_up(known, self._items)
            else:
                known = told(known, self._items, heard)
            self._lexical, self._aligned, self._reworded = known, None, set()
            return known


__all__ = ["Catalogue", "Found", "UpsertResult", "Where"]
