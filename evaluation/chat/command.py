"""The command `tanqu evaluate chat`."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from ...agent.cli import console
from ...agent.cli.console import say
from ..json_file import JsonFile, write_json
from ..profile.command import told


def register(
    evaluate_app: typer.Typer,
    settings_of: Callable[[typer.Context], Any],  # Settings, whose import is put off
    open_model: Callable[..., Any],  # opens a LlamaModel, or None for "none"
) -> None:
    """Add `chat` to the commands of `tanqu evaluate`."""

    @evaluate_app.command()
    def chat(
        context: typer.Context,
        output: JsonFile = None,
        held_out: Annotated[
            bool, typer.Option("--show-held-out", help="Also name the mistakes in the part kept unread.")
        ] = False,
    ) -> None:
        """Hold written dialogues with the chat and measure what it does."""
        from .experiment import evaluate_chat

        model = open_model(settings_of(context), explicit=context.obj.model is not None)
        if model is None:
            say("note: without a language model, the examples choose alone")
        try:
            with console.counting("turns") as count:
                found = evaluate_chat(model, count)
        finally:
            if model is not None:
                model.close()
        for line in mistakes(found["turns"], with_held_out=held_out):
            say(line)
        typer.echo(told(found["figures"]))
        write_json(output, found)


def mistakes(turns: list[dict[str, Any]], *, with_held_out: bool) -> list[str]:
    """One line for each turn that went wrong; those of the part kept unread only where it is wanted."""
    return [
        f"{one['dialogue']}: {one['say']!r} -> {one['tool']} {'; '.join(one['problems'])}"
        for one in turns
        if (not one["right"] or one["problems"]) and (with_held_out or not one["held_out"])
    ]
