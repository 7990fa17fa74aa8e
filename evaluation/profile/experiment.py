"""The quality of user profiles on a data set: their worth for ranking, their evidence, their cost.

Every figure comes with a bootstrap interval over users. Profiles are built by the product's own code, and
the held-out item never reaches them.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean

from ...agent.profile import History, Query, build_profile, interest_vectors, read_history
from ...agent.ranking import history_similarity, interest_matches
from ...agent.run_trace import RunTrace
from ...agent.settings import Settings
from ...models.embedder import Embedder, SentenceEmbedder, Vectors
from ...models.language_model import LanguageModel
from ...models.records import Event, Interest, Language, Profile
from ...models.text import language_of
from ...prompts import Prompts
from ...vectorstore import Catalogue
from ..data.protocol import HeldOutCase, ProtocolOptions, RankingProtocol, read_folder
from ..metrics import bootstrap_statistic, ndcg_of_scores
from ..results import Figure
from .single_prompt import SinglePromptInterest, single_prompt_profile, written_confidence

BASELINE_USERS = 20
"""How many users the slow comparisons are made on: the single prompt, and names after shuffling."""

TIMED_USERS = 3
TIMED_EVENTS = 30
CUTOFF = 10
_BINS = 5

Progress = Callable[[int, int], None]
Predictions = list[tuple[float, bool]]
"""The confidence in each interest, and whether the held-out item was a hit for it."""


@dataclass
class ProfileMeasurement:
    """What was measured of one user; None for a figure that is undefined for them.

    Attributes:
        profile_ndcg: NDCG@10 of the candidates ranked by the interests alone.
        history_ndcg: the same by all vectors of the history.
        covered: positive events that support an interest, of how many.
        resolved: cited events that are the user's own, of how many.
        separation: of the interests' groups of events.
        predictions: confidence and hit for each interest that the model named.
        stable_names: the share of names that stay when events of equal time are shuffled.
        prompt_separation: of the single prompt's groups.
        written: the confidence that the model writes, and the hit.
    """

    profile_ndcg: float
    history_ndcg: float
    covered: tuple[int, int]
    resolved: tuple[int, int]
    separation: float | None
    predictions: Predictions
    stable_names: float | None = None
    prompt_separation: float | None = None
    written: Predictions = field(default_factory=list)


@dataclass(frozen=True)
class ProfileBuilder:
    """The product's own path from events to a profile, over one catalogue."""

    catalogue: Catalogue
    model: LanguageModel | None
    settings: Settings
    prompts: Prompts = field(default_factory=Prompts)

    def read(self, events: Sequence[Event]) -> History:
        """The history of events about items of the catalogue."""
        return read_history(events, self.catalogue, self.settings)

    def profile(self, user: str, history: History) -> Profile:
        """The profile of a history, without any cache."""
        return build_profile(user, history, _language(history), RunTrace(self.model), self.prompts)

    def written(self, history: History, interests: Sequence[Interest]) -> list[float]:
        """The confidence that the model writes for each interest, 0 to 1, in order."""
        return written_confidence(history, interests, _language(history), RunTrace(self.model))

    def by_prompt(self, history: History) -> tuple[SinglePromptInterest, ...]:
        """The profile that a single prompt gives."""
        return single_prompt_profile(history, _language(history), RunTrace(self.model))


def _language(history: History) -> Language:
    return language_of([entry.content for entry in history.entries])


def evaluate_profile(
    dataset_dir: Path,
    users: int,
    model: LanguageModel | None,
    progress: Progress | None = None,
    embedder: Embedder | None = None,
) -> dict[str, dict[str, Figure]]:
    """Measure the profiles of users of a data set.

    `profile_share` is the NDCG@10 of 20 candidates ranked by interests alone over that by all vectors of the
    history. `separation` is how much more similar an event is to the other events of its interest than to
    those of other interests; a single prompt often gives one interest for everything, which is separated from
    nothing, so `separation_same_users` is ours for those users where it gives more. An interest is a hit if the
    held-out item is among the quarter of the candidates that are nearest to it; `calibration_error` compares
    that with the confidence, `calibration_error_written` with a number that the model writes about the same
    interests. `low` and `high` bound 95 percent.

    Args:
        dataset_dir: a folder with `.item` and `.inter`, perhaps `.random`, in RecBole's format.
        users: how many are measured, drawn with seed 0.
        model: the language model; without one, what only a model can do is left out.
        progress: called with the number of steps done and of all steps.
        embedder: defaults to the product's own.

    Returns:
        `{"figures": {key: {"mean", "low", "high"}}}`.

    Raises:
        InputError: the data set cannot be read.
    """
    data = read_folder(dataset_dir, ProtocolOptions(users=users, low_ratings=True))
    timed_histories = _long_histories(data) if model else []
    compared = min(BASELINE_USERS, len(data.cases))
    step = _counter(progress, len(data.cases) + compared + (compared + len(timed_histories) if model else 0))
    with Catalogue.in_memory(data.items, embedder or SentenceEmbedder()) as catalogue:
        builder = ProfileBuilder(catalogue, model, Settings())
        timed = [_timed(builder, events, step) for events in timed_histories]  # first: nothing is cached yet
        measured = []
        for place, case in enumerate(data.cases):
            history = builder.read(case.task.events)
            profile = builder.profile(case.task.user, history)
            measured.append(_measure(builder, case, history, profile))
            step()
            if place < compared:
                measured[-1].stable_names = _stable_names(builder, case, profile)
                step()
            if place < compared and model:
                _measure_baselines(builder, history, profile, measured[-1])
                step()
    return {"figures": _figures(measured, timed, compared)}


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    """Reports another step each time it is called; the start is reported at once."""
    done = iter(range(total + 1))

    def step() -> None:
        if progress:
            progress(next(done), total)

    step()
    return step


def _long_histories(data: RankingProtocol) -> list[list[Event]]:
    """The last events of the first few users with long histories."""
    long = (items[-TIMED_EVENTS:] for items in data.histories if len(items) >= TIMED_EVENTS)
    return [
        [
            Event(id=f"timed-{user}:{place}", user=f"timed-{user}", item=item, action="purchase")
            for place, item in enumerate(items)
        ]
        for user, items in enumerate(islice(long, TIMED_USERS))
    ]


# --- one user -----------------------------------------------------------------------------------


def _measure(
    builder: ProfileBuilder, case: HeldOutCase, history: History, profile: Profile
) -> ProfileMeasurement:
    items = builder.catalogue.get(case.task.candidates or ())
    vectors = builder.catalogue.vectors([item.id for item in items])
    target = [item.id for item in items].index(case.target)
    by_interest, _ = interest_matches(builder.catalogue, items, vectors, Query(history, profile))
    places = history.by_id()
    supported = {event for interest in profile.positive for event in interest.evidence}
    counting = [entry for entry in history.entries if entry.weight > 0 and entry.content]
    cited = [event for interest in profile.interests for event in interest.evidence]
    rows = interest_vectors(profile, history)[: len(profile.positive)]
    hits = _hits(rows, vectors, target)
    return ProfileMeasurement(
        profile_ndcg=ndcg_of_scores(by_interest, target, CUTOFF),
        history_ndcg=ndcg_of_scores(history_similarity(vectors, history), target, CUTOFF),
        covered=(sum(entry.event.id in supported for entry in counting), len(counting)),
        resolved=(sum(event in places for event in cited), len(cited)),
        separation=separation(
            history.vectors, [[places[event] for event in interest.evidence] for interest in profile.positive]
        ),
        predictions=[
            (interest.confidence, hit)
            for interest, hit in zip(profile.positive, hits, strict=True)
            if interest.named_by == "model"
        ],
    )


def _measure_baselines(
    builder: ProfileBuilder, history: History, profile: Profile, into: ProfileMeasurement
) -> None:
    """The separation of the single prompt's profile, and the confidence that the model writes for ours."""
    lines = [place for place, entry in enumerate(history.entries) if entry.content]
    groups = [
        [lines[number - 1] for number in dict.fromkeys(interest.events) if number <= len(lines)]
        for interest in builder.by_prompt(history)
    ]
    into.prompt_separation = separation(history.vectors, groups)
    named = [interest for interest in profile.positive if interest.named_by == "model"]
    into.written = [
        (written, hit)
        for written, (_, hit) in zip(builder.written(history, named), into.predictions, strict=True)
    ]


def _stable_names(builder: ProfileBuilder, case: HeldOutCase, profile: Profile) -> float | None:
    """The share of the names that stay when events of equal time come in another order."""
    order, user = list(case.task.events), case.task.user
    random.Random(f"stability {user}").shuffle(order)  # noqa: S311  # repeatable
    if any(event.time is not None for event in order):
        order.sort(key=lambda event: (event.time is not None, event.time))
    before = {interest.keyword for interest in profile.interests}
    after = {interest.keyword for interest in builder.profile(user, builder.read(order)).interests}
    return len(before & after) / max(len(before), len(after)) if before else None


def _timed(builder: ProfileBuilder, events: Sequence[Event], step: Callable[[], None]) -> tuple[float, float]:
    """Seconds of our profile and of the single prompt's, for the same events."""
    history = builder.read(events)
    start = time.perf_counter()
    builder.profile(events[0].user, history)
    middle = time.perf_counter()
    builder.by_prompt(history)
    step()
    return middle - start, time.perf_counter() - middle


def _hits(interests: Vectors, candidates: Vectors, target: int) -> list[bool]:
    """For each interest, whether the target is among the quarter of the candidates nearest to it."""
    similarity = interests @ candidates.T
    return [int((row > row[target]).sum()) < len(candidates) / 4 for row in similarity]


def separation(vectors: Vectors, groups: Sequence[Sequence[int]]) -> float | None:
    """Mean similarity of an event to the others of its group, minus that to those of other groups.

    An event in several groups is among the others too, so groups of the same events have separation 0.

    Args:
        vectors: shape (events, dimensions), unit rows.
        groups: positions of events in `vectors`.

    Returns:
        -2 to 2; None where no event has both kinds of neighbours: one group only, or only groups of one event.
    """
    values = []
    for group in groups:
        others = [place for other in groups if other is not group for place in other]
        for place in group:
            own, rest = ([other for other in some if other != place] for some in (group, others))
            if own and rest:
                near, far = vectors[own] @ vectors[place], vectors[rest] @ vectors[place]
                values.append(float(near.mean() - far.mean()))
    return fmean(values) if values else None


# --- all users ----------------------------------------------------------------------------------


def calibration_error(predictions: Sequence[tuple[float, bool]]) -> float:
    """Expected calibration error over five bins of equal width (Naeini et al. 2015, section 3).

    Args:
        predictions: confidence, 0 to 1, and whether it was a hit.

    Returns:
        0 (perfect) to 1; NaN without predictions.
    """
    bins: dict[int, list[tuple[float, bool]]] = {}
    for confidence, hit in predictions:
        bins.setdefault(min(int(confidence * _BINS), _BINS - 1), []).append((confidence, hit))
    gaps = (abs(sum(confidence - hit for confidence, hit in some)) for some in bins.values())
    return sum(gaps) / len(predictions) if predictions else math.nan


Users = Sequence[ProfileMeasurement]


def _figures(measured: Users, timed: Sequence[tuple[float, float]], compared: int) -> dict[str, Figure]:
    first = measured[:compared]
    prompted = [user for user in first if user.prompt_separation is not None]
    of_users: list[tuple[str, Users, Callable[[Users], float]]] = [
        (
            "profile_share",
            measured,
            lambda users: _ratio([(user.profile_ndcg, user.history_ndcg) for user in users]),
        ),
        ("ndcg_profile", measured, lambda users: fmean(user.profile_ndcg for user in users)),
        ("ndcg_history", measured, lambda users: fmean(user.history_ndcg for user in users)),
        ("coverage", measured, lambda users: _ratio([user.covered for user in users])),
        ("evidence_valid", measured, lambda users: _ratio([user.resolved for user in users])),
        ("separation", measured, _mean_separation),
        ("separation_same_users", prompted, _mean_separation),
        ("separation_single_prompt", first, lambda users: _mean([user.prompt_separation for user in users])),
        ("stability", first, lambda users: _mean([user.stable_names for user in users])),
        ("calibration_error", measured, _calibration),
        ("calibration_error_same_users", first, _calibration),
        (
            "calibration_error_written",
            first,
            lambda users: calibration_error([pair for user in users for pair in user.written]),
        ),
    ]
    figures = {key: bootstrap_statistic(users, statistic) for key, users, statistic in of_users}
    figures["seconds"] = bootstrap_statistic(timed, lambda pairs: fmean(ours for ours, _ in pairs))
    figures["seconds_single_prompt"] = bootstrap_statistic(
        timed, lambda pairs: fmean(other for _, other in pairs)
    )
    figures["seconds_ratio"] = bootstrap_statistic(timed, _ratio)
    return {key: asdict(figure) for key, figure in figures.items() if figure is not None}


def _mean_separation(users: Users) -> float:
    return _mean([user.separation for user in users])


def _calibration(users: Users) -> float:
    return calibration_error([pair for user in users for pair in user.predictions])


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The sum of the first over the sum of the second."""
    below = sum(second for _, second in pairs)
    return sum(first for first, _ in pairs) / below if below else math.nan


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known else math.nan
