"""The commands that stand on data sets: `demo`, `data`, `bench` and `evaluate`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..agent.cli.console import counting, downloading, say
from ..agent.cli.options import options_of
from ..models.errors import InputError
from . import measure
from .ranking.command import ranking
from .results import JsonFile, write_json

evaluate_app = typer.Typer(help="Measure profiles, rankings, explanations and dialogues, with intervals.")
data_app = typer.Typer(help="Public data sets as files that `index` and `ingest` read.")


def mount(app: typer.Typer, panel: str | None = None) -> None:
    """Add the commands to the command line, under the heading `panel` of its help."""
    app.command(rich_help_panel=panel)(demo)
    app.command(rich_help_panel=panel)(bench)
    app.add_typer(evaluate_app, name="evaluate", no_args_is_help=True, rich_help_panel=panel)
    app.add_typer(data_app, name="data", no_args_is_help=True, rich_help_panel=panel)


def demo(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where its data and reports go.")] = Path(
        "demo"
    ),
    data: Annotated[
        str, typer.Option(help="movielens, or sample (hand-made: shop, video, news, social).")
    ] = "",
    lang: Annotated[str | None, typer.Option(help="zh or en; may also stand before the command.")] = None,
) -> None:
    """Show everything on public data: fetch the model, index, profile, recommend, explain, report."""
    from .demo import run_demo

    options = options_of(context)
    chosen = replace(options, lang=lang or options.lang)
    run_demo(output, data or ("sample" if chosen.lang == "zh" else "movielens"), chosen)


def bench(
    context: typer.Context,
    output: JsonFile = None,
    scale: Annotated[
        bool, typer.Option("--scale", help="Measure indexing, searching and filters instead; no model.")
    ] = False,
    items: Annotated[
        str, typer.Option(help="Sizes for --scale; 1000000 takes half an hour and 8 GB of memory.")
    ] = "17000,100000",
) -> None:
    """Measure speed: the engine against bare llama.cpp, or with --scale searches of large catalogues."""
    results, text = _scale(items) if scale else _engine(options_of(context).settings().model)
    typer.echo(text)
    write_json(output, results)


def _engine(model: str) -> tuple[dict[str, Any], str]:  # Any: what goes into the JSON
    """The rows of the engine's benchmark, and the table of them."""
    from ..models.weights import find
    from .bench.bench import run_bench, table

    path = find(model)
    with counting("benchmark") as count:
        results = run_bench(path, count)
    return results, table(results)


def _scale(items: str) -> tuple[dict[str, Any], str]:  # Any: what goes into the JSON
    """The rows of the benchmark of large catalogues, and the table of them."""
    from .bench.scale import read_sizes, run_scale, table

    sizes = read_sizes(items)
    with counting("benchmark") as count:
        results = run_scale(sizes, count)
    return results, table(results)


@data_app.command("movielens-100k")
def movielens(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the files go.")] = Path(
        "movielens-100k"
    ),
) -> None:
    """Fetch MovieLens-100K: 1,682 films and 100,000 ratings (research terms of GroupLens apply)."""
    from .data.datasets import movielens_100k

    with downloading() as bar:
        films = movielens_100k(progress=bar)
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, records in (("items", films.items), ("events", films.events)):
            lines = "".join(record.model_dump_json(exclude_defaults=True) + "\n" for record in records)
            (output / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    except OSError as error:
        msg = f"{output} cannot be written ({error.strerror}): name another folder with -o"
        raise InputError(msg) from error
    say(f"{len(films.items)} films and {len(films.events)} ratings: `tanqu index {output}/items.jsonl`,")
    say(f"then `tanqu ingest {output}/events.jsonl`")
    typer.echo(output)


for command in (measure.profile, ranking, measure.explanations, measure.chat):
    evaluate_app.command()(command)
