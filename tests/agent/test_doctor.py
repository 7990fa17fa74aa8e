"""The doctor says what is there and what is missing, and changes nothing."""

import json
from pathlib import Path

import pytest

from tanqu.agent import doctor
from tanqu.agent.settings import Settings


def examined(home: Path, **chosen: str) -> dict[str, object]:
    return doctor.examine(Settings.model_validate({"home": home, **chosen}))


def test_what_is_in_force_is_said(tmp_path: Path) -> None:
    found = examined(tmp_path / "home", model="none", language="zh", scenario="news")
    assert json.loads(json.dumps(found)) == found
    assert (found["home_exists"], found["language"], found["scenario"]) == (False, "zh", "news")
    packages, embedder = found["packages"], found["embedder"]
    assert isinstance(packages, dict) and isinstance(embedder, dict)
    assert all(version[0].isdigit() for version in packages.values()) and "tanqu" in packages
    assert embedder["dimensions"] == 512
    assert not (tmp_path / "home").exists()


def test_a_model_that_is_missing_comes_with_advice(tmp_path: Path) -> None:
    found = examined(tmp_path, model="/nowhere/model.gguf")["model"]
    assert isinstance(found, dict)
    assert found["here"] is False and "/nowhere/model.gguf" in str(found["advice"])


def test_no_model_needs_no_advice(tmp_path: Path) -> None:
    assert examined(tmp_path, model="none")["model"] == {"name": "none", "here": True}


@pytest.mark.gguf
def test_a_model_that_is_here_has_a_path_and_a_size(tmp_path: Path, tiny_path: Path) -> None:
    size = tiny_path.stat().st_size
    expected = {"name": "smollm2-135m", "here": True, "path": str(tiny_path), "bytes": size}
    assert examined(tmp_path, model="smollm2-135m")["model"] == expected


def test_a_package_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PACKAGES", ("tanqu", "no-such-package"))
    packages = examined(tmp_path, model="none")["packages"]
    assert isinstance(packages, dict) and packages["no-such-package"].startswith("missing")


def test_the_findings_are_told_in_lines() -> None:
    found: dict[str, object] = {"a": 1, "b": {"c": "x", "d": {"e": None}}, "f": []}
    assert doctor.told(found) == "a: 1\nb\n  c: x\n  d\n    e: None\nf: []"
