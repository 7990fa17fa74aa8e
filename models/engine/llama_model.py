"""`LlamaModel`: a GGUF file run by llama.cpp behind the `LanguageModel` protocol.

Decoded tokens are the cost. So prompts share the KV cache of their common prefix, continuations that of theirs,
tokens that the grammar forces are decoded together with the next, prefixes worth keeping come back from memory
or disk, and several texts are generated in one batch.
"""

import contextlib
import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from ..engine_settings import EngineSettings
from ..errors import CancelledError, ModelError, PromptTooLongError
from ..language_model import DEFAULT_LIMITS, Constraint, Generated, Limits, OnText, Prompt, Scored, Usage
from ..weights import check_gguf, sha256_of
from .chat_format import ChatFormat, Tokens
from .context import Context, common_length
from .decoding import Writer
from .grammar import Grammars, Matcher
from .llama import Weights
from .model_check import ModelChecker
from .prefix_cache import PrefixCache
from .prompt_reader import PromptReader, TokensRead
from .queue import Job, ModelThread
from .scoring import Trie

T = TypeVar("T")


class LlamaModel:
    """A GGUF model with a thread of its own. Opening takes seconds; close it, or use it in a `with` block."""

    def __init__(
        self,
        path: Path,
        settings: EngineSettings | None = None,
        cache_folder: Path | None = None,
        *,
        checker: ModelChecker | None = None,
    ) -> None:
        """Check and load the file.

        Args:
            path: a GGUF file.
            settings: how to run it.
            cache_folder: where prefixes are kept between processes; None keeps them in memory only.
            checker: tries the model in a child process at its first opening, unless `settings` say whether
                to use extra buffers; None keeps the results in the user's cache folder.

        Raises:
            WeightsError: the file is missing, damaged, or of an unknown kind.
            ModelError: the context cannot be made, or llama.cpp crashes with this file.
        """
        self.settings = settings or EngineSettings()
        self.path = path
        check_gguf(path)
        self.notes: tuple[str, ...] = ()
        if self.settings.extra_buffers is None:
            check = (checker or ModelChecker()).check(path, self.settings)
            self.settings = replace(self.settings, extra_buffers=check.extra_buffers)
            self.notes = ("extra_buffers_off",) if check.crashed_with else ()
        self._weights = Weights(path, self.settings)
        try:
            self._context = Context(self._weights, self.settings)
            self._format = ChatFormat(self._weights)
        except ModelError:
            self._weights.close()
            raise
        self._grammars: Grammars | None = None
        self._buffer = np.empty(self._weights.size, np.float32)
        self._fingerprint = _fingerprint(path, self.settings)
        self._prefixes = PrefixCache(
            self._fingerprint,
            self.settings.prefix_memory_mb << 20,
            cache_folder,
            self.settings.prefix_disk_mb << 20,
        )
        self._reader = PromptReader(self._context, self._prefixes)
        self._thread = ModelThread(path.stem)

    @property
    def name(self) -> str:
        """The model's own name, or the file's."""
        return self._weights.metadata("general.name") or self.path.stem

    @property
    def fingerprint(self) -> str:
        """12 hex digits over weights, adapter, library and cache settings."""
        return self._fingerprint

    @property
    def context_tokens(self) -> int:
        """Tokens that a prompt and its output may have together."""
        return self._context.size

    @property
    def weights(self) -> Weights:
        """The loaded file, for the benchmark and `tanqu doctor`."""
        return self._weights

    @property
    def cache_hits(self) -> dict[str, int]:
        """How often a kept prefix came from memory, from disk, or was missing, by "memory", "disk", "miss"."""
        return dict(self._prefixes.hits)

    def encode(self, prompt: Prompt) -> list[int]:
        """The token ids of `prompt` with the chat template. Does not wait for the model."""
        return self._format.encode(prompt).ids

    def count(self, prompt: Prompt) -> int:
        """How many tokens `prompt` has. Does not wait for the model."""
        return len(self._format.encode(prompt).ids)

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        constraint: Constraint | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_text: OnText | None = None,
    ) -> tuple[list[Generated], Usage]:
        """Continue several prompts in one batch.

        Args:
            prompts: what to continue.
            constraint: what each output must look like; None is free text.
            limits: length, sampling, deadline and priority.
            on_text: receives each piece of text as soon as it is decoded, on the model's thread.

        Returns:
            One result per prompt, in order, and what the call cost; see LanguageModel for what is raised.
        """
        if not prompts:
            return [], Usage(0, 0, 0, 0.0)
        return self._run(lambda job: self._generate(job, prompts, constraint, limits, on_text), limits)

    def score(
        self, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[list[Scored], Usage]:
        """Score continuations by their log-likelihood given the prompt.

        Args:
            prompt: what each of them follows.
            continuations: untrusted data, never read as control tokens.
            limits: deadline and priority.

        Returns:
            One result per continuation, in order, and what the call cost; see LanguageModel for what is raised.
        """
        if not continuations:
            return [], Usage(0, 0, 0, 0.0)
        return self._run(lambda job: self._score(job, prompt, continuations), limits)

    def forget(self, owner: str) -> None:
        """Drop every cached prompt of `owner` from memory, disk and the context."""

        def work(_job: Job) -> None:
            self._prefixes.forget(owner)
            self._reader.reset()

        self._thread.run(work, priority=0)

    def close(self) -> None:
        """Stop the running call, refuse those that wait and all later ones, and free the memory."""
        self._thread.close()
        self._context.close()
        self._weights.close()

    def __enter__(self) -> "LlamaModel":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _run(self, work: Callable[[Job], T], limits: Limits) -> T:
        return self._thread.run(
            work, priority=limits.priority, deadline=limits.deadline, cancel=limits.cancel
        )

    # --- on the model's thread -------------------------------------------------------------------

    def _generate(
        self,
        job: Job,
        prompts: Sequence[Prompt],
        constraint: Constraint | None,
        limits: Limits,
        on_text: OnText | None,
    ) -> tuple[list[Generated], Usage]:
        started = time.perf_counter()
        encoded = [self._format.encode(prompt) for prompt in prompts]
        for tokens in encoded:
            self._check_room(len(tokens.ids))
        shared = _shared_length([tokens.ids for tokens in encoded])
        start = self._start(constraint)
        reading = TokensRead()
        results: list[Generated] = []
        with self._stopping(job):
            row = self._reader.read(job, encoded[0], shared, prompts[0].owner, reading)
            for wave in self._waves(encoded, shared, limits.max_tokens):
                writer = Writer(self._weights, self._context, job, limits, on_text, self._buffer)
                for index in wave:
                    sequence = 0 if len(prompts) == 1 else index - wave[0] + 1
                    if sequence:
                        self._context.copy(0, sequence)
                    matcher = start.copy() if start else None
                    ids = encoded[index].ids
                    room = self._room(len(ids), limits.max_tokens)
                    writer.add(index, sequence, ids[shared:], shared, room, matcher, row)
                results += writer.run()
                reading.prompt += sum(len(encoded[index].ids) - shared for index in wave)
                self._reader.free(len(wave) if len(prompts) > 1 else 0)
        written = sum(len(result.tokens) for result in results)
        return results, Usage(reading.prompt, reading.cached, written, time.perf_counter() - started)

    def _start(self, constraint: Constraint | None) -> Matcher | None:
        """A matcher to copy for each text."""
        if constraint is None:
            return None
        if self._grammars is None:
            self._grammars = Grammars(self._weights)
        return self._grammars.start(constraint)

    def _score(self, job: Job, prompt: Prompt, continuations: Sequence[str]) -> tuple[list[Scored], Usage]:
        started = time.perf_counter()
        encoded = self._format.encode(prompt)
        length = len(encoded.ids)
        texts = [self._format.continuation(text) for text in continuations]
        self._check_room(length + max(len(text) - 1 for text in texts))  # the last token is not read
        reading = TokensRead()
        scores: list[Scored] = []
        with self._stopping(job):
            row = self._reader.read(job, encoded, length, prompt.owner, reading)
            while len(scores) < len(texts):
                trie = Trie.build(
                    texts[len(scores) :],
                    sequences=self.settings.rows - 1,
                    cells=self._context.size - length,
                )
                scores += trie.score(self._context, job, row, length, self._buffer)
                reading.prompt += trie.size
                self._reader.free(trie.count)
        return scores, Usage(reading.prompt, reading.cached, 0, time.perf_counter() - started)

    @contextlib.contextmanager
    def _stopping(self, job: Job) -> Iterator[None]:
        """Let a job be stopped within the block; on any error the KV cache is cleared."""
        try:
            with self._context.stopping(job.flag):
                yield
        except CancelledError:
            self._reader.reset()
            job.check()  # says why, where the decode could only say that it was stopped
            raise
        except BaseException:
            self._reader.reset()
            raise

    def _waves(self, encoded: list[Tokens], shared: int, max_tokens: int) -> list[list[int]]:
        """The prompts in groups whose tokens and outputs fit into the context together."""
        waves: list[list[int]] = [[]]
        free = self._context.size - shared
        used = 0
        for index, tokens in enumerate(encoded):
            length = len(tokens.ids)
            # The last token of a text is never read.
            need = length - shared + max(0, self._room(length, max_tokens) - 1)
            full = len(waves[-1]) == self.settings.rows - 1
            if waves[-1] and (used + need > free or full):
                waves.append([])
                used = 0
            waves[-1].append(index)
            used += need
        return waves

    def _room(self, length: int, max_tokens: int) -> int:
        """How many tokens may be written after a prompt of this length."""
        return min(max_tokens, self._context.size - length + 1)

    def _check_room(self, tokens: int) -> None:
        if tokens > self._context.size:
            msg = (
                f"the prompt needs {tokens} tokens and the context has {self._context.size}: "
                "shorten it, or open the model with a larger context"
            )
            raise PromptTooLongError(msg)


def _shared_length(prompts: list[list[int]]) -> int:
    """The length of the common prefix; of several prompts, each keeps at least one token of its own."""
    if len(prompts) == 1:
        return len(prompts[0])
    first, last = min(prompts), max(prompts)
    return min(common_length(first, last), min(len(prompt) for prompt in prompts) - 1)


def _fingerprint(path: Path, settings: EngineSettings) -> str:
    parts = [
        sha256_of(path),
        sha256_of(settings.lora) if settings.lora else "",
        importlib.metadata.version("llama-cpp-python"),
        settings.kv_type,
        str(settings.flash_attention),
        *([] if settings.extra_buffers is not False else ["no extra buffers"]),  # other kernels, other logits
    ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


__all__ = ["EngineSettings", "LlamaModel"]
