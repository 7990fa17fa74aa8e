"""The bank of labelled examples, for k-NN classification of a message's action by embedding similarity."""

import json
import re
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ...models.embedder import Embedder, Vectors
from ...models.records import Language

ACTIONS = (
    "recommend", "search", "other", "narrow", "more", "less", "why", "why_not", "compare", "about",
    "like", "dislike", "seen", "not_interested", "show", "mute", "pin", "forget", "undo", "report",
    "chat", "refuse",
)  # fmt: skip
"""The actions that a message can ask for; the last two call no tool."""

Shares = NDArray[np.float64]
"""One number per action, shape (len(ACTIONS),)."""

_NEIGHBOURS = 12
_SHARPNESS = 0.07  # cosine distance over which a neighbour's vote falls by a factor of e


@dataclass(frozen=True, slots=True)
class Example:
    """A message with its action."""

    say: str
    action: str


class ExampleBank:
    """The embedded examples of one language."""

    def __init__(self, language: Language, embedder: Embedder) -> None:
        """Embed the examples of the package (0.2 s)."""
        self.examples = load_examples(language)
        self._embedder = embedder
        vectors = embedder.embed([example.say for example in self.examples])
        self._mean = vectors.mean(axis=0)
        self._vectors = self._centred(vectors)
        self.spellings = frozenset(
            re.findall(r"[a-z]{4,}", " ".join(example.say.lower() for example in self.examples))
        )
        self._actions = np.array([ACTIONS.index(example.action) for example in self.examples])

    def vote(self, message: str, without: Example | None = None) -> tuple[Shares, list[Example], float]:
        """Vote on the action of a message: each neighbour's vote decays with its cosine distance.

        Args:
            message: the message.
            without: an example that has no vote (leave-one-out).

        Returns:
            The votes, shape (len(ACTIONS),), which sum to 1; the neighbours, nearest first; and the cosine
            similarity of the nearest.
        """
        vector = self._centred(self._embedder.embed([message]))[0]
        similarity = (self._vectors @ vector).astype(np.float64)
        if without is not None:
            similarity[self.examples.index(without)] = -1.0
        nearest = np.argsort(-similarity, kind="stable")[:_NEIGHBOURS]
        votes = np.zeros(len(ACTIONS))
        np.add.at(votes, self._actions[nearest], np.exp(similarity[nearest] / _SHARPNESS))
        return votes / votes.sum(), [self.examples[at] for at in nearest], float(similarity[nearest[0]])

    def _centred(self, vectors: Vectors) -> Vectors:
        moved = vectors - self._mean
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        centred: Vectors = np.divide(moved, lengths, out=np.zeros_like(moved), where=lengths > 1e-9)
        return centred


def load_examples(language: Language) -> list[Example]:
    """The examples of the package in a language."""
    path = files(__package__).joinpath(f"examples.{language}.jsonl")
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line)
    return [Example(row["say"], row["action"]) for row in rows]


__all__ = ["ACTIONS", "ExampleBank", "Example", "Shares", "load_examples"]
