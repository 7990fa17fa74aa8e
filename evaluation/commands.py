"""The commands that stand on data sets: `demo`, `data`, `bench` and `evaluate`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..agent.cli import console
from ..agent.cli.console import say
from ..models.errors import InputError
from .chat import command as chat_command
from .explanations import command as explanations_command
from .json_file import JsonFile, write_json
from .profile import command as profile_command
from .ranking import command as ranking_command

OpenModel = Callable[..., Any]  # opens a LlamaModel, or None for "none"


def mount(app: typer.Typer, settings_of: Callable[[typer.Context], Any], open_model: OpenModel) -> None:
    """Add the commands to the command line; the two functions are how it opens things."""

    @app.command()
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

        chosen = replace(context.obj, lang=lang or context.obj.lang)
        run_demo(output, data or ("sample" if chosen.lang == "zh" else "movielens"), chosen, open_model)

    @app.command()
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
        found, shown = _scale(items) if scale else _engine(settings_of(context))
        typer.echo(shown)
        write_json(output, found)

    evaluate_app = typer.Typer(help="Measure profiles, rankings and dialogues on data, with intervals.")
    app.add_typer(evaluate_app, name="evaluate", no_args_is_help=True)
    for part in (profile_command, ranking_command, explanations_command, chat_command):
        part.register(evaluate_app, settings_of, open_model)

    data_app = typer.Typer(help="Public data sets as files that `index` and `ingest` read.")
    app.add_typer(data_app, name="data", no_args_is_help=True)

    @data_app.command("movielens-100k")
    def movielens(
        output: Annotated[Path, typer.Option("-o", "--output", help="Where the files go.")] = Path(
            "movielens-100k"
        ),
    ) -> None:
        """Fetch MovieLens-100K: 1,682 films and 100,000 ratings (research terms of GroupLens apply)."""
        from .data.datasets import movielens_100k

        with console.downloading() as bar:
            found = movielens_100k(progress=bar)
        try:
            output.mkdir(parents=True, exist_ok=True)
            for name, records in (("items", found.items), ("events", found.events)):
                lines = "".join(record.model_dump_json(exclude_defaults=True) + "\n" for record in records)
                (output / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        except OSError as error:
            msg = f"{output} cannot be written ({error.strerror}): name another folder with -o"
            raise InputError(msg) from error
        say(f"{len(found.items)} films and {len(found.events)} ratings: `tanqu index {output}/items.jsonl`,")
        say(f"then `tanqu ingest {output}/events.jsonl`")
        typer.echo(output)


def _engine(settings: Any) -> tuple[dict[str, Any], str]:  # agent settings; the rows as they go into JSON
    """The rows of the engine's benchmark, and the table of them."""
    from ..models.weights import find
    from .bench.bench import run_bench, table

    path = find(settings.model)
    with console.counting("benchmark") as count:
        found = run_bench(path, count)
    return found, table(found)


def _scale(items: str) -> tuple[dict[str, Any], str]:
    """The rows of the benchmark of catalogues, and the table of them."""
    from .bench.scale import read_sizes, run_scale, table

    sizes = read_sizes(items)
    with console.counting("benchmark") as count:
        found = run_scale(sizes, count)
    return found, table(found)
