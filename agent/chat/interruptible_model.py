"""The language model of a conversation: first in the queue, stopped by Ctrl-C, its usage counted."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...models.errors import CancelledError, TanquError
from ...models.language_model import (
    DEFAULT_LIMITS,
    Constraint,
    Generated,
    LanguageModel,
    Limits,
    OnText,
    Prompt,
    Scored,
    Usage,
)


class Stopped(TanquError):
    """The user stopped the answer. It is no ModelError: for those there are fallbacks."""


@dataclass(slots=True)
class UsageTotals:
    """The model calls of a conversation, with tokens and seconds in all."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    def add(self, usage: Usage) -> None:
        """Count one call."""
        self.calls += 1
        self.prompt_tokens += usage.prompt_tokens
        self.cached_tokens += usage.cached_tokens
        self.output_tokens += usage.output_tokens
        self.seconds += usage.seconds


class InterruptibleModel:
    """A `LanguageModel` for interactive use.

    Its calls have priority over a batch's. After `stop` they raise Stopped, until `resume`.
    """

    def __init__(self, model: LanguageModel) -> None:
        """Wrap `model`, which others may use at the same time."""
        self.model = model
        self.usage = UsageTotals()
        self._cancel = threading.Event()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint: wrapping changes no answer."""
        return self.model.fingerprint

    @property
    def context_tokens(self) -> int:
        """The model's context."""
        return self.model.context_tokens

    @property
    def notes(self) -> tuple[str, ...]:
        """The model's notes."""
        return self.model.notes

    def stop(self) -> None:
        """End the running call and every further one. Safe to call from a signal handler."""
        self._cancel.set()

    def resume(self) -> None:
        """Let calls run again."""
        self._cancel.clear()

    def count(self, prompt: Prompt) -> int:
        """How many tokens `prompt` has."""
        return self.model.count(prompt)

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        constraint: Constraint | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_text: OnText | None = None,
    ) -> tuple[list[Generated], Usage]:
        """Continue several prompts, as `LanguageModel.generate_many` does.

        Args:
            prompts: the prompts.
            constraint: the grammar of the answers.
            limits: tokens, seconds and sampling; priority and cancellation are those of the conversation.
            on_text: is called with each piece of text.

        Returns:
            One result per prompt, in their order, and the usage.

        Raises:
            Stopped: `stop` was called.
            ModelError: the model failed.
        """
        with self._stopping():
            results, usage = self.model.generate_many(
                prompts, constraint=constraint, limits=self._limits(limits), on_text=on_text
            )
        self.usage.add(usage)
        return results, usage

    def score(
        self, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[list[Scored], Usage]:
        """Log-probabilities of continuations, as `LanguageModel.score` returns them.

        Args:
            prompt: the prompt.
            continuations: the texts to score after it.
            limits: priority and cancellation are those of the conversation.

        Returns:
            One score per continuation, in their order, and the usage.

        Raises:
            Stopped: `stop` was called.
            ModelError: the model failed.
        """
        with self._stopping():
            results, usage = self.model.score(prompt, continuations, limits=self._limits(limits))
        self.usage.add(usage)
        return results, usage

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """Raise Stopped for a cancellation by the user: stages that fall back on a failed model must not then."""
        try:
            yield
        except CancelledError as error:
            if self._cancel.is_set():
                msg = "the answer was stopped"
                raise Stopped(msg) from error
            raise

    def forget(self, owner: str) -> None:
        """Drop the cached prompts of `owner`."""
        self.model.forget(owner)

    def _limits(self, limits: Limits) -> Limits:
        return replace(limits, priority=0, cancel=self._cancel)


__all__ = ["InterruptibleModel", "UsageTotals", "Stopped"]
