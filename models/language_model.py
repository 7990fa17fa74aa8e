"""The language model as the rest of Tanqu sees it: prompts in, texts and probabilities out.

`LanguageModel` is the one protocol to know. `LlamaModel` (llama.py) runs a GGUF file; `ScriptedModel`
answers from a list and lets tests run without one.
"""

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel

from .errors import ModelError, PromptTooLongError

T = TypeVar("T")

Role = Literal["system", "user", "assistant"]
OnText = Callable[[int, str], None]
"""Called with the index of the prompt and the text just decoded."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt: scaffold (ours) or data (anybody's, never read as a control token)."""

    text: str
    data: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A last turn of the assistant is left open, and the model goes on from there.

    `keep` marks that the prompt up to the end of this many segments is worth caching.
    """

    role: Role
    segments: tuple[Segment, ...]
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads. `owner` is the user whose texts it holds: caches are forgotten by owner."""

    messages: tuple[Message, ...]
    owner: str = ""

    @property
    def text(self) -> str:
        """The prompt as a person reads it, without the model's own turn markers."""
        turns = (f"[{m.role}]\n" + "".join(s.text for s in m.segments) for m in self.messages)
        return "\n".join(turns)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost: tokens read (of which came from a cache), tokens written, seconds."""

    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Token:
    """A token that the model wrote: its text, its span in the output, its log-probability.

    The probability is renormalised over what the grammar allowed; a forced token has 0.0 (certain).
    """

    text: str
    start: int
    end: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Generated:
    """A text that the model wrote. `finish` is "stop" (it ended), or "length" (the limit ended it)."""

    text: str
    tokens: tuple[Token, ...]
    finish: Literal["stop", "length"]

    def probability(self, start: int = 0, end: int | None = None) -> float:
        """The geometric mean probability of the tokens within the characters `start` to `end`, 0 to 1.

        Tokens that lie only partly within the span count; forced tokens (certain) do not.
        """
        stop = len(self.text) if end is None else end
        chosen = [t.logprob for t in self.tokens if t.end > start and t.start < stop and t.logprob < 0.0]
        return math.exp(sum(chosen) / len(chosen)) if chosen else 1.0


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probabilities of a continuation's tokens, in order, each given all before it."""

    logprobs: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean log-probability per token: comparable between titles of different length."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0

    @property
    def total(self) -> float:
        """The log-probability of the whole continuation."""
        return sum(self.logprobs)


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an output must look like: a JSON schema (as a pydantic model, or its JSON text), or a regular
    expression over the whole text.
    """

    schema: type[BaseModel] | str | None = None
    regex: str | None = None

    def __post_init__(self) -> None:
        """Refuse a constraint that constrains nothing, or two at once."""
        if (self.schema is None) == (self.regex is None):
            msg = "give exactly one of 'schema' and 'regex'"
            raise ModelError(msg)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an output may get and how it is drawn.

    Temperature 0 is greedy; above it, `seed` makes the draw repeatable. `deadline` is in seconds from
    the call; past it, or soon after `cancel` is set, the call ends with CancelledError. A chat
    (priority 0) goes before a batch (9).
    """

    max_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    deadline: float | None = None
    priority: int = 5
    cancel: threading.Event | None = field(default=None, compare=False)


DEFAULT_LIMITS = Limits()


class LanguageModel(Protocol):
    """A model that continues prompts and scores continuations. Safe to call from any thread."""

    @property
    def name(self) -> str:
        """What to call the model in a report."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever the answers may: weights, adapter, library, cache type."""
        ...

    @property
    def context_tokens(self) -> int:
        """How many tokens a prompt and its output may have together."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Names of the notes that every run with this model carries, such as a fallback of the engine."""
        ...

    def count(self, prompt: Prompt) -> int:
        """How many tokens `prompt` has."""
        ...

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        constraint: Constraint | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_text: OnText | None = None,
    ) -> tuple[list[Generated], Usage]:
        """Continue several prompts in one batch; what they have in common is read once.

        Returns one result per prompt, in order. Raises PromptTooLongError, GrammarError, CancelledError.
        """
        ...

    def score(
        self, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[list[Scored], Usage]:
        """Log-probabilities of each continuation (plain data) after `prompt`, in order."""
        ...

    def forget(self, owner: str) -> None:
        """Drop every cached prompt of `owner` from memory and disk."""
        ...


def generate(
    model: LanguageModel,
    prompt: Prompt,
    *,
    constraint: Constraint | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_text: Callable[[str], None] | None = None,
) -> tuple[Generated, Usage]:
    """Continue one prompt."""
    relay = None if on_text is None else lambda _index, text: on_text(text)
    results, usage = model.generate_many([prompt], constraint=constraint, limits=limits, on_text=relay)
    return results[0], usage


def fitted(
    model: LanguageModel, render: Callable[[Sequence[T]], Prompt], lines: Sequence[T], room: int
) -> tuple[Prompt, int]:
    """The prompt over as many of the last `lines` as fit with `room` tokens of output; how many were cut.

    The first lines, which are the oldest events, are cut first.

    Raises:
        PromptTooLongError: it does not fit without any line.
    """
    allowed = model.context_tokens - room

    def fits(cut: int) -> bool:
        return model.count(render(lines[cut:])) <= allowed

    if fits(0):
        return render(lines), 0
    if not fits(len(lines)):
        msg = (
            f"the prompt does not fit into {allowed} tokens even without history: "
            "shorten the request, or open the model with a larger context"
        )
        raise PromptTooLongError(msg)
    low, high = 0, len(lines)  # cutting `low` is too few, cutting `high` is enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return render(lines[high:]), high


async def generate_async(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    *,
    constraint: Constraint | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_text: OnText | None = None,
) -> tuple[list[Generated], Usage]:
    """`generate_many` without blocking the event loop. Cancelling the task stops the model.

    `on_text` is called on the model's thread.
    """
    return await _awaited(
        lambda own: model.generate_many(prompts, constraint=constraint, limits=own, on_text=on_text), limits
    )


async def score_async(
    model: LanguageModel, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
) -> tuple[list[Scored], Usage]:
    """`score` without blocking the event loop. Cancelling the task stops the model."""
    return await _awaited(lambda own: model.score(prompt, continuations, limits=own), limits)


async def _awaited(call: Callable[[Limits], T], limits: Limits) -> T:
    cancel = limits.cancel or threading.Event()
    try:
        return await asyncio.to_thread(call, replace(limits, cancel=cancel))
    except asyncio.CancelledError:
        cancel.set()
        raise
