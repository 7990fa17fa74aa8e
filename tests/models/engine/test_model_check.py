"""The trial of a model in a child process: a crash there is a setting or a clear error here."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tanqu.models.engine.llama_model import LlamaModel
from tanqu.models.engine.model_check import TRIAL, ModelCheck, ModelChecker
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import ModelError
from tanqu.models.language_model import Limits, Prompt, generate

SETTINGS = EngineSettings(context=512)

# What a child does: its arguments are the model's file and the settings as JSON.
CHILD = """
import json, os, signal, sys, time
extra = json.loads(sys.argv[2])["extra_buffers"]
open(LOG, "a").write("with " if extra else "without ")
def die(name): os.kill(os.getpid(), getattr(signal, name))
"""


def checker(tmp_path: Path, script: str, timeout: float = 60.0) -> ModelChecker:
    text = CHILD.replace("LOG", repr(str(tmp_path / "log"))) + script
    return ModelChecker(tmp_path / "engine", (sys.executable, "-c", text), timeout)


def tried(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().split() if log.exists() else []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    return path


def test_a_crash_with_extra_buffers_switches_them_off_and_is_remembered(tmp_path: Path, model: Path) -> None:
    script = "die('SIGSEGV') if extra else print('decoded')"
    result = checker(tmp_path, script).check(model, SETTINGS)
    assert result == ModelCheck(extra_buffers=False, crashed_with="SIGSEGV")
    assert checker(tmp_path, "die('SIGSEGV')").check(model, SETTINGS) == result
    assert tried(tmp_path) == ["with", "without"]


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT"])
def test_a_crash_with_and_without_is_one_clear_error(tmp_path: Path, model: Path, name: str) -> None:
    for _ in range(2):
        with pytest.raises(ModelError, match=rf"crashes \({name}\) when it runs model\.gguf"):
            checker(tmp_path, f"die({name!r})").check(model, SETTINGS)
    assert tried(tmp_path) == ["with", "without"] * 2


@pytest.mark.parametrize(("without", "extra_buffers"), [(2.0, True), (1.0, True), (0.95, True), (0.8, False)])
def test_the_clearly_faster_way_is_chosen(
    tmp_path: Path, model: Path, without: float, extra_buffers: bool
) -> None:
    script = f"print('decoded'); print(1.0 if extra else {without})"
    result = checker(tmp_path, script).check(model, SETTINGS)
    assert result == ModelCheck(extra_buffers=extra_buffers, seconds_with=1.0, seconds_without=without)


def test_a_crash_without_extra_buffers_leaves_them_on(tmp_path: Path, model: Path) -> None:
    result = checker(tmp_path, "print('decoded', 1.0) if extra else die('SIGSEGV')").check(model, SETTINGS)
    assert (result.extra_buffers, result.crashed_with) == (True, "")


@pytest.mark.parametrize(
    "script", ["raise SystemExit(1)", "die('SIGKILL')", "die('SIGTERM')", "print('something else')"]
)
def test_a_child_that_fails_otherwise_decides_nothing(tmp_path: Path, model: Path, script: str) -> None:
    for _ in range(2):
        assert checker(tmp_path, script).check(model, SETTINGS) == ModelCheck(extra_buffers=True)
    assert tried(tmp_path) == ["with", "with"]


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path, model: Path) -> None:
    slow = checker(tmp_path, "print('decoded', flush=True); time.sleep(60)", timeout=1.0)
    assert slow.check(model, SETTINGS) == ModelCheck(extra_buffers=True)
    assert slow.kept(model, SETTINGS) is not None


@pytest.mark.parametrize("command", [("",), ("/no/such/python",)])
def test_no_interpreter_for_the_child_decides_nothing(
    tmp_path: Path, model: Path, command: tuple[str, ...]
) -> None:
    assert ModelChecker(tmp_path, command).check(model, SETTINGS) == ModelCheck(extra_buffers=True)


def test_another_file_is_tried_again(tmp_path: Path, model: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"other weights")
    checks = checker(tmp_path, "print('decoded')")
    checks.check(model, SETTINGS)
    checks.check(other, SETTINGS)
    assert tried(tmp_path) == ["with", "with"]


def test_a_damaged_result_is_tried_again(tmp_path: Path, model: Path) -> None:
    checks = checker(tmp_path, "print('decoded')")
    checks.check(model, SETTINGS)
    (kept,) = (tmp_path / "engine").iterdir()
    kept.write_text("{")
    assert checks.check(model, SETTINGS) == ModelCheck(extra_buffers=True)
    assert tried(tmp_path) == ["with", "with"]


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, model: Path) -> None:
    (tmp_path / "engine").write_text("a file where the folder should be")
    assert checker(tmp_path, "print('decoded')").check(model, SETTINGS) == ModelCheck(extra_buffers=True)


# With the small real model


@pytest.mark.gguf
def test_a_model_whose_trial_crashed_is_opened_without_extra_buffers(
    tmp_path: Path, tiny_path: Path, tiny_model: LlamaModel
) -> None:
    crashing = checker(tmp_path, "die('SIGSEGV') if extra else print('decoded')")
    with LlamaModel(tiny_path, SETTINGS, checker=crashing) as model:
        assert model.settings.extra_buffers is False
        assert model.notes == ("extra_buffers_off",)
        assert generate(model, Prompt(()), limits=Limits(max_tokens=1))[0].tokens
        with LlamaModel(tiny_path, EngineSettings(context=512, extra_buffers=True)) as other:
            assert other.notes == () and other.fingerprint != model.fingerprint


@pytest.mark.gguf
def test_a_setting_of_the_user_needs_no_trial(tmp_path: Path, tiny_path: Path) -> None:
    settings = EngineSettings(context=512, extra_buffers=False)
    with LlamaModel(tiny_path, settings, checker=checker(tmp_path, "die('SIGSEGV')")) as model:
        assert model.settings.extra_buffers is False and model.notes == ()
    assert tried(tmp_path) == []


@pytest.mark.gguf
def test_the_real_trial_decodes_and_measures_both_ways(tmp_path: Path, tiny_path: Path) -> None:
    result = ModelChecker(tmp_path).check(tiny_path, SETTINGS)
    assert result.crashed_with == ""
    assert result.seconds_with and result.seconds_without
    assert ModelChecker(tmp_path).kept(tiny_path, SETTINGS) == result


@pytest.mark.gguf
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_the_real_child_that_is_killed_ends_by_the_signal(tiny_path: Path) -> None:
    settings = json.dumps({"extra_buffers": True, "context": 512})
    child = subprocess.Popen([*TRIAL, str(tiny_path), settings], stdout=subprocess.PIPE)
    child.send_signal(signal.SIGSEGV)
    assert child.wait() == -signal.SIGSEGV
    if child.stdout:
        child.stdout.close()
