"""A language model for tests and examples: replies from a script, scores by a function, no weights."""

import hashlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .errors import CancelledError, ModelError
from .language_model import (
    DEFAULT_LIMITS,
    Constraint,
    Generated,
    Limits,
    OnText,
    Prompt,
    Scored,
    Token,
    Usage,
)

Reply = str | Callable[[Prompt], str]


@dataclass
class ScriptedModel:
    """A model for tests: replies from a queue or by a function, scores by a function.

    `history` keeps every prompt. A constraint's schema validates the scripted reply, so that a test cannot
    use a reply that the grammar would not allow.
    """

    replies: list[Reply] = field(default_factory=list)
    reply: Callable[[Prompt], str] | None = None
    scorer: Callable[[Prompt, str], float] = lambda _prompt, _text: -1.0
    probability: float = 0.5
    name: str = "scripted"
    context_tokens: int = 4096
    notes: tuple[str, ...] = ()
    history: list[Prompt] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def fingerprint(self) -> str:
        """The name: a script has no weights."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:12]

    def enqueue(self, *replies: Reply) -> None:
        """Add replies, to be given in this order."""
        self.replies.extend(replies)

    def count(self, prompt: Prompt) -> int:
        """One token per four characters, at least one."""
        return max(1, len(prompt.text) // 4)

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        constraint: Constraint | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_text: OnText | None = None,
    ) -> tuple[list[Generated], Usage]:
        """Answer from the queue, then by `reply`.

        Args:
            prompts: what to answer, each by the next reply.
            constraint: its pydantic schema, if any, validates the reply.
            limits: only `cancel` counts.
            on_text: receives each reply whole.

        Returns:
            One reply per prompt, in order, with one token per character, and a usage of estimated tokens.

        Raises:
            ModelError: no reply is left, or the call was cancelled.
        """
        _refuse_cancelled(limits)
        with self._lock:
            texts = [self._next(prompt) for prompt in prompts]
        for index, text in enumerate(texts):
            if constraint and isinstance(constraint.schema, type):
                constraint.schema.model_validate_json(text)
            if on_text:
                on_text(index, text)
        read = sum(self.count(prompt) for prompt in prompts)
        written = sum(len(text) for text in texts)
        return [self._as_generated(text) for text in texts], Usage(read, 0, written, 0.0)

    def score(
        self, prompt: Prompt, continuations: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[list[Scored], Usage]:
        """One log-probability per continuation, by `scorer`.

        Args:
            prompt: passed to `scorer`.
            continuations: the texts to score.
            limits: only `cancel` counts.

        Returns:
            One score per continuation, in order, and a usage of estimated tokens.
        """
        _refuse_cancelled(limits)
        with self._lock:
            self.history.append(prompt)
        scores = [Scored((self.scorer(prompt, text),)) for text in continuations]
        return scores, Usage(self.count(prompt), 0, 0, 0.0)

    def forget(self, owner: str) -> None:
        """Note the call in `forgotten`, and drop the owner's prompts."""
        with self._lock:
            self.forgotten.append(owner)
            self.history = [prompt for prompt in self.history if prompt.owner != owner]

    def _next(self, prompt: Prompt) -> str:
        self.history.append(prompt)
        if self.replies:
            head = self.replies.pop(0)
            return head if isinstance(head, str) else head(prompt)
        if self.reply is None:
            msg = f"the script has no reply left for prompt {len(self.history)}: enqueue one"
            raise ModelError(msg)
        return self.reply(prompt)

    def _as_generated(self, text: str) -> Generated:
        logprob = math.log(self.probability) if self.probability < 1 else 0.0
        tokens = tuple(Token(char, at, at + 1, logprob) for at, char in enumerate(text))
        return Generated(text, tokens, "stop")


def _refuse_cancelled(limits: Limits) -> None:
    if limits.cancel is not None and limits.cancel.is_set():
        msg = "the model was stopped: the caller gave up"
        raise CancelledError(msg)
