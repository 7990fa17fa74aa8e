"""The answer to "why": where items stand in a run, what makes their scores, and what was kept away."""

from typing import Literal

from ...models.records import Bridge, HistoryEvent, Id, Item, Language, Record

Status = Literal["picked", "new", "ranked", "seen", "filtered", "muted", "not found"]

LEAST = 0.005
"""A contribution below this is not worth a word."""


class Part(Record):
    """What one signal adds to a score, or to the difference of two."""

    signal: str
    value: float


class Standing(Record):
    """Where an item stands in a run: its place among the picks, its rank among the candidates, and why.

    `parts` sum to `score`. `events` are those that say why it was left out: what the user did with it, or
    what they turned down that is most like it.
    """

    item: Item
    status: Status
    place: int | None = None
    rank: int | None = None
    score: float = 0.0
    interest: str | None = None
    new_for_you: Bridge | None = None
    parts: tuple[Part, ...] = ()
    events: tuple[HistoryEvent, ...] = ()


class KeptAway(Record):
    """A candidate that would be among the picks if nothing had been turned down."""

    item: Item
    rank_before: int
    rank: int
    event: HistoryEvent | None


class Why(Record):
    """Why an item, and why it and not another; `text` says it in the user's language."""

    user: Id
    language: Language
    item: Standing
    other: Standing | None
    difference: tuple[Part, ...]
    kept_away: tuple[KeptAway, ...]
    text: str


__all__ = ["LEAST", "KeptAway", "Part", "Standing", "Status", "Why"]
