"""The command `tanqu`: it parses, calls, and prints. Results go to stdout, everything else to stderr."""

import io
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ...evaluation.commands import mount
from ...models.errors import TanquError
from . import catalogue, models, profile, recommend, tune
from .console import say
from .options import GlobalOptions, Json, User, opened, options_of, print_result

app = typer.Typer(
    name="tanqu",
    help="探趣: an explainable recommender on a local language model. Your data stays on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("tanqu"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="The folder with all data. Also TANQU_HOME. Default: the user's.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A name of `tanqu models list`, a Hub id, a path, or `none`. Also TANQU_MODEL."),
    ] = None,
    lang: Annotated[str | None, typer.Option(help="zh, en, or auto (by the texts).")] = None,
    scenario: Annotated[str | None, typer.Option(help="shop, video, news or social.")] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Options that hold for every command."""
    context.obj = GlobalOptions(home, model, lang, scenario)


def chat(context: typer.Context, user: User) -> None:
    """Talk about recommendations in the terminal; /help lists what you can say."""
    from ..chat.terminal import talk

    with opened(context, with_model=True) as recommender:
        raise typer.Exit(talk(recommender, user))


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Show what is installed, which model and settings are in force, and what is missing."""
    from .doctor import as_lines, examine

    settings = options_of(context).settings()
    findings = examine(settings)
    print_result(findings, as_json, as_lines(findings, settings.language))


# The order of `tanqu --help`.
catalogue.register(app, panel="Data and recommendations")
recommend.register(app, panel="Data and recommendations")
profile.register(app, panel="Data and recommendations")
app.command(rich_help_panel="Data and recommendations")(chat)
app.add_typer(models.app, name="models", no_args_is_help=True, rich_help_panel="Setting up")
tune.register(app, panel="Setting up")
app.command(rich_help_panel="Setting up")(doctor)
mount(app, panel="Public data and measurements")


def main() -> NoReturn:
    """Run a command; errors are one line on stderr and exit code 1, Ctrl-C is 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the locale says, a title is not an error
            stream.reconfigure(errors="backslashreplace")
    try:
        app(standalone_mode=True)
    except TanquError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has left
        sys.exit(0)
    sys.exit(0)


if __name__ == "__main__":
    main()
