"""A GGUF file loaded by llama.cpp: its metadata, its vocabulary, its LoRA adapter."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import llama_cpp as L

from ..engine_settings import EngineSettings
from ..errors import ModelError, WeightsError
from .pointers import Pointer

T = TypeVar("T")


def _print_nothing(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """Take llama.cpp's log lines: errors come back as return codes."""


_QUIET = L.llama_log_callback(_print_nothing)


class Weights:
    """A GGUF file in memory, with its vocabulary. The caller has checked the file (check_gguf)."""

    def __init__(self, path: Path, settings: EngineSettings, *, vocabulary_only: bool = False) -> None:
        """Load the file.

        Args:
            path: a GGUF file that check_gguf accepts.
            settings: layers on the GPU, memory map, extra buffers, adapter.
            vocabulary_only: load no tensors (0.3 s); then no context can be made.

        Raises:
            WeightsError: llama.cpp refuses the file or the adapter.
        """
        L.llama_log_set(_QUIET, ctypes.c_void_p(0))
        L.llama_backend_init()
        params = L.llama_model_default_params()
        params.load_mode = L.LLAMA_LOAD_MODE_MMAP if settings.memory_map else L.LLAMA_LOAD_MODE_NONE
        params.vocab_only = vocabulary_only
        params.use_extra_bufts = settings.extra_buffers is not False
        self.offloads = bool(L.llama_supports_gpu_offload())
        wanted = settings.gpu_layers
        params.n_gpu_layers = (-1 if self.offloads else 0) if wanted is None else wanted
        self.gpu_layers = params.n_gpu_layers if self.offloads else 0
        model = L.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            msg = f"llama.cpp cannot load {path}: it may be of a newer format or an unknown architecture"
            raise WeightsError(msg)
        self.name = path.stem
        self.pointer = Pointer(model, self._release, self.name)
        self.contexts: WeakSet[Any] = WeakSet()
        self.size = int(self.vocabulary(L.llama_vocab_n_tokens))
        self._pieces: dict[int, bytes] = {}
        self._control: dict[int, bool] = {}
        try:
            self._adapter = self._load_adapter(settings.lora)
        except WeightsError:
            self.close()
            raise

    def _load_adapter(self, path: Path | None) -> Any:  # an opaque pointer, or None
        if path is None:
            return None
        adapter = self.pointer.call(L.llama_adapter_lora_init, os.fsencode(path)) if path.is_file() else None
        if not adapter:
            msg = f"the LoRA adapter {path} cannot be loaded: is it a GGUF made for these weights?"
            raise WeightsError(msg)
        return adapter

    def vocabulary(self, function: Callable[..., T], *arguments: object) -> T:
        """`function(vocabulary, *arguments)`; raises ModelError once the weights are closed."""
        return self.pointer.call(lambda model: function(L.llama_model_get_vocab(model), *arguments))

    @property
    def trained_context(self) -> int:
        """How many tokens the model was trained to read at once."""
        return int(self.pointer.call(L.llama_model_n_ctx_train))

    @property
    def description(self) -> str:
        """Architecture, size and quantisation in llama.cpp's words."""
        buffer = ctypes.create_string_buffer(256)
        self.pointer.call(L.llama_model_desc, buffer, len(buffer))
        return buffer.value.decode(errors="replace")

    @property
    def chat_template(self) -> str | None:
        """The Jinja template of a conversation that the file carries, if any."""
        template = self.pointer.call(L.llama_model_chat_template, None)
        return template.decode(errors="replace") if template else None

    def metadata(self, key: str) -> str | None:
        """A value of the file's metadata as text, such as `general.name`."""
        buffer = ctypes.create_string_buffer(1024)
        length = self.pointer.call(L.llama_model_meta_val_str, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if length >= 0 else None

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text. Safe to call from any thread.

        Args:
            text: any text.
            special: read turn markers as control tokens; only for our own text, never for data.

        Returns:
            The token ids, without a begin-of-text token.

        Raises:
            ModelError: the weights are closed, or llama.cpp cannot tokenise the text.
        """
        data = text.encode("utf-8", errors="replace")
        room = len(data) + 8
        ids = (L.llama_token * room)()
        count = self.vocabulary(L.llama_tokenize, data, len(data), ids, room, False, special)
        if count < 0:
            msg = f"a text of {len(data)} bytes could not be tokenised"
            raise ModelError(msg)
        return ids[:count]

    def piece(self, token: int) -> bytes:
        """The bytes that a token decodes to (none for a control token)."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._written(token, special=False)
        return piece

    def spelling(self, token: int) -> bytes:
        """The bytes of a token as templates write it: for a control token its name, such as <|im_end|>."""
        return self._written(token, special=True)

    def _name(self, token: int) -> str:
        return self.spelling(token).decode(errors="replace") if token >= 0 else ""

    def _written(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(1024)  # not shared: several threads may call
        length = self.vocabulary(L.llama_token_to_piece, token, buffer, len(buffer), 0, special)
        return buffer.raw[: max(0, length)]

    def is_control(self, token: int) -> bool:
        """Whether a token steers the model (turn marks, end of text) and must never come from data."""
        control = self._control.get(token)
        if control is None:
            control = self._control[token] = self._has(token, L.LLAMA_TOKEN_ATTR_CONTROL)
        return control

    def is_marker(self, token: int) -> bool:
        """Whether a token is a control token, or a user-defined one in angle brackets."""
        if self.is_control(token):
            return True
        added = self._has(token, L.LLAMA_TOKEN_ATTR_USER_DEFINED)
        return added and self.spelling(token).startswith(b"<") and self.spelling(token).endswith(b">")

    def _has(self, token: int, attribute: int) -> bool:
        return bool(self.vocabulary(L.llama_vocab_get_attr, token) & attribute)

    def is_end(self, token: int) -> bool:
        """Whether a token ends a text or a turn."""
        return bool(self.vocabulary(L.llama_vocab_is_eog, token))

    @property
    def bos(self) -> int | None:
        """The begin-of-text token, where the model needs one."""
        return int(self.vocabulary(L.llama_vocab_bos)) if self.vocabulary(L.llama_vocab_get_add_bos) else None

    @property
    def end(self) -> int:
        """The token that ends a text (-1 for none)."""
        return int(self.vocabulary(L.llama_vocab_eos))

    @property
    def bos_text(self) -> str:
        """The begin-of-text token as templates write it."""
        return self._name(int(self.vocabulary(L.llama_vocab_bos)))

    @property
    def eos_text(self) -> str:
        """The end-of-text token as templates write it."""
        return self._name(self.end)

    def close(self) -> None:
        """Free the weights and every context made of them; waits for calls that run."""
        self.pointer.close()

    def _release(self, model: Any) -> None:  # an opaque pointer
        for context in self.contexts:
            context.close()
        L.llama_model_free(model)
