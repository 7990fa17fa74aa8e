"""The command `tanqu tune`: fit the weights of the signals to the events of a home."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...models.errors import InputError
from .console import counting, say
from .options import Json, opened, options_of

if TYPE_CHECKING:
    from ..recommender import Recommender

_USERS = 1_000
_USERS_WITH_MODEL = 100  # the model takes seconds for each


def tune(
    context: typer.Context,
    users: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"How many users at most; default: {_USERS:,}, with a model {_USERS_WITH_MODEL}.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws users and the items they did not take.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, and write nothing.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to Tanqu's own weights.")] = False,
    as_json: Json = False,
) -> None:
    """Fit the weights of the ranking to your own events; kept only where users it did not see gain.

    With `--model none` it takes seconds, and the weight of the model stays as it is. With a model it takes
    seconds a user; Ctrl-C loses nothing that the model has read.
    """
    if reset:
        _reset(options_of(context).settings().home)  # without opening what damaged weights would keep shut
        return
    with opened(context, with_model=True) as recommender:
        _check(recommender, dry_run)
        wanted = users or (_USERS_WITH_MODEL if recommender.model else _USERS)
        _tune(recommender, wanted, seed, dry_run, as_json)


def _tune(recommender: "Recommender", users: int, seed: int, dry_run: bool, as_json: bool) -> None:
    from ..ranking import TuningInputs, save_weights, tune

    started = time.monotonic()
    inputs = TuningInputs(
        recommender.memory,
        recommender.catalogue,
        recommender.settings,
        recommender.pipeline.prompts,
        recommender.pipeline.weights,
        recommender.pipeline.priors,
        recommender.model,
    )
    try:
        with counting("users") as count:
            tuning = tune(inputs, users=users, seed=seed, progress=count)
    except KeyboardInterrupt:
        if recommender.model:
            say("note: what the model has read so far is kept: the same command goes on from there")
        raise
    path = save_weights(tuning.new, recommender.settings.home) if tuning.better and not dry_run else None
    typer.echo(tuning.model_dump_json(indent=2) if as_json else _tuning_text(tuning))
    say(f"note: {tuning.users} users in {time.monotonic() - started:.0f} seconds")
    if path:
        say(f"note: the new weights are in {path} and hold from now on; `tanqu tune --reset` takes them back")
    elif tuning.better:
        say("note: a dry run: nothing was written")
    else:
        say("note: no gain that could not be chance: the weights stay as they are")


def _tuning_text(tuning: Any) -> str:  # a Tuning
    """A row for each weight, and the gain."""
    old, new = ({**weights.weights, "alpha": weights.alpha} for weights in (tuning.old, tuning.new))
    rows = [f"{'':14}{'now':>8}{'fitted':>9}"]
    rows += [f"{name:14}{old.get(name, 0.0):8.2f}{value:9.2f}" for name, value in new.items()]
    interval = f"[{100 * tuning.low:+.1f}, {100 * tuning.high:+.1f}]"
    rows += [
        "",
        f"N@10 on users the weights were not fitted to: {100 * tuning.before:.1f} now, "
        f"{100 * tuning.after:.1f} fitted, a gain of {100 * tuning.gain:+.1f} {interval}",
    ]
    return "\n".join(rows)


def _check(recommender: "Recommender", dry_run: bool) -> None:
    """Refuse to write what would not hold: a file that the settings name goes before that of the home."""
    named = recommender.settings.signal_weights
    if named is not None and not dry_run:
        msg = (
            f"the settings name {named} as signal_weights, so that fitted weights would not hold: "
            "take the setting out, or say --dry-run"
        )
        raise InputError(msg)


def _reset(home: Path) -> None:
    from ..ranking import WEIGHTS_FILE

    path = home / WEIGHTS_FILE
    if path.exists():
        path.unlink()
        say(f"note: {path} is gone: Tanqu's own weights hold again")
    else:
        say("note: Tanqu's own weights were in force already")


def register(app: typer.Typer, panel: str) -> None:
    """Add `tune` to the command line, under the heading `panel` of its help."""
    app.command(rich_help_panel=panel)(tune)
