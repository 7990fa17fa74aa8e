"""The command `tanqu evaluate explanations`."""

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
    """Add `explanations` to the commands of `tanqu evaluate`."""

    @evaluate_app.command()
    def explanations(
        context: typer.Context,
        users: Annotated[
            int | None, typer.Option("--users", min=1, help="How many users of each sample; all by default.")
        ] = None,
        output: JsonFile = None,
    ) -> None:
        """Measure whether reasons are checked, written by the model, exact and faithful."""
        from .experiment import evaluate_explanations

        model = open_model(settings_of(context), explicit=context.obj.model is not None)
        if model is None:
            say("note: without a language model, model_written and seconds are left out")
        try:
            with console.counting("samples") as count:
                found = evaluate_explanations(model, count, users=users)
        finally:
            if model is not None:
                model.close()
        for one in found["missed"]:
            say(
                f"{'missed' if one['planted'] else 'refused'}: {one['text']} {one['refused'] or one['planted']}"
            )
        typer.echo(told(found["figures"]))
        write_json(output, found)
