"""The geometry of a report's charts: exact splits of a score, and bars in percent of the width."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ...models.errors import InputError
from ..messages import UNITS

REST = "rest"
"""The name of the part of a score that no signal accounts for."""

_TOLERANCE = 0.5 / UNITS


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of a waterfall: it starts where the one before it ended.

    `units` are thousandths of the score; `left` and `width` are percentages of the picture's width.
    """

    name: str
    units: int
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """How named parts add up to a total; `zero` is the position of the zero line, in percent."""

    steps: tuple[Step, ...]
    total: Step
    zero: float


def split_score(score: float, signals: Mapping[str, float]) -> dict[str, int]:
    """The signals in thousandths, rounded so that they sum exactly to the rounded score.

    The largest-remainder method: each part is within a thousandth of its signal. What the signals do not
    account for becomes the part `REST`.

    Args:
        score: the score of a pick or a candidate.
        signals: contributions by signal, which sum to the score.

    Returns:
        Thousandths by signal.

    Raises:
        InputError: a number is not finite.
    """
    values = dict(signals)
    if not all(map(math.isfinite, (score, *values.values()))):
        msg = f"a score of the run is not a finite number ({score}, {values}): make the run again"
        raise InputError(msg)
    rest = score - math.fsum(values.values())
    if abs(rest) > _TOLERANCE:
        values[REST] = values.get(REST, 0.0) + rest
    units = {name: math.floor(value * UNITS) for name, value in values.items()}
    # The largest remainders get the thousandths that rounding down has lost.
    by_remainder = sorted(values, key=lambda name: units[name] - values[name] * UNITS)
    missing = round(score * UNITS) - sum(units.values())
    for place in range(abs(missing)):
        if missing > 0:
            units[by_remainder[place % len(by_remainder)]] += 1
        else:
            units[by_remainder[-1 - place % len(by_remainder)]] -= 1
    return units


def waterfall(parts: Mapping[str, int]) -> Waterfall:
    """Bars that climb by the positive parts and fall by the negative ones, largest first."""
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    ends = [0]
    for _, units in ordered:
        ends.append(ends[-1] + units)
    low, high = min(ends), max(ends)
    scale = 100.0 / (high - low) if high > low else 0.0

    def step(name: str, start: int, end: int) -> Step:
        left = (min(start, end) - low) * scale
        return Step(name, end - start, round(left, 3), round(abs(end - start) * scale, 3))

    steps = tuple(step(name, ends[at], ends[at + 1]) for at, (name, _) in enumerate(ordered))
    return Waterfall(steps, step("total", 0, ends[-1]), round(-low * scale, 3))


def time_positions(times: Sequence[datetime], start: datetime, end: datetime) -> tuple[float, ...]:
    """Positions of moments on a time axis.

    Args:
        times: the moments, in any order.
        start: the beginning of the axis.
        end: its end.

    Returns:
        Percent of the axis from 0 to 100, ascending, each position once; 0 where the axis has no length.
    """
    span = (end - start).total_seconds()
    return tuple(
        dict.fromkeys(
            round(100.0 * (time - start).total_seconds() / span, 1) if span > 0 else 0.0
            for time in sorted(times)
        )
    )


def bar_widths(shares: Sequence[float]) -> list[float]:
    """Widths in percent of the largest share; all 0 where every share is."""
    largest = max(shares, default=0.0)
    return [round(100.0 * share / largest, 3) if largest > 0 else 0.0 for share in shares]


__all__ = ["REST", "Step", "Waterfall", "bar_widths", "split_score", "time_positions", "waterfall"]
