"""What tests of several measurements share: a small data set, and the commands without a home."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tanqu.agent.cli.main import Chosen
from tanqu.agent.settings import Settings
from tanqu.evaluation.commands import mount
from tanqu.models.language_model import ScriptedModel

TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets", "deep sea")
TITLES = {str(at): f"{TOPICS[at % 5]} volume {at}" for at in range(60)}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder: six users ("0" to "5") who like two topics each; the next item is of one of these.

    Item n (of 60) is of topic n modulo 5, and its title ends in n.
    """
    items = "item_id:token\ttitle:token_seq\n" + "".join(f"{id_}\t{title}\n" for id_, title in TITLES.items())
    (tmp_path / "d.item").write_text(items, encoding="utf-8")
    rows = []
    for user in range(6):
        history = [topic + 5 * at for at in range(4) for topic in (user % 5, (user + 1) % 5)]
        rows.append(f"{user}\t{' '.join(map(str, history))}\t{user % 5 + 25}\n")
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    (tmp_path / "d.inter").write_text(header + "".join(rows), encoding="utf-8")
    return tmp_path


Command = Callable[..., Result]


@pytest.fixture
def mounted() -> Command:
    """Runs the commands that `mount` adds, with words, and with a model or none; `opens` opens it."""

    def invoke(
        *words: str | Path, model: ScriptedModel | None = None, opens: Callable[..., Any] | None = None
    ) -> Result:
        app = typer.Typer()

        @app.callback()
        def options(context: typer.Context) -> None:
            """What stands before the command."""
            context.obj = Chosen(model="none")

        mount(app, lambda _: Settings(model="none"), opens or (lambda *_, **__: model))
        return CliRunner().invoke(app, [*map(str, words)], color=False)

    return invoke


@pytest.fixture
def evaluate(mounted: Command) -> Command:
    """The same for `tanqu evaluate`."""
    return partial(mounted, "evaluate")
