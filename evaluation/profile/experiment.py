"""How good a profile is, measured on a data set: what it is worth, what it rests on, what it costs.

Every figure comes with a bootstrap interval over users. The profile is built by the product's own code, and
what was held out never reaches it.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...agent.profile import History, Query, build_profile, interest_vectors, read_history
from ...agent.ranking import history_similarity, interest_matches
from ...agent.run_trace import RunTrace
from ...agent.settings import Settings
from ...models.embedder import Embedder, SentenceEmbedder, Vectors
from ...models.language_model import LanguageModel
from ...models.records import Event, Interest, Profile
from ...models.text import language_of
from ...prompts import Prompts
from ...vectorstore import Catalogue
from ..data.held_out import Case, read_held_out
from .single_prompt import SinglePromptInterest, single_prompt_profile, written_confidence

BASELINE_USERS = 20
"""How many users the slow comparisons are made on: the single prompt, and names after shuffling."""

TIMED_USERS = 3
TIMED_EVENTS = 30
CUTOFF = 10
_BINS = 5
_DRAWS = 1000

Progress = Callable[[int, int], None]
Figure = dict[str, float]
T = TypeVar("T")
Sure = list[tuple[float, bool]]
"""How sure somebody was of each interest, and whether the held-out item was a hit for it."""


@dataclass
class Measured:
    """What was measured of one user; a figure that has no meaning for them is left out."""

    profile_gain: float
    history_gain: float
    covered: tuple[int, int]
    resolved: tuple[int, int]
    separation: float | None
    sure: Sure
    same_names: float | None = None
    prompt_separation: float | None = None
    written: Sure = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """The product's own path from events to a profile, over one catalogue."""

    catalogue: Catalogue
    model: LanguageModel | None
    settings: Settings
    prompts: Prompts = field(default_factory=Prompts)

    def read(self, events: Sequence[Event]) -> History:
        """The events against the items of the catalogue."""
        return read_history(events, self.catalogue, self.settings)

    def profile(self, user: str, history: History) -> Profile:
        """The profile of a history, built from nothing."""
        language = language_of([entry.content for entry in history.entries])
        return build_profile(user, history, language, RunTrace(self.model), self.prompts)

    def written(self, history: History, interests: Sequence[Interest]) -> list[float]:
        """How sure the model says that it is of each interest."""
        language = language_of([entry.content for entry in history.entries])
        return written_confidence(history, interests, language, RunTrace(self.model))

    def by_prompt(self, history: History) -> tuple[SinglePromptInterest, ...]:
        """The profile that a single prompt gives."""
        language = language_of([entry.content for entry in history.entries])
        return single_prompt_profile(history, language, RunTrace(self.model))


def evaluate_profile(
    dataset_dir: Path,
    users: int,
    model: LanguageModel | None,
    progress: Progress | None = None,
    embedder: Embedder | None = None,
) -> dict[str, dict[str, Figure]]:
    """Measure the profiles of the first `users` users: `{"figures": {key: {"mean", "low", "high"}}}`.

    `profile_share` is the N@10 of 20 candidates ranked by interests alone over that by all vectors of the
    history. `separation` is how much more similar an event is to the other events of its interest than to
    those of other interests; a single prompt often gives one interest for everything, which is separated from
    nothing, so `separation_same_users` is ours for those users where it gives more. An interest is a hit if the
    held-out item is among the quarter of the candidates that are nearest to it; `calibration_error` compares
    that with the confidence, `calibration_error_written` with a number that the model writes about the same
    interests. `low` and `high` bound 95 percent. Without a model, what only a model can do is left out.

    Raises:
        InputError: the data set cannot be read.
    """
    data = read_held_out(dataset_dir, users, TIMED_USERS if model else 0, TIMED_EVENTS)
    compared = min(BASELINE_USERS, len(data.cases))
    total = len(data.cases) + compared + (compared + len(data.long) if model else 0)
    tell = _counter(progress, total)
    with Catalogue.in_memory(data.items, embedder or SentenceEmbedder()) as catalogue:
        bench = Bench(catalogue, model, Settings())
        measured = []
        for place, case in enumerate(data.cases):
            history = bench.read(case.events)
            profile = bench.profile(case.user, history)
            measured.append(_measure(bench, case, history, profile))
            tell()
            if place < compared:
                measured[-1].same_names = _same_names(bench, case, profile)
                tell()
            if place < compared and model:
                _measure_baselines(bench, case, history, profile, measured[-1])
                tell()
        timed = [_timed(bench, case, tell) for case in data.long]
    return {"figures": _figures(measured, timed, compared)}


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    done = iter(range(1, total + 1))
    return lambda: progress(next(done), total) if progress else None


# --- one user -----------------------------------------------------------------------------------


def _measure(bench: Bench, case: Case, history: History, profile: Profile) -> Measured:
    items = bench.catalogue.get(case.candidates)
    vectors = bench.catalogue.vectors([item.id for item in items])
    target = [item.id for item in items].index(case.target)
    by_interest, _ = interest_matches(bench.catalogue, items, vectors, Query(history, profile))
    places = history.by_id()
    supported = {event for one in profile.positive for event in one.evidence}
    counting = [one for one in history.entries if one.weight > 0 and one.content]
    cited = [event for one in profile.interests for event in one.evidence]
    rows = interest_vectors(profile, history)[: len(profile.positive)]
    hits = _hits(rows, vectors, target)
    sure = [
        (one.confidence, hit)
        for one, hit in zip(profile.positive, hits, strict=True)
        if one.named_by == "model"
    ]
    return Measured(
        profile_gain=gain(by_interest, target),
        history_gain=gain(history_similarity(vectors, history), target),
        covered=(sum(one.event.id in supported for one in counting), len(counting)),
        resolved=(sum(event in places for event in cited), len(cited)),
        separation=separation(
            history.vectors, [[places[event] for event in one.evidence] for one in profile.positive]
        ),
        sure=sure,
    )


def _measure_baselines(bench: Bench, case: Case, history: History, profile: Profile, into: Measured) -> None:
    """How the profile of a single prompt is separated, and how sure the model writes that it is of ours."""
    lines = [place for place, entry in enumerate(history.entries) if entry.content]
    groups = [
        [lines[number - 1] for number in dict.fromkeys(one.events) if number <= len(lines)]
        for one in bench.by_prompt(history)
    ]
    into.prompt_separation = separation(history.vectors, groups)
    named = [one for one in profile.positive if one.named_by == "model"]
    into.written = [
        (written, hit) for written, (_, hit) in zip(bench.written(history, named), into.sure, strict=True)
    ]


def _same_names(bench: Bench, case: Case, profile: Profile) -> float | None:
    """Share of the names that stay when events of equal time come in another order."""
    order = list(case.events)
    random.Random(f"stability {case.user}").shuffle(order)  # noqa: S311  # anybody can draw it again
    if any(event.time is not None for event in order):
        order.sort(key=lambda event: (event.time is not None, event.time))
    before = {one.keyword for one in profile.interests}
    after = {one.keyword for one in bench.profile(case.user, bench.read(order)).interests}
    return len(before & after) / max(len(before), len(after)) if before else None


def _timed(bench: Bench, case: Case, tell: Callable[[], None]) -> tuple[float, float]:
    """Seconds of our profile and of the single prompt's, for the same events."""
    history = bench.read(case.events)
    start = time.perf_counter()
    bench.profile(case.user, history)
    middle = time.perf_counter()
    bench.by_prompt(history)
    tell()
    return middle - start, time.perf_counter() - middle


def gain(scores: NDArray[np.float64], target: int) -> float:
    """N@10 of one relevant item: 1 at the first rank, 0 beyond the tenth; ties share their mean rank."""
    above = int((scores > scores[target]).sum())
    rank = above + (int((scores == scores[target]).sum()) - 1) / 2
    return 1 / math.log2(rank + 2) if rank < CUTOFF else 0.0


def _hits(interests: Vectors, candidates: Vectors, target: int) -> list[bool]:
    """For each interest, whether the target is among the quarter of the candidates nearest to it."""
    similarity = interests @ candidates.T
    return [int((row > row[target]).sum()) < len(candidates) / 4 for row in similarity]


def separation(vectors: Vectors, groups: Sequence[Sequence[int]]) -> float | None:
    """Mean similarity of an event to the others of its group, minus that to those of other groups.

    From -2 to 2. An event in several groups is among the others too, so groups of the same events are not
    separated: 0. None where no event has both: one group only, or nothing but groups of one.
    """
    values = []
    for group in groups:
        others = [place for other in groups if other is not group for place in other]
        for place in group:
            own, rest = ([one for one in some if one != place] for some in (group, others))
            if own and rest:
                near, far = vectors[own] @ vectors[place], vectors[rest] @ vectors[place]
                values.append(float(near.mean() - far.mean()))
    return fmean(values) if values else None


# --- all users ----------------------------------------------------------------------------------


def calibration_error(pairs: Sequence[tuple[float, bool]]) -> float:
    """Expected calibration error over five bins of equal width; 0 is perfect, 1 the worst."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for sure, hit in pairs:
        bins.setdefault(min(int(sure * _BINS), _BINS - 1), []).append((sure, hit))
    gaps = (abs(sum(sure - hit for sure, hit in some)) for some in bins.values())
    return sum(gaps) / len(pairs) if pairs else math.nan


def _figures(
    measured: Sequence[Measured], timed: Sequence[tuple[float, float]], compared: int
) -> dict[str, Figure]:
    first = measured[:compared]
    found = {
        "profile_share": _interval(
            measured, lambda some: _ratio([(one.profile_gain, one.history_gain) for one in some])
        ),
        "ndcg_profile": _interval(measured, lambda some: fmean(one.profile_gain for one in some)),
        "ndcg_history": _interval(measured, lambda some: fmean(one.history_gain for one in some)),
        "coverage": _interval(measured, lambda some: _ratio([one.covered for one in some])),
        "evidence_valid": _interval(measured, lambda some: _ratio([one.resolved for one in some])),
        "separation": _interval(measured, lambda some: _mean([one.separation for one in some])),
        "separation_same_users": _interval(
            [one for one in first if one.prompt_separation is not None],
            lambda some: _mean([one.separation for one in some]),
        ),
        "separation_single_prompt": _interval(
            first, lambda some: _mean([one.prompt_separation for one in some])
        ),
        "stability": _interval(first, lambda some: _mean([one.same_names for one in some])),
        "calibration_error": _interval(
            measured, lambda some: calibration_error([pair for one in some for pair in one.sure])
        ),
        "calibration_error_same_users": _interval(
            first, lambda some: calibration_error([pair for one in some for pair in one.sure])
        ),
        "calibration_error_written": _interval(
            first, lambda some: calibration_error([pair for one in some for pair in one.written])
        ),
        "seconds": _interval(timed, lambda some: fmean(ours for ours, _ in some)),
        "seconds_single_prompt": _interval(timed, lambda some: fmean(theirs for _, theirs in some)),
        "seconds_ratio": _interval(timed, _ratio),
    }
    return {key: figure for key, figure in found.items() if figure is not None}


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The sum of the first over the sum of the second."""
    below = sum(second for _, second in pairs)
    return sum(first for first, _ in pairs) / below if below else math.nan


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known else math.nan


def _interval(units: Sequence[T], statistic: Callable[[Sequence[T]], float]) -> Figure | None:
    """The statistic of all units with the 95 percent of its bootstrap; None where it says nothing."""
    mean = statistic(units) if units else math.nan
    if math.isnan(mean):
        return None
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(units), (_DRAWS, len(units)))
    values = [statistic([units[at] for at in draw]) for draw in draws.tolist()]
    low, high = np.nanpercentile(values, [2.5, 97.5]).tolist()
    return {"mean": mean, "low": low, "high": high}
