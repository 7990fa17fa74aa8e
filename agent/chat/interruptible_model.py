"""The model as a conversation uses it: first in the queue, stopped by Ctrl-C, and counted."""

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
    """The person stopped the answer. No ModelError, for which there are fallbacks."""


@dataclass(slots=True)
class Spent:
    """What the model did since the counter was made."""

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


class Attended:
    """A `LanguageModel` with a person in front of it.

    Its calls go before a batch's. After `stop` they end with Stopped, until `go_on`.
    """

    def __init__(self, model: LanguageModel) -> None:
        """Attend to `model`, which stays usable by others."""
        self.model = model
        self.spent = Spent()
        self._cancel = threading.Event()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint: attending changes no answer."""
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

    def go_on(self) -> None:
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
        """Continue several prompts; see LanguageModel. Raises Stopped after `stop`."""
        with self._stopping():
            results, usage = self.model.generate_many(
                prompts, constraint=constraint, limits=self._limits(limits), on_text=on_text
            )
        self.spent.add(usage)
        return results, usage

    def score(
        self, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[list[Scored], Usage]:
        """Log-probabilities of continuations; see LanguageModel. Raises Stopped after `stop`."""
        with self._stopping():
            results, usage = self.model.score(prompt, continuations, limits=self._limits(limits))
        self.spent.add(usage)
        return results, usage

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """Tell a stop by a person from every other failure: stages that go on without the model must not."""
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


__all__ = ["Attended", "Spent", "Stopped"]
