"""The words of a catalogue: tokens of Chinese and Latin text, and BM25 over them."""

import json
import math
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import bm25s
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .database import private_folder
from .items import ItemRows

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

Scores = NDArray[np.float32]


def tokens(text: str, *, singles: bool = False) -> list[str]:
    """The words of a text in order, repeated ones too.

    Latin script: lower case, without possessive or plural s, without the commonest English words. Chinese,
    Japanese and Korean: pairs of neighbouring characters, a character alone where it stands alone; with
    `singles` every character too, so that 猫 finds 猫粮.
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
    """BM25 scores of documents for a text; document i is the i-th that `build` was given."""

    def __init__(self, ids: Sequence[str], engine: Any) -> None:
        """Use `build` or `load`; `engine` is a bm25s index (which has no types), None without words."""
        self.ids = list(ids)
        self.place = {id_: place for place, id_ in enumerate(self.ids)}
        self._engine = engine

    @classmethod
    def build(cls, documents: Iterable[tuple[str, str]]) -> Self:
        """Index (id, text) pairs: about 20,000 short texts a second."""
        ids: list[str] = []
        vocabulary: dict[str, int] = {}
        coded: list[list[int]] = []
        for id_, text in documents:
            ids.append(id_)
            words = tokens(text, singles=True)
            coded.append([vocabulary.setdefault(word, len(vocabulary)) for word in words])
        if not vocabulary:
            return cls(ids, None)
        engine = bm25s.BM25(backend="numpy", csc_backend="scipy")
        engine.index((coded, vocabulary), create_empty_token=False, show_progress=False)
        return cls(ids, engine)

    def scores(self, text: str) -> Scores:
        """BM25 of every document for the words of `text`; a word given twice counts twice."""
        found = np.zeros(len(self.ids), dtype=np.float32)
        if self._engine is None:
            return found
        starts, matrix = self._engine.scores["indptr"], self._engine.scores
        for word, count in Counter(tokens(text)).items():
            code = self._engine.vocab_dict.get(word)
            if code is not None:
                part = slice(starts[code], starts[code + 1])
                found[matrix["indices"][part]] += count * matrix["data"][part]
        return found

    def vectors(self, texts: Sequence[str]) -> sparse.csr_array:
        """One sparse unit row per text over the words of all of them: 1 per word, times its rarity here.

        The product of two rows is the cosine of their words, 0 to 1.
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
        if self._engine is None or (code := self._engine.vocab_dict.get(word)) is None:
            return 0
        starts = self._engine.scores["indptr"]
        return int(starts[code + 1] - starts[code])

    def search(self, text: str, k: int, allowed: NDArray[np.bool_] | None = None) -> list[tuple[str, float]]:
        """The `k` best documents that share a word with `text` as (id, BM25), best first, ties by id."""
        scores = self.scores(text)
        if allowed is not None:
            scores = np.where(allowed, scores, 0)
        places = np.flatnonzero(scores > 0)
        if len(places) > k:
            places = places[np.argpartition(-scores[places], k)[:k]] if k else places[:0]
        found = [(self.ids[place], float(scores[place])) for place in places]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def save(self, folder: Path) -> None:
        """Write to `folder`, which appears whole or not at all; nothing in it is a pickle."""
        aside = private_folder(folder.parent) / f"{folder.name}.{os.getpid()}.part"
        private_folder(aside)
        if self._engine is not None:
            self._engine.save(aside, show_progress=False)
        (aside / "ids.json").write_text(json.dumps(self.ids), encoding="utf-8")
        try:
            aside.rename(folder)
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)  # another process has written the same

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what `save` wrote; None if it is not there, or not whole."""
        try:
            ids = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
            if not (folder / "params.index.json").exists():
                return cls(ids, None)
            engine = bm25s.BM25.load(folder, allow_pickle=False, show_progress=False, mmap=True)
            return cls(ids, engine) if engine.scores["num_docs"] == len(ids) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def load_or_build(home: Path | None, items: ItemRows) -> LexicalIndex:
    """The words of a catalogue, kept in its home under the hash of its content."""
    if home is None:
        return LexicalIndex.build(_documents(items))
    folder = home / "words" / items.content
    found = LexicalIndex.load(folder)
    if found is None:
        found = LexicalIndex.build(_documents(items))
        if not folder.exists():
            for old in (home / "words").glob("*"):
                shutil.rmtree(old, ignore_errors=True)
        found.save(folder)
    return found


def _documents(items: ItemRows) -> Iterator[tuple[str, str]]:
    return ((entry.id, entry.content) for batch in items.batches(5000) for entry in batch)


__all__ = ["LexicalIndex", "Scores", "load_or_build", "tokens"]
