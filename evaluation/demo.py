"""`tanqu demo`: the whole path on public data, with the time of every step."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from ..agent.cli import console
from ..agent.cli.console import say
from ..agent.recommender import Recommender
from ..agent.report import write_report
from ..agent.request import WhatIf
from ..agent.settings import keep_scenario, load_settings
from ..models.errors import InputError
from ..models.records import Event, Item, Language, Run, Scenario
from ..models.weights import fetch
from .data.datasets import movielens_100k
from .data.samples import SCENARIOS, demo_user, load_sample

MOVIELENS_USER = "600"
_READY = "demo.ready"


def run_demo(output: Path, data: str, chosen: Any, open_model: Callable[..., Any]) -> None:
    """Fetch what is missing, then profile, recommend and report for one user of each data set.

    `chosen` are the options before the command. Raises InputError for an unknown data set.
    """
    if data not in ("movielens", "sample"):
        msg = f"there is no demo on {data!r}: choose movielens or sample"
        raise InputError(msg)
    if chosen.scenario is not None and chosen.scenario not in get_args(Scenario):
        msg = f"there is no scenario {chosen.scenario!r}: choose {', '.join(get_args(Scenario))}"
        raise InputError(msg)
    settings = load_settings(model=chosen.model, language=chosen.lang)
    if chosen.home is not None:
        say(f"note: --home {chosen.home} is not used: the demo keeps its data in {output}")
    if settings.model != "none":
        with _step("language model"), console.downloading() as bar:
            if not Path(settings.model).is_file():
                fetch(settings.model, bar)
        with _step("loading it"):
            model = open_model(settings, explicit=True)
    else:
        model = None
    try:
        started = time.perf_counter()
        if data == "movielens":
            _movielens(output / "movielens", model)
        else:
            language: Language = "zh" if settings.language == "zh" else "en"
            for scenario in [chosen.scenario] if chosen.scenario else SCENARIOS:
                _sample(output / f"{scenario}-{language}", scenario, language, model)
        say(f"\nthe demo took {time.perf_counter() - started:.1f} s after the model was loaded")
    finally:
        if model is not None:
            model.close()


def _movielens(folder: Path, model: Any) -> None:
    with _step("MovieLens-100K"), console.downloading() as bar:
        found = movielens_100k(progress=bar)
    _show(folder, "video", "en", MOVIELENS_USER, found.items, found.events, model, "all")


def _sample(folder: Path, scenario: Scenario, language: Language, model: Any) -> None:
    sample = load_sample(scenario, language)
    _show(folder, scenario, language, demo_user(scenario), sample.items, sample.events, model)


def _show(
    folder: Path,
    scenario: Scenario,
    language: Language,
    user: str,
    items: "tuple[Item, ...] | list[Item]",
    events: "tuple[Event, ...] | list[Event]",
    model: Any,
    what_if: WhatIf = "signals",
) -> None:
    settings = load_settings(home=folder / "home", scenario=scenario, language=language)
    with Recommender.open(model=model, settings=settings) as recommender:
        if recommender.memory.meta(_READY) is None:
            with _step(f"indexing {len(items)} items"), console.counting("indexing") as count:
                recommender.add_items(items, count)
            with _step(f"remembering {len(events)} events"):
                recommender.record(events)
                recommender.memory.set_meta(_READY, "yes")
            keep_scenario(settings.home, scenario)  # for whoever goes on in this home
        with _step(f"profile and recommendations for {user}"), console.counting("ranking again") as count:
            run = recommender.recommend(user, what_if=what_if, progress=count)
        console.show_profile(run.profile, {one.id: one.text for one in run.history})
    console.show_picks(run)
    _tell_cost(run)
    for name in ("run.json", "report.md", "report.html"):
        path = write_report(run, folder / name)
        say(f"written: {path}")


def _tell_cost(run: Run) -> None:
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.seconds.items())
    read = sum(call.prompt_tokens - call.cached_tokens for call in run.calls)
    cached = sum(call.cached_tokens for call in run.calls)
    written = sum(call.output_tokens for call in run.calls)
    say(f"\nstages: {stages}")
    say(f"tokens: {read} read, {cached} from the cache, {written} written")


@contextmanager
def _step(what: str) -> Iterator[None]:
    say(f"· {what} …")
    started = time.perf_counter()
    yield
    say(f"  {time.perf_counter() - started:.1f} s")
