"""Ranking systems measured on a leave-one-out protocol.

The recommender runs its own code path: history, profile, retrieval, `Ranker`. Only interests are named by their
commonest words, since the model's names change no vector and no weight; the model takes part as the signal `model`.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...agent.profile import Query, build_profile, newest_time, read_history
from ...agent.ranking import SIGNALS, Ranker, RankingWeights, Retriever, as_candidates
from ...agent.run_trace import RunTrace
from ...agent.settings import Settings
from ...agent.store import ScoreCache
from ...models.embedder import Embedder
from ...models.errors import InputError
from ...models.language_model import LanguageModel
from ...models.records import Ranked
from ...models.text import language_of
from ...prompts import Prompts
from ...vectorstore import Catalogue, Engagement, open_database
from ..data.datasets import data_folder
from ..data.protocol import HeldOutCase, RankingProtocol, RankingTask
from ..metrics import bootstrap, coverage, diversity, figures, novelty, permutation_test
from .baselines import RankingSystem, TrainingData

OURS = "tanqu"
MAIN = "ndcg@10"
"""The metric of tests and plots."""

DEPTH = 50
"""The length of a ranking of the whole catalogue."""

_LIST = 10
_LANGUAGE_FROM = 50

Progress = Callable[[int, int], None]
Figures = dict[str, float]


@contextmanager
def prepared(
    protocol: RankingProtocol,
    embedder: Embedder,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Catalogue, ScoreCache]]:
    """The catalogue of a protocol, and the model's prior likelihoods of its items.

    Both are kept on disk under a hash of the items and the embedder, so that the next run need not embed and
    score them again. They hold nothing about any user.

    Args:
        protocol: its items become the catalogue.
        embedder: embeds them.
        folder: where to keep both; default: the data folder.
        progress: called with the number of items indexed and of all items.

    Yields:
        The catalogue and the cache of priors, open within the block.
    """
    digest = hashlib.sha256(embedder.fingerprint.encode())
    for item in protocol.items:
        digest.update(item.model_dump_json().encode())
    home = (folder or data_folder() / "evaluation") / digest.hexdigest()[:16]
    engine = open_database(home)
    try:
        with Catalogue.open(home, embedder, engine) as catalogue:
            if len(catalogue) < len(protocol.items):
                catalogue.upsert(protocol.items, progress)
            yield catalogue, ScoreCache(engine)
    finally:
        engine.dispose()


class Tanqu:
    """The recommender as a system among others."""

    name = OURS

    def __init__(
        self,
        catalogue: Catalogue,
        engagement: Engagement,
        weights: RankingWeights,
        priors: ScoreCache,
        model: LanguageModel | None,
        settings: Settings,
    ) -> None:
        """Put the parts of the recommender together.

        Args:
            catalogue: the items of the protocol.
            engagement: co-engagement learnt from histories without targets; an empty one: rank by text alone.
            weights: of the signals.
            priors: caches the model's prior likelihood of each item.
            model: the language model, if there is one.
            settings: of the recommender.
        """
        self._catalogue, self._engagement = catalogue, engagement
        self._model, self._settings = model, settings
        self._prompts = Prompts(settings.prompts)
        self._ranker = Ranker(catalogue, engagement, weights, priors)
        self.notes: Counter[str] = Counter()

    def rank(self, task: RankingTask, k: int) -> list[str]:
        """See `System`."""
        return ids_of(self.ranked(task))[: k if task.candidates is None else None]

    def ranked(self, task: RankingTask) -> list[Ranked]:
        """The given candidates, or else the retrieved ones, with their signals, best first."""
        query = self._query(task)
        if task.candidates is None:
            retriever = Retriever(self._catalogue, self._engagement, query.history, query.profile)
            candidates = retriever.retrieve("", self._settings.n_candidates)
        else:
            candidates = as_candidates(self._catalogue, task.candidates)
        trace = RunTrace(self._model)
        ranked = self._ranker.rank(candidates, query, trace, self._prompts, self._settings.model_scores)
        self.notes.update(trace.notes)
        return ranked

    def _query(self, task: RankingTask) -> Query:
        history = read_history(task.events, self._catalogue, self._settings)
        language = language_of([entry.content for entry in history.entries[-_LANGUAGE_FROM:]])
        profile = build_profile(task.user, history, language, RunTrace(None), self._prompts)
        return Query(history, profile, "", self._settings.scenario, newest_time(task.events))


def only(weights: RankingWeights, names: Sequence[str]) -> RankingWeights:
    """The weights with every signal but these at 0.

    Returns:
        A copy.

    Raises:
        InputError: there is no such signal.
    """
    if unknown := sorted(set(names) - set(SIGNALS)):
        msg = f"there is no signal {unknown[0]!r}: use some of {', '.join(SIGNALS)}"
        raise InputError(msg)
    kept = {name: value if name in names else 0.0 for name, value in weights.weights.items()}
    return weights.model_copy(update={"weights": kept})


@dataclass
class RankingResults:
    """The metrics of several systems, one set per user, in the order of the protocol's cases.

    Attributes:
        protocol: what was measured on.
        systems: by system, the metrics of each user.
        signals: for each user, the metrics of each signal of ours alone, without signals that are silent for them.
        given: the metrics of the candidates in the order given.
        seconds: by system, the time of each ranking.
        lists: by system, the first ids of each ranking of the whole catalogue.
        notes: how often the recommender noted a fallback.
    """

    protocol: RankingProtocol
    systems: dict[str, list[Figures]] = field(default_factory=dict)
    signals: list[dict[str, Figures]] = field(default_factory=list)
    given: list[Figures] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    lists: dict[str, list[list[str]]] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def values(self, system: str, figure: str) -> list[float]:
        """A metric of a system, one value per user."""
        return [one[figure] for one in self.systems[system]]

    def signal_values(self, figure: str) -> dict[str, list[float]]:
        """A metric of each signal alone, one value per user."""
        names = sorted({name for one in self.signals for name in one})
        pairs = list(zip(self.signals, self.given, strict=True))
        return {name: [own.get(name, given)[figure] for own, given in pairs] for name in names}


def measure(
    protocol: RankingProtocol,
    systems: Sequence[RankingSystem],
    data: TrainingData,
    progress: Progress | None = None,
) -> RankingResults:
    """Run every system on every task; no system sees a target, before or after.

    Args:
        protocol: the cases.
        systems: what is measured.
        data: counts and vectors for novelty and diversity.
        progress: called with the number of users done and of all users.

    Returns:
        The metrics of each user.
    """
    results = RankingResults(protocol)
    if progress:
        progress(0, len(protocol.cases))
    for done, case in enumerate(protocol.cases, 1):
        for system in systems:
            _ask(system, case, data, results)
        if progress:
            progress(done, len(protocol.cases))
    for system in systems:
        if isinstance(system, Tanqu):
            results.notes = dict(system.notes)
    return results


def _ask(system: RankingSystem, case: HeldOutCase, data: TrainingData, results: RankingResults) -> None:
    """Run one system on one task."""
    started = time.perf_counter()
    ranked = system.ranked(case.task) if isinstance(system, Tanqu) else None
    ranking = system.rank(case.task, DEPTH) if ranked is None else ids_of(ranked)
    results.seconds.setdefault(system.name, []).append(time.perf_counter() - started)
    found = figures(ranking, [case.target])
    if results.protocol.options.full:
        found |= _of_list(ranking[:_LIST], data)
        results.lists.setdefault(system.name, []).append(ranking[:_LIST])
    results.systems.setdefault(system.name, []).append(found)
    if ranked is not None:
        order = case.task.candidates or tuple(sorted(ranking))
        results.signals.append(_alone(ranked, order, case.target))
        results.given.append(figures(order, [case.target]))


def _of_list(ranking: Sequence[str], data: TrainingData) -> Figures:
    """Metrics beyond accuracy of one list."""
    counts = {item: int(data.counts[data.place[item]]) for item in ranking}
    return {
        f"novelty@{_LIST}": novelty(ranking, counts, len(data.histories)),
        f"diversity@{_LIST}": diversity(data.vectors[data.places(ranking)]),
    }


def _alone(ranked: Sequence[Ranked], order: Sequence[str], target: str) -> dict[str, Figures]:
    """The metrics of the same candidates ordered by each signal alone, in the direction of its weight."""
    place = {item: at for at, item in enumerate(order)}
    given = sorted(ranked, key=lambda one: place[one.candidate.item.id])
    names = {name for one in ranked for name in one.signals}
    return {
        name: figures(ids_of(sorted(given, key=_by(name), reverse=True)), [target]) for name in sorted(names)
    }


def _by(name: str) -> Callable[[Ranked], float]:
    return lambda one: one.signals.get(name, 0.0)


def ids_of(ranked: Sequence[Ranked]) -> list[str]:
    """The item ids of a ranking, in order."""
    return [one.candidate.item.id for one in ranked]


def as_json(results: RankingResults) -> dict[str, Any]:
    """All metrics with their 95 percent intervals, tests against each other system, and per-user values.

    Returns:
        What `tanqu evaluate ranking --json` writes; metrics are fractions.
    """
    seed, cases, systems = results.protocol.options.seed, results.protocol.cases, results.systems
    return {
        "dataset": results.protocol.dataset,
        "protocol": results.protocol.description,
        "systems": {name: _of_system(results, name) for name in systems},
        "signals": {
            name: {MAIN: asdict(bootstrap(values, seed))}
            for name, values in results.signal_values(MAIN).items()
        },
        "notes": results.notes,
        "users": [
            {
                "user": case.task.user,
                MAIN: {name: own[at][MAIN] for name, own in results.systems.items()},
            }
            for at, case in enumerate(cases)
        ],
    }


def _of_system(results: RankingResults, name: str) -> dict[str, Any]:
    seed, values = results.protocol.options.seed, results.systems[name]
    found: dict[str, Any] = {key: asdict(bootstrap([one[key] for one in values], seed)) for key in values[0]}
    if name in results.lists:
        found[f"coverage@{_LIST}"] = coverage(results.lists[name], len(results.protocol.items))
    found["seconds_per_user"] = float(np.mean(results.seconds[name]))
    if name != OURS and OURS in results.systems:
        pair = results.values(OURS, MAIN), results.values(name, MAIN)
        found["p_against_tanqu"] = permutation_test(*pair, seed)
    return found


def report_text(report: Mapping[str, Any]) -> str:
    """The main metrics of `as_json` as a table of text, in percent; a row per system, ours first."""
    full = report["protocol"]["negatives"] is None
    columns = ("hr@10", "hr@50", "ndcg@10", "mrr@10") if full else ("ndcg@1", "ndcg@10", "hr@10", "mrr@10")
    lines = [f"{'':12}" + "".join(f"{name:>22}" for name in columns) + f"{'s/user':>9}{'p':>8}"]
    for name, own in report["systems"].items():
        cells = "".join(f"{_percent(own[column]):>22}" for column in columns)
        p = f"{own['p_against_tanqu']:.4f}" if "p_against_tanqu" in own else ""
        lines.append(f"{name:12}{cells}{own['seconds_per_user']:9.3f}{p:>8}")
    if report["signals"]:
        lines += ["", "each signal alone" + f"{MAIN:>17}"]
        lines += [f"{name:12}{_percent(own[MAIN]):>22}" for name, own in report["signals"].items()]
    return "\n".join(lines)


def _percent(one: Mapping[str, float]) -> str:
    return f"{100 * one['mean']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"


__all__ = ["MAIN", "OURS", "RankingResults", "Tanqu", "as_json", "measure", "only", "prepared", "report_text"]
