"""The doctor says what is there and what is missing, and changes nothing."""

import json
from pathlib import Path

import pytest

from tanqu.agent.cli import doctor
from tanqu.agent.settings import Settings, load_settings


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
    found = examined(tmp_path, model="smollm2-135m")["model"]
    assert isinstance(found, dict)
    assert (found["name"], found["here"], found["path"]) == ("smollm2-135m", True, str(tiny_path))
    assert found["context"] == 4096 and found["bytes"]["weights"] == size < found["bytes"]["memory"]


@pytest.mark.gguf
def test_what_the_engine_is_set_to_is_what_the_model_costs(tmp_path: Path, tiny_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[engine]\ncontext = 1024\nkv_type = "q8_0"\nthreads = 1\n')
    found = doctor.examine(load_settings(home=tmp_path, model=str(tiny_path)))
    engine, model = found["engine"], found["model"]
    assert isinstance(engine, dict) and isinstance(model, dict)
    assert (engine["threads"], engine["context"], engine["kv_type"]) == (1, 1024, "q8_0")
    costs = model["bytes"]
    assert costs["kv_cache"] == 1024 * costs["kv_cache_per_token"] == 1024 * 30 * 3 * (64 + 64) * 8.5 // 8


@pytest.mark.gguf
def test_an_adapter_that_is_missing_is_said_of_a_model_that_is_here(tmp_path: Path, tiny_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[engine]\nlora = "/nowhere/adapter.gguf"\n')
    found = doctor.examine(load_settings(home=tmp_path, model=str(tiny_path)))["model"]
    assert isinstance(found, dict)
    assert found["here"] is True and "/nowhere/adapter.gguf" in str(found["advice"])


def test_a_damaged_model_comes_with_advice(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(100))
    found = examined(tmp_path, model=str(tmp_path / "broken.gguf"))["model"]
    assert isinstance(found, dict)
    assert found["here"] is False and "Fetch it again" in str(found["advice"])


def test_a_package_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PACKAGES", ("tanqu", "no-such-package"))
    packages = examined(tmp_path, model="none")["packages"]
    assert isinstance(packages, dict) and packages["no-such-package"].startswith("missing")


def test_the_findings_are_told_in_lines() -> None:
    found: dict[str, object] = {"a": 1, "b": {"c": "x", "d": {"e": None}}, "f": []}
    assert doctor.told(found) == "a: 1\nb\n  c: x\n  d\n    e: None\nf: []"


def test_bytes_are_told_as_people_read_them() -> None:
    found: dict[str, object] = {
        "bytes": {"weights": 3 << 20, "kv_cache_per_token": 28 << 10, "kv_cache": None}
    }
    told = "bytes\n  weights: 3 MB\n  kv_cache_per_token: 28 KB\n  kv_cache: unknown: the file does not say"
    assert doctor.told(found) == told
