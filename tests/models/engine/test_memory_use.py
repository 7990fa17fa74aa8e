"""What a model costs, told from its header, is what llama.cpp then takes."""

from pathlib import Path

import pytest

from tanqu.models.engine.context import Batch, Context
from tanqu.models.engine.llama import Weights
from tanqu.models.engine.memory_use import footprint
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import WeightsError


@pytest.mark.gguf
@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_a_token_costs_what_llama_cpp_keeps_of_it(tiny_path: Path, kv_type: str) -> None:
    settings = EngineSettings(context=512, batch=128, rows=8, kv_type="f16" if kv_type == "f16" else "q8_0")
    told = footprint(tiny_path, settings)
    weights = Weights(tiny_path, settings)
    context = Context(weights, settings)
    try:
        batch = Batch.empty()
        for at in range(100):
            batch.add(1, at, (0,), wanted=at == 99)
        context.decode(batch)
        kept = context.state_size(0) / 100
    finally:
        context.close()
        weights.close()
    assert told.kv_cache_per_token is not None
    assert told.kv_cache_per_token <= kept <= told.kv_cache_per_token * 1.02  # positions and a header beside
    assert told.kv_cache == told.kv_cache_per_token * 512
    assert told.logit_rows == 8 * weights.size * 4


@pytest.mark.gguf
def test_the_context_is_no_longer_than_the_model_was_trained_for(tiny_path: Path) -> None:
    told = footprint(tiny_path, EngineSettings(context=1 << 20))
    assert told.context == 8192
    assert told.memory == told.weights + (told.kv_cache or 0) + told.logit_rows + told.kept_prefixes_in_memory


@pytest.mark.gguf
def test_an_adapter_counts_and_must_be_there(tiny_path: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    adapter.write_bytes(bytes(1000))
    plain = footprint(tiny_path, EngineSettings())
    assert footprint(tiny_path, EngineSettings(lora=adapter)).weights == plain.weights + 1000
    with pytest.raises(WeightsError, match="nowhere"):
        footprint(tiny_path, EngineSettings(lora=tmp_path / "nowhere.gguf"))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"no")
    with pytest.raises(WeightsError, match=r"a\.gguf"):
        footprint(tmp_path / "a.gguf", EngineSettings())
