"""The commands `tanqu recommend`, `tanqu report` and `tanqu why`."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...models.errors import InputError
from .console import Counter, counting
from .options import Json, User, opened, user_id

if TYPE_CHECKING:
    from ..request import WhatIf
    from ..run import Run

Count = Annotated[int, typer.Option("-n", help="How many, 1 to 100.")]
Request = Annotated[str, typer.Option(help="What they ask for, in words.")]
Explore = Annotated[
    float | None,
    typer.Option(help="The share of picks, 0 to 1, of topics they have not touched. Also TANQU_EXPLORE."),
]


def recommend(
    context: typer.Context,
    user: User,
    n: Count = 5,
    request: Request = "",
    where: Annotated[str, typer.Option(help='A filter as JSON, such as {"price": {"$lte": 50}}.')] = "",
    explore: Explore = None,
    what_if: Annotated[
        bool,
        typer.Option("--what-if", help="Add the rank of each without what its reason cites; slower."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Recommend unseen items, each with its reason."""
    filter_ = _where(where)
    with opened(context, with_model=True) as recommender, counting("recommending") as count:
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
        return
    from .printout import print_picks

    print_picks(run, with_counterfactuals=what_if)


def report(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="A file, or with --all a folder.")],
    user: Annotated[
        str | None,
        typer.Argument(help="The user's id.", callback=lambda text: text and user_id(text)),
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="A page for every user, and an index.")] = False,
    n: Count = 5,
    request: Request = "",
    explore: Explore = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Leave the model out of the ranks without what a reason cites."),
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
    if user is not None:
        _check_output(output)
    with opened(context, with_model=True) as recommender:
        what_if: WhatIf = "signals" if quick else "all"
        recommended = partial(recommender.recommend, n=n, request=request, explore=explore, what_if=what_if)
        if user is not None:
            with counting("recommending") as count:
                run = recommended(user, progress=count)
            typer.echo(write_report(run, output))
            return
        with counting("reports") as count:
            runs = _run_per_user(sorted(recommender.memory.users()), recommended, count)
            language = recommender.settings.language
            typer.echo(write_index(runs, output, "zh" if language == "zh" else "en"))


def _check_output(path: Path) -> None:
    """Refuse what cannot be written, before the model has worked."""
    if path.suffix.lower() not in (".html", ".md", ".json"):
        msg = f"no report is called {path.name!r}: end the name in .html, .md or .json"
        raise InputError(msg)
    if not path.parent.is_dir():
        msg = f"{path} cannot be written: {path.parent} is no folder; name one that exists and is yours"
        raise InputError(msg)


def _run_per_user(users: list[str], recommended: Callable[[str], "Run"], count: Counter) -> Iterator["Run"]:
    for done, user in enumerate(users):
        count(done, len(users))
        yield recommended(user)
    count(len(users), len(users))


def why(
    context: typer.Context,
    user: User,
    item: Annotated[str, typer.Argument(help="An item's id or title.")],
    other: Annotated[str | None, typer.Option("--not", help="Another item: why not this one.")] = None,
    as_json: Json = False,
) -> None:
    """Explain why an item is recommended or not, and which rule excluded it, from the ranking's numbers."""
    with opened(context, with_model=True) as recommender:
        answer = recommender.why(user, item, other)
    typer.echo(answer.model_dump_json(indent=2) if as_json else answer.text)


def _where(text: str) -> dict[str, object] | None:
    if not text:
        return None
    form = 'write it as {"price": {"$lte": 50}}'
    try:
        filter_ = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"--where {text[:200]!r} is not JSON ({error}): {form}"
        raise InputError(msg) from error
    if not isinstance(filter_, dict):
        msg = f"--where {text[:200]!r} is not a JSON object: {form}"
        raise InputError(msg)
    return filter_


def register(app: typer.Typer, panel: str) -> None:
    """Add the commands to the command line, under the heading `panel` of its help."""
    for command in (recommend, report, why):
        app.command(rich_help_panel=panel)(command)
