"""`LlamaModel`: the language model of this machine, a GGUF file run by llama.cpp.

Tokens are the cost, so each is read once: prompts that begin alike share their beginning, continuations
that begin alike share theirs, what a grammar forces is never decoded alone, and prefixes worth keeping
come back from memory or disk. Several texts are written in one batch.

The last bits of a logit depend on how few tokens were read together. So no prompt is read in pieces of less
than 64 tokens, and what is already there is used up to a place where a fresh reading could have begun a
piece too (`_steps`): a warm answer is exactly the cold one.
"""

import contextlib
import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from ..engine_settings import STRIDE, EngineSettings
from ..errors import CancelledError, ModelError, PromptTooLongError
from ..language_model import DEFAULT_LIMITS, Constraint, Generated, Limits, OnText, Prompt, Scored, Usage
from ..weights import check_gguf, sha256_of
from .chat_format import ChatFormat, Keep, Tokens
from .decoding import Writer
from .grammar import Grammars, Matcher
from .llama import Batch, Logits, Weights, common_length
from .model_check import ModelChecker
from .prefix_cache import PrefixCache
from .queue import Job, ModelThread
from .scoring import Trie

T = TypeVar("T")

_SHORT_PREFIX = 32  # reading fewer tokens than this is cheaper than keeping them


@dataclass(slots=True)
class _Reading:
    """What one call has read so far."""

    prompt: int = 0
    cached: int = 0


class LlamaModel:
    """A GGUF model behind one thread. Opening takes seconds; close it, or use it in a `with` block."""

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
            self._context = self._weights.context(self.settings)
            self._format = ChatFormat(self._weights)
        except ModelError:
            self._weights.close()
            raise
        self._grammars: Grammars | None = None
        self._live: list[int] = []  # the tokens whose cells sequence 0 holds
        self._live_steps: list[int] = []  # the lengths from which reading may go on
        self._last_row: Logits | None = None  # the logits after them
        self._buffer = np.empty(self._weights.size, np.float32)
        self._fingerprint = _fingerprint(path, self.settings)
        self._prefixes = PrefixCache(
            self._fingerprint,
            self.settings.prefix_memory_mb << 20,
            cache_folder,
            self.settings.prefix_disk_mb << 20,
        )
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
        """How often a kept prefix came from memory, from disk, or was missing."""
        return dict(self._prefixes.hits)

    def encode(self, prompt: Prompt) -> list[int]:
        """The tokens of `prompt` as the model reads them. Does not wait for the model."""
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
        """Continue several prompts in one batch; see LanguageModel."""
        if not prompts:
            return [], Usage(0, 0, 0, 0.0)
        return self._run(lambda job: self._generate(job, prompts, constraint, limits, on_text), limits)

    def score(
        self, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[list[Scored], Usage]:
        """Log-probabilities of each continuation after `prompt`; see LanguageModel."""
        if not continuations:
            return [], Usage(0, 0, 0, 0.0)
        return self._run(lambda job: self._score(job, prompt, continuations), limits)

    def forget(self, owner: str) -> None:
        """Drop every cached prompt of `owner` from memory and disk, and the one in the context."""

        def work(_job: Job) -> None:
            self._prefixes.forget(owner)
            self._reset()

        self._thread.run(work, priority=0)

    def close(self) -> None:
        """Stop what runs, refuse what waits, and free the memory."""
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
        reading = _Reading()
        results: list[Generated] = []
        with self._stopping(job):
            row = self._read(job, encoded[0], shared, prompts[0].owner, reading)
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
                self._free(len(wave) if len(prompts) > 1 else 0)
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
        reading = _Reading()
        scores: list[Scored] = []
        with self._stopping(job):
            row = self._read(job, encoded, length, prompt.owner, reading)
            while len(scores) < len(texts):
                trie = Trie.build(
                    texts[len(scores) :],
                    sequences=self.settings.rows - 1,
                    cells=self._context.size - length,
                )
                scores += trie.score(self._context, job, row, length, self._buffer)
                reading.prompt += trie.size
                self._free(trie.count)
        return scores, Usage(reading.prompt, reading.cached, 0, time.perf_counter() - started)

    @contextlib.contextmanager
    def _stopping(self, job: Job) -> Iterator[None]:
        """Let a job be stopped within the block; if anything goes wrong, no half-read cell stays."""
        try:
            with self._context.stopping(job.flag):
                yield
        except CancelledError:
            self._reset()
            job.check()  # says why, where the decode could only say that it was stopped
            raise
        except BaseException:
            self._reset()
            raise

    def _read(self, job: Job, prompt: Tokens, length: int, owner: str, reading: _Reading) -> Logits:
        """Have sequence 0 hold the first `length` tokens; returns the row after them, not to be changed."""
        if not length:  # prompts that have nothing in common
            self._reset()
            return self._buffer
        wanted, ends = prompt.ids[:length], prompt.ends(length)
        steps = _steps(ends, length)
        reading.prompt += length
        at = self._resume(wanted, steps, prompt.keeps, owner)
        reading.cached += at
        owners = {keep.length: owner if keep.private else "" for keep in prompt.keeps}
        while at < length:
            job.check()
            end = _piece_end(at, next(end for end in [*ends, length] if end > at), self._context.batch)
            self._extend(wanted[at:end], [step for step in steps if at < step <= end], last=end == length)
            at = end
            if at in owners and at >= _SHORT_PREFIX and self._prefixes.takes(self._context.state_size(0)):
                self._prefixes.put(wanted[:at], self._live_steps, owners[at], self._context.state(0))
        if self._last_row is None:
            msg = "the model read a prompt and has no logits after it"
            raise ModelError(msg)
        return self._last_row

    def _resume(self, wanted: list[int], steps: list[int], keeps: Sequence[Keep], owner: str) -> int:
        """Have sequence 0 hold a beginning of what is wanted, from live cells or the cache; its length.

        All of it only if the row after it is there too.
        """
        common = common_length(self._live, wanted)
        usable = self._live_steps[: common_length(self._live_steps, steps)]
        live = max((step for step in usable if step <= common), default=0)
        if live == len(wanted) == len(self._live) and self._last_row is not None:
            return live
        live = max((step for step in usable if step <= common and step < len(wanted)), default=0)
        for keep in sorted(keeps, key=lambda keep: -keep.length):
            if not live < keep.length < len(wanted):
                continue
            before = [step for step in steps if step <= keep.length]
            state = self._prefixes.get(wanted[: keep.length], before, owner if keep.private else "")
            if state is not None and self._restore(state):
                self._live, self._live_steps = wanted[: keep.length], before
                return keep.length
        return self._cut(live)

    def _restore(self, state: bytearray) -> bool:
        """Put kept cells into sequence 0; if they do not fit this context, it is empty afterwards."""
        self._reset()
        restored = self._context.restore(0, state)
        if not restored:
            self._reset()
        return restored

    def _cut(self, length: int) -> int:
        """Keep at most the first `length` tokens of sequence 0; returns how many it holds."""
        self._last_row = None
        length = min(length, len(self._live))  # a kept prefix that did not fit has emptied it
        if not self._context.cut(0, length):  # an architecture that can only start over
            self._reset()
            return 0
        self._live = self._live[:length]
        self._live_steps = [step for step in self._live_steps if step <= length]
        return length

    def _extend(self, tokens: list[int], steps: list[int], *, last: bool) -> None:
        batch = Batch.empty()
        at = len(self._live)
        for index, token in enumerate(tokens):
            batch.add(token, at + index, (0,), wanted=last and index == len(tokens) - 1)
        rows = self._context.decode(batch)
        self._live = self._live + tokens
        self._live_steps = self._live_steps + steps
        self._last_row = rows[0].copy() if last else None

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

    def _free(self, count: int) -> None:
        """Drop sequences 1 to `count`; without any, cut sequence 0 back to what was read."""
        for sequence in range(1, count + 1):
            self._context.cut(sequence, 0)
        if not count and not self._context.cut(0, len(self._live)):
            self._reset()

    def _reset(self) -> None:
        self._context.clear()
        self._live = []
        self._live_steps = []
        self._last_row = None

    def _check_room(self, tokens: int) -> None:
        if tokens > self._context.size:
            msg = (
                f"the prompt needs {tokens} tokens and the context has {self._context.size}: "
                "shorten it, or open the model with a larger context"
            )
            raise PromptTooLongError(msg)


def _steps(ends: list[int], length: int) -> list[int]:
    """The lengths at which a fresh reading of a prompt begins a piece, or could: it is all the same.

    These are `ends` (kept prefixes), the whole length, and between them every 64 tokens from the last end on
    if at least 64 are left before the next.
    """
    steps: list[int] = []
    start = 0
    for end in [*ends, length]:
        steps += range(start + STRIDE, end - STRIDE + 1, STRIDE)
        steps += [end] if end > start else []
        start = end
    return steps


def _piece_end(at: int, stop: int, batch: int) -> int:
    """How far one decode reads from `at` on: to `stop` if that fits, else so that 64 or more are left."""
    if stop - at <= batch:
        return stop
    whole = batch // STRIDE * STRIDE
    return at + (whole if stop - at - whole >= STRIDE else whole - STRIDE)


def _shared_length(prompts: list[list[int]]) -> int:
    """The tokens that all prompts begin with; of several, each keeps at least one of its own."""
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
