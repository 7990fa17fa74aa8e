"""`tanqu evaluate chat`: the figures as lines, mistakes beside them, and every turn as JSON."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from tanqu.evaluation.chat import experiment as chat
from tanqu.evaluation.measure import mistakes
from tanqu.evaluation.results import figures_text
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError

Evaluate = Callable[..., Result]


@pytest.fixture
def two_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurement of the first two turns of a dialogue, with the embedder for tests."""
    first = chat.load_dialogues()[0]
    short = first.model_copy(update={"turns": first.turns[:2], "held_out": False})
    quick = partial(chat.evaluate_chat, dialogues=[short], embedder=HashEmbedder(256))
    monkeypatch.setattr(chat, "evaluate_chat", quick)


@pytest.mark.usefixtures("two_turns")
def test_the_command_prints_the_figures_and_writes_every_turn(tmp_path: Path, evaluate: Evaluate) -> None:
    output = tmp_path / "f.json"
    done = evaluate("chat", "--json", output)
    assert done.exit_code == 0, done.output
    found = json.loads(output.read_text(encoding="utf-8"))
    assert len(found["turns"]) == 2 and "tool_accuracy" in found["figures"]
    assert done.stdout == figures_text(found["figures"]) + "\n"
    assert "without a language model, the examples choose alone" in done.stderr
    assert all(line in done.stderr for line in mistakes(found["turns"], with_held_out=False))


def test_a_mistake_is_a_line_with_what_was_said_and_done() -> None:
    right = {
        "dialogue": "d1",
        "say": "hello",
        "tool": "chat",
        "problems": [],
        "right": True,
        "held_out": False,
    }
    wrong = right | {
        "say": "only horror",
        "tool": "recommend",
        "problems": ["no rule", "words"],
        "right": False,
    }
    problems_only = right | {"dialogue": "d2", "problems": ["items"]}
    assert mistakes([right, wrong, problems_only], with_held_out=False) == [
        "d1: 'only horror' -> recommend no rule; words",
        "d2: 'hello' -> chat items",
    ]


def test_a_wrong_place_for_the_figures_is_told_before_a_dialogue_is_held(
    tmp_path: Path, evaluate: Evaluate
) -> None:
    done = evaluate("chat", "--json", tmp_path)
    assert isinstance(done.exception, InputError) and "is a folder" in str(done.exception)
    assert "turns" not in done.stderr
