"""What tests of several measurements share: a small data set, and the commands without a home."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tanqu.agent.cli.options import GlobalOptions
from tanqu.agent.settings import Settings
from tanqu.evaluation.commands import mount
from tanqu.models.scripted_model import ScriptedModel

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


@dataclass(frozen=True)
class ScriptedOptions(GlobalOptions):
    """Options whose language model is a scripted one, or none; `opened` grows with each opening."""

    scripted: ScriptedModel | None = None
    opened: list[str] = field(default_factory=list)

    @contextmanager
    def language_model(self, settings: Settings) -> Iterator[ScriptedModel | None]:  # type: ignore[override]
        """The scripted model."""
        self.opened.append(settings.model)
        yield self.scripted


Command = Callable[..., Result]


@pytest.fixture
def mounted(tmp_path: Path) -> Command:
    """Runs the commands that `mount` adds, with words, in an empty home and with a model or none."""

    def invoke(
        *words: str | Path, model: ScriptedModel | None = None, opened: list[str] | None = None
    ) -> Result:
        app = typer.Typer()
        chosen = ScriptedOptions(
            home=tmp_path / "home", model="none", scripted=model, opened=[] if opened is None else opened
        )

        @app.callback()
        def options(context: typer.Context) -> None:
            """What stands before the command."""
            context.obj = chosen

        mount(app)
        return CliRunner().invoke(app, [*map(str, words)], color=False)

    return invoke


@pytest.fixture
def evaluate(mounted: Command) -> Command:
    """The same for `tanqu evaluate`."""
    return partial(mounted, "evaluate")
