"""Keeps the vectors of a catalogue in step with its items: embeds, centres, writes, swaps."""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..models.embedder import Embedder, Vectors
from ..models.errors import CatalogueError
from .database import private_folder
from .items import Entry, ItemRows
from .vectors import ChromaIndex, Rows, VectorTable, centred, shrunk_mean, uncentred

BATCH = 1024
"""Items embedded at once; meanwhile Chroma takes in the batch before."""

SAMPLE = 4096
"""Items from which the mean is computed: its error is then 1/64 of a vector's length at most."""

MOVED = 0.05
"""How far the mean must have moved before all vectors are centred anew."""

Progress = Callable[[int, int], object]
"""Called with (done, total) items after each batch."""


@dataclass(frozen=True)
class _State:
    """What the database remembers about the index in use; `mean_of` is how many items the mean is of."""

    embedder: str
    dimensions: int
    generation: int
    mean_of: int

    @property
    def collection(self) -> str:
        """The name of the Chroma collection: the embedder's fingerprint and a running number."""
        slug = "".join(char if char.isalnum() and char.isascii() else "-" for char in self.embedder)
        return f"items-{slug[:100]}-{self.generation}"


class _Index:
    """The vectors of one generation: a table by row and, in a home folder, a Chroma collection."""

    def __init__(self, state: _State, mean: Vectors, home: Path | None, *, create: bool) -> None:
        self.state, self.mean = state, mean
        self.chroma: ChromaIndex | None = None
        if home is None:
            self.table = VectorTable(None, state.dimensions)
            return
        path = home / "vectors" / f"{state.generation}.f32"
        folder = private_folder(home / "chroma") / str(state.generation)
        if create:  # there may be the rest of a rebuild that was interrupted
            path.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        elif not path.exists():
            msg = f"the vectors in {path} are gone: run `tanqu index --rebuild`"
            raise CatalogueError(msg)
        self.table = VectorTable(path, state.dimensions)
        self.chroma = ChromaIndex(folder, state.collection, create=create, embedder=state.embedder)

    def put(self, items: Sequence[Entry], raw: Vectors) -> None:
        """Write the vectors of items, and forget those that are gone."""
        here = [one for one in items if one.row is not None]
        vectors = centred(raw, self.mean)
        self.table.write(np.array([one.row for one in here], dtype=np.int64), vectors)
        if self.chroma is not None:
            self.chroma.put([one.id for one in here], vectors)
            self.chroma.delete([one.id for one in items if one.row is None])

    def drop_others(self, home: Path) -> None:
        """Delete what other generations left; Chroma itself would leave the files of a collection."""
        current = str(self.state.generation)
        for path in (home / "vectors").glob("*.f32"):
            if path.stem != current:
                path.unlink(missing_ok=True)
        for path in (home / "chroma").iterdir():
            if path.name != current:
                shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        if self.chroma is not None:
            self.chroma.close()


class Indexer:
    """The index of one catalogue. Writing is for whoever holds the catalogue's lock."""

    def __init__(self, items: ItemRows, embedder: Embedder, home: Path | None) -> None:
        """Use an index that `open` or `rebuild` makes ready.

        Args:
            items: the rows of the catalogue.
            embedder: makes the vectors.
            home: the folder of the index; None keeps it in memory.
        """
        self._items, self._embedder, self._home = items, embedder, home
        self._index: _Index | None = None

    def open(self) -> None:
        """Open the index that the database names, if there is one.

        Raises:
            CatalogueError: it was made with another embedder, is missing or damaged.
        """
        state = self._read_state()
        if state is None:
            return
        if state.embedder != self._embedder.fingerprint:
            msg = (
                f"the catalogue in {self._home} was made with the embedder {state.embedder}, not "
                f"{self._embedder.fingerprint}: run `tanqu index --rebuild` to embed it anew"
            )
            raise CatalogueError(msg)
        mean = np.frombuffer(self._items.read("mean") or b"", dtype=np.float32)
        self._index = _Index(state, mean, self._home, create=False)

    def reopen(self) -> None:
        """See what another process wrote."""
        self.close()
        self.open()

    def close(self) -> None:
        """Let go of the files; twice is once."""
        if self._index is not None:
            self._index.close()
            self._index = None

    # -- reading ------------------------------------------------------------------------------

    @property
    def mean(self) -> Vectors:
        """What centring removes; zeros while nothing is indexed."""
        if self._index is None:
            return np.zeros(self._embedder.dimensions, dtype=np.float32)
        return self._index.mean

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Centred unit vectors of texts."""
        return centred(self._embedder.embed(texts), self.mean)

    def vectors(self, rows: Rows) -> Vectors:
        """Centred unit vectors by row; zero rows where there is none."""
        if self._index is None:
            return np.zeros((len(rows), self._embedder.dimensions), dtype=np.float32)
        return self._index.table.read(rows)

    def similarities(self, rows: Rows, queries: Vectors) -> Vectors:
        """Exact cosine similarities.

        Args:
            rows: row numbers of items, of shape (m,).
            queries: centred unit vectors, of shape (n, d).

        Returns:
            An array of shape (n, m).
        """
        if self._index is None:
            return np.zeros((len(queries), len(rows)), dtype=np.float32)
        return self._index.table.similarities(rows, queries)

    @property
    def chroma(self) -> ChromaIndex | None:
        """The approximate index; None in memory, or while nothing is indexed."""
        return self._index.chroma if self._index else None

    def problems(self) -> list[str]:
        """What is wrong, in words: items not indexed, a count that differs, a vector that is not found."""
        found = []
        pending = self._items.count_pending()
        if pending:
            found.append(f"{pending} items are not indexed yet: run `tanqu index --rebuild`")
        index = self._index
        if index is None or index.chroma is None:
            return found
        rows = np.array([one.row for part in self._items.batches(BATCH) for one in part], dtype=np.int64)
        filled = rows[np.any(index.table.read(rows) != 0, axis=1)]
        if index.chroma.count() != len(filled):
            found.append(
                f"the index holds {index.chroma.count()} vectors, expected {len(filled)}: "
                "run `tanqu index --rebuild`"
            )
        elif len(filled):
            [[(_, similarity)]] = index.chroma.query(index.table.read(filled[:1]), 1)
            if similarity < 0.999:
                found.append("an item does not find itself in the index: run `tanqu index --rebuild`")
        return found

    # -- writing ------------------------------------------------------------------------------

    def settle(self, progress: Progress | None) -> None:
        """Index everything pending; centre anew when the catalogue has outgrown its mean."""
        total = self._items.count_pending()
        if not total:
            return
        known: dict[str, Vectors] = {}
        if self._index is None:
            known = self._sample()
            self._index = self._begin(_stacked(known.values(), self._embedder.dimensions), generation=1)
            self._save(self._index)
        task = _Task(self._items.pending_batches(BATCH), self._raw(known), total, progress, settles=True)
        self._fill(self._index, task)
        self._follow_mean(self._index)

    def rebuild(self, progress: Progress | None) -> None:
        """Embed all items into an index built aside, make it the one in use, drop the old one."""
        old = self._read_state()
        known = self._sample()
        raw = _stacked(known.values(), self._embedder.dimensions)
        new = self._begin(raw, generation=old.generation + 1 if old else 1)
        self._replace(new, _Task(self._items.batches(BATCH), self._raw(known), len(self._items), progress))

    def _follow_mean(self, index: _Index) -> None:
        """Centre all vectors about a new mean if the catalogue has more than doubled and the mean moved.

        Nothing is embedded again: the vectors before centring follow from those after it.
        """
        count = len(self._items)
        if count <= 2 * index.state.mean_of:
            return
        rows = np.array([one.row for part in self._items.batches(BATCH, _every(count)) for one in part])
        raw = uncentred(index.table.read(rows), index.mean)
        if np.linalg.norm(shrunk_mean(raw, count) - index.mean) < MOVED:
            index.state = replace(index.state, mean_of=count)
            self._save(index)
            return
        new = self._begin(raw, index.state.generation + 1)

        def recover(batch: Sequence[Entry]) -> Vectors:
            return uncentred(index.table.read(np.array([one.row for one in batch])), index.mean)

        self._replace(new, _Task(self._items.batches(BATCH), recover, count))

    def _sample(self) -> dict[str, Vectors]:
        """Vectors, as the embedder gives them, of items spread evenly over the catalogue."""
        batches = self._items.batches(BATCH, _every(len(self._items)))
        picked = [one for batch in batches for one in batch]
        vectors = self._embedder.embed([one.content for one in picked])
        return {one.id: vector for one, vector in zip(picked, vectors, strict=True)}

    def _raw(self, known: dict[str, Vectors]) -> Callable[[Sequence[Entry]], Vectors]:
        """Embeds a batch, except what is known already."""

        def embed(batch: Sequence[Entry]) -> Vectors:
            fresh = [one for one in batch if one.id not in known]
            vectors = iter(self._embedder.embed([one.content for one in fresh]))
            found = (known[one.id] if one.id in known else next(vectors) for one in batch)
            return _stacked(found, self._embedder.dimensions)

        return embed

    def _begin(self, raw: Vectors, generation: int) -> _Index:
        """An empty index about the mean of a sample, in files of its own."""
        count = len(self._items)
        mean = shrunk_mean(raw[np.any(raw != 0, axis=1)], count)
        state = _State(self._embedder.fingerprint, self._embedder.dimensions, generation, count)
        return _Index(state, mean, self._home, create=True)

    def _fill(self, index: _Index, task: "_Task") -> None:
        """Embed batch after batch while a thread writes the one before."""
        with ThreadPoolExecutor(max_workers=1) as writer:
            running: tuple[Sequence[Entry], Future[None]] | None = None
            for batch in task.batches:
                vectors = task.raw([one for one in batch if one.row is not None])
                if running is not None:
                    self._finish(task, *running)
                running = (batch, writer.submit(index.put, batch, vectors))
            if running is not None:
                self._finish(task, *running)

    def _finish(self, task: "_Task", batch: Sequence[Entry], written: Future[None]) -> None:
        written.result()
        if task.settles:
            self._items.settled([one.id for one in batch])
        task.done += len(batch)
        if task.progress is not None:
            task.progress(task.done, task.total)

    def _replace(self, new: _Index, task: "_Task") -> None:
        """Fill an index with everything, make it the one in use, drop what came before."""
        try:
            self._fill(new, task)
            self._save(new, settled=True)
        except BaseException:
            new.close()  # Chroma would hand out the same open files again
            raise
        self.close()
        self._index = new
        if self._home is not None:
            new.drop_others(self._home)

    def _save(self, index: _Index, *, settled: bool = False) -> None:
        state = json.dumps(asdict(index.state)).encode()
        self._items.write({"index": state, "mean": index.mean.tobytes()}, settled=settled)

    def _read_state(self) -> _State | None:
        found = self._items.read("index")
        return _State(**json.loads(found)) if found else None


@dataclass
class _Task:
    """What to write into an index: batches of entries, and how to get their vectors before centring."""

    batches: Iterable[Sequence[Entry]]
    raw: Callable[[Sequence[Entry]], Vectors]
    total: int
    progress: Progress | None = None
    settles: bool = False
    done: int = 0


def _every(count: int) -> int:
    """The step that leaves at most SAMPLE of `count` items."""
    return max(1, -(-count // SAMPLE))


def _stacked(vectors: Iterable[Vectors], dimensions: int) -> Vectors:
    return np.array(list(vectors), dtype=np.float32).reshape(-1, dimensions)


__all__ = ["BATCH", "Indexer", "Progress"]
