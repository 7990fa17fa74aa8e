"""`tanqu bench --scale`: indexing, searching and ranking in catalogues of 17,000 to a million items.

Items, events and tastes are synthetic, from fixed seeds. The rate of indexing is measured with the real
embedder; larger catalogues get their vectors from one that adds up random vectors of words, as embedding a
million texts would take ten minutes and the time of a search does not depend on where vectors come from.
What is timed is what a request does between the profile and the model: all channels, and all signals of 200
candidates, for users of 30 events among some thousand others. Each size has a process of its own.
"""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...agent.profile import Query, interest_vectors, read_history
from ...agent.ranking import EngagementCache, Ranker, Retriever, load_weights
from ...agent.recommender import Recommender
from ...agent.run_trace import RunTrace
from ...agent.settings import load_settings
from ...agent.store import ScoreCache
from ...models.embedder import Embedder, SentenceEmbedder
from ...models.errors import InputError
from ...models.records import Item
from ...vectorstore import Catalogue, memory_database
from ..data.synthetic import WordEmbedder, synthetic_events, synthetic_items
from .measuring import peak_mb, timed

SIZES = (17_000, 100_000)
"""What is measured unless asked otherwise; building a million takes half an hour."""

USERS = 2_000
EMBEDDED = 16_000
"""Items with which indexing is held against the embedder alone."""

CANDIDATES = 200
ROUNDS = 5
QUERY_USERS = ("u1", "u2", "u3", "u4", "u5")

BROAD: dict[str, object] = {"price": {"$lte": 100}}
"""96 % of the items pass."""

NARROW: dict[str, object] = {"$and": [{"genre": "art"}, {"year": {"$gte": 2020}}, {"price": {"$lte": 20}}]}
"""Of 1,000 items about four pass."""

LIMITS = {"retrieve_vs_chroma": 1.5, "filtered_vs_unfiltered": 3.0, "peak_mb": 8192.0}
INDEXING = 0.80
SMALL, SMALL_MS, LARGE_MS = 20_000, 30.0, 150.0

Row = dict[str, Any]  # Any: numbers and a truth value, as they go into the JSON
Progress = Callable[[int, int], object]


def run_scale(sizes: Sequence[int] = SIZES, progress: Progress | None = None) -> dict[str, Any]:
    """Measure catalogues of these sizes.

    Args:
        sizes: numbers of items.
        progress: called with the number of parts done and of all parts.

    Returns:
        `{"machine", "rows": {key: row}}`, as the engine's benchmark.
    """
    report = progress or (lambda _done, _total: None)
    report(0, len(set(sizes)) + 1)
    rows = {"index_vs_embedder": indexing(SentenceEmbedder(), EMBEDDED)}
    ordered = sorted(set(sizes))
    for done, size in enumerate(ordered, 1):
        report(done, len(ordered) + 1)
        with tempfile.TemporaryDirectory() as home:
            rows |= _child(size, home)
    report(len(ordered) + 1, len(ordered) + 1)
    return {"machine": f"{platform.machine()}, {platform.system()}", "rows": _headed(rows, ordered)}


def _headed(rows: dict[str, Row], sizes: Sequence[int]) -> dict[str, Row]:
    """The comparisons of the largest size, those of filters rather of 100,000, under names without a size."""
    filtered = 100_000 if 100_000 in sizes else sizes[-1]
    main = {"retrieve_vs_chroma": sizes[-1], "filtered_vs_unfiltered": filtered}
    bare = {f"{key}_{label(size)}": key for key, size in main.items()}
    return {bare.get(key, key): one for key, one in rows.items()}


def read_sizes(text: str) -> tuple[int, ...]:
    """The sizes of `--items 17000,100000`.

    Returns:
        Numbers of items, in the order given.

    Raises:
        InputError: not whole numbers of 1,000 to 10,000,000.
    """
    parts = [one.strip() for one in text.split(",")]
    if not all(one.isdecimal() and 1_000 <= int(one) <= 10_000_000 for one in parts):
        msg = f"--items {text!r} cannot be used: give numbers of 1000 to 10000000, such as 17000,100000"
        raise InputError(msg)
    return tuple(map(int, parts))


def _child(size: int, home: str) -> dict[str, Row]:
    code = f"from {__name__} import main; main()"
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(size), home], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Row] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Build one size in a folder, measure it, and print the rows."""
    size, home = int(sys.argv[1]), Path(sys.argv[2])
    seconds = build(home, size)
    sys.stdout.write(json.dumps(measure(home, size, {"build_seconds": round(seconds, 1)})) + "\n")


# --- indexing ---------------------------------------------------------------------------------------------


def indexing(embedder: Embedder, count: int, rounds: int = 3) -> Row:
    """The rate of indexing beside that of the embedder alone.

    Args:
        embedder: embeds the items.
        count: how many items.
        rounds: how often; medians count.

    Returns:
        A row in items a second.
    """
    items = list(synthetic_items(count))
    ours, theirs = [], []
    embedder.embed([items[0].content])
    for _ in range(rounds):
        ours.append(count / timed(lambda: _indexed(items, embedder)))
        theirs.append(count / timed(lambda: _embedded(items, embedder)))
    mine, other = statistics.median(ours), statistics.median(theirs)
    return _row(mine, other, mine / other, INDEXING, count, meets=mine / other >= INDEXING)


def _indexed(items: Sequence[Item], embedder: Embedder) -> None:
    with tempfile.TemporaryDirectory() as home, Catalogue.open(Path(home), embedder) as catalogue:
        catalogue.upsert(items)


def _embedded(items: Sequence[Item], embedder: Embedder, batch: int = 1024) -> None:
    for at in range(0, len(items), batch):
        embedder.embed([item.content for item in items[at : at + batch]])


def build(home: Path, size: int, users: int = USERS) -> float:
    """Index synthetic items in a home and store the events of its users.

    Args:
        home: an empty folder.
        size: how many items.
        users: how many users.

    Returns:
        Seconds of the indexing alone.
    """
    settings = load_settings(scenario="shop", language="en", model="none", home=home)
    with Recommender.open(embedder=WordEmbedder(), settings=settings) as recommender:
        seconds = timed(lambda: recommender.add_items(synthetic_items(size)))
        recommender.record(synthetic_events(users, size))
    return seconds


# --- searching and ranking --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScaleBenchmark:
    """An open home and the queries of a few of its users."""

    recommender: Recommender
    counts: EngagementCache
    ranker: Ranker
    queries: tuple[Query, ...]

    def request(self, query: Query, where: dict[str, object] | None = None) -> int:
        """Everything between the profile and the model: retrieval and signals; the number of ranked items."""
        trace, catalogue = RunTrace(None), self.recommender.catalogue
        engagement = self.counts.load(trace)
        retriever = Retriever(catalogue, engagement, query.history, query.profile, where)
        found = retriever.retrieve("", CANDIDATES, at_least=10)
        return len(self.ranker.rank(found, query, trace, self.recommender.pipeline.prompts, 0))

    def dense(self, query: Query, k: int = CANDIDATES // 2) -> int:
        """Dense retrieval alone: one search per interest; the number of results."""
        vectors = interest_vectors(query.profile, query.history)
        exclude = query.history.consumed
        return len(self.recommender.catalogue.search_many(vectors, k, exclude=exclude))

    def chroma(self, query: Query, k: int = CANDIDATES // 2) -> int:
        """The same searches in Chroma's collection alone, without exclusions; the number of result lists."""
        index = self.recommender.catalogue._indexer.chroma
        if index is None:
            msg = "the catalogue has no index to be held against"
            raise InputError(msg)
        vectors = np.ascontiguousarray(interest_vectors(query.profile, query.history))
        return len(index._collection.query(query_embeddings=vectors, n_results=k, include=["distances"]))


def measure(home: Path, size: int, more: dict[str, float] | None = None) -> dict[str, Row]:
    """Measure requests in a home that `build` made.

    Args:
        home: the folder.
        size: how many items it has.
        more: further values for the row of memory.

    Returns:
        The rows by key.
    """
    settings = load_settings(scenario="shop", language="en", model="none", home=home)
    with Recommender.open(embedder=WordEmbedder(), settings=settings) as recommender:
        benchmark = _bench(recommender, home)
        first = timed(lambda: benchmark.request(benchmark.queries[0])) * 1000
        times = _times(benchmark, lambda query: benchmark.request(query))
        against = _in_turn(benchmark, benchmark.dense, benchmark.chroma)
        filtered = {
            name: _in_turn(
                benchmark,
                lambda query, where=where: benchmark.request(query, where),  # type: ignore[misc]  # a default
                lambda query: benchmark.request(query),
            )
            for name, where in (("broad", BROAD), ("narrow", NARROW))
        }
        changed = timed(lambda: _one_more(benchmark, size)) * 1000
    worst = max(filtered.values(), key=lambda pair: pair[0] / pair[1])
    return _rows(size, times, {"chroma": against, "filtered": worst, **filtered}) | {
        f"peak_mb_{label(size)}": _limited("peak_mb", peak_mb(), size)
        | {"first_request_ms": first, "one_more_item_ms": changed, **(more or {})}
    }


def _bench(recommender: Recommender, home: Path) -> ScaleBenchmark:
    memory, catalogue = recommender.memory, recommender.catalogue
    counts = EngagementCache(memory, catalogue, home)
    ranker = Ranker(catalogue, counts.load(RunTrace(None)), load_weights(), ScoreCache(memory_database()))
    queries = []
    for user in QUERY_USERS:
        history = read_history(memory.events(user), catalogue, recommender.settings)
        queries.append(Query(history, recommender.profile(user)))
    return ScaleBenchmark(recommender, counts, ranker, tuple(queries))


def _one_more(benchmark: ScaleBenchmark, size: int) -> None:
    """Index a new item, and make a request on the changed catalogue."""
    benchmark.recommender.add_items([Item(id=f"new{size}", title="a new telescope for the moon")])
    benchmark.request(benchmark.queries[0])


def _times(benchmark: ScaleBenchmark, work: Callable[[Query], object]) -> list[float]:
    """Milliseconds for each user and round, after a warm-up round."""
    for query in benchmark.queries:
        work(query)
    return [
        timed(lambda query=query: work(query)) * 1000  # type: ignore[misc]  # a default
        for _ in range(ROUNDS)
        for query in benchmark.queries
    ]


def _in_turn(
    benchmark: ScaleBenchmark, ours: Callable[[Query], object], theirs: Callable[[Query], object]
) -> tuple[float, float]:
    """Median milliseconds of both, asked by turns, so that a drift of the machine meets both."""
    pairs = []
    for number in range(ROUNDS + 1):
        for query in benchmark.queries:
            one = timed(lambda query=query: ours(query)) * 1000  # type: ignore[misc]  # a default
            other = timed(lambda query=query: theirs(query)) * 1000  # type: ignore[misc]  # a default
            pairs += [(one, other)] if number else []
    return statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs)


# --- rows -------------------------------------------------------------------------------------------------


def label(size: int) -> str:
    """17000 as 17k, 1000000 as 1m."""
    for unit, letter in ((1_000_000, "m"), (1_000, "k")):
        if size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def _rows(size: int, times: list[float], pairs: dict[str, tuple[float, float]]) -> dict[str, Row]:
    plain, limit = statistics.median(times), SMALL_MS if size <= SMALL else LARGE_MS
    broad, narrow = (pairs[name][0] / pairs[name][1] for name in ("broad", "narrow"))
    return {
        f"retrieve_ms_{label(size)}": _row(plain, limit, plain, limit, size, meets=plain <= limit)
        | {"fastest": round(min(times), 2)},
        f"retrieve_vs_chroma_{label(size)}": _compared("retrieve_vs_chroma", pairs["chroma"], size),
        f"filtered_vs_unfiltered_{label(size)}": _compared("filtered_vs_unfiltered", pairs["filtered"], size)
        | {"broad": round(broad, 3), "narrow": round(narrow, 3)},
    }


def _compared(key: str, pair: tuple[float, float], size: int) -> Row:
    ratio = pair[0] / pair[1]
    return _row(*pair, ratio, LIMITS[key], size, meets=ratio <= LIMITS[key])


def _limited(key: str, value: float, size: int) -> Row:
    return _row(value, LIMITS[key], value, LIMITS[key], size, meets=value <= LIMITS[key])


def _row(ours: float, theirs: float, ratio: float, target: float, items: int, *, meets: bool) -> Row:
    return {
        "ours": round(ours, 2), "theirs": round(theirs, 2), "ratio": round(ratio, 3), "tokens": 0,
        "items": items, "target": target, "meets": bool(meets),
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The rows as a person reads them: milliseconds, items a second, or megabytes."""
    lines = [
        f"synthetic catalogues on {result['machine']}",
        f"{'row':30} {'ours':>10} {'theirs':>10} {'ratio':>9}  target",
    ]
    for key, one in result["rows"].items():
        sign = ">=" if key == "index_vs_embedder" else "<="
        verdict = "met" if one["meets"] else "SHORT"
        figures = f"{one['ours']:10.1f} {one['theirs']:10.1f} {one['ratio']:9.2f}"
        lines.append(f"{key:30} {figures}  {sign} {one['target']:g} {verdict}")
    return "\n".join(lines)


__all__ = ["SIZES", "read_sizes", "run_scale", "table"]
