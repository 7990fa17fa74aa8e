"""The command `tanqu`: it parses, calls, and prints. Results go to stdout, everything else to stderr."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ...models.errors import InputError, TanquError
from . import console
from . import models as models_command
from . import profile as profile_command
from . import tune as tune_command
from .console import say

app = typer.Typer(
    name="tanqu",
    help="探趣: an explainable recommender on a local language model. Your data stays on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
User = Annotated[str, typer.Argument(help="The user's id.", callback=console.user_id)]
Explore = Annotated[
    float | None,
    typer.Option(help="The share of picks, 0 to 1, of topics they have not touched. Also TANQU_EXPLORE."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Take all lines of the file or none.")]

NO_MODEL = "none"


@dataclass(frozen=True)
class Chosen:
    """The options before the command."""

    home: Path | None = None
    model: str | None = None
    lang: str | None = None
    scenario: str | None = None


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("tanqu"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="The folder with all data. Also TANQU_HOME. Default: the user's.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A name of `tanqu models list`, a Hub id, a path, or `none`. Also TANQU_MODEL."),
    ] = None,
    lang: Annotated[str | None, typer.Option(help="zh, en, or auto (by the texts).")] = None,
    scenario: Annotated[str | None, typer.Option(help="shop, video, news or social.")] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Options that hold for every command."""
    context.obj = Chosen(home, model, lang, scenario)


def _settings(context: typer.Context) -> "Any":  # Settings, whose import is put off for a fast --help
    from ..settings import load_settings

    chosen: Chosen = context.obj
    return load_settings(home=chosen.home, model=chosen.model, language=chosen.lang, scenario=chosen.scenario)


@contextmanager
def opened(
    context: typer.Context, *, with_model: bool, **how: "Any"
) -> Iterator["Any"]:  # yields a Recommender, as above; `how` goes to its `open`
    """The recommender of the home that was chosen, with the model if it is there and wanted."""
    from ..recommender import Recommender

    settings = _settings(context)
    model = _model(settings, explicit=context.obj.model is not None) if with_model else None
    try:
        with Recommender.open(model=model, settings=settings, **how) as recommender:
            yield recommender
    finally:
        if model is not None:
            model.close()


def _model(settings: "Any", *, explicit: bool) -> "Any":  # Settings; LlamaModel or None
    """Open the model. One that was asked for must be there; the default may be missing, and we say so."""
    from ...models.engine import open_model
    from ...models.errors import WeightsError
    from ...models.weights import find

    if settings.model == NO_MODEL:
        return None
    if not explicit:
        try:
            find(settings.model)
        except WeightsError as error:
            say(f"note: going on without a language model: {error}")
            return None
    return open_model(settings.model, settings.engine)


@app.command()
def index(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Items as .jsonl or .csv, also .gz.")] = None,
    strict: Strict = False,
    rebuild: Annotated[bool, typer.Option(help="Make the vector index anew from the items.")] = False,
    enrich: Annotated[
        bool,
        typer.Option(
            "--enrich", help="Have the model write keywords for every item; Ctrl-C keeps what is done."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Put the items of a file into the catalogue; without a file, work on those that are there."""
    from ..ingest import read_items

    if file is None and not rebuild and not enrich:
        msg = "name a file of items, or say --rebuild or --enrich"
        raise InputError(msg)
    loaded = read_items(file, strict) if file else None
    with (
        console.counting("indexing") as count,
        opened(context, with_model=enrich, rebuild=rebuild, progress=count) as recommender,
    ):
        result = recommender.add_items(loaded.records, count) if loaded else None
        understood = _enriched(recommender, count.then("enriching")) if enrich else None
        size = len(recommender.catalogue)
    _keep_scenario(context)
    _tell_problems(loaded)
    added, changed, unchanged = (result.added, result.changed, result.unchanged) if result else (0, 0, 0)
    _print(
        {
            "added": added, "changed": changed, "unchanged": unchanged, "items": size,
            "skipped": loaded.skipped if loaded else 0, "duplicates": loaded.duplicates if loaded else 0,
            "enriched": understood.items if understood else 0,
        },
        as_json,
        f"{added} items added, {changed} changed, {unchanged} unchanged; the catalogue has {size}"
        + (f"; {understood.items} have keywords of the model, {understood.new} of them new" if understood else ""),
    )  # fmt: skip


def _enriched(recommender: "Any", count: console.Count) -> "Any":  # a Recommender, an Enriched
    """Have the model write about every item, and say what is missing."""
    try:
        found = recommender.enrich(count)
    except KeyboardInterrupt:
        say("note: what is done is kept; the same command goes on from there")
        raise
    if found.failed:
        say(f"note: the model came to no end about {found.failed} items; they are found by their own words")
    return found


@app.command()
def ingest(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Events as .jsonl or .csv, also .gz.")],
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Remember the events of a file."""
    from ..ingest import read_events

    loaded = read_events(file, strict)
    with opened(context, with_model=False) as recommender:
        result = recommender.record(loaded.records)
        named = {event.item for event in loaded.records if event.item is not None}
        unknown = sum(1 for item in named if item not in recommender.catalogue)
    _tell_problems(loaded)
    if unknown:
        say(f"note: {unknown} items of these events are not in the catalogue; the events are kept")
    _print(
        {
            "added": result.added, "replaced": result.replaced, "unchanged": result.unchanged,
            "skipped": loaded.skipped, "duplicates": loaded.duplicates, "unknown_items": unknown,
        },
        as_json,
        f"{result.added} events added, {result.replaced} replaced, {result.unchanged} known before",
    )  # fmt: skip


app.add_typer(models_command.app, name="models", no_args_is_help=True)
profile_command.register(app, opened)
tune_command.register(app, opened, _settings)


@app.command()
def recommend(
    context: typer.Context,
    user: User,
    n: Annotated[int, typer.Option("-n", help="How many, 1 to 100.")] = 5,
    request: Annotated[str, typer.Option(help="What they ask for, in words.")] = "",
    where: Annotated[str, typer.Option(help='A filter as JSON, such as {"price": {"$lte": 50}}.')] = "",
    explore: Explore = None,
    what_if: Annotated[
        bool,
        typer.Option("--what-if", help="Say where each would stand without what its reason cites; slower."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Recommend unseen items, each with its reason."""
    filter_ = _where(where)
    with console.counting("ranking again") as count, opened(context, with_model=True) as recommender:
        run = recommender.recommend(
            user,
            n=n,
            request=request,
            where=filter_,
            explore=explore,
            what_if="all" if what_if else None,
            progress=count,
        )
    if as_json:
        typer.echo(run.model_dump_json(indent=2))
    else:
        console.show_picks(run)


@app.command()
def report(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="A file, or with --all a folder.")],
    user: Annotated[
        str | None,
        typer.Argument(help="The user's id.", callback=lambda one: one and console.user_id(one)),
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="A page for every user, and an index.")] = False,
    n: Annotated[int, typer.Option("-n", help="How many, 1 to 100.")] = 5,
    request: Annotated[str, typer.Option(help="What they ask for, in words.")] = "",
    explore: Explore = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Leave the model out of where each would stand without something."),
    ] = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Write it again from a run.json; no model, no data.")
    ] = None,
) -> None:
    """Recommend, and write the whole run as a page, Markdown or JSON (report.html, report.md, run.json)."""
    from ..report import load_run, write_index, write_report

    if [everyone, user is not None, source is not None].count(True) != 1:
        msg = "name one user, or say --all, or --from a run.json"
        raise InputError(msg)
    if source is not None:
        typer.echo(write_report(load_run(source), output))
        return
    if user is not None and output.suffix.lower() not in (".html", ".md", ".json"):
        msg = f"no report is called {output.name!r}: end the name in .html, .md or .json"
        raise InputError(msg)
    with opened(context, with_model=True) as recommender:
        what_if = "signals" if quick else "all"
        recommended = partial(recommender.recommend, n=n, request=request, explore=explore, what_if=what_if)
        if user is not None:
            with console.counting("ranking again") as count:
                run = recommended(user, progress=count)
            typer.echo(write_report(run, output))
            return
        users = sorted(recommender.memory.users())
        with console.counting("reports") as count:
            runs = _each(users, recommended, count)
            language = recommender.settings.language
            typer.echo(write_index(runs, output, "zh" if language == "zh" else "en"))


def _each(
    users: list[str], recommended: Callable[[str], Any], count: Callable[[int, int], None]
) -> Iterator[Any]:
    """A run per user (a Run, whose import is put off), with the count of those done."""
    for done, one in enumerate(users):
        count(done, len(users))
        yield recommended(one)
    count(len(users), len(users))


@app.command()
def why(
    context: typer.Context,
    user: User,
    item: Annotated[str, typer.Argument(help="An item's id or title.")],
    other: Annotated[str | None, typer.Option("--not", help="Another item: why not this one.")] = None,
    as_json: Json = False,
) -> None:
    """Say why an item is recommended or not, and what was kept away, from the numbers of the ranking."""
    with opened(context, with_model=True) as recommender:
        found = recommender.why(user, item, other)
    typer.echo(found.model_dump_json(indent=2) if as_json else found.text)


@app.command()
def chat(context: typer.Context, user: User) -> None:
    """Talk about recommendations in the terminal; /help says what can be said."""
    from ..chat.terminal import talk

    with opened(context, with_model=True) as recommender:
        raise typer.Exit(talk(recommender, user))


@app.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Say what is installed, which model and settings are in force, and what is missing."""
    from .doctor import examine, told

    found = examine(_settings(context))
    _print(found, as_json, told(found))


def _keep_scenario(context: typer.Context) -> None:
    """Let a home remember the scenario it was indexed for."""
    from ..settings import keep_scenario

    scenario = context.obj.scenario
    path = keep_scenario(_settings(context).home, scenario) if scenario else None
    if path:
        say(f"note: {path} now says that this home is of the scenario {scenario}")


def _where(text: str) -> dict[str, object] | None:
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f'--where {text[:200]!r} is not JSON ({error}): write it as {{"price": {{"$lte": 50}}}}'
        raise InputError(msg) from error
    if not isinstance(found, dict):
        msg = f'--where {text[:200]!r} is not a JSON object: write it as {{"price": {{"$lte": 50}}}}'
        raise InputError(msg)
    return found


def _tell_problems(loaded: "Any") -> None:  # Loaded[Item] or Loaded[Event] or None
    if loaded is None:
        return
    for problem in loaded.problems[:10]:
        say(f"skipped: {problem}")
    if loaded.skipped > 10:
        say(f"skipped: {loaded.skipped} lines in all")
    if loaded.duplicates:
        say(f"note: {loaded.duplicates} lines repeat an id; the last one of each is kept")
    for note in loaded.notes:
        say(f"note: {note}")


def _print(value: object, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2) if as_json else text)


@cache
def _commands() -> None:
    """Mount the commands of the evaluation, which stands on top of the agent."""
    from ...evaluation.commands import mount

    mount(app, _settings, _model)


def main() -> NoReturn:
    """Run a command; errors are one line on stderr and exit code 1, Ctrl-C is 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the locale says, a title is not an error
            stream.reconfigure(errors="backslashreplace")
    try:
        _commands()
        app(standalone_mode=True)
    except TanquError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has left
        sys.exit(0)
    sys.exit(0)


if __name__ == "__main__":
    main()
