"""The trace of a run: its model calls, the seconds of each stage, and notes on fallbacks and losses."""

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
from .messages import note_text


class RunTrace:
    """Gives the stages of one run their model (or none) and records what they do with it.

    `calls` are the model calls in order, `seconds` the wall time of each stage. A note is a sentence for the
    user about what did not go as planned: a fallback (no model, an error of the model) or a loss (a prompt that
    was cut, fewer picks than asked for). Notes become `Run.notes`, each once.
    """

    def __init__(self, model: LanguageModel | None) -> None:
        """Start an empty trace, with notes in English until `language` is set."""
        self.model = model
        self.calls: list[Call] = []
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self.language: Language = "en"
        self._scored: dict[tuple[Prompt, str], Scored] = {}

    def note(self, key: str, **values: object) -> None:
        """Add a note, unless it is there already.

        Args:
            key: a key of the table [notes] of the message catalogue.
            values: what fills its places.
        """
        self._add_note(note_text(self.language, key, **values))

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
        """Have the model continue the prompts, and record the call.

        Args:
            stage: the stage of the run that asks.
            prompts: one per text.
            constraint: the grammar of every text.
            limits: tokens, temperature, seed.
            on_text: called with the text as it grows.

        Returns:
            The texts in the order of the prompts.

        Raises:
            RuntimeError: the trace has no model.
        """
        model = self._require_model()
        results, usage = model.generate_many(prompts, constraint=constraint, limits=limits, on_text=on_text)
        self._record_call(stage, "generate", len(prompts), usage)
        return results

    def score(self, stage: str, prompt: Prompt, texts: Sequence[str]) -> list[Scored]:
        """Have the model score continuations of a prompt, and record the call.

        Args:
            stage: the stage of the run that asks.
            prompt: what precedes each text.
            texts: the continuations; those scored after the same prompt before are not scored again.

        Returns:
            The scores in the order of the texts.

        Raises:
            RuntimeError: the trace has no model.
        """
        model = self._require_model()
        known = self._scored
        new = list(dict.fromkeys(text for text in texts if (prompt, text) not in known))
        if new:
            results, usage = model.score(prompt, new)
            self._record_call(stage, "score", len(new), usage)
            known |= {(prompt, text): scored for text, scored in zip(new, results, strict=True)}
        return [known[prompt, text] for text in texts]

    @contextlib.contextmanager
    def within(self, stage: str) -> Iterator["RunTrace"]:
        """A trace for the stages that one stage runs; their calls and notes count as its own."""
        inner = RunTrace(self.model)
        inner._scored, inner.language = self._scored, self.language
        yield inner
        self.calls += [call.model_copy(update={"stage": stage}) for call in inner.calls]
        for note in inner.notes:
            self._add_note(note)

    def fit(
        self, stage: str, render: Callable[[Sequence[str]], Prompt], lines: Sequence[str], room: int
    ) -> Prompt:
        """The prompt with as many of the last lines as fit the model's context; a cut is noted.

        Args:
            stage: the stage of the run that asks.
            render: makes the prompt of some lines.
            lines: the lines of the prompt, the least important first.
            room: tokens to leave free for the answer.

        Returns:
            The prompt.

        Raises:
            PromptTooLongError: it does not fit without any line.
            RuntimeError: the trace has no model.
        """
        prompt, cut = fitted(self._require_model(), render, lines, room)
        if cut:
            self.note("cut_prompt", stage=stage, cut=cut, all=len(lines))
        return prompt

    def _require_model(self) -> LanguageModel:
        if self.model is None:
            msg = "a stage asked for the model although there is none"
            raise RuntimeError(msg)
        return self.model

    def _record_call(self, stage: str, kind: str, sequences: int, usage: Usage) -> None:
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
