"""Writing texts from logits that the test makes up."""

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.models.engine.context import Batch, Context, Logits
from tanqu.models.engine.decoding import Writer
from tanqu.models.engine.llama import Weights
from tanqu.models.engine.queue import Job
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import ModelError
from tanqu.models.language_model import Generated, Limits

END = 256  # one token per byte, and one that ends a text
CONTROL = 257
SIZE = 258


class ByteWeights:
    """A vocabulary of bytes."""

    size = SIZE

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < END else b""

    def is_end(self, token: int) -> bool:
        return token == END

    def is_control(self, token: int) -> bool:
        return token >= END


class ReplyingContext:
    """Gives high logits to the bytes of a reply, one reply per sequence."""

    def __init__(self, replies: dict[int, bytes], batch: int = 512, rows: int = 128) -> None:
        self.settings = EngineSettings(batch=batch, rows=rows)
        self.batch = batch
        self.replies = replies
        self.sizes: list[int] = []

    def row(self, sequence: int, at: int) -> Logits:
        reply = self.replies[sequence]
        row = np.zeros(SIZE, np.float32)
        row[reply[at] if at < len(reply) else END] = 20.0
        return row

    def decode(self, batch: Batch) -> Logits:
        assert 0 < len(batch) <= self.batch
        assert sum(batch.wanted) <= self.settings.rows
        self.sizes.append(len(batch))
        return np.stack([
            self.row(sequences[0], position + 1)
            for position, sequences, wanted in zip(
                batch.positions, batch.sequences, batch.wanted, strict=True
            )
            if wanted
        ] or [np.zeros(SIZE, np.float32)])  # fmt: skip


def _writer(
    context: ReplyingContext, limits: Limits, hear: Callable[[int, str], None] | None = None
) -> Writer:
    return Writer(
        cast(Weights, ByteWeights()),
        cast(Context, context),
        Job(0, 0, lambda _job: None),
        limits,
        hear,
        np.empty(SIZE, np.float32),
    )


def _write(
    *replies: bytes, limits: Limits, hear: Callable[[int, str], None] | None = None, room: int | None = None
) -> list[Generated]:
    context = ReplyingContext(dict(enumerate(replies)))
    writer = _writer(context, limits, hear)
    for index in range(len(replies)):
        allowed = limits.max_tokens if room is None else room
        writer.add(index, index, [], 0, allowed, None, context.row(index, 0))
    # Position p of a sequence is byte p of its reply.
    return writer.run()


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_each_text_ends_on_its_own_and_is_whole(texts: list[str]) -> None:
    made = _write(*(text.encode() for text in texts), limits=Limits(max_tokens=200))
    assert [one.text for one in made] == texts
    assert all(one.finish == "stop" for one in made)
    for one, text in zip(made, texts, strict=True):
        assert len(one.tokens) == len(text.encode())
        assert "".join(token.text for token in one.tokens) == text
        assert all(one.text[token.start : token.end] == token.text for token in one.tokens)


@given(text=st.text(min_size=1, max_size=20), limit=st.integers(0, 30))
def test_a_limit_in_the_middle_of_a_character_leaves_no_broken_one(text: str, limit: int) -> None:
    (made,) = _write(text.encode(), limits=Limits(max_tokens=limit))
    assert text.startswith(made.text)
    assert "\ufffd" not in made.text or "\ufffd" in text
    assert len(made.tokens) <= limit
    assert (made.finish == "length") == (len(text.encode()) >= limit)


def test_the_room_in_the_context_is_a_limit_too() -> None:
    (made,) = _write(b"abcdef", limits=Limits(max_tokens=200), room=4)
    assert (made.text, made.finish) == ("abcd", "length")


@given(text=st.text("ab.\n", max_size=30), stops=st.lists(st.text("ab.\n", max_size=4), max_size=3))
def test_a_stop_string_is_cut_off_and_never_streamed(text: str, stops: list[str]) -> None:
    heard: list[str] = []
    limits = Limits(max_tokens=100, stop=tuple(stops))
    (made,) = _write(text.encode(), limits=limits, hear=lambda _index, piece: heard.append(piece))
    places = [text.find(stop) for stop in stops if stop in text and stop]
    assert bool(places) == (made.text != text)
    assert text.startswith(made.text)
    assert not any(stop and stop in made.text for stop in stops)
    assert "".join(heard) == made.text


def test_a_control_token_ends_a_text_and_is_not_in_it() -> None:
    context = ReplyingContext({0: b"ab"})
    row = np.zeros(SIZE, np.float32)
    row[CONTROL] = 9.0
    writer = _writer(context, Limits())
    writer.add(0, 0, [], 0, 10, None, row)
    assert writer.run()[0] == Generated("", (), "stop")


def test_the_log_probability_of_a_token_is_its_softmax() -> None:
    (made,) = _write(b"a", limits=Limits())
    assert made.tokens[0].logprob == pytest.approx(20 - np.log(np.exp(20) + SIZE - 1), abs=1e-5)


def test_what_is_left_of_prompts_is_read_in_batches_that_fit() -> None:
    context = ReplyingContext(dict.fromkeys(range(6), bytes(200)), batch=16, rows=4)
    writer = _writer(context, Limits())
    for index in range(6):
        writer.add(index, index, [1] * 11, 0, 3, None, np.zeros(SIZE, np.float32))
    made = writer.run()
    assert [len(one.tokens) for one in made] == [3] * 6
    assert sum(context.sizes) == 6 * (11 + 2)


def test_draws_follow_the_probabilities_and_the_temperature() -> None:
    row = np.full(SIZE, -np.inf, np.float32)
    row[[65, 66, 67]] = np.log([0.6, 0.3, 0.1])

    def shares(temperature: float) -> list[float]:
        context = ReplyingContext({0: b""})
        writer = _writer(context, Limits(temperature=temperature, seed=5))
        for index in range(3000):
            writer.add(index, 0, [], 0, 1, None, row)
        drawn = "".join(one.text for one in writer.run())
        return [drawn.count(letter) / 3000 for letter in "ABC"]

    assert shares(1.0) == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    assert shares(0.5) == pytest.approx([0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46], abs=0.03)
    assert shares(0.0) == [1.0, 0.0, 0.0]


def test_logits_that_are_not_numbers_are_an_error() -> None:
    writer = _writer(ReplyingContext({0: b""}), Limits())
    with pytest.raises(ModelError, match="not numbers"):
        writer.add(0, 0, [], 0, 5, None, np.full(SIZE, np.nan, np.float32))
