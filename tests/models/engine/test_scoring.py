"""Scores of a tree of continuations, over a context that counts and keeps llama.cpp's rules."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tanqu.models.engine.context import Batch, Context, Logits
from tanqu.models.engine.queue import Job
from tanqu.models.engine.scoring import Trie
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.language_model import Scored

VOCABULARY = 5
PREFIX = (9, 9, 9)


def _row(path: tuple[int, ...]) -> Logits:
    """The logits after a path of tokens: any numbers, as long as they are always the same."""
    seed = [len(path), *path]
    return np.random.default_rng(seed).normal(size=VOCABULARY).astype(np.float32)


class CountingContext:
    """Knows which tokens each sequence holds, and refuses what llama.cpp refuses."""

    def __init__(self, rows: int) -> None:
        self.settings = EngineSettings(rows=rows, batch=rows)
        self.held: dict[int, tuple[int, ...]] = {0: PREFIX}
        self.decoded = 0

    def copy(self, source: int, target: int) -> None:
        self.held[target] = self.held[source]

    def decode(self, batch: Batch) -> Logits:
        assert 0 < len(batch) <= self.settings.batch
        assert sum(batch.wanted) <= self.settings.rows
        self._refuse_parted_sequences(batch)
        self.decoded += len(batch)
        rows = []
        members: dict[int, set[int]] = {}
        for token, position, sequences in zip(batch.tokens, batch.positions, batch.sequences, strict=True):
            for sequence in sequences:
                # Of a sequence's tokens, each belongs to no more sequences than the one before.
                assert set(sequences) <= members.setdefault(sequence, set(sequences))
                members[sequence] = set(sequences)
                assert position == len(self.held[sequence])
                self.held[sequence] = (*self.held[sequence], token)
            assert len({self.held[sequence] for sequence in sequences}) == 1
            rows.append(_row(self.held[sequences[0]]))
        return np.stack(rows)

    def _refuse_parted_sequences(self, batch: Batch) -> None:
        for sequences in batch.sequences:
            assert len({len(self.held[sequence]) for sequence in sequences}) == 1


def _expected(tokens: Sequence[int]) -> list[float]:
    values = []
    for at, token in enumerate(tokens):
        row = _row((*PREFIX, *tokens[:at])).astype(np.float64)
        values.append(float(row[token] - np.log(np.exp(row).sum())))
    return values


def _score(continuations: Sequence[Sequence[int]], rows: int) -> tuple[list[Scored], CountingContext]:
    context = CountingContext(rows)
    trie = Trie.build(continuations, sequences=255, cells=10_000)
    job = Job(0, 0, lambda _job: None)
    scratch = np.empty(VOCABULARY, np.float32)
    return trie.score(cast(Context, context), job, _row(PREFIX), len(PREFIX), scratch), context


TOKENS = st.lists(st.integers(0, VOCABULARY - 1), max_size=6)


@given(continuations=st.lists(TOKENS, min_size=1, max_size=12), rows=st.integers(2, 16))
def test_every_token_gets_its_probability_after_all_before_it(
    continuations: list[list[int]], rows: int
) -> None:
    scored, _ = _score(continuations, rows)
    assert len(scored) == len(continuations)
    for tokens, one in zip(continuations, scored, strict=True):
        assert np.allclose(one.logprobs, _expected(tokens), atol=1e-4)


@given(continuations=st.lists(TOKENS, min_size=1, max_size=12))
def test_a_common_start_is_decoded_once_and_a_last_token_never(continuations: list[list[int]]) -> None:
    _, context = _score(continuations, 16)
    starts = {tuple(tokens[:length]) for tokens in continuations for length in range(1, len(tokens))}
    assert context.decoded == len(starts)


@given(
    continuations=st.lists(TOKENS, min_size=1, max_size=12),
    sequences=st.integers(1, 5),
    cells=st.integers(6, 20),
)
def test_a_tree_takes_no_more_than_there_is_room_for_and_at_least_one(
    continuations: list[list[int]], sequences: int, cells: int
) -> None:
    trie = Trie.build(continuations, sequences=sequences, cells=cells)
    assert 1 <= trie.count <= sequences
    assert trie.size <= cells
