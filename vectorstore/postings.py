"""Which documents hold which words how often, and BM25 of it; documents come and go without a rebuild.

Scores are computed from counts, so that they are at every moment those of an index built anew: what depends
on all documents is the rarity of a word, known from its row, and the mean length, one number.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

K1, B = 1.5, 0.75
"""What repetition adds, and how much a document's length takes off (Robertson, Zaragoza 2009)."""

Scores = NDArray[np.float32]
Ints = NDArray[np.int64]
Docs = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Postings:
    """For word w, `docs[starts[w]:starts[w + 1]]` hold it, in order, each `counts` times; `lengths` are words
    per document.
    """

    starts: Ints
    docs: Docs
    counts: Scores
    lengths: Docs

    @classmethod
    def empty(cls) -> Self:
        """No words, no documents."""
        nothing = np.zeros(0, np.int32)
        return cls(np.zeros(1, np.int64), nothing, nothing.astype(np.float32), nothing)

    @classmethod
    def of(cls, codes: Ints, lengths: Docs, words: int) -> Self:
        """Build the postings of documents.

        Args:
            codes: the word numbers of all documents one after another, each below `words`.
            lengths: of shape (documents,), how many of `codes` each document has.
            words: the size of the vocabulary.

        Returns:
            The postings, with documents numbered from 0 in order.
        """
        places = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        ones = np.ones(len(codes), np.float32)
        found = sparse.coo_array((ones, (places, codes)), shape=(len(lengths), words)).tocsc()
        return cls(found.indptr.astype(np.int64), found.indices.astype(np.int32), found.data, lengths)

    def without(self, keep: Mask) -> Self:
        """Only the documents of a mask, which move up."""
        if keep.all():
            return self
        kept = keep[self.docs]
        before = np.concatenate(([0], np.cumsum(kept)))
        places = (np.cumsum(keep) - 1).astype(np.int32)
        return type(self)(before[self.starts], places[self.docs[kept]], self.counts[kept], self.lengths[keep])

    def followed_by(self, other: Self) -> Self:
        """These documents and after them those of `other`, which knows the same words and perhaps more."""
        more = np.full(len(other.starts) - len(self.starts), self.starts[-1])
        mine = np.concatenate((self.starts, more))
        here = np.arange(len(self.docs)) + np.repeat(other.starts[:-1], np.diff(mine))
        there = np.arange(len(other.docs)) + np.repeat(mine[1:], np.diff(other.starts))
        docs = np.empty(len(here) + len(there), np.int32)
        counts = np.empty(len(docs), np.float32)
        docs[here], docs[there] = self.docs, other.docs + np.int32(len(self.lengths))
        counts[here], counts[there] = self.counts, other.counts
        return type(self)(mine + other.starts, docs, counts, np.concatenate((self.lengths, other.lengths)))

    def holding(self, word: int | None) -> int:
        """How many documents hold a word; None and numbers from later on are of none."""
        if word is None or word >= len(self.starts) - 1:
            return 0
        return int(self.starts[word + 1] - self.starts[word])

    def scores(self, words: Mapping[int, int]) -> Scores:
        """BM25 of every document for words, each asked for so many times."""
        found = np.zeros(len(self.lengths), np.float32)
        for part, weight in self._weighted(words):
            np.add.at(found, self.docs[part], weight * self._saturated[part])  # a quarter of what [] += takes
        return found

    def scores_of(self, words: Mapping[int, int], places: Ints) -> Scores:
        """The same of some documents only, in microseconds a word however many documents hold it."""
        found = np.zeros(len(places), np.float32)
        for part, weight in self._weighted(words):
            docs = self.docs[part]
            at = np.minimum(np.searchsorted(docs, places.astype(np.int32)), len(docs) - 1)
            hit = docs[at] == places
            found[hit] += weight * self._saturated[part][at[hit]]
        return found

    def _weighted(self, words: Mapping[int, int]) -> Iterator[tuple[slice, np.float32]]:
        """Where the documents of each word are that any has, and what it weighs: how rare it is, times asked."""
        for word, times in words.items():
            held = self.holding(word)
            if held:
                rarity = np.log(1 + (len(self.lengths) - held + 0.5) / (held + 0.5))
                yield slice(self.starts[word], self.starts[word + 1]), np.float32(times * rarity)

    @cached_property
    def _saturated(self) -> Scores:
        """What a posting counts before rarity: count / (count + K1 (1 - B + B length / mean length))."""
        mean = max(float(self.lengths.mean()), 1e-9) if len(self.lengths) else 1.0
        norms = (K1 * (1 - B + B * self.lengths / mean)).astype(np.float32)
        return np.asarray(self.counts / (self.counts + norms[self.docs]), np.float32)

    def save(self, folder: Path) -> None:
        """Write one file per array."""
        for one in fields(self):
            np.save(folder / f"{one.name}.npy", getattr(self, one.name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises OSError or ValueError if it is not that."""
        found = cls(*(np.load(folder / f"{one.name}.npy", allow_pickle=False) for one in fields(cls)))
        if len(found.docs) != len(found.counts) or found.starts[-1] != len(found.docs):
            msg = "its parts differ in length"
            raise ValueError(msg)
        if len(found.docs) and not 0 <= found.docs.min() <= found.docs.max() < len(found.lengths):
            msg = "it names documents that are not there"
            raise ValueError(msg)
        return found


def coded(
    texts: Iterable[str], vocabulary: dict[str, int], tokens: Callable[[str], Iterable[str]]
) -> tuple[Ints, Docs]:
    """The words of texts as numbers of a vocabulary.

    Args:
        texts: the documents, in order.
        vocabulary: numbers by word; new words are added to it.
        tokens: splits a text into words.

    Returns:
        The numbers of all words one after another, and how many each text has, of shape (len(texts),).
    """
    codes, lengths = array("q"), array("i")
    for text in texts:
        before = len(codes)
        codes.extend(vocabulary.setdefault(word, len(vocabulary)) for word in tokens(text))
        lengths.append(len(codes) - before)
    return np.array(codes, np.int64), np.array(lengths, np.int32)


__all__ = ["B", "K1", "Postings", "Scores", "coded"]
