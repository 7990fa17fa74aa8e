"""The commands `tanqu index` and `tanqu ingest`: files of items and of events."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...models.errors import InputError
from .console import Counter, counting, say
from .options import Json, opened, options_of, print_result

if TYPE_CHECKING:
    from ..ingest import Enriched
    from ..recommender import Recommender

Strict = Annotated[bool, typer.Option("--strict", help="Take all lines of the file or none.")]

_PROBLEMS_SHOWN = 10


def index(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Items as .jsonl or .csv, also .gz.")] = None,
    strict: Strict = False,
    rebuild: Annotated[bool, typer.Option(help="Rebuild the vector index from the items.")] = False,
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
    with counting("indexing") as count:
        loaded = read_items(file, strict) if file else None
        with opened(context, with_model=enrich, rebuild=rebuild, progress=count) as recommender:
            result = recommender.add_items(loaded.records, count) if loaded else None
            enriched = _enriched(recommender, count.then("enriching")) if enrich else None
            size = len(recommender.catalogue)
    _keep_scenario(context)
    if loaded:
        _report_problems(loaded)
    added, changed, unchanged = (result.added, result.changed, result.unchanged) if result else (0, 0, 0)
    print_result(
        {
            "added": added, "changed": changed, "unchanged": unchanged, "items": size,
            "skipped": loaded.skipped if loaded else 0, "duplicates": loaded.duplicates if loaded else 0,
            "enriched": enriched.items if enriched else 0,
        },
        as_json,
        f"{added} items added, {changed} changed, {unchanged} unchanged; the catalogue has {size}"
        + (f"; {enriched.items} have keywords of the model, {enriched.new} of them new" if enriched else ""),
    )  # fmt: skip


def _enriched(recommender: "Recommender", count: Counter) -> "Enriched":
    """Have the model write about every item; note where it failed."""
    try:
        enriched = recommender.enrich(count)
    except KeyboardInterrupt:
        say("note: what is done is kept; the same command goes on from there")
        raise
    if enriched.failed:
        say(
            f"note: the model came to no end about {enriched.failed} items; they are found by their own words"
        )
    return enriched


def ingest(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Events as .jsonl or .csv, also .gz.")],
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Store the events of a file."""
    from ..ingest import read_events

    with counting(f"reading {file.name}") as count:
        loaded = read_events(file, strict)
        total, storing = len(loaded.records), count.then("storing events")
        with opened(context, with_model=False) as recommender:
            storing(0, total)
            result = recommender.record(loaded.records)
            storing(total, total)
            named = {event.item for event in loaded.records if event.item is not None}
            unknown = sum(1 for item in named if item not in recommender.catalogue)
    _report_problems(loaded)
    if unknown:
        say(f"note: {unknown} items of these events are not in the catalogue; the events are kept")
    print_result(
        {
            "added": result.added, "replaced": result.replaced, "unchanged": result.unchanged,
            "skipped": loaded.skipped, "duplicates": loaded.duplicates, "unknown_items": unknown,
        },
        as_json,
        f"{result.added} events added, {result.replaced} replaced, {result.unchanged} known before",
    )  # fmt: skip


def _keep_scenario(context: typer.Context) -> None:
    """Write the chosen scenario into the home's settings, if they name none."""
    from ..settings import keep_scenario

    options = options_of(context)
    if options.scenario is None:
        return
    settings = options.settings()
    path = keep_scenario(settings.home, settings.scenario)
    if path:
        say(f"note: {path} now says that this home is of the scenario {settings.scenario}")


def _report_problems(loaded: Any) -> None:  # Loaded[Item] or Loaded[Event]
    for problem in loaded.problems[:_PROBLEMS_SHOWN]:
        say(f"skipped: {problem}")
    if loaded.skipped > _PROBLEMS_SHOWN:
        say(f"skipped: {loaded.skipped} lines in all")
    if loaded.duplicates:
        say(f"note: {loaded.duplicates} lines repeat an id; the last one of each is kept")
    for note in loaded.notes:
        say(f"note: {note}")


def register(app: typer.Typer, panel: str) -> None:
    """Add the commands to the command line, under the heading `panel` of its help."""
    app.command(rich_help_panel=panel)(index)
    app.command(rich_help_panel=panel)(ingest)
