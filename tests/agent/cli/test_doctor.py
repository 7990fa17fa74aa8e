"""The doctor says what is there and what is missing, and changes nothing."""

import json
import re
from pathlib import Path

import pytest

from tanqu.agent.cli import doctor
from tanqu.agent.settings import Settings, load_settings
from tanqu.models.engine import ModelCheck, ModelChecker
from tanqu.models.engine_settings import EngineSettings


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


@pytest.mark.gguf
@pytest.mark.parametrize(("kept", "language", "sentence"), [
    (None, "auto", "decided by a trial"),
    (ModelCheck(extra_buffers=False, crashed_with="SIGSEGV"), "en", "crashed .*SIGSEGV"),
    (ModelCheck(extra_buffers=False, crashed_with="SIGSEGV"), "zh", "关闭：.*崩溃（SIGSEGV）"),
    (ModelCheck(extra_buffers=True, seconds_with=4.0, seconds_without=6.04), "en", "^on: .* 4.0 s .* 6.0 s"),
    (ModelCheck(extra_buffers=False, seconds_with=4.0, seconds_without=2.0), "en", "^off: .* 2.0 s .* 4.0 s"),
    (ModelCheck(extra_buffers=True), "en", "not measured"),
])  # fmt: skip
def test_whether_weights_are_repacked_comes_with_the_reason(
    tmp_path: Path, tiny_path: Path, kept: ModelCheck | None, language: str, sentence: str
) -> None:
    checker = ModelChecker(tmp_path / "engine")
    if kept:
        checker.keep(tiny_path, EngineSettings(), kept)
    settings = Settings.model_validate({"home": tmp_path, "model": str(tiny_path), "language": language})
    found = doctor.examine(settings, checker)["model"]
    assert isinstance(found, dict)
    assert re.search(sentence, found["extra_buffers"])


def test_a_damaged_model_comes_with_advice(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(100))
    found = examined(tmp_path, model=str(tmp_path / "broken.gguf"))["model"]
    assert isinstance(found, dict)
    assert found["here"] is False and "Fetch it again" in str(found["advice"])


def test_a_package_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PACKAGES", ("tanqu", "no-such-package"))
    packages = examined(tmp_path, model="none")["packages"]
    assert isinstance(packages, dict) and packages["no-such-package"].startswith("missing")


def test_the_findings_are_printed_as_lines() -> None:
    found: dict[str, object] = {"a": 1, "b": {"c": "x", "d": {"e": None}}, "f": []}
    assert doctor.as_lines(found, "en") == "a: 1\nb\n  c: x\n  d\n    e: None\nf: []"


def test_sizes_are_in_kilobytes_and_megabytes() -> None:
    found: dict[str, object] = {
        "bytes": {"weights": 3 << 20, "kv_cache_per_token": 28 << 10, "kv_cache": None}
    }
    lines = "bytes\n  weights: 3 MB\n  kv_cache_per_token: 28 KB\n  kv_cache: unknown: the file does not say"
    assert doctor.as_lines(found, "en") == lines
