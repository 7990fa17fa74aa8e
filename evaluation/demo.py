"""`tanqu demo`: the whole path on public data, with the time of every step."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..agent.cli.console import counting, downloading, say
from ..agent.cli.options import NO_MODEL, GlobalOptions
from ..agent.cli.printout import print_interests, print_picks
from ..agent.messages import messages_for
from ..agent.recommender import Recommender
from ..agent.report import write_report
from ..agent.request import WhatIf
from ..agent.settings import keep_scenario, load_settings
from ..models.errors import InputError
from ..models.language_model import LanguageModel
from ..models.records import Event, Item, Language, Run, Scenario
from ..models.weights import fetch
from .data.datasets import movielens_100k
from .data.samples import SCENARIOS, demo_user, load_sample

MOVIELENS_USER = "600"
_READY = "demo.ready"


@dataclass(frozen=True)
class _Data:
    """What the demo shows on: a data set, one of its users, and what they are called."""

    scenario: Scenario
    language: Language
    items: Sequence[Item]
    events: Sequence[Event]
    user: str
    display_name: str = ""


def run_demo(output: Path, data: str, options: GlobalOptions) -> None:
    """Fetch what is missing, then profile, recommend and report for one user of each data set.

    Args:
        output: the folder for data and reports.
        data: "movielens" or "sample".
        options: the options before the command; the home is not used.

    Raises:
        InputError: an unknown data set or scenario.
        WeightsError: the model or the data cannot be fetched.
    """
    if data not in ("movielens", "sample"):
        msg = f"there is no demo on {data!r}: choose movielens or sample"
        raise InputError(msg)
    settings = load_settings(model=options.model, language=options.lang, scenario=options.scenario)
    if options.home is not None:
        say(f"note: --home {options.home} is not used: the demo keeps its data in {output}")
    if settings.model != NO_MODEL and not Path(settings.model).is_file():
        with _step("language model"), downloading() as bar:
            fetch(settings.model, bar)
    with options.language_model(settings) as model:
        started = time.perf_counter()
        language: Language = "zh" if settings.language == "zh" else "en"
        if data == "movielens":
            _show(output / "movielens", _movielens(language), model, "all")
        else:
            for scenario in [settings.scenario] if options.scenario else SCENARIOS:
                sample = load_sample(scenario, language)
                shown = _Data(scenario, language, sample.items, sample.events, demo_user(scenario))
                _show(output / f"{scenario}-{language}", shown, model)
        say(f"\nthe demo took {time.perf_counter() - started:.1f} s after the model was loaded")


def _movielens(language: Language) -> _Data:
    with _step("MovieLens-100K"), downloading() as bar:
        films = movielens_100k(progress=bar)
    name = messages_for(language, "cli").say("movielens_viewer", id=MOVIELENS_USER)
    return _Data("video", language, films.items, films.events, MOVIELENS_USER, name)


def _show(folder: Path, data: _Data, model: LanguageModel | None, what_if: WhatIf = "signals") -> None:
    """Print the profile and the picks of a user, and write the reports into the folder."""
    settings = load_settings(home=folder / "home", scenario=data.scenario, language=data.language)
    name = data.display_name or data.user
    with Recommender.open(model=model, settings=settings) as recommender:
        if recommender.memory.meta(_READY) is None:
            with _step(f"indexing {len(data.items)} items"), counting("indexing") as count:
                recommender.add_items(data.items, count)
            with _step(f"storing {len(data.events)} events"):
                recommender.record(data.events)
                recommender.memory.set_meta(_READY, "yes")
            keep_scenario(settings.home, data.scenario)  # for whoever goes on in this home
        with _step(f"profile and recommendations for {name}"), counting("recommending") as count:
            run = recommender.recommend(data.user, what_if=what_if, progress=count)
    run = run.model_copy(update={"display_name": data.display_name})
    say("")
    print_interests(run.profile, {event.id: event.text for event in run.history}, name)
    print_picks(run)
    _print_cost(run)
    for file in ("run.json", "report.md", "report.html"):
        say(f"written: {write_report(run, folder / file)}")


def _print_cost(run: Run) -> None:
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
