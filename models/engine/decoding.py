"""Parallel decoding of several texts: one batch per step, each text ending on its own."""

import codecs
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import ModelError
from ..language_model import Generated, Limits, OnText, Token
from .context import Batch, Context, Logits, log_sum_exp
from .grammar import Matcher, constrained
from .llama import Weights
from .queue import Job

_SEED_BITS = (1 << 63) - 1  # a generator takes no negative seed


@dataclass
class _Text:
    """A text being generated. `pending` are its tokens that were not decoded yet.

    `room` is how many tokens it may have. `streamed` is how many of its characters went to `on_text`.
    """

    index: int
    sequence: int
    position: int
    room: int
    pending: list[int]
    matcher: Matcher | None
    rng: np.random.Generator
    tokens: list[Token] = field(default_factory=list)
    text: str = ""
    streamed: int = 0
    finish: Literal["stop", "length"] | None = None
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def result(self) -> Generated:
        return Generated(self.text, tuple(self.tokens), self.finish or "length")


@dataclass(frozen=True, slots=True)
class _Place:
    """A token to decode: of which text, at which position, and whether its logits are wanted."""

    text: _Text
    token: int
    position: int
    wanted: bool


class Writer:
    """Decodes texts together until each has ended."""

    def __init__(
        self,
        weights: Weights,
        context: Context,
        job: Job,
        limits: Limits,
        on_text: OnText | None,
        scratch: Logits,
    ) -> None:
        """Start without texts.

        Args:
            weights: the vocabulary.
            context: decodes; its sequence 0 holds the common prefix.
            job: is asked at each step whether to stop.
            limits: length, sampling and stop strings.
            on_text: receives each piece of text, or None.
            scratch: (vocabulary,) float32, overwritten at every token.
        """
        self._weights = weights
        self._context = context
        self._job = job
        self._limits = limits
        self._on_text = on_text
        self._scratch = scratch
        self._masked = np.empty_like(scratch)
        self._texts: list[_Text] = []

    def add(
        self,
        index: int,
        sequence: int,
        rest: list[int],
        position: int,
        room: int,
        matcher: Matcher | None,
        row: Logits,
    ) -> None:
        """Add a text that continues a prompt.

        Args:
            index: the place of the prompt in the request.
            sequence: the sequence of the context that the text is decoded in.
            rest: the tokens of the prompt that follow the common prefix, still to be decoded.
            position: the position of the first of them.
            room: tokens that may be generated at most.
            matcher: the grammar at its start, or None.
            row: logits after the prompt, (vocabulary,) float32; used where `rest` is empty.
        """
        rng = np.random.default_rng([self._limits.seed & _SEED_BITS, index])
        text = _Text(index, sequence, position, room, list(rest), matcher, rng)
        self._texts.append(text)
        if room <= 0:
            self._end(text, "length")
        else:
            self._force(text)
        if not rest and not text.pending and text.finish is None:
            self._choose(text, row)

    def run(self) -> list[Generated]:
        """Decode until all texts have ended; results in the order they were added."""
        while active := [text for text in self._texts if text.finish is None]:
            self._job.check()
            places = [place for text in active for place in self._take(text)]
            for part in self._parts(places):
                self._decode(part)
        return [text.result() for text in self._texts]

    def _take(self, text: _Text) -> list[_Place]:
        """The pending tokens of a text with their positions; nothing is pending afterwards."""
        last = len(text.pending) - 1
        places = [
            _Place(text, token, text.position + at, at == last) for at, token in enumerate(text.pending)
        ]
        text.position += len(text.pending)
        text.pending = []
        return places

    def _parts(self, places: list[_Place]) -> list[list[_Place]]:
        """The places in order, cut where a batch is full of tokens or rows."""
        settings = self._context.settings
        parts: list[list[_Place]] = [[]]
        rows = 0
        for place in places:
            if len(parts[-1]) == settings.batch or (place.wanted and rows == settings.rows):
                parts.append([])
                rows = 0
            parts[-1].append(place)
            rows += place.wanted
        return parts

    def _decode(self, places: list[_Place]) -> None:
        batch = Batch.empty()
        for place in places:
            batch.add(place.token, place.position, (place.text.sequence,), wanted=place.wanted)
        rows = self._context.decode(batch)
        choosing = [place.text for place in places if place.wanted]
        for text, row in zip(choosing, rows, strict=True):
            self._choose(text, row)

    def _choose(self, text: _Text, row: Logits) -> None:
        """Sample the next token of a text from the logits after its last."""
        logits = row
        if text.matcher is not None:
            logits = constrained(row, text.matcher.allowed(), self._masked)
        total = log_sum_exp(logits, self._scratch)
        token = self._draw(text, logits)
        if not np.isfinite(logits[token]):
            msg = "the model's logits are not numbers: the weights or the adapter are broken"
            raise ModelError(msg)
        if self._weights.is_end(token) or self._weights.is_control(token):
            self._end(text, "stop")
            return
        if text.matcher is not None:
            text.matcher.accept([token])
        self._write(text, [token], [float(logits[token]) - total])
        self._force(text)

    def _draw(self, text: _Text, logits: Logits) -> int:
        """The most probable token, or one drawn at the given temperature."""
        best = int(logits.argmax())
        if self._limits.temperature <= 0:
            return best
        np.subtract(logits, logits[best], out=self._scratch)
        np.divide(self._scratch, self._limits.temperature, out=self._scratch)
        mass = np.cumsum(np.exp(self._scratch, out=self._scratch), dtype=np.float64)
        return int(np.searchsorted(mass, text.rng.random() * mass[-1], side="right"))

    def _force(self, text: _Text) -> None:
        """Append the tokens that the grammar forces; end the text where the grammar is complete."""
        if text.matcher is None or text.finish is not None:
            return
        forced = text.matcher.forced()
        if forced:
            self._write(text, forced, [0.0] * len(forced))
        if text.matcher.finished and text.finish is None:
            self._end(text, "stop")

    def _write(self, text: _Text, tokens: list[int], logprobs: list[float]) -> None:
        """Append tokens to a text; ends it at a stop string or at the token limit."""
        self._append(text, tokens, logprobs)
        text.pending += tokens
        starts = [text.text.find(stop) for stop in self._limits.stop if stop]
        at = min((start for start in starts if start >= 0), default=-1)
        if at >= 0:
            text.text = text.text[:at]
            text.tokens = [token for token in text.tokens if token.start < at]
            self._end(text, "stop")
        elif len(text.tokens) >= text.room:
            self._end(text, "length")
        else:
            self._stream(text, len(text.text) - _unsure(text.text, self._limits.stop))

    def _append(self, text: _Text, tokens: list[int], logprobs: list[float]) -> None:
        for token, logprob in zip(tokens, logprobs, strict=True):
            piece = text.decoder.decode(self._weights.piece(token))
            start = len(text.text)
            text.text += piece
            text.tokens.append(Token(piece, start, len(text.text), logprob))

    def _end(self, text: _Text, finish: Literal["stop", "length"]) -> None:
        """End a text; at the token limit its grammar is closed without the model, so that the text stays valid."""
        text.finish = finish
        if finish == "length" and text.matcher is not None:
            tokens = text.matcher.close()
            self._append(text, tokens, [0.0] * len(tokens))
        self._stream(text, len(text.text))

    def _stream(self, text: _Text, end: int) -> None:
        """Pass on the characters up to `end` that were not streamed yet."""
        if self._on_text is not None and end > text.streamed:
            self._on_text(text.index, text.text[text.streamed : end])
            text.streamed = end


def _unsure(text: str, stops: tuple[str, ...]) -> int:
    """How many of the last characters may turn out to begin a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
