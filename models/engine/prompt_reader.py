"""Reading prompts into the KV cache, each token once: what is there already, or was kept, is not read again.

The last bits of a logit depend on how few tokens were decoded together. So no prompt is read in pieces of less
than 64 tokens, and what is already there is used up to a place where a fresh reading could have begun a piece
too (`_steps`): the answer with a warm cache is exactly the one with a cold cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..engine_settings import STRIDE
from ..errors import ModelError
from .chat_format import Keep, Tokens
from .context import Batch, Context, Logits, common_length
from .prefix_cache import PrefixCache
from .queue import Job

_SHORT_PREFIX = 32  # reading fewer tokens than this is cheaper than keeping them


@dataclass(slots=True)
class TokensRead:
    """Prompt tokens of one call, and how many of them came from a cache."""

    prompt: int = 0
    cached: int = 0


class PromptReader:
    """Keeps sequence 0 of a context: the longest prefix that the next prompt shares stays."""

    def __init__(self, context: Context, prefixes: PrefixCache) -> None:
        """Start with an empty sequence 0."""
        self._context = context
        self._prefixes = prefixes
        self._live: list[int] = []  # the tokens whose cells sequence 0 holds
        self._live_steps: list[int] = []  # the lengths from which reading may go on
        self._last_row: Logits | None = None  # the logits after them

    def read(self, job: Job, prompt: Tokens, length: int, owner: str, reading: TokensRead) -> Logits:
        """Read the first `length` tokens of a prompt into sequence 0, as far as they are not there yet.

        Args:
            job: the request; it is asked between decodes whether to stop.
            prompt: the token ids, and which of their prefixes are worth keeping.
            length: how many of the tokens to read, from 0 (prompts without a common prefix) on.
            owner: the user whose texts the prompt holds; private prefixes are kept under this name.
            reading: counts the tokens that were read and those that came from the cache.

        Returns:
            The logits after the last token, (vocabulary,) float32: not to be changed. Meaningless if
            `length` is 0.

        Raises:
            CancelledError: the job was stopped.
            ModelError: llama.cpp could not decode.
        """
        if not length:
            self.reset()
            return np.empty(0, np.float32)
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
        """Fill sequence 0 with the longest prefix that is at hand, from its own cells or the prefix cache.

        Returns:
            The length of that prefix; all of `wanted` only if the logits after it are at hand too.
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
        """Put cached cells into sequence 0; if they do not fit this context, it is empty afterwards."""
        self.reset()
        restored = self._context.restore(0, state)
        if not restored:
            self.reset()
        return restored

    def _cut(self, length: int) -> int:
        """Keep at most the first `length` tokens of sequence 0; returns how many it holds."""
        self._last_row = None
        length = min(length, len(self._live))  # a kept prefix that did not fit has emptied it
        if not self._context.cut(0, length):  # an architecture that can only start over
            self.reset()
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

    def free(self, count: int) -> None:
        """Drop sequences 1 to `count`; without any, cut sequence 0 back to what was read."""
        for sequence in range(1, count + 1):
            self._context.cut(sequence, 0)
        if not count and not self._context.cut(0, len(self._live)):
            self.reset()

    def reset(self) -> None:
        """Drop the cells of every sequence."""
        self._context.clear()
        self._live = []
        self._live_steps = []
        self._last_row = None


def _steps(ends: list[int], length: int) -> list[int]:
    """The lengths at which reading a prompt may be split without changing a bit of the logits.

    Returns:
        `ends` (kept prefixes), the whole length, and between two of them every 64 tokens, as long as at least
        64 are left before the next; rising.
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
