"""Tuning: the weights of the signals fitted to the events of a home, leave-one-out.

The last new item of each user is held out and ranked among items that they never touched, drawn uniformly.
`weight_fitting.py` fits the weights and measures the gain.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ...models.errors import InputError
from ...models.language_model import LanguageModel, Prompt, Scored
from ...models.records import Event, Item
from ...models.text import language_of
from ...prompts import Prompts
from ...vectorstore import Catalogue, Engagement
from ..profile import (
    Query,
    apply_edits,
    build_profile,
    decayed_weights,
    forgotten_events,
    newest_time,
    read_history,
    without_muted,
)
from ..run_trace import RunTrace
from ..settings import Settings
from ..store import Memory, ScoreCache
from .ranker import Ranker
from .weights import NEGATIVES, HeldOutChoice, RankingWeights, TuningResult, fit


def held_out_event(events: Sequence[Event], counts: Callable[[int], bool]) -> int | None:
    """The position of the last event that counts and is the first one with its item.

    What comes after it must not be shown to what is measured.

    Args:
        events: those of one user, oldest first.
        counts: whether the event at a position may be held out, such as a purchase or a good rating.

    Returns:
        The position, or None if there is no such event.
    """
    first = {event.item: place for place, event in reversed(list(enumerate(events)))}
    return next(
        (
            place
            for place in range(len(events) - 1, -1, -1)
            if events[place].item is not None and first[events[place].item] == place and counts(place)
        ),
        None,
    )


Progress = Callable[[int, int], None]

FEWEST_USERS = 20
"""With fewer, chance decides."""

_FEWEST_EVENTS = 3
_LANGUAGE_FROM = 50


@dataclass(frozen=True, slots=True)
class TuningInputs:
    """The parts of a home whose weights are fitted; `weights` are those in force."""

    memory: Memory
    catalogue: Catalogue
    settings: Settings
    prompts: Prompts
    weights: RankingWeights
    priors: ScoreCache
    model: LanguageModel | None


@dataclass(frozen=True)
class _HeldOut:
    """A user whose last new item is held out; `touched` are all items that they have any event with."""

    user: str
    events: tuple[Event, ...]
    target: str
    touched: frozenset[str]


def tune(
    home: TuningInputs, *, users: int = 1_000, seed: int = 0, progress: Progress | None = None
) -> TuningResult:
    """Fit weights for a home; nothing is written (`save_weights` does). The same seed gives the same result.

    Without a model the weight of its signal stays, and so does that of every signal without any variance.

    Args:
        home: the parts of the home.
        users: how many users at most.
        seed: draws the users and their negatives.
        progress: called with the users done and the number of all.

    Returns:
        The weights before and after, and the gain in N@10.

    Raises:
        InputError: too few users can be measured, or there are too few items.
    """
    found = held_out_choices(home, users, seed, progress)
    if len(found) < FEWEST_USERS:
        msg = (
            f"{len(found)} users can be measured and tuning needs {FEWEST_USERS}: each must have taken "
            f"to a new item of the catalogue after {_FEWEST_EVENTS} events or more, and there must be "
            f"{NEGATIVES} items that they never touched"
        )
        raise InputError(msg)
    return fit(found, home.weights, seed)


def held_out_choices(
    home: TuningInputs, users: int, seed: int, progress: Progress | None = None
) -> list[HeldOutChoice]:
    """The held-out choices of users drawn by the seed; the signals of none know its target.

    Args:
        home: the parts of the home.
        users: how many users at most.
        seed: draws the users and their negatives.
        progress: called with the users done and the number of all.

    Returns:
        At most `users`; of a smaller number the users are among those of a larger one.
    """
    catalogue = home.catalogue
    ids = sorted(catalogue.ids())
    held = _drawn(home, users, seed, len(ids))
    targets = {one.user: one.target for one in held}
    sequences = [
        [item for item in items if item != targets.get(user)] for user, items in home.memory.all_sequences()
    ]
    engagement = Engagement.build(sequences, catalogue.ids())
    ranker = Ranker(catalogue, engagement, home.weights, home.priors)
    found = []
    for done, one in enumerate(held, 1):
        offered = [one.target, *_negatives(one, ids, seed)]
        found.append(_choice(home, ranker, one, catalogue.get(offered)))
        if progress:
            progress(done, len(held))
    return found


def _drawn(home: TuningInputs, users: int, seed: int, items: int) -> list[_HeldOut]:
    """Users with something to hold out; a smaller number gives some of those that a larger one gives."""
    names = [name for name, count in home.memory.users().items() if count > _FEWEST_EVENTS]
    names.sort(key=lambda name: (zlib.crc32(f"{seed} {name}".encode()), name))
    drawn: list[_HeldOut] = []
    for name in names:
        if len(drawn) == users:
            break
        one = _held_out(home, name)
        if one and items - len(one.touched) >= NEGATIVES:
            drawn.append(one)
    return drawn


def _held_out(home: TuningInputs, user: str) -> _HeldOut | None:
    """The last item with a positive event that the user had not touched before, and the events before it."""
    events = home.memory.events(user)
    touched = frozenset(event.item for event in events if event.item is not None)
    gone = forgotten_events(home.memory.edits(user))
    settings = home.settings
    weights = decayed_weights(events, settings.scenario, settings=settings)

    def counts(place: int) -> bool:
        event = events[place]
        return event.id not in gone and weights[place] > 0 and event.item in home.catalogue

    place = held_out_event(events, counts)
    if place is None:
        return None
    earlier = tuple(event for event in events[:place] if event.id not in gone)
    return (
        _HeldOut(user, earlier, str(events[place].item), touched) if len(earlier) >= _FEWEST_EVENTS else None
    )


def _negatives(one: _HeldOut, ids: Sequence[str], seed: int) -> list[str]:
    rng = np.random.default_rng([seed, zlib.crc32(one.user.encode())])
    drawn = (ids[place] for place in rng.permutation(len(ids)))
    return list(islice((item for item in drawn if item not in one.touched), NEGATIVES))


class _CachedTrace(RunTrace):
    """A trace that scores titles after a user's history once, so that an interrupted `tanqu tune` goes on."""

    def __init__(self, model: LanguageModel, scores: ScoreCache, user: str) -> None:
        super().__init__(model)
        self._scores, self._user = scores, user

    def score(self, stage: str, prompt: Prompt, texts: Sequence[str]) -> list[Scored]:
        """As any trace; means of the stage "ranking" from the cache where they are known."""
        if stage != "ranking":
            return super().score(stage, prompt, texts)

        def score(missing: list[str]) -> list[float]:
            return [scored.mean for scored in super(_CachedTrace, self).score(stage, prompt, missing)]

        fingerprint = self._require_model().fingerprint
        means = self._scores.means(fingerprint, prompt.text, texts, score, self._user)
        return [Scored((mean,)) for mean in means.tolist()]


def _choice(home: TuningInputs, ranker: Ranker, one: _HeldOut, items: Sequence[Item]) -> HeldOutChoice:
    """The signals of the candidates; interests are named without the model, which changes no vector."""
    query = _query(home, one)
    raw, _ = ranker.signals(items, query)
    given = alone = None
    if home.model is not None and home.settings.model_scores:
        trace = _CachedTrace(home.model, home.priors, one.user)
        given, alone = ranker.likelihoods(items, query, trace, home.prompts)
    return HeldOutChoice(ranker.scaled(raw), given, alone, len(one.events), ranker.model_share)


def _query(home: TuningInputs, one: _HeldOut) -> Query:
    history = read_history(one.events, home.catalogue, home.settings)
    language = language_of([entry.content for entry in history.entries[-_LANGUAGE_FROM:]])
    profile = build_profile(one.user, history, language, RunTrace(None), home.prompts)
    profile = apply_edits(profile, home.memory.edits(one.user))
    scenario = home.settings.scenario
    return Query(without_muted(history, profile), profile, "", scenario, newest_time(one.events))
