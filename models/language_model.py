"""The language model as the rest of Tanqu sees it: prompts in, texts and probabilities out.

`LanguageModel` is the protocol. `LlamaModel` (models/engine) implements it with llama.cpp, `ScriptedModel`
(scripted_model.py) with a list of replies, for tests.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel

from .errors import ModelError, PromptTooLongError

T = TypeVar("T")

Role = Literal["system", "user", "assistant"]
OnText = Callable[[int, str], None]
"""Called with the index of the prompt and the text just decoded."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt: instructions of ours, or untrusted data, which is never read as a control token."""

    text: str
    data: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A last turn of the assistant is left open, and the model goes on from there.

    `keep` marks that the KV cache of the prompt up to the end of this many segments is worth keeping.
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
        """The prompt in readable form, without the model's own turn markers."""
        turns = (f"[{m.role}]\n" + "".join(s.text for s in m.segments) for m in self.messages)
        return "\n".join(turns)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost: prompt tokens (how many of them were cached), output tokens, seconds."""

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
    """A generated text. `finish` is "stop" (the model or the grammar ended it) or "length" (the token limit did)."""

    text: str
    tokens: tuple[Token, ...]
    finish: Literal["stop", "length"]

    def probability(self, start: int = 0, end: int | None = None) -> float:
        """The geometric mean probability of the tokens of a span.

        Args:
            start: the first character.
            end: the character after the last; None is the end of the text.

        Returns:
            0 to 1. A token that lies partly in the span counts, one that the grammar forced does not;
            1 where none counts.
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
    """How long an output may get and how it is sampled.

    Temperature 0 is greedy decoding; above it, `seed` makes sampling repeatable. `deadline` is in seconds
    from the call; past it, or soon after `cancel` is set, the call ends with CancelledError. Lower
    priorities go first: a chat (0) before a batch (9).
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
        """The model's name, for reports."""
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
        """Continue several prompts in one batch; their common prefix is read once.

        Args:
            prompts: what to continue.
            constraint: what each output must look like; None is free text.
            limits: length, sampling, deadline and priority.
            on_text: receives each piece of text as soon as it is decoded, on the model's thread.

        Returns:
            One result per prompt, in order, and what the call cost.

        Raises:
            PromptTooLongError: a prompt is longer than the context.
            GrammarError: the constraint cannot be compiled.
            CancelledError: the deadline passed, or `limits.cancel` was set.
            ModelError: the model is closed, or it could not decode.
        """
        ...

    def score(
        self, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[list[Scored], Usage]:
        """Score continuations by their log-likelihood given the prompt.

        Args:
            prompt: what each of them follows.
            continuations: untrusted data, never read as control tokens.
            limits: deadline and priority.

        Returns:
            One result per continuation, in order, and what the call cost.

        Raises:
            PromptTooLongError: the prompt with its longest continuation is longer than the context.
            CancelledError: the deadline passed, or `limits.cancel` was set.
            ModelError: the model is closed, or it could not decode.
        """
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
    """Continue one prompt; see `LanguageModel.generate_many`.

    Args:
        model: the model.
        prompt: what to continue.
        constraint: what the output must look like; None is free text.
        limits: length, sampling, deadline and priority.
        on_text: receives each piece of text as soon as it is decoded, on the model's thread.

    Returns:
        The text, and what the call cost.
    """
    relay = None if on_text is None else lambda _index, text: on_text(text)
    results, usage = model.generate_many([prompt], constraint=constraint, limits=limits, on_text=relay)
    return results[0], usage


def fitted(
    model: LanguageModel, render: Callable[[Sequence[T]], Prompt], lines: Sequence[T], room: int
) -> tuple[Prompt, int]:
    """The prompt with as many lines of history as fit into the context; the oldest are cut first.

    Args:
        model: counts the tokens.
        render: makes the prompt of some of the lines.
        lines: the history, oldest first.
        room: tokens to leave for the output.

    Returns:
        The prompt, and how many lines were cut.

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
