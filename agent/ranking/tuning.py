"""Fitting the weights of the signals to what an operator's own users took last.

The last new item of each user is held out and ranked among items that they never touched, drawn without
regard to popularity. `fitting.py` finds the weights and says what they gain.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...models.errors import InputError
from ...models.files import write_text
from ...models.records import Event, Item
from ...models.text import language_of
from ...vectorstore import Engagement
from ..profile import (
    Query,
    apply_edits,
    build_profile,
    event_weights,
    forgotten_events,
    newest_time,
    read_history,
    without_muted,
)
from ..run_trace import RunTrace
from ..store import CachedRunTrace
from .ranker import WEIGHTS_FILE, Ranker, RankingWeights
from .weight_fitting import NEGATIVES, HeldOutChoice, TuningResult, fit

if TYPE_CHECKING:
    from ..recommender import Recommender

Progress = Callable[[int, int], None]

FEWEST_USERS = 20
"""With fewer, chance decides."""

_FEWEST_EVENTS = 3
_LANGUAGE_FROM = 50


@dataclass(frozen=True)
class _Held:
    """A user whose last new item is held out; `touched` are all items they have any event with."""

    user: str
    events: tuple[Event, ...]
    target: str
    touched: frozenset[str]


def tune(
    recommender: "Recommender", *, users: int = 1_000, seed: int = 0, progress: Progress | None = None
) -> TuningResult:
    """Fit weights for a home; nothing is written (see `keep`). The same seed gives the same result.

    Without a model the weight of its signal stays as it is, and so does that of every signal that tells no
    two candidates apart.

    Raises:
        InputError: too few users can be measured, or there are too few items.
    """
    found = held_out_choices(recommender, users, seed, progress)
    if len(found) < FEWEST_USERS:
        msg = (
            f"{len(found)} users can be measured and tuning needs {FEWEST_USERS}: each must have taken "
            f"to a new item of the catalogue after {_FEWEST_EVENTS} events or more, and there must be "
            f"{NEGATIVES} items that they never touched"
        )
        raise InputError(msg)
    return fit(found, recommender.weights, seed)


def write_weights(tuning: TuningResult, home: Path) -> Path:
    """Write the new weights with their provenance; they hold in this home from its next opening on."""
    path = home / WEIGHTS_FILE
    write_text(path, as_toml(tuning.new))
    return path


def as_toml(weights: RankingWeights) -> str:
    """Weights as `load_weights` reads them."""
    lines = [f"provenance = {json.dumps(weights.provenance)}", f"alpha = {weights.alpha}", "", "[weights]"]
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in weights.weights.items())]) + "\n"


# --- what users chose -------------------------------------------------------------------------------


def held_out_choices(
    recommender: "Recommender", users: int, seed: int, progress: Progress | None = None
) -> list[HeldOutChoice]:
    """The choices of at most so many users, drawn by the seed; none sees what it is to predict."""
    catalogue = recommender.catalogue
    ids = sorted(catalogue.ids())
    held = _drawn(recommender, users, seed, len(ids))
    targets = {one.user: one.target for one in held}
    sequences = [
        [item for item in items if item != targets.get(user)]
        for user, items in recommender.memory.all_sequences()
    ]
    engagement = Engagement.build(sequences, catalogue.ids())
    ranker = Ranker(catalogue, engagement, recommender.weights, recommender.priors)
    found = []
    for done, one in enumerate(held, 1):
        offered = [one.target, *_negatives(one, ids, seed)]
        found.append(_choice(recommender, ranker, one, catalogue.get(offered)))
        if progress:
            progress(done, len(held))
    return found


def _drawn(recommender: "Recommender", users: int, seed: int, items: int) -> list[_Held]:
    """Users with something to hold out; a smaller number gives some of those that a larger one gives."""
    names = [name for name, count in recommender.memory.users().items() if count > _FEWEST_EVENTS]
    names.sort(key=lambda name: (zlib.crc32(f"{seed} {name}".encode()), name))
    drawn: list[_Held] = []
    for name in names:
        if len(drawn) == users:
            break
        one = _held_out(recommender, name)
        if one and items - len(one.touched) >= NEGATIVES:
            drawn.append(one)
    return drawn


def _held_out(recommender: "Recommender", user: str) -> _Held | None:
    """The last item that the user took well and had not touched before, and the events before it."""
    events = recommender.memory.events(user)
    touched = frozenset(event.item for event in events if event.item is not None)
    gone = forgotten_events(recommender.memory.edits(user))
    settings = recommender.settings
    weights = event_weights(events, settings.scenario, settings=settings)
    first = {event.item: place for place, event in reversed(list(enumerate(events)))}
    for place in range(len(events) - 1, _FEWEST_EVENTS - 1, -1):
        event = events[place]
        if event.item is None or event.id in gone or weights[place] <= 0 or first[event.item] < place:
            continue
        if event.item in recommender.catalogue:
            told = tuple(one for one in events[:place] if one.id not in gone)
            return _Held(user, told, event.item, touched) if len(told) >= _FEWEST_EVENTS else None
    return None


def _negatives(one: _Held, ids: Sequence[str], seed: int) -> list[str]:
    rng = np.random.default_rng([seed, zlib.crc32(one.user.encode())])
    drawn = (ids[place] for place in rng.permutation(len(ids)))
    return list(islice((item for item in drawn if item not in one.touched), NEGATIVES))


def _choice(recommender: "Recommender", ranker: Ranker, one: _Held, items: Sequence[Item]) -> HeldOutChoice:
    """The signals of the candidates, with the names of interests plain: they change no vector."""
    query = _query(recommender, one)
    raw, _ = ranker.signals(items, query)
    given = alone = None
    if recommender.model is not None and recommender.settings.model_scores:
        trace = CachedRunTrace(recommender.model, recommender.memory.engine, one.user)
        given, alone = ranker.likelihoods(items, query, trace, recommender.prompts)
    return HeldOutChoice(ranker.scaled(raw), given, alone, len(one.events), ranker.model_share)


def _query(recommender: "Recommender", one: _Held) -> Query:
    history = read_history(one.events, recommender.catalogue, recommender.settings)
    language = language_of([entry.content for entry in history.entries[-_LANGUAGE_FROM:]])
    profile = build_profile(one.user, history, language, RunTrace(None), recommender.prompts)
    profile = apply_edits(profile, recommender.memory.edits(one.user))
    scenario = recommender.settings.scenario
    return Query(without_muted(history, profile), profile, "", scenario, newest_time(one.events))


__all__ = ["FEWEST_USERS", "as_toml", "held_out_choices", "write_weights", "tune"]
