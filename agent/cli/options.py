"""The options before a command, and what they open: settings, a language model, a recommender.

Rooms are imported where they are used: `tanqu --help` needs none of them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import say

if TYPE_CHECKING:
    from ...models.engine import LlamaModel
    from ..recommender import Recommender
    from ..settings import Settings


def user_id(text: str) -> str:
    """A user's id as typed; raises InputError if it cannot be one."""
    from ..request import valid_user

    return valid_user(text)


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
User = Annotated[str, typer.Argument(help="The user's id.", callback=user_id)]

NO_MODEL = "none"


@dataclass(frozen=True)
class GlobalOptions:
    """The options that stand before every command."""

    home: Path | None = None
    model: str | None = None
    lang: str | None = None
    scenario: str | None = None

    def settings(self) -> "Settings":
        """The settings in force: these options over the environment, the home's file and the defaults.

        Returns:
            Checked settings.

        Raises:
            InputError: an option or a setting cannot be used.
        """
        from ..settings import load_settings

        return load_settings(home=self.home, model=self.model, language=self.lang, scenario=self.scenario)

    @contextmanager
    def language_model(self, settings: "Settings") -> Iterator["LlamaModel | None"]:
        """The model that the settings name, closed at the end; None for `none`.

        The default model may be missing, which is noted; one that was chosen by `--model` may not.

        Yields:
            The open model, or None.

        Raises:
            WeightsError: the chosen model is not here.
            ModelError: it cannot be opened.
        """
        from ...models.engine import ModelChecker, open_model
        from ...models.errors import WeightsError
        from ...models.weights import find

        if settings.model != NO_MODEL and self.model is None:
            try:
                find(settings.model)
            except WeightsError as error:
                say(f"note: going on without a language model: {error}")
                yield None
                return
        if settings.model == NO_MODEL:
            yield None
            return
        if settings.engine.extra_buffers is None and not ModelChecker().kept(
            find(settings.model), settings.engine
        ):
            say("trying the model once on this machine, under a minute: `tanqu doctor` shows the result")
        model = open_model(settings.model, settings.engine)
        try:
            yield model
        finally:
            model.close()


def options_of(context: typer.Context) -> GlobalOptions:
    """The options that stood before the command of a context."""
    found: GlobalOptions = context.obj
    return found


@contextmanager
def opened(context: typer.Context, *, with_model: bool, **how: Any) -> Iterator["Recommender"]:
    """The recommender of the chosen home, closed at the end.

    Args:
        context: the command's, which holds the options.
        with_model: whether the language model takes part.
        how: further arguments of `Recommender.open`.

    Yields:
        The open recommender.

    Raises:
        TanquError: the settings, the home or the model cannot be used.
    """
    from ..recommender import Recommender

    options = options_of(context)
    settings = options.settings()
    if not with_model:
        with Recommender.open(settings=settings, **how) as recommender:
            yield recommender
        return
    with (
        options.language_model(settings) as model,
        Recommender.open(model=model, settings=settings, **how) as recommender,
    ):
        yield recommender


def print_result(value: object, as_json: bool, text: str) -> None:
    """Print a result on stdout.

    Args:
        value: what can be written as JSON.
        as_json: whether JSON is wanted.
        text: the same for a person.
    """
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2) if as_json else text)


__all__ = ["NO_MODEL", "GlobalOptions", "Json", "User", "opened", "options_of", "print_result", "user_id"]
