"""The command `tanqu evaluate profile`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ...agent.cli import console
from ...agent.cli.console import say
from ..json_file import JsonFile, write_json


def register(
    evaluate_app: typer.Typer,
    settings_of: Callable[[typer.Context], Any],  # Settings, whose import is put off
    open_model: Callable[..., Any],  # opens a LlamaModel, or None for "none"
) -> None:
    """Add `profile` to the commands of `tanqu evaluate`."""

    @evaluate_app.command()
    def profile(
        context: typer.Context,
        dataset: Annotated[
            Path, typer.Option("--dataset", help="A folder with .item and .inter in RecBole's format.")
        ],
        users: Annotated[int, typer.Option("--users", min=1, help="How many users are measured.")] = 60,
        output: JsonFile = None,
    ) -> None:
        """Measure what profiles are worth, what they rest on, and what they cost."""
        from .experiment import evaluate_profile

        model = open_model(settings_of(context), explicit=context.obj.model is not None)
        if model is None:
            say("note: without a language model, confidence, seconds and the comparison are left out")
        try:
            with console.counting("users") as count:
                found = evaluate_profile(dataset, users, model, count)
        finally:
            if model is not None:
                model.close()
        typer.echo(told(found["figures"]))
        write_json(output, found)


def told(figures: dict[str, dict[str, float]]) -> str:
    """One line per figure: its name, its value, and the interval that holds 95 percent."""
    return "\n".join(
        f"{name:30} {one['mean']:8.3f}   [{one['low']:.3f}, {one['high']:.3f}]"
        for name, one in figures.items()
    )
