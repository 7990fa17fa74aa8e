"""The weights of the signals: those of `ranking.toml` beside this file, unless a home or its settings have others."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from scipy.optimize import minimize

from ...models.errors import InputError
from ...models.files import write_text
from ...models.records import Number, Record
from ..settings import Settings
from .signals import MODEL, SIGNALS, Values

WEIGHTS_FILE = "ranking.toml"
"""The file in a home with the weights that `tanqu tune` fitted there."""


class RankingWeights(Record):
    """The weight of each signal, and `alpha`: the share of the model's prior that is subtracted."""

    alpha: Number = 0.3
    weights: dict[str, Number] = Field(default_factory=dict)
    provenance: str = ""

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change with any of the numbers."""
        numbers = sorted({**self.weights, "alpha": self.alpha}.items())
        return hashlib.sha256(repr(numbers).encode()).hexdigest()[:12]


def load_weights(path: Path | None = None) -> RankingWeights:
    """The weights in a TOML file; without a path, those that come with Tanqu.

    Returns:
        The weights; a signal that the file does not name has none and counts 0.

    Raises:
        InputError: the file cannot be read, or names an unknown signal.
    """
    source = path or files(__package__) / WEIGHTS_FILE
    try:
        loaded = RankingWeights.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        msg = f"the signal weights in {source} cannot be used: {place}: {first['msg']}"
        raise InputError(msg) from error
    except (OSError, ValueError) as error:  # not there, not UTF-8, not TOML
        msg = f"the signal weights in {source} cannot be read: {error}"
        raise InputError(msg) from error
    unknown = set(loaded.weights) - set(SIGNALS)
    if unknown:
        msg = f"{source} has weights for unknown signals {sorted(unknown)}; known: {', '.join(SIGNALS)}"
        raise InputError(msg)
    return loaded


def weights_in_force(settings: Settings) -> tuple[RankingWeights, Path | None]:
    """The weights that an installation ranks with, and the file that they come from.

    Returns:
        The weights of the file that the settings name, else of the home (fitted by `tanqu tune`), else those that
        come with Tanqu, for which the path is None.

    Raises:
        InputError: the file cannot be used.
    """
    fitted = settings.home / WEIGHTS_FILE
    path = settings.signal_weights or (fitted if fitted.is_file() else None)
    return load_weights(path), path


def save_weights(weights: RankingWeights, home: Path) -> Path:
    """Write weights into a home, where they hold from its next opening on.

    Returns:
        The path of the file.
    """
    path = home / WEIGHTS_FILE
    write_text(path, as_toml(weights))
    return path


def as_toml(weights: RankingWeights) -> str:
    """The text of a file that `load_weights` reads back."""
    head = [f"provenance = {json.dumps(weights.provenance)}", f"alpha = {weights.alpha}", "", "[weights]"]
    return "\n".join([*head, *(f"{name} = {value}" for name, value in weights.weights.items())]) + "\n"


NEGATIVES = 19
"""Negatives beside the held-out item."""

_FOLDS = 5
_DRAWS = 2_000
_ALPHAS = tuple(at / 10 for at in range(11))
_PULL = 3.0  # a weight that is off by 1 costs as much as three users whose choice is e times less likely
_AGAINST = "negative"  # the one signal whose weight is at most 0


class TuningResult(Record):
    """Fitted weights and their gain. Figures are N@10 of users ranked with weights fitted to others."""

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
class HeldOutChoice:
    """The scaled signals of a held-out item, at the first place, and of its negatives.

    `given` and `alone` are the model's log-likelihoods, None without a model; `events` counts those before the held-out
    one. The weight of the model counts by `model_share`.
    """

    signals: Mapping[str, Values]
    given: Values | None
    alone: Values | None
    events: int
    model_share: float = 1.0


@dataclass(frozen=True)
class _Table:
    """Choices as arrays: users x candidates x signals, the model's likelihoods beside them."""

    names: tuple[str, ...]
    values: Values
    given: Values | None
    alone: Values | None
    share: Values

    @classmethod
    def of(cls, found: Sequence[HeldOutChoice]) -> "_Table":
        names = tuple(name for name in SIGNALS if any(name in one.signals for one in found))
        nothing = np.zeros(NEGATIVES + 1)
        rows = [[one.signals.get(name, nothing) for name in names] for one in found]
        values = np.array(rows).reshape(len(found), len(names), NEGATIVES + 1).transpose(0, 2, 1)
        given = [one.given for one in found if one.given is not None]
        alone = [one.alone for one in found if one.alone is not None]
        if len(given) < len(found):
            return cls(names, values, None, None, np.ones(len(found)))
        share = np.array([one.model_share for one in found])
        return cls((*names, MODEL), values, np.array(given), np.array(alone), share)

    def at(self, alpha: float) -> Values:
        """All signals, with the model's at this alpha as the last."""
        if self.given is None or self.alone is None:
            return self.values
        raw = self.given - alpha * self.alone
        spread = raw.std(axis=1, keepdims=True)
        model = np.where(
            spread > 1e-12, (raw - raw.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-12), 0
        )
        return np.concatenate([self.values, (model * self.share[:, None])[:, :, None]], axis=2)


def fit(found: Sequence[HeldOutChoice], current: RankingWeights, seed: int = 0) -> TuningResult:
    """Fit weights to choices, and measure the gain by five-fold cross-validation with a bootstrap interval.

    Args:
        found: the choices, one a user.
        current: the weights in force.
        seed: of the folds and of the bootstrap.

    Returns:
        The weights fitted to all choices, and N@10 before and after on the held-out folds.
    """
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
    tuning = TuningResult(
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


def _provenance(one: TuningResult) -> str:
    return (
        f"tanqu tune, {datetime.now(UTC):%Y-%m-%d}: {one.users} users, {one.events} events, seed {one.seed}, "
        f"{'with' if one.with_model else 'without'} a model; N@10 {one.before:.3f} before and {one.after:.3f} "
        f"after on users not seen, a gain of {one.gain:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    )


def _fitted(table: _Table, users: NDArray[np.int64], current: RankingWeights) -> RankingWeights:
    """The weights of the largest penalised likelihood for these users."""
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
    """The weights scaled to the norm of those in force, so that signals without variance keep their influence."""
    length, wanted = np.linalg.norm(weights), np.linalg.norm(start)
    return weights * (wanted / length) if length > 1e-9 and wanted > 0 else weights


def _loss(given: Values, values: Values, start: Values) -> tuple[float, Values]:
    """The penalised cross-entropy of the weights, and its gradient.

    The last number of `given` is the logarithm of a common scale: only the ratios of the weights order items.

    Returns:
        The loss, and its gradient of the shape of `given`.
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
    """N@10 of each held-out item; ties share their mean rank."""
    scores = table.at(weights.alpha)[users] @ np.array(
        [weights.weights.get(name, 0.0) for name in table.names]
    )
    rest, target = scores[:, 1:], scores[:, :1]
    ranks = 1 + (rest > target).sum(axis=1) + (rest == target).sum(axis=1) / 2
    return np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)
