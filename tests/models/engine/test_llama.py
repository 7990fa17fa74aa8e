"""llama.cpp behind its guards: what would end the process is an error here."""

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.models.engine.context import Batch, Context, Logits, common_length, log_sum_exp
from tanqu.models.engine.llama import Weights
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import CancelledError, ModelError, WeightsError

SETTINGS = EngineSettings(context=256, batch=128, rows=8)


@pytest.fixture(scope="module")
def weights(tiny_path: Path) -> Iterator[Weights]:
    made = Weights(tiny_path, SETTINGS)
    yield made
    made.close()


@pytest.fixture
def context(weights: Weights) -> Iterator[Context]:
    made = Context(weights, SETTINGS)
    yield made
    made.close()


def _batch(tokens: list[int], *, rows: int = 1, sequence: int = 0) -> Batch:
    batch = Batch.empty()
    for at, token in enumerate(tokens):
        batch.add(token, at, (sequence,), wanted=at >= len(tokens) - rows)
    return batch


@pytest.mark.gguf
def test_batches_that_llama_cpp_would_die_of_are_refused(context: Context) -> None:
    for wrong in (Batch.empty(), _batch([1] * 129), _batch([1] * 20, rows=9)):
        with pytest.raises(ModelError, match="does not fit"):
            context.decode(wrong)
    assert context.decode(_batch([1] * 64, rows=8)).shape[0] == 8


@pytest.mark.gguf
def test_a_full_context_is_an_error_and_clearing_helps(context: Context) -> None:
    for sequence in range(4):
        context.decode(_batch([1] * 64, sequence=sequence))
    with pytest.raises(ModelError, match="the context is full"):
        context.decode(_batch([1] * 2, sequence=4))
    context.clear()
    context.decode(_batch([1] * 2, sequence=4))


@pytest.mark.gguf
def test_a_decode_stops_when_the_flag_is_set_and_its_cells_are_free_again(context: Context) -> None:
    flag = ctypes.create_string_buffer(2)
    before = context.decode(_batch([1, 2, 3]))[0].copy()
    with context.stopping(flag):
        context.decode(_batch([5, 6], sequence=1))
        flag[0] = b"!"
        with pytest.raises(CancelledError):
            context.decode(_batch([1] * 60, sequence=2))
    context.clear()
    assert (context.decode(_batch([1, 2, 3]))[0] == before).all()


@pytest.mark.gguf
def test_cells_go_into_another_context_of_the_same_kind_only(weights: Weights, context: Context) -> None:
    context.decode(_batch([1, 2, 3]))
    state = context.state(0)
    assert len(state) == context.state_size(0)
    after = Batch([4], [3], [(0,)], [True])
    expected = context.decode(after)[0].copy()
    larger = Context(weights, EngineSettings(context=512, batch=128, rows=8))
    other = Context(weights, EngineSettings(context=256, batch=128, rows=8, kv_type="q8_0"))
    assert larger.restore(0, state)
    assert (larger.decode(after)[0] == expected).all()
    assert not other.restore(0, state)
    assert not larger.restore(0, state[:100])
    assert not larger.restore(0, bytearray())
    for made in (larger, other):
        made.close()
        made.close()


@pytest.mark.gguf
def test_a_copy_shares_cells_and_a_cut_frees_them(context: Context) -> None:
    context.decode(_batch([1, 2, 3]))
    expected = context.decode(Batch([4], [3], [(0,)], [True]))[0].copy()
    assert context.cut(0, 3)
    context.copy(0, 5)
    context.cut(0, 0)
    assert np.allclose(context.decode(Batch([4], [3], [(5,)], [True]))[0], expected, atol=1e-3)


@pytest.mark.gguf
def test_settings_are_kept_within_what_the_model_was_trained_for(weights: Weights) -> None:
    context = Context(weights, EngineSettings(context=100_000_000))
    assert context.size == weights.trained_context == 8192
    context.close()


@pytest.mark.gguf
@pytest.mark.parametrize(("wrong", "message"), [
    (EngineSettings(rows=257), "rows"), (EngineSettings(rows=1), "rows"),
    (EngineSettings(rows=200, batch=128), "rows"),
    (EngineSettings(kv_type="q8_0", flash_attention=False), "needs flash_attention"),
    (EngineSettings(batch=64, rows=8), "batch must be at least 128"),
])  # fmt: skip
def test_settings_that_do_not_go_together_are_refused(
    weights: Weights, wrong: EngineSettings, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Context(weights, wrong)


@pytest.mark.gguf
def test_weights_tell_what_they_are(weights: Weights) -> None:
    assert "llama" in weights.description
    assert weights.metadata("general.architecture") == "llama"
    assert weights.metadata("no.such.key") is None
    assert weights.chat_template is not None and "<|im_start|>" in weights.chat_template
    assert weights.is_end(weights.end)
    assert weights.is_control(weights.end)
    assert weights.piece(weights.end) == b""
    assert weights.spelling(weights.end) == weights.eos_text.encode()
    assert weights.bos is None


@pytest.mark.gguf
def test_a_closed_file_says_so(tiny_path: Path) -> None:
    weights = Weights(tiny_path, SETTINGS, vocabulary_only=True)
    assert weights.tokenize("hello", special=False)
    weights.close()
    weights.close()
    with pytest.raises(ModelError, match="closed"):
        weights.tokenize("hello", special=False)


@pytest.mark.gguf
def test_weights_that_are_closed_close_their_contexts(tiny_path: Path) -> None:
    weights = Weights(tiny_path, SETTINGS)
    context = Context(weights, SETTINGS)
    context.decode(_batch([1, 2, 3]))
    weights.close()
    for call in (
        lambda: context.decode(_batch([1])),
        context.clear,
        lambda: context.state(0),
        lambda: context.cut(0, 1),
    ):
        with pytest.raises(ModelError, match="closed"):
            call()
    context.close()


@pytest.mark.gguf
def test_weights_that_llama_cpp_refuses_are_an_error(tmp_path: Path) -> None:
    for data in (b"", b"nothing", b"GGUF\x03\x00\x00\x00" + bytes(16)):
        path = tmp_path / "weights.gguf"
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"weights\.gguf"):
            Weights(path, SETTINGS)


# Adapters


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _adapter(path: Path, width: int, scale: float) -> None:
    """Write a LoRA adapter of rank 1 for the first query projection."""
    fields = [
        _text("general.architecture") + struct.pack("<I", 8) + _text("llama"),
        _text("general.type") + struct.pack("<I", 8) + _text("adapter"),
        _text("adapter.type") + struct.pack("<I", 8) + _text("lora"),
        _text("adapter.lora.alpha") + struct.pack("<If", 6, 1.0),
    ]
    names = ["blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b"]
    shapes = [(width, 1), (1, width)]
    tensors = [
        _text(name) + struct.pack("<IQQIQ", 2, *shape, 0, at * width * 4)
        for at, (name, shape) in enumerate(zip(names, shapes, strict=True))
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields)) + b"".join(fields + tensors)
    numbers = np.full(2 * width, scale, np.float32).tobytes()
    path.write_bytes(head + bytes(-len(head) % 32) + numbers)


@pytest.mark.gguf
def test_an_adapter_is_in_force(tiny_path: Path, weights: Weights, context: Context, tmp_path: Path) -> None:
    plain = context.decode(_batch([1, 2, 3]))[0].copy()

    def adapted(scale: float) -> Logits:
        path = tmp_path / f"{scale}.gguf"
        _adapter(path, 576, scale)
        settings = EngineSettings(context=256, batch=128, rows=8, lora=path)
        with_adapter = Weights(tiny_path, settings)
        other = Context(with_adapter, settings)
        row: Logits = other.decode(_batch([1, 2, 3]))[0].copy()
        other.close()
        with_adapter.close()
        return row

    assert np.abs(adapted(0.5) - plain).max() > 0.5
    assert np.allclose(adapted(0.0), plain, atol=1e-3)


@pytest.mark.gguf
def test_an_adapter_that_cannot_be_loaded_is_an_error(tiny_path: Path, tmp_path: Path) -> None:
    broken, narrow = tmp_path / "broken.gguf", tmp_path / "narrow.gguf"
    broken.write_bytes(b"GGUF")
    _adapter(narrow, 64, 1.0)
    for path in (tmp_path / "missing.gguf", broken, narrow):
        with pytest.raises(WeightsError, match="adapter"):
            Weights(tiny_path, EngineSettings(lora=path))


# Numbers


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40))
def test_the_logarithm_of_the_sum_is_right(values: list[float]) -> None:
    row = np.array(values, np.float32)
    expected = float(np.log(np.exp(row.astype(np.float64)).sum()))
    assert log_sum_exp(row, np.empty_like(row)) == pytest.approx(expected, abs=1e-4)


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_the_common_length_is_of_equal_beginnings(one: list[int], other: list[int]) -> None:
    length = common_length(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]
