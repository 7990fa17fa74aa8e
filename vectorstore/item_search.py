"""Items of a catalogue by id, by meaning, by words and by filters, as they are at the time of a call."""

import hashlib
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..models.embedder import Embedder, Vectors
from ..models.records import Enrichment, Item
from .facets import Facets
from .filters import Columns, compile_where
from .indexing import Indexer
from .items import ItemRows
from .search import Found, Where, nearest
from .word_index import WordIndex


class ItemSearch:
    """The reading half of a catalogue; what another process wrote is taken up at the next call."""

    def __init__(self, items: ItemRows, embedder: Embedder, home: Path | None) -> None:
        """Read a catalogue.

        Args:
            items: its rows.
            embedder: makes the vectors of texts.
            home: the folder of the index; None keeps it in memory.
        """
        self._items, self._embedder, self._home = items, embedder, home
        self._guard = threading.RLock()
        self._indexer = Indexer(items, embedder, home)
        self._columns: Columns | None = None
        self._words = WordIndex(home, items)
        self._counted = (-1, 0)  # at which version, how many items
        self._version = items.version

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
        """Centred unit vectors of any texts, to be compared with those of items.

        Returns:
            An array of shape (len(texts), d) in the order of `texts`; a blank text gives a zero row.
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
        """The items nearest to a vector.

        Args:
            vector: of shape (d,), from `embed` or `vectors`; a zero vector is near to nothing.
            k: how many; fewer come back only if fewer pass.
            exclude: ids of items that are left out.
            where: a filter on kind, tags and attributes.

        Returns:
            (id, cosine similarity) pairs, best first, ties by id.

        Raises:
            InputError: the filter is malformed.
        """
        return self.search_many(np.asarray(vector)[None], k, exclude=exclude, where=where)[0]

    def search_many(
        self, vectors: Vectors, k: int, *, exclude: Collection[str] = (), where: Where | None = None
    ) -> list[Found]:
        """`search` for several vectors at once.

        Args:
            vectors: of shape (n, d).
            k: how many for each; fewer come back only if fewer pass.
            exclude: ids of items that are left out.
            where: a filter on kind, tags and attributes.

        Returns:
            One list of (id, cosine similarity) pairs per vector, best first, ties by id.

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
        """The items that share words with a text.

        Args:
            text: any text.
            k: how many; fewer come back only if fewer pass.
            exclude: ids of items that are left out.
            where: a filter on kind, tags and attributes.

        Returns:
            (id, BM25 > 0) pairs, best first, ties by id.

        Raises:
            InputError: the filter is malformed.
        """
        compile_where(where)
        self._refresh()
        if not where:
            lexical = self._words.current()
            allowed = np.ones(len(lexical.ids), dtype=np.bool_)
            allowed[[lexical.place[id_] for id_ in exclude if id_ in lexical.place]] = False
            return lexical.search(text, k, allowed)
        with self._guard:
            lexical, columns = self._words.current(), self._loaded_columns()
            allowed = np.append(columns.allowed(where, exclude), False)[self._words.aligned(columns)]
        return lexical.search(text, k, allowed)

    def word_scores(self, text: str, ids: Sequence[str]) -> NDArray[np.float32]:
        """BM25 of each id for a text; 0 where no word is shared or the item is missing."""
        self._refresh()
        return self._words.current().scores_of(text, ids)

    def passing(self, ids: Collection[str], where: Where | None = None) -> set[str]:
        """Those of some ids that are in the catalogue and pass a filter.

        Returns:
            A subset of `ids`.

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
        """The items that pass a filter.

        Returns:
            Their ids, in no particular order.

        Raises:
            InputError: the filter is malformed.
        """
        compile_where(where)
        self._refresh()
        columns = self._loaded_columns()
        return columns.ids(np.flatnonzero(columns.allowed(where)))

    def check(self) -> list[str]:
        """Compare the index with the database.

        A damaged Chroma file can take the process down: a caller that must survive runs this in
        another process.

        Returns:
            What is wrong with the index, in words; empty when it is sound.
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
        return self._words.current().vectors(texts)

    def items_with(self, text: str) -> int:
        """How many items hold all words of a text at most; as many as hold the rarest of them."""
        return self._words.current().at_most(text)

    def _refresh(self) -> None:
        """Take up what another process wrote since we looked."""
        if self._home is None:
            return
        version = self._items.version
        if version != self._version:
            with self._guard:
                self._indexer.reopen()
                self._columns = None
                self._words.invalidate()
                self._version = version


__all__ = ["ItemSearch"]
