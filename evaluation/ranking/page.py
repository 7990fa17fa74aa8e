"""The results of `tanqu evaluate ranking` as one closed page, in the style of a report."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from ...agent.messages import Messages, clip, messages_for, number, shown
from ...agent.report import environment
from ...models.errors import InputError
from ...models.files import write_text
from ...models.records import Language
from .experiment import MAIN, OURS

_FIGURES = ("ndcg@1", "ndcg@10", "hr@10", "mrr@10")
_FULL = ("ndcg@10", "hr@10", "hr@50", "mrr@10")
_STEPS = (0.02, 0.05, 0.1, 0.2)
_TICKS = 6
_NAME, _VALUE = 48, 120  # columns

Report = Mapping[str, Any]  # as `ranking.as_json` makes it


@dataclass(frozen=True, slots=True)
class PlotRow:
    """A row of a plot: a mean with its interval, as text and as positions on the scale, both in percent."""

    name: str
    ours: bool
    texts: tuple[str, str, str]
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Plot:
    """Rows on one scale; `ticks` are places in percent, each with its label."""

    key: str
    dots: tuple[PlotRow, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Results:
    """All that the template needs besides the words."""

    dataset: str
    users: int
    candidates: str
    model: str
    lead: str
    systems: Plot
    signals: Plot
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], str, str], ...]
    protocol: tuple[tuple[str, str], ...]
    weights: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    method: tuple[str, ...]


def to_page(report: Report, language: Language) -> str:
    """The page of a report of `ranking.as_json`."""
    words = _words_of(language)
    template = environment(html=True, package="tanqu.evaluation.ranking").get_template("ranking_page.html.j2")
    return template.render(page=_results(report, words, messages_for(language, "report")), words=words)


def write_page(report: Report, path: Path, language: Language) -> None:
    """Write the page.

    Args:
        report: as `as_json` makes it.
        path: a file that ends in `.html`.
        language: of the page.

    Raises:
        InputError: the path cannot be written.
    """
    write_text(path, to_page(report, language))


def check_page(path: Path) -> None:
    """Check the path of a page before hours of measuring; raises InputError if none can be written there."""
    if path.suffix.lower() != ".html":
        msg = f"no page is called {path.name!r}: end the name in .html"
        raise InputError(msg)
    if not path.parent.is_dir():
        msg = f"there is no folder {path.parent}: make it, or name another file with --page"
        raise InputError(msg)


@cache
def _words_of(language: Language) -> Messages:
    """Our words over those that every report has."""
    return messages_for(language, "report", "ranking_page")


def _results(report: Report, words: Messages, names: Messages) -> Results:
    protocol = report["protocol"]
    systems = {name: own[MAIN] for name, own in report["systems"].items()}
    signals = {names.name("signals", name): own[MAIN] for name, own in report["signals"].items()}
    scale = _scale([one["high"] for one in (*systems.values(), *signals.values())])
    best = max(systems, key=lambda name: systems[name]["mean"])
    mean, low, high = _texts(systems[best])
    full = protocol["negatives"] is None
    columns = _FULL if full else _FIGURES
    return Results(
        dataset=clip(shown(report["dataset"]), _NAME),
        users=protocol["users"],
        candidates=words["candidates_all"] if full else words.say("candidates", n=protocol["candidates"]),
        model=clip(shown(str(protocol.get("model") or "")), _VALUE) or words["no_model"],
        lead=words.say("leads", first=_system(best, words), mean=mean, low=low, high=high),
        systems=_plot("systems", {_system(name, words): one for name, one in systems.items()}, scale, words),
        signals=_plot("signals", signals, scale, words),
        columns=columns,
        rows=tuple(_row(name, report["systems"][name], columns, words) for name in _by_mean(systems)),
        protocol=tuple(_protocol(protocol, words)),
        weights=tuple(_weights(protocol.get("weights") or {}, words, names)),
        notes=tuple(
            f"{clip(shown(note), 600)} ({words.count('note_users', times)})"
            for note, times in report["notes"].items()
        ),
        method=tuple(cast(list[str], words.sentences["method"])),
    )


def _system(name: str, words: Messages) -> str:
    return words["brand"] if name == OURS else clip(shown(name), _NAME)


def _by_mean(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    return sorted(figures, key=lambda name: -figures[name]["mean"])


def _scale(highs: Iterable[float]) -> tuple[float, float]:
    """The end of a scale from 0 that holds all values, and the step of its ticks."""
    highest = max(highs, default=0.0)
    step = next((one for one in _STEPS if highest <= one * _TICKS), _STEPS[-1])
    return max(1, math.ceil(highest / step - 1e-9)) * step, step


def _plot(
    key: str, figures: Mapping[str, Mapping[str, float]], scale: tuple[float, float], words: Messages
) -> Plot:
    """A row per name, the best first."""
    end, step = scale
    dots = (
        PlotRow(
            name,
            name == words["brand"],
            _texts(figures[name]),
            *(round(100 * figures[name][one] / end, 2) for one in ("mean", "low", "high")),
        )
        for name in _by_mean(figures)
    )
    ticks = (
        (round(100 * at * step / end, 2), number(100 * at * step)) for at in range(round(end / step) + 1)
    )
    return Plot(key, tuple(dots), tuple(ticks))


def _texts(one: Mapping[str, float]) -> tuple[str, str, str]:
    mean, low, high = (f"{100 * one[name]:.1f}" for name in ("mean", "low", "high"))
    return mean, low, high


def _row(
    name: str, own: Mapping[str, Any], columns: Iterable[str], words: Messages
) -> tuple[str, tuple[str, ...], str, str]:
    """A system with its figures, the seconds per user, and the probability of being like ours."""
    cells = tuple("{} [{}, {}]".format(*_texts(own[column])) for column in columns)
    p = f"{own['p_against_tanqu']:.4f}" if "p_against_tanqu" in own else "–"
    return _system(name, words), cells, f"{own['seconds_per_user']:.3f}", p


def _protocol(protocol: Mapping[str, Any], words: Messages) -> Iterable[tuple[str, str]]:
    for name, value in protocol.items():
        if name not in ("weights", "target"):  # the target has a sentence of its own
            yield words.name("protocol_names", name), _plain(value, words)


def _plain(value: object, words: Messages) -> str:
    if value is None:
        return words["none"]
    if isinstance(value, bool):
        return words["yes"] if value else words["no"]
    text = {"all": words["all"], "whole catalogue": words["whole"]}.get(str(value), str(value))
    return clip(shown(f"{value:,}" if isinstance(value, int) else text), _VALUE)


def _weights(weights: Mapping[str, float], words: Messages, names: Messages) -> Iterable[tuple[str, str]]:
    for name, value in weights.items():
        yield words["alpha"] if name == "alpha" else names.name("signals", name), number(value)


__all__ = ["check_page", "to_page", "write_page"]
