"""`tanqu evaluate explanations`: the figures as lines, what was missed beside them, and all of it as JSON."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import Result

from tanqu.evaluation.explanations import experiment as explanations
from tanqu.evaluation.results import figures_text
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError

Evaluate = Callable[..., Result]


@pytest.fixture
def one_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurement of the sample shops alone, with the embedder for tests."""
    quick = partial(explanations.evaluate_explanations, scenarios=("shop",), embedder=HashEmbedder(256))
    monkeypatch.setattr(explanations, "evaluate_explanations", quick)


@pytest.mark.usefixtures("one_shop")
def test_the_command_prints_the_figures_and_writes_what_was_missed(
    tmp_path: Path, evaluate: Evaluate
) -> None:
    output = tmp_path / "f.json"
    done = evaluate("explanations", "--users", "1", "--json", output)
    assert done.exit_code == 0, done.output
    found = json.loads(output.read_text(encoding="utf-8"))
    assert {"caught", "false_rejects", "counterfactual_exact", "faithful"} <= set(found["figures"])
    assert done.stdout == figures_text(found["figures"]) + "\n"
    assert "without a language model, model_written and seconds are left out" in done.stderr
    lines = done.stderr.splitlines()
    for one in found["missed"]:
        assert any(line.startswith("missed: " if one["planted"] else "refused: ") for line in lines)
        assert any(one["text"] in line for line in lines)
    share = sum(one["planted"] is None for one in found["missed"])
    assert (share == 0) == (found["figures"]["false_rejects"]["mean"] == 0)


def test_wrong_options_are_told_before_anything_is_measured(tmp_path: Path, evaluate: Evaluate) -> None:
    done = evaluate("explanations", "--users", "0")
    assert done.exit_code == 2 and "--users" in done.stderr
    done = evaluate("explanations", "--json", tmp_path / "nowhere" / "f.json")
    assert isinstance(done.exception, InputError) and "there is no folder" in str(done.exception)
