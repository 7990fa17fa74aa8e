"""`tanqu evaluate profile`: the figures as lines and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tanqu.evaluation.results import figures_text
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError

Evaluate = Callable[..., Result]


@pytest.fixture(autouse=True)
def hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tanqu.evaluation.profile.experiment.SentenceEmbedder", lambda: HashEmbedder(256))


def test_the_command_prints_the_figures_and_writes_them(dataset: Path, evaluate: Evaluate) -> None:
    output = dataset / "figures.json"
    done = evaluate("profile", "--dataset", dataset, "--users", "2", "--json", output)
    assert done.exit_code == 0, done.output
    figures = json.loads(output.read_text(encoding="utf-8"))["figures"]
    assert all(set(one) == {"mean", "low", "high"} for one in figures.values())
    assert done.stdout == figures_text(figures) + "\n"
    assert "without a language model, confidence, seconds and the comparison are left out" in done.stderr


def test_a_figure_is_a_line_with_its_interval() -> None:
    coverage = {"mean": 0.5, "low": 0.25, "high": 1.0}
    figures = {"coverage": coverage, "seconds": {"mean": 12.0, "low": 9.0, "high": 20.0}}
    first, second = figures_text(figures).splitlines()
    assert first.split(maxsplit=2) == ["coverage", "0.500", "[0.250, 1.000]"]
    assert second.split()[:2] == ["seconds", "12.000"]


def test_wrong_options_are_usage_errors_and_wrong_folders_say_what_is_missing(
    tmp_path: Path, evaluate: Evaluate
) -> None:
    for words in (["profile"], ["profile", "--dataset", tmp_path, "--users", "0"]):
        done = evaluate(*words)
        assert done.exit_code == 2 and str(words[-2] if len(words) > 1 else "--dataset") in done.stderr
    done = evaluate("profile", "--dataset", tmp_path)
    assert isinstance(done.exception, InputError) and "0 files ending in .item" in str(done.exception)
    done = evaluate("profile", "--dataset", tmp_path, "--json", tmp_path / "nowhere" / "f.json")
    assert isinstance(done.exception, InputError) and "there is no folder" in str(done.exception)
