"""Vectors of items: centred, kept by row number, and searched by an index in ChromaDB."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.embedder import Vectors, unit
from ..models.errors import CatalogueError
from .database import private_folder

SHRINK = 5
"""Items at which half of the mean is removed: a handful says little about what all items share.

Ranking 5 to 20 candidates about the mean of themselves and a short history (games, 600 users), 2 to 5 is
best; 20 loses half a point of N@10, removing nothing 1.5 to 3.
"""

_GRAPH = {"space": "cosine", "max_neighbors": 32, "ef_search": 300}
"""More than Chroma's defaults (16, 100), for a fifth more time to insert and a fifth of a millisecond to
search: of 17,000 titles it finds 99.4 % of the 20 nearest (95.4 by default), and no item is lost among its
like (by default, 40 of 10,000 items with nearly the same title could not be found at all).
"""

_GROWTH = 1024
_BLOCK = 16_384
_OURS = ("legacy", None)
"""What Chroma records about the embedding function of a collection made without one."""

Rows = NDArray[np.int64]


def shrunk_mean(vectors: Vectors, count: int) -> Vectors:
    """The mean of unit vectors, shrunk towards zero by count / (count + 5).

    It is always shorter than 1, so that `uncentred` is exact.

    Args:
        vectors: of shape (n, d).
        count: how many items the vectors stand for.

    Returns:
        An array of shape (d,).
    """
    if not len(vectors):
        return np.zeros(vectors.shape[1], dtype=np.float32)
    mean: Vectors = (vectors.mean(axis=0) * (count / (count + SHRINK))).astype(np.float32)
    return mean


def centred(vectors: Vectors, mean: Vectors) -> Vectors:
    """Unit vectors with the mean removed.

    Args:
        vectors: of shape (n, d).
        mean: of shape (d,).

    Returns:
        An array of shape (n, d) with rows of length 1; zero rows stay zero.
    """
    filled = np.any(vectors != 0, axis=1, keepdims=True)
    return unit(np.where(filled, vectors - mean, 0).astype(np.float32))


def uncentred(vectors: Vectors, mean: Vectors) -> Vectors:
    """The unit vectors that `centred` was given: x = mean + s * c, where s follows from |x| = 1.

    Args:
        vectors: centred vectors, of shape (n, d).
        mean: of shape (d,).

    Returns:
        An array of shape (n, d); zero rows stay zero.
    """
    along = vectors @ mean
    scale = np.sqrt(np.maximum(along**2 + 1 - mean @ mean, 0)) - along
    filled = np.any(vectors != 0, axis=1, keepdims=True)
    return unit(np.where(filled, mean + scale[:, None] * vectors, 0).astype(np.float32))


class VectorTable:
    """Unit vectors by row number, in a file that is mapped into memory, or in memory alone.

    Rows that were never written are zero. Reading 1,000 vectors takes about a millisecond, where
    asking Chroma for them takes 25.
    """

    def __init__(self, path: Path | None, dimensions: int) -> None:
        """Open the file at `path`, or make it; None keeps everything in memory.

        Raises:
            CatalogueError: the file cannot be opened or has another width.
        """
        self._path = path
        self._dimensions = dimensions
        self._data: Vectors = np.zeros((0, dimensions), dtype=np.float32)
        if path is not None:
            private_folder(path.parent)
            self._map(0)

    def write(self, rows: Rows, vectors: Vectors) -> None:
        """Store vectors; the table grows as needed.

        Args:
            rows: row numbers, of shape (n,).
            vectors: of shape (n, d).
        """
        if not len(rows):
            return
        top = int(rows.max()) + 1
        if top > len(self._data):
            self._grow(top)
        self._data[rows] = vectors

    def read(self, rows: Rows) -> Vectors:
        """The vectors of `rows` as an array of its own."""
        if len(rows) and self._path is not None and int(rows.max()) >= len(self._data):
            self._map(0)  # another process has made the file longer
        if not len(rows) or int(rows.max()) < len(self._data):
            return np.take(self._data, rows, axis=0)
        found = np.zeros((len(rows), self._dimensions), dtype=np.float32)
        known = rows < len(self._data)
        found[known] = self._data[rows[known]]
        return found

    def similarities(self, rows: Rows, queries: Vectors) -> Vectors:
        """Dot products of every query with every row, in blocks: a million rows need no copy of themselves.

        Args:
            rows: row numbers, of shape (m,).
            queries: of shape (n, d).

        Returns:
            An array of shape (n, m).
        """
        blocks = [self._products(rows[at : at + _BLOCK], queries) for at in range(0, len(rows), _BLOCK)]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(queries), 0), dtype=np.float32)

    def _products(self, rows: Rows, queries: Vectors) -> Vectors:
        """One block: rows that lie close together are compared where they are, without a copy."""
        low, high = int(rows.min()), int(rows.max()) + 1
        if high <= len(self._data) and high - low <= 3 * len(rows):
            near: Vectors = (queries @ self._data[low:high].T)[:, rows - low]
            return near
        return queries @ self.read(rows).T

    def _grow(self, top: int) -> None:
        size = max(top, len(self._data) * 5 // 4, _GROWTH)
        if self._path is not None:
            self._map(size)
        else:
            grown = np.zeros((size, self._dimensions), dtype=np.float32)
            grown[: len(self._data)] = self._data
            self._data = grown

    def _map(self, size: int) -> None:
        """Map the file, made `size` rows long if it is shorter."""
        path, width = self._path, self._dimensions * 4
        if path is None:  # pragma: no cover - callers have looked
            return
        try:
            with path.open("ab") as file:
                path.chmod(0o600)
                length = file.tell()
                if size * width > length:
                    length = file.truncate(size * width)
            if length:
                shape = (length // width, self._dimensions)
                self._data = np.memmap(path, dtype=np.float32, mode="r+", shape=shape)
        except (OSError, ValueError) as error:
            msg = f"the vectors in {path} cannot be used ({error}): run `tanqu index --rebuild`"
            raise CatalogueError(msg) from error


class ChromaIndex:
    """One collection of centred vectors in a Chroma database on disk.

    Vectors are always passed in and no embedding function is ever built: a Chroma folder names the class
    that reads it, and so is as dangerous as a pickle (CVE-2026-45829 and its sisters).
    """

    def __init__(self, folder: Path, name: str, *, create: bool, embedder: str = "") -> None:
        """Open a collection, or create it.

        Args:
            folder: of the Chroma database.
            name: of the collection.
            create: create the collection instead of opening it.
            embedder: the fingerprint that a new collection records.

        Raises:
            CatalogueError: it is not there, is damaged, or was not made by Tanqu.
        """
        import chromadb  # 0.5 s that catalogues in memory do not need

        self._folder, self._name = private_folder(folder), name
        self._client: Any = None  # chromadb's own types accept too little to be of use
        with _explained(folder):
            self._client = chromadb.PersistentClient(str(folder.resolve()), settings=_local_settings())
            self._batch = self._client.get_max_batch_size()
            self._collection = self._made(embedder) if create else self._opened()
        self._refuse_foreign()

    def _made(self, embedder: str) -> Any:  # a chromadb collection
        return self._client.create_collection(
            self._name,
            embedding_function=None,
            metadata={"embedder": embedder},
            configuration={"hnsw": _GRAPH},
        )

    def _opened(self) -> Any:  # a chromadb collection
        return self._client.get_collection(self._name, embedding_function=None)

    def _refuse_foreign(self) -> None:
        function = (self._collection.configuration_json or {}).get("embedding_function") or {}
        if function.get("type") not in _OURS:
            msg = (
                f"the collection {self._name} in {self._folder} names an embedding function "
                f"({function.get('name')}): Tanqu did not write it; run `tanqu index --rebuild`"
            )
            raise CatalogueError(msg)

    def count(self) -> int:
        """Number of vectors."""
        with _explained(self._folder):
            return int(self._collection.count())

    def put(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Add or replace vectors; zero rows, which have no direction, are removed instead.

        Args:
            ids: of items.
            vectors: centred, of shape (len(ids), d).
        """
        filled = np.any(vectors != 0, axis=1)
        kept = [id_ for id_, keep in zip(ids, filled, strict=True) if keep]
        self.delete([id_ for id_, keep in zip(ids, filled, strict=True) if not keep])
        solid = vectors[filled]
        with _explained(self._folder):
            for at in range(0, len(kept), self._batch):
                part = slice(at, at + self._batch)
                self._collection.upsert(ids=kept[part], embeddings=solid[part])

    def delete(self, ids: Sequence[str]) -> None:
        """Remove vectors; unknown ids are none."""
        with _explained(self._folder):
            for at in range(0, len(ids), self._batch):
                self._collection.delete(ids=list(ids[at : at + self._batch]))

    def query(self, vectors: Vectors, k: int) -> list[list[tuple[str, float]]]:
        """The nearest ids of each vector; approximate.

        Args:
            vectors: centred, of shape (n, d).
            k: how many for each.

        Returns:
            One list of (id, cosine similarity) pairs per vector, best first.
        """
        with _explained(self._folder):
            found = self._collection.query(
                query_embeddings=np.ascontiguousarray(vectors), n_results=k, include=["distances"]
            )
        return [
            [(id_, 1.0 - distance) for id_, distance in zip(ids, distances, strict=True)]
            for ids, distances in zip(found["ids"], found["distances"], strict=True)
        ]

    def close(self) -> None:
        """Let go of the files; twice is once."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _local_settings() -> Any:  # chromadb's Settings, which load chromadb
    """Chroma's own defaults, whatever the environment or a `.env` file in the current folder say.

    Read from there they could move the index to a server, or name a class to import.

    Returns:
        Chroma's `Settings`, without telemetry.
    """
    from chromadb.config import Settings

    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()
    }
    return Settings(_env_file=None, **(defaults | {"anonymized_telemetry": False}))


@contextlib.contextmanager
def _explained(folder: Path) -> Any:  # Iterator[None], whatever Chroma raises inside
    """Turn what Chroma or its Rust core raises into a CatalogueError."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # a panic in Rust is a BaseException
        msg = f"the vector index in {folder} cannot be used ({error}): run `tanqu index --rebuild`"
        raise CatalogueError(msg) from error


__all__ = ["ChromaIndex", "Rows", "VectorTable", "centred", "shrunk_mean", "uncentred"]
