"""Fitting the weights of the signals to what an operator's own users took last.

The last new item of each user is held out and ranked among items that they never touched, drawn without
regard to popularity. The weights are those under which the softmax of the scores makes what was taken
likeliest, held back towards the weights in force. Each fifth of the users is ranked with weights fitted to
the others: the gain is one on users that were not seen, and without one everything stays as it is.
"""

import json
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..models.errors import InputError
from ..models.records import Event, Item, Record
from ..vectorstore.engagement import Engagement
from .history import History, language_of, read_history
from .ledger import Ledger
from .ownership import apply_edits, forgotten_events, silenced
from .profile import build_profile
from .ranking import SIGNALS, WEIGHTS_FILE, Query, Ranker, RankingWeights
from .settings import event_weights, newest

if TYPE_CHECKING:
    from .recommender import Recommender

Values = NDArray[np.float64]
Progress = Callable[[int, int], None]

NEGATIVES = 19
FEWEST_USERS = 20
"""With fewer, chance decides."""

_FEWEST_EVENTS = 3
_FOLDS = 5
_DRAWS = 2_000
_LANGUAGE_FROM = 50
_ALPHAS = tuple(at / 10 for at in range(11))
_PULL = 3.0  # a weight that is off by 1 costs as much as three users whose choice is e times less likely
_AGAINST = "negative"  # the one signal that speaks against an item


class Tuning(Record):
    """What fitting gave. Figures are N@10 over users ranked with weights fitted to others."""

    users: int
    events: int
    seed: int
    with_model: bool
    before: float
    after: float
    low: float
    high: float
    old: RankingWeights
    new: RankingWeights

    @property
    def gain(self) -> float:
        """How much better the fitted weights rank users they were not fitted to."""
        return self.after - self.before

    @property
    def better(self) -> bool:
        """Whether the gain is more than chance: its whole interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True)
class Choice:
    """What a user took, at the first place, among what they never touched, as the ranker sees each.

    `given` and `alone` are the model's likelihoods, None without a model; `events` came before.
    """

    signals: Mapping[str, Values]
    given: Values | None
    alone: Values | None
    events: int


@dataclass(frozen=True)
class _Held:
    """A user whose last new item is held out; `touched` are all items they have any event with."""

    user: str
    events: tuple[Event, ...]
    target: str
    touched: frozenset[str]


def tune(
    recommender: "Recommender", *, users: int = 1_000, seed: int = 0, progress: Progress | None = None
) -> Tuning:
    """Fit weights for a home; nothing is written (see `keep`). The same seed gives the same result.

    Without a model the weight of its signal stays as it is, and so does that of every signal that tells no
    two candidates apart.

    Raises:
        InputError: too few users can be measured, or there are too few items.
    """
    found = choices(recommender, users, seed, progress)
    if len(found) < FEWEST_USERS:
        msg = (
            f"{len(found)} users can be measured and tuning needs {FEWEST_USERS}: each must have taken "
            f"to a new item of the catalogue after {_FEWEST_EVENTS} events or more"
        )
        raise InputError(msg)
    return fit(found, recommender.weights, seed)


def keep(tuning: Tuning, home: Path) -> Path:
    """Write the new weights with their provenance; they hold in this home from its next opening on."""
    path = home / WEIGHTS_FILE
    aside = path.with_suffix(".part")
    try:
        aside.write_text(as_toml(tuning.new), encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): make the home writable"
        raise InputError(msg) from error
    return path


def as_toml(weights: RankingWeights) -> str:
    """Weights as `load_weights` reads them."""
    lines = [f"provenance = {json.dumps(weights.provenance)}", f"alpha = {weights.alpha}", "", "[weights]"]
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in weights.weights.items())]) + "\n"


# --- what users chose -------------------------------------------------------------------------------


def choices(
    recommender: "Recommender", users: int, seed: int, progress: Progress | None = None
) -> list[Choice]:
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
    return list(_first(NEGATIVES, (ids[place] for place in rng.permutation(len(ids))), one.touched))


def _first(count: int, offered: Iterator[str], without: Collection[str]) -> Iterator[str]:
    for item in offered:
        if count == 0:
            return
        if item not in without:
            count -= 1
            yield item


def _choice(recommender: "Recommender", ranker: Ranker, one: _Held, items: Sequence[Item]) -> Choice:
    """The signals of the candidates, with the names of interests plain: they change no vector."""
    query = _query(recommender, one)
    raw, _ = ranker.signals(items, query)
    given = alone = None
    if recommender.model is not None and recommender.settings.model_scores:
        ledger = Ledger(recommender.model)
        given, alone = ranker.likelihoods(items, query, ledger, recommender.prompts)
    return Choice(ranker.scaled(raw), given, alone, len(one.events))


def _query(recommender: "Recommender", one: _Held) -> Query:
    history = _history(recommender, one.events)
    language = language_of([entry.content for entry in history.entries[-_LANGUAGE_FROM:]])
    profile = build_profile(one.user, history, language, Ledger(None), recommender.prompts)
    profile = apply_edits(profile, recommender.memory.edits(one.user))
    scenario = recommender.settings.scenario
    return Query(silenced(history, profile), profile, "", scenario, newest(one.events))


def _history(recommender: "Recommender", events: Sequence[Event]) -> History:
    ids = list(dict.fromkeys(event.item for event in events if event.item is not None))
    items = {item.id: item for item in recommender.catalogue.get(ids)}
    return read_history(events, items, recommender.catalogue, recommender.settings)


# --- the fit ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """Choices as arrays: users x candidates x signals, the model's likelihoods beside them."""

    names: tuple[str, ...]
    values: Values
    given: Values | None
    alone: Values | None

    @classmethod
    def of(cls, found: Sequence[Choice]) -> "_Table":
        names = tuple(name for name in SIGNALS if any(name in one.signals for one in found))
        nothing = np.zeros(NEGATIVES + 1)
        rows = [[one.signals.get(name, nothing) for name in names] for one in found]
        values = np.array(rows).reshape(len(found), len(names), NEGATIVES + 1).transpose(0, 2, 1)
        given = [one.given for one in found if one.given is not None]
        alone = [one.alone for one in found if one.alone is not None]
        if len(given) < len(found):
            return cls(names, values, None, None)
        return cls((*names, "model"), values, np.array(given), np.array(alone))

    def at(self, alpha: float) -> Values:
        """All signals, with the model's at this alpha as the last."""
        if self.given is None or self.alone is None:
            return self.values
        raw = self.given - alpha * self.alone
        spread = raw.std(axis=1, keepdims=True)
        model = np.where(
            spread > 1e-12, (raw - raw.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-12), 0
        )
        return np.concatenate([self.values, model[:, :, None]], axis=2)


def fit(found: Sequence[Choice], current: RankingWeights, seed: int = 0) -> Tuning:
    """New weights from choices, and what they gain on those they were not fitted to."""
    table, everyone = _Table.of(found), np.arange(len(found))
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(found)) % _FOLDS
    before = _ndcg(table, current, everyone)
    after = np.zeros(len(found))
    for part in range(_FOLDS):
        fitted = _fitted(table, np.flatnonzero(fold != part), current)
        after[fold == part] = _ndcg(table, fitted, np.flatnonzero(fold == part))
    drawn = rng.integers(0, len(found), (_DRAWS, len(found)))
    low, high = np.percentile((after - before)[drawn].mean(axis=1), [2.5, 97.5])
    tuning = Tuning(
        users=len(found),
        events=sum(one.events for one in found),
        seed=seed,
        with_model=table.given is not None,
        before=float(before.mean()),
        after=float(after.mean()),
        low=float(low),
        high=float(high),
        old=current,
        new=_fitted(table, everyone, current),
    )
    return tuning.model_copy(
        update={"new": tuning.new.model_copy(update={"provenance": _provenance(tuning)})}
    )


def _provenance(one: Tuning) -> str:
    return (
        f"tanqu tune, {datetime.now(UTC):%Y-%m-%d}: {one.users} users, {one.events} events, seed {one.seed}, "
        f"{'with' if one.with_model else 'without'} a model; N@10 {one.before:.3f} before and {one.after:.3f} "
        f"after on users not seen, a gain of {one.gain:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    )


def _fitted(table: _Table, users: NDArray[np.int64], current: RankingWeights) -> RankingWeights:
    """The weights that make the choices of these users likeliest."""
    alphas = _ALPHAS if table.given is not None else (current.alpha,)
    start = np.array([current.weights.get(name, 0.0) for name in table.names])
    bounds = [
        (None, 0) if weight < 0 or name == _AGAINST else (0, None)
        for name, weight in zip(table.names, start, strict=True)
    ] + [(-3, 3)]
    best = (np.inf, current.alpha, start)
    for alpha in alphas:
        values = table.at(alpha)[users]
        first = np.append(start, 0.0)
        result = minimize(_loss, first, args=(values, start), jac=True, bounds=bounds, method="L-BFGS-B")
        loss = float(result.fun) + _PULL / len(users) * (alpha - current.alpha) ** 2
        if loss < best[0]:
            best = (loss, alpha, result.x[:-1])
    fitted = _as_long_as(best[2], start)
    weights = {name: round(float(value), 3) + 0.0 for name, value in zip(table.names, fitted, strict=True)}
    return RankingWeights(alpha=best[1], weights={**current.weights, **weights})


def _as_long_as(weights: Values, start: Values) -> Values:
    """The weights, scaled to the length of those in force: what is not fitted counts no more and no less."""
    length, wanted = np.linalg.norm(weights), np.linalg.norm(start)
    return weights * (wanted / length) if length > 1e-9 and wanted > 0 else weights


def _loss(given: Values, values: Values, start: Values) -> tuple[float, Values]:
    """How unlikely what was taken is, plus what weights cost that are not those in force; and its slope.

    The last number is the logarithm of a scale on all scores: only how weights stand to each other orders items.
    """
    weights, scale = given[:-1], np.exp(given[-1])
    scores = values @ weights
    shares = np.exp(scale * (scores - scores.max(axis=1, keepdims=True)))
    shares /= shares.sum(axis=1, keepdims=True)
    pull = _PULL / len(values)
    away = weights - start
    loss = -np.log(np.maximum(shares[:, 0], 1e-300)).mean() + pull * away @ away
    slope = scale * (np.einsum("uc,ucs->us", shares, values) - values[:, 0]).mean(axis=0)
    return float(loss), np.append(slope + 2 * pull * away, slope @ weights)


def _ndcg(table: _Table, weights: RankingWeights, users: NDArray[np.int64]) -> Values:
    """N@10 of each user's choice; equal scores share their places."""
    scores = table.at(weights.alpha)[users] @ np.array(
        [weights.weights.get(name, 0.0) for name in table.names]
    )
    rest, target = scores[:, 1:], scores[:, :1]
    ranks = 1 + (rest > target).sum(axis=1) + (rest == target).sum(axis=1) / 2
    return np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)


__all__ = ["FEWEST_USERS", "NEGATIVES", "Choice", "Tuning", "as_toml", "choices", "fit", "keep", "tune"]
