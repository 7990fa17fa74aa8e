"""What a run used: every call of the model, the seconds of every stage, and what went other than planned."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from ..models.language_model import (
    DEFAULT_LIMITS,
    Constraint,
    Generated,
    LanguageModel,
    Limits,
    OnText,
    Prompt,
    Scored,
    Usage,
    fitted,
)
from ..models.records import Call, Language
from .messages import worded


class RunTrace:
    """Wraps the model (or none) for one run and writes down what it does."""

    def __init__(self, model: LanguageModel | None) -> None:
        """Open an empty trace; `language` is that of its notes."""
        self.model = model
        self.calls: list[Call] = []
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self.language: Language = "en"
        self._scored: dict[tuple[Prompt, str], Scored] = {}

    def note(self, key: str, **values: object) -> None:
        """Write down a fallback or a loss once: a sentence of the message catalogue, in the language of the trace."""
        self._add_note(worded(self.language, key, **values))

    def _add_note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; the same name adds up."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def generate(
        self,
        stage: str,
        prompts: Sequence[Prompt],
        *,
        constraint: Constraint | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_text: OnText | None = None,
    ) -> list[Generated]:
        """Have the model continue the prompts, and write the call down. Needs a model."""
        model = self._needed()
        results, usage = model.generate_many(prompts, constraint=constraint, limits=limits, on_text=on_text)
        self._enter(stage, "generate", len(prompts), usage)
        return results

    def score(self, stage: str, prompt: Prompt, texts: Sequence[str]) -> list[Scored]:
        """Have the model score the continuations, and write the call down. Needs a model.

        What was scored after the same prompt before is not asked for again.
        """
        model = self._needed()
        known = self._scored
        new = list(dict.fromkeys(text for text in texts if (prompt, text) not in known))
        if new:
            results, usage = model.score(prompt, new)
            self._enter(stage, "score", len(new), usage)
            known |= {(prompt, text): one for text, one in zip(new, results, strict=True)}
        return [known[prompt, text] for text in texts]

    @contextlib.contextmanager
    def within(self, stage: str) -> Iterator["RunTrace"]:
        """A trace for what a stage does by other stages; their calls and notes are entered as its own."""
        inner = RunTrace(self.model)
        inner._scored, inner.language = self._scored, self.language
        yield inner
        self.calls += [call.model_copy(update={"stage": stage}) for call in inner.calls]
        for note in inner.notes:
            self._add_note(note)

    def fit(
        self, stage: str, render: Callable[[Sequence[str]], Prompt], lines: Sequence[str], room: int
    ) -> Prompt:
        """The prompt over as many of the last `lines` as fit beside `room` tokens; a cut is written down.

        Raises:
            PromptTooLongError: it does not fit without any line.
        """
        prompt, cut = fitted(self._needed(), render, lines, room)
        if cut:
            self.note("cut_prompt", stage=stage, cut=cut, all=len(lines))
        return prompt

    def _needed(self) -> LanguageModel:
        if self.model is None:
            msg = "a stage asked for the model although there is none"
            raise RuntimeError(msg)
        return self.model

    def _enter(self, stage: str, kind: str, sequences: int, usage: Usage) -> None:
        self.calls.append(
            Call(
                stage=stage,
                kind="score" if kind == "score" else "generate",
                sequences=sequences,
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                output_tokens=usage.output_tokens,
                seconds=usage.seconds,
            )
        )
