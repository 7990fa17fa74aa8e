"""The words of a catalogue: tokens of Chinese and Latin text, and BM25 over them."""

import heapq
import json
import math
import os
import re
import shutil
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .database import private_folder
from .items import digest
from .postings import Postings, Scores, coded

MAX_CHARS = 2_000
"""Characters of a text that are turned into words: more say nothing new about an item."""

_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = re.compile(f"([{_HAN}]+)|[^\\W_{_HAN}]+(?:['’][^\\W_{_HAN}]+)?")
_FUNCTION = re.compile("[的了吗呢吧啊与及]")
"""Characters that join words rather than make them: a run of Chinese is cut there."""

_STOP_WORDS = """
a an and are as at be but by for from has have if in into is it its of on or that the their then there these
they this to was were will with you your
"""
_STOP = frozenset(_STOP_WORDS.split())

PART = ".part"
_JSON = ("ids", "vocabulary")
Digests = NDArray[np.uint64]


def tokens(text: str, *, singles: bool = False) -> list[str]:
    """The words of a text in order, repeated ones too.

    Latin script: lower case, without possessive or plural s, without the commonest English words. Chinese,
    Japanese and Korean: pairs of neighbouring characters, a character alone where it stands alone; with
    `singles` every character too, so that 猫 finds 猫粮.

    Returns:
        The tokens of the first 2,000 characters.
    """
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARS]).lower()
    return [token for run in _RUN.finditer(folded) for token in _of_run(run, singles)]


def _of_run(run: re.Match[str], singles: bool) -> Iterator[str]:
    if run[1] is None:
        if run[0] not in _STOP:
            yield _singular(run[0])
        return
    for part in _FUNCTION.split(run[1]):
        if len(part) > 1:
            yield from (part[at : at + 2] for at in range(len(part) - 1))
        if part and (singles or len(part) == 1):
            yield from part


def _singular(word: str) -> str:
    """`games` as `game`, `mario's` as `mario`; not `glass`, `bus` or `series`."""
    word = re.sub("['’]s?$|['’](?=[^\\W\\d])", "", word)
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "ies")):
        return word[:-1]
    return word


class LexicalIndex:
    """BM25 scores of documents for a text; a document has a place, and another after `changed`."""

    def __init__(
        self, ids: Sequence[str], digests: Digests, vocabulary: dict[str, int], postings: Postings
    ) -> None:
        """Use `build` or `load`.

        Args:
            ids: of the documents, by place.
            digests: hashes of the texts by place, which show whether a text is the one that was indexed.
            vocabulary: numbers by word.
            postings: which document has which word how often.
        """
        self.ids = list(ids)
        self.place = {id_: place for place, id_ in enumerate(self.ids)}
        self.digests = digests
        self._vocabulary, self._postings = vocabulary, postings

    @classmethod
    def build(cls, documents: Iterable[tuple[str, str]]) -> Self:
        """Index (id, text) pairs: about 20,000 short texts a second."""
        return cls([], np.zeros(0, np.uint64), {}, Postings.empty()).changed((), documents)

    def changed(self, gone: Iterable[str], documents: Iterable[tuple[str, str]]) -> Self:
        """The index without some documents and with others, new or in the place of those of their id.

        Beside reading the new texts it costs about 20 ms per 100,000 documents that stay.

        Returns:
            Another index, whose scores are those of an index that is built at once; this one is not changed.
        """
        ids, digests, texts = [], array("Q"), []
        for id_, text in documents:
            ids.append(id_)
            digests.append(short(digest(text)))
            texts.append(text[:MAX_CHARS])
        keep = np.ones(len(self.ids), np.bool_)
        keep[[self.place[id_] for id_ in (*gone, *ids) if id_ in self.place]] = False
        codes, lengths = coded(texts, self._vocabulary, partial(tokens, singles=True))
        added = Postings.of(codes, lengths, len(self._vocabulary))
        stay = self.ids if keep.all() else [self.ids[place] for place in np.flatnonzero(keep).tolist()]
        return type(self)(
            [*stay, *ids],
            np.concatenate((self.digests[keep], np.array(digests, np.uint64))),
            self._vocabulary,
            self._postings.without(keep).followed_by(added),
        )

    def scores(self, text: str) -> Scores:
        """BM25 of every document for the words of `text`; a word given twice counts twice."""
        return self._postings.scores(self._coded(text))

    def scores_of(self, text: str, ids: Sequence[str]) -> Scores:
        """BM25 of some documents for the words of `text`; 0 for unknown ids."""
        places = np.array([self.place.get(id_, -1) for id_ in ids], np.int64)
        return self._postings.scores_of(self._coded(text), places)

    def _coded(self, text: str) -> dict[int, int]:
        """The known words of a text by number, and how often each is there."""
        counts = Counter(tokens(text)).items()
        return {self._vocabulary[word]: times for word, times in counts if word in self._vocabulary}

    def vectors(self, texts: Sequence[str]) -> sparse.csr_array:
        """TF-IDF rows of texts over the words of all of them, with a term frequency of 0 or 1.

        Returns:
            A sparse array of shape (len(texts), words) with rows of length 1: products are cosines, 0 to 1.
        """
        words = [sorted(set(tokens(text))) for text in texts]
        columns = {word: at for at, word in enumerate(sorted({one for row in words for one in row}))}
        rarity = {word: self._rarity(word) for word in columns}
        norms = [math.sqrt(sum(rarity[one] ** 2 for one in row)) for row in words]
        values = [rarity[one] / norm for row, norm in zip(words, norms, strict=True) for one in row]
        places = [columns[one] for row in words for one in row]
        starts = np.cumsum([0, *(len(row) for row in words)])
        shape = (len(texts), len(columns))
        return sparse.csr_array(
            (np.array(values, np.float32), np.array(places, np.int64), starts), shape=shape
        )

    def _rarity(self, word: str) -> float:
        """The logarithm of how many documents there are for each that has the word; above 0."""
        return math.log(1 + len(self.ids) / (1 + self._count(word))) + 1e-6

    def at_most(self, text: str) -> int:
        """How many documents can hold all words of a text at most: as many as hold the rarest of them."""
        return min((self._count(word) for word in tokens(text)), default=0)

    def _count(self, word: str) -> int:
        """How many documents hold a word."""
        return self._postings.holding(self._vocabulary.get(word))

    def search(self, text: str, k: int, allowed: NDArray[np.bool_] | None = None) -> list[tuple[str, float]]:
        """The best documents that share a word with a text.

        Args:
            text: any text.
            k: how many.
            allowed: a mask of shape (documents,) by place; None allows all.

        Returns:
            (id, BM25 > 0) pairs, best first, ties by id.
        """
        scores = self.scores(text)
        if allowed is not None:
            scores[~allowed] = 0
        places = _highest(scores, k)
        found = ((self.ids[place], float(scores[place])) for place in places.tolist())
        return heapq.nsmallest(k, found, key=lambda one: (-one[1], one[0]))

    def save(self, folder: Path) -> None:
        """Write to `folder`, which appears whole or not at all; nothing in it is a pickle."""
        aside = private_folder(folder.parent) / f"{folder.name}.{os.getpid()}{PART}"
        private_folder(aside)
        self._postings.save(aside)
        np.save(aside / "digests.npy", self.digests, allow_pickle=False)
        words = list(islice(self._vocabulary, len(self._postings.starts) - 1))  # later ones are of others
        for name, value in zip(_JSON, (self.ids, words), strict=True):
            (aside / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        try:
            aside.rename(folder)
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)  # another process has written the same

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what `save` wrote; None if it is not there, or not whole."""
        try:
            ids, words = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in _JSON)
            digests = np.load(folder / "digests.npy", allow_pickle=False)
            postings = Postings.load(folder)
            vocabulary = {word: code for code, word in enumerate(words)}
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None
        whole = len(ids) == len(digests) == len(postings.lengths) and len(words) == len(postings.starts) - 1
        return cls(ids, digests, vocabulary, postings) if whole else None


def _highest(scores: Scores, k: int) -> NDArray[np.int64]:
    """The places of the `k` highest scores above 0, and of all that equal the last one: ids decide then."""
    if k <= 0:
        return np.zeros(0, np.int64)
    # Most scores are below what the best of every 16th reach, and are not looked at again.
    some = scores[::16]
    bound = np.partition(some, -k)[-k] if k < len(some) else 0
    places = np.flatnonzero(scores >= bound if bound > 0 else scores > 0)
    if k < len(places):
        places = places[scores[places] >= np.partition(scores[places], -k)[-k]]
    return places


def short(words: str) -> int:
    """The first 64 of the 128 bits of a digest."""
    return int(words[:16], 16)


__all__ = ["PART", "LexicalIndex", "Scores", "short", "tokens"]
