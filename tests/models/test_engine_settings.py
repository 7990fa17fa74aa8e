"""How the model is run: what a settings file may say, and the cores of this machine."""

from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from tanqu.models.engine_settings import EngineSettings, physical_cores

ADAPTER = TypeAdapter(EngineSettings)


def test_there_is_at_least_one_core() -> None:
    assert physical_cores() >= 1


def test_a_table_names_only_what_it_changes() -> None:
    found = ADAPTER.validate_python({"context": 8192, "lora": "a.gguf"})
    assert found == EngineSettings(context=8192, lora=Path("a.gguf"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": 0},
        {"context": 10},
        {"batch": 64},
        {"rows": 1},
        {"rows": 257},
        {"kv_type": "f64"},
        {"gpu_layers": -2},
        {"prefix_memory_mb": -1},
        {"speed": "high"},
    ],
)
def test_what_llama_cpp_could_not_run_with_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(wrong)


def test_every_setting_has_a_default() -> None:
    assert len(fields(EngineSettings)) == 12 and EngineSettings().threads is None
