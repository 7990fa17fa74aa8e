"""The commands `tanqu evaluate profile`, `explanations` and `chat`; `ranking` has a module of its own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..agent.cli.console import counting, say
from ..agent.cli.options import options_of
from .results import JsonFile, figures_text, write_json


def profile(
    context: typer.Context,
    dataset: Annotated[
        Path, typer.Option("--dataset", help="A folder with .item and .inter in RecBole's format.")
    ],
    users: Annotated[int, typer.Option("--users", min=1, help="How many users are measured.")] = 60,
    output: JsonFile = None,
) -> None:
    """Measure what profiles are worth for ranking, what they rest on, and what they cost."""
    from .profile.experiment import evaluate_profile

    options = options_of(context)
    with options.language_model(options.settings()) as model, counting("users") as count:
        if model is None:
            say("note: without a language model, confidence, seconds and the comparison are left out")
        results = evaluate_profile(dataset, users, model, count)
    typer.echo(figures_text(results["figures"]))
    write_json(output, results)


def explanations(
    context: typer.Context,
    users: Annotated[
        int | None, typer.Option("--users", min=1, help="How many users of each sample; all by default.")
    ] = None,
    output: JsonFile = None,
) -> None:
    """Measure whether reasons are grounded, written by the model, exact and faithful."""
    from .explanations.experiment import evaluate_explanations

    options = options_of(context)
    with options.language_model(options.settings()) as model, counting("samples") as count:
        if model is None:
            say("note: without a language model, model_written and seconds are left out")
        results = evaluate_explanations(model, count, users=users)
    for error in results["missed"]:
        kind = "missed" if error["planted"] else "refused"
        say(f"{kind}: {error['text']} {error['refused'] or error['planted']}")
    typer.echo(figures_text(results["figures"]))
    write_json(output, results)


def chat(
    context: typer.Context,
    output: JsonFile = None,
    held_out: Annotated[
        bool, typer.Option("--show-held-out", help="Also name the mistakes in the part kept unread.")
    ] = False,
) -> None:
    """Measure what the chat does in written dialogues."""
    from .chat.experiment import evaluate_chat

    options = options_of(context)
    with options.language_model(options.settings()) as model, counting("turns") as count:
        if model is None:
            say("note: without a language model, the examples choose alone")
        results = evaluate_chat(model, count)
    for line in mistakes(results["turns"], with_held_out=held_out):
        say(line)
    typer.echo(figures_text(results["figures"]))
    write_json(output, results)


def mistakes(turns: list[dict[str, Any]], *, with_held_out: bool) -> list[str]:
    """A line for each turn that went wrong.

    Args:
        turns: the turns of `evaluate_chat`.
        with_held_out: whether to name those of the held-out part, which should stay unread.

    Returns:
        Lines in the order of the turns.
    """
    return [
        f"{turn['dialogue']}: {turn['say']!r} -> {turn['tool']} {'; '.join(turn['problems'])}"
        for turn in turns
        if (not turn["right"] or turn["problems"]) and (with_held_out or not turn["held_out"])
    ]
