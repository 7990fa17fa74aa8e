"""The commands `tanqu models ...`: which language models there are, fetching them, where they lie."""

import json
from typing import Annotated

import typer

from . import console

app = typer.Typer(help="Language models: which there are, fetching them, where they lie.")


@app.command("list")
def models_list(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the models that Tanqu knows, and which are here."""
    from ...models.weights import listed, weights_folder

    rows = [
        {
            "name": name, "title": one.title, "licence": one.licence, "bytes": one.size,
            "here": (weights_folder() / one.file).is_file(),
        }
        for name, one in listed().items()
    ]  # fmt: skip
    lines = [
        f"{row['name']:22} {int(str(row['bytes'])) >> 20:>5} MB  {row['licence']:12} "
        f"{'here' if row['here'] else 'not fetched'}"
        for row in rows
    ]
    typer.echo(json.dumps(rows, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))


@app.command("fetch")
def models_fetch(
    name: Annotated[
        str | None,
        typer.Argument(help="A listed name, or owner/repo:file.gguf; without it the default model"),
    ] = None,
) -> None:
    """Fetch a model and check it."""
    from ...models.weights import DEFAULT, fetch

    with console.downloading() as bar:
        path = fetch(name or DEFAULT, bar)
    typer.echo(path)


@app.command("path")
def models_path(name: Annotated[str, typer.Argument(help="A listed name, a Hub id or a path")]) -> None:
    """Print where a fetched model lies."""
    from ...models.weights import find

    typer.echo(find(name))
