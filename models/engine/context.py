"""The KV cache of one context, shared by up to 256 sequences, and the batches of tokens that fill it.

Each guard stands where llama.cpp would end the process instead of raising: too many tokens or output rows in
one batch, too many sequences, a state of another context.
"""

import contextlib
import ctypes
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import llama_cpp as L
import numpy as np
from numpy.typing import NDArray

from ..engine_settings import MAX_SEQUENCES, STRIDE, EngineSettings, physical_cores
from ..errors import CancelledError, ModelError
from .llama import Weights
from .pointers import Pointer

T = TypeVar("T")

Logits = NDArray[np.float32]
_KV_TYPES = {"f16": L.GGML_TYPE_F16, "q8_0": L.GGML_TYPE_Q8_0}
_ABORTED = 2  # llama_decode's answer when the abort callback said so
_NO_ROOM = 1  # ... and when the context has no cells left
# What llama.cpp asks, at every step of its graph, whether to stop: the length of a C string, which is not
# zero once something was written there. A callback into Python would wait for Python's lock each time.
_STRLEN = ctypes.cast(
    (ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)).strlen, L.ggml_abort_callback
)
_NEVER = L.ggml_abort_callback(0)


@dataclass(slots=True)
class Batch:
    """Tokens to decode together: each with its position, its sequences, and whether its logits are wanted."""

    tokens: list[int]
    positions: list[int]
    sequences: list[tuple[int, ...]]
    wanted: list[bool]

    @classmethod
    def empty(cls) -> "Batch":
        """A batch without tokens."""
        return cls([], [], [], [])

    def add(self, token: int, position: int, sequences: tuple[int, ...], *, wanted: bool) -> int:
        """Append a token.

        Args:
            token: its id.
            position: its position in the sequences.
            sequences: the sequences that it belongs to, at least one.
            wanted: whether the logits after it are wanted.

        Returns:
            Its index in the batch.
        """
        self.tokens.append(token)
        self.positions.append(position)
        self.sequences.append(sequences)
        self.wanted.append(wanted)
        return len(self.tokens) - 1

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    def part(self, start: int, end: int) -> "Batch":
        """The tokens from `start` to `end`."""
        cut = slice(start, end)
        return Batch(self.tokens[cut], self.positions[cut], self.sequences[cut], self.wanted[cut])


class Context:
    """A KV cache shared by up to 256 sequences, and the decode that fills it."""

    def __init__(self, weights: Weights, settings: EngineSettings) -> None:
        """Reserve the cells; raises ModelError if memory or settings do not allow it."""
        self._weights = weights
        self.settings = settings
        if settings.batch < 2 * STRIDE:
            msg = f"batch must be at least {2 * STRIDE}, not {settings.batch}"
            raise ModelError(msg)
        if not 2 <= settings.rows <= min(settings.batch, MAX_SEQUENCES):
            msg = f"rows must be between 2 and {min(settings.batch, MAX_SEQUENCES)}, not {settings.rows}"
            raise ModelError(msg)
        if settings.kv_type != "f16" and not settings.flash_attention:
            msg = f"kv_type {settings.kv_type!r} needs flash_attention: turn it on, or use 'f16'"
            raise ModelError(msg)
        weights.pointer.call(self._create)
        self.size = int(self._pointer.call(L.llama_n_ctx))
        self.batch = int(self._pointer.call(L.llama_n_batch))
        self._batch = L.llama_batch_init(self.batch, 0, MAX_SEQUENCES)
        self._fields = {
            name: np.ctypeslib.as_array(getattr(self._batch, name), shape=(self.batch,))
            for name in ("token", "pos", "n_seq_id", "logits")
        }
        if weights._adapter is not None:
            adapters = (L.llama_adapter_lora_p_ctypes * 1)(weights._adapter)
            self._pointer.call(L.llama_set_adapters_lora, adapters, 1, (ctypes.c_float * 1)(1.0))

    def _release(self, context: Any) -> None:  # an opaque pointer
        L.llama_batch_free(self._batch)
        L.llama_free(context)

    def _create(self, model: Any) -> None:  # an opaque pointer
        context = L.llama_init_from_model(model, self._params(self._weights, self.settings))
        if not context:
            msg = f"no context of {self.settings.context} tokens could be made: try a smaller one"
            raise ModelError(msg)
        self._pointer = Pointer(context, self._release, self._weights.name)
        self._weights.contexts.add(self)

    @staticmethod
    def _params(weights: Weights, settings: EngineSettings) -> Any:  # a ctypes structure of the package
        params = L.llama_context_default_params()
        params.n_ctx = min(settings.context, weights.trained_context)
        params.n_batch = params.n_ubatch = settings.batch
        params.n_seq_max = params.n_outputs_max = settings.rows  # fewer rows than sequences: abort
        params.kv_unified = True
        params.type_k = params.type_v = _KV_TYPES[settings.kv_type]
        params.flash_attn_type = int(settings.flash_attention)
        params.n_threads = params.n_threads_batch = settings.threads or physical_cores()
        params.offload_kqv = True
        params.no_perf = True
        return params

    def decode(self, batch: Batch) -> Logits:
        """Decode a batch of at most `batch` tokens and `rows` wanted rows.

        Returns:
            The wanted logits in order, (rows, vocabulary) float32: a view that the next decode overwrites.

        Raises:
            CancelledError: it was stopped; the batch's cells are free again.
            ModelError: the batch is too large, the context is full or closed, or llama.cpp failed.
        """
        count, rows = len(batch), sum(batch.wanted)
        if not 0 < count <= self.batch or rows > self.settings.rows:
            msg = f"a batch of {count} tokens and {rows} rows does not fit"  # llama.cpp would abort here
            raise ModelError(msg)
        code, logits = self._pointer.call(self._decode, batch)
        if code == _ABORTED:
            msg = "the model was stopped while it was reading"
            raise CancelledError(msg)
        if code != 0:
            why = "the context is full" if code == _NO_ROOM else f"llama_decode returned {code}"
            raise ModelError(why)
        if not rows:
            return np.empty((0, self._weights.size), np.float32)
        return np.ctypeslib.as_array(logits, shape=(rows, self._weights.size))

    def _decode(self, context: Any, batch: Batch) -> tuple[int, Any]:  # opaque pointers
        self._fill(batch)
        code = L.llama_decode(context, self._batch)
        return code, L.llama_get_logits(context) if code == 0 and any(batch.wanted) else None

    def _memory(self, function: Callable[..., T], *arguments: object) -> T:
        return self._pointer.call(lambda context: function(L.llama_get_memory(context), *arguments))

    def _fill(self, batch: Batch) -> None:
        count = len(batch)
        self._batch.n_tokens = count
        self._fields["token"][:count] = batch.tokens
        self._fields["pos"][:count] = batch.positions
        self._fields["n_seq_id"][:count] = [len(sequences) for sequences in batch.sequences]
        self._fields["logits"][:count] = batch.wanted
        rows = self._batch.seq_id
        for index, sequences in enumerate(batch.sequences):
            row = rows[index]
            for place, sequence in enumerate(sequences):
                row[place] = sequence

    @contextlib.contextmanager
    def stopping(self, flag: "ctypes.Array[ctypes.c_char]") -> Iterator[None]:
        """Within the block a decode ends early once the C string `flag` is not empty."""
        self._pointer.call(L.llama_set_abort_callback, _STRLEN, ctypes.cast(flag, ctypes.c_void_p))
        try:
            yield
        finally:
            self._pointer.call(L.llama_set_abort_callback, _NEVER, ctypes.c_void_p(0))

    def copy(self, source: int, target: int) -> None:
        """Let `target` share the cells of `source`; no data moves."""
        self._memory(L.llama_memory_seq_cp, source, target, -1, -1)

    def cut(self, sequence: int, start: int) -> bool:
        """Drop a sequence's cells from position `start` on; False if this architecture cannot."""
        return bool(self._memory(L.llama_memory_seq_rm, sequence, start, -1))

    def clear(self) -> None:
        """Drop every cell of every sequence."""
        self._memory(L.llama_memory_clear, True)

    def state_size(self, sequence: int) -> int:
        """How many bytes the cells of one sequence take (28 KB a token for a 1.5B model with f16)."""
        return int(self._pointer.call(L.llama_state_seq_get_size, sequence))

    def state(self, sequence: int) -> bytearray:
        """The cells of one sequence as bytes."""
        state = bytearray(self.state_size(sequence))
        buffer = (ctypes.c_uint8 * len(state)).from_buffer(state)
        written = self._pointer.call(L.llama_state_seq_get_data, buffer, len(state), sequence)
        del buffer  # it would keep the size from changing
        del state[written:]
        return state

    def restore(self, sequence: int, state: bytearray) -> bool:
        """Put cells back; False if they are of another kind of context: then clear it."""
        self.cut(sequence, 0)
        buffer = (ctypes.c_uint8 * len(state)).from_buffer(state)
        read = int(self._pointer.call(L.llama_state_seq_set_data, buffer, len(state), sequence))
        return 0 < read == len(state)

    def close(self) -> None:
        """Free the cells; waits for a decode that runs."""
        self._pointer.close()


def log_sum_exp(row: Logits, buffer: Logits) -> float:
    """log(sum(exp(row))), by way of `buffer` (same shape, overwritten)."""
    top = float(row.max())
    np.subtract(row, top, out=buffer)
    np.exp(buffer, out=buffer)
    return top + math.log(float(buffer.sum()))


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common from the start."""
    limit = min(len(one), len(other))
    if one[:limit] == other[:limit]:
        return limit
    return next(index for index in range(limit) if one[index] != other[index])
