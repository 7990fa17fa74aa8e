"""A user's history: events joined with the items of the catalogue, with their vectors and weights."""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy import sparse

from ...models.embedder import Vectors
from ...models.records import Event, HistoryEvent, Item, Language, Profile, Scenario
from ...models.text import clean
from ...prompts import item_line
from ...vectorstore import Catalogue
from ..settings import Settings
from .event_weights import SESSION_GAP, decayed_weights

_COUNTED = 32  # repetitions beyond these would add less than a billionth
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)  # whole ones, so that no order of adding differs from another


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An event with its item, if the catalogue has it.

    `weight` is signed, decayed, and net of the other events about the same item; `key` is equal for events about
    the same item or query; `content` is the embedded text, without the action. An event about an unknown item has
    no content and only marks the item as seen.
    """

    event: Event
    item: Item | None
    weight: float
    content: str

    @property
    def key(self) -> str:
        """The item's id; the words where there is no item, or none that the catalogue has."""
        return f"words:{self.content}" if self.item is None and self.content else f"item:{self.event.item}"

    @property
    def line(self) -> str:
        """The event in one line of a prompt, without the action."""
        return item_line(self.item) if self.item else clean(self.content, 160)

    @property
    def title(self) -> str:
        """The item's title, or the words of the query."""
        return clean(self.item.title if self.item else self.content, 120)


@dataclass(frozen=True)
class History:
    """Entries, oldest first, with one centred unit vector each (a zero row without content).

    `words` are sparse unit rows whose products are the cosines of what titles and tags say.
    """

    entries: tuple[HistoryEntry, ...]
    vectors: Vectors
    words: sparse.csr_array
    scenario: Scenario = "shop"

    def __len__(self) -> int:
        """How many events."""
        return len(self.entries)

    @property
    def consumed(self) -> set[str]:
        """Every item with an event of any kind: none of them is recommended again."""
        return {entry.event.item for entry in self.entries if entry.event.item is not None}

    @property
    def items(self) -> list[Item]:
        """The items of the events that the catalogue has, oldest first, with repetitions."""
        return [entry.item for entry in self.entries if entry.item is not None]

    @property
    def liked_items(self) -> list[str]:
        """Items with a positive weight, oldest first, with repetitions."""
        found = [entry.event.item for entry in self.entries if entry.weight > 0]
        return [item for item in found if item is not None]

    def by_id(self) -> dict[str, int]:
        """The place of each event by its id."""
        return {entry.event.id: place for place, entry in enumerate(self.entries)}

    def shown(self) -> tuple[HistoryEvent, ...]:
        """The events as a run stores them for its report."""
        return tuple(
            HistoryEvent(
                id=entry.event.id,
                action=entry.event.action,
                text=entry.title or entry.event.item or "?",
                value=entry.event.value,
                time=entry.event.time,
            )
            for entry in self.entries
        )


def read_history(events: Sequence[Event], catalogue: Catalogue, settings: Settings) -> History:
    """Join events with the items they name, weigh and embed them.

    Args:
        events: of one user, oldest first.
        catalogue: has the items and embeds the words of queries.
        settings: the scenario and the weights of actions.

    Returns:
        An entry for each event, in the order given.
    """
    named = dict.fromkeys(event.item for event in events if event.item is not None)
    items = {item.id: item for item in catalogue.get(list(named))}
    weights = decayed_weights(events, settings.scenario, settings=settings)
    entries = []
    for event, weight in zip(events, weights, strict=True):
        item = items.get(event.item) if event.item is not None else None
        content = item.content if item else (event.query or "").strip()
        entries.append(HistoryEntry(event, item, weight, content))
    entries = _net_weights(entries, settings.scenario)
    lines = [entry.line if entry.content else "" for entry in entries]
    words = catalogue.word_vectors(lines)
    return History(tuple(entries), _vectors(entries, catalogue), words, settings.scenario)


def repetition_weight(entries: Sequence[HistoryEntry], scenario: Scenario) -> float:
    """The joint weight of events of one sign about one item.

    Within a session each repetition counts half of the one before. Returns after `SESSION_GAP` count more: the
    weight is the geometric mean of all events taken as one session and of the sum over sessions.

    Returns:
        0 or more; a further event never lowers it.
    """
    together = _saturated(sorted(-abs(one.weight) for one in entries))
    apart = _by_session(entries, SESSION_GAP[scenario] // _TICK)
    return together if apart <= together else math.sqrt(together * apart)


def _saturated(falling: Sequence[float]) -> float:
    """Each further one of these negative weights, strongest first, counts half of the one before."""
    return -math.fsum(weight / 2**at for at, weight in enumerate(falling[:_COUNTED]))


def _by_session(entries: Sequence[HistoryEntry], gap: int) -> float:
    """The sum over sessions; events without a time are one session.

    Sessions have no borders that a further event could move: every event lasts for one gap, and events count as
    repetitions of each other while both last.

    Returns:
        0 or more.
    """
    untimed = sorted(-abs(one.weight) for one in entries if one.event.time is None)
    steps: list[tuple[int, bool, float]] = []
    for one in entries:
        if one.event.time is not None:
            start = (one.event.time - _EPOCH) // _TICK
            steps += [(start, True, -abs(one.weight)), (start + gap, False, -abs(one.weight))]
    lasting: list[float] = []
    totals, before = [_saturated(untimed)], 0
    for moment, begins, weight in sorted(steps):
        totals.append(_saturated(lasting) * ((moment - before) / gap))
        before = moment
        if begins:
            insort(lasting, weight)
        else:
            del lasting[bisect_left(lasting, weight)]
    return math.fsum(totals)


def _net_weights(entries: Sequence[HistoryEntry], scenario: Scenario) -> list[HistoryEntry]:
    """The entries with net weights: positive and negative events about the same item are offset.

    A film that was watched and then disliked is disliked: its positive events count 0, the negative ones what is
    left of them.

    Returns:
        The entries in the order given; those about one item have weights of one sign.
    """
    things: dict[str, list[HistoryEntry]] = {}
    for entry in entries:
        things.setdefault(entry.key, []).append(entry)
    shares = {key: _shares(some, scenario) for key, some in things.items()}
    return [replace(entry, weight=entry.weight * shares[entry.key][entry.weight < 0]) for entry in entries]


def _shares(entries: Sequence[HistoryEntry], scenario: Scenario) -> tuple[float, float]:
    """How much of the positive and of the negative weights is left when both are set against each other."""
    for_ = repetition_weight([one for one in entries if one.weight > 0], scenario)
    against = repetition_weight([one for one in entries if one.weight < 0], scenario)
    if for_ >= against:
        return ((for_ - against) / for_ if for_ else 0.0), 0.0
    return 0.0, (against - for_) / against


def _vectors(entries: Sequence[HistoryEntry], catalogue: Catalogue) -> Vectors:
    """A row for each entry: the index has those of items, the embedder computes those of queries, each text once."""
    texts = {entry.key: entry.content for entry in entries if entry.content}
    known = {key for key in texts if key.startswith("item:")}
    ids = [key.removeprefix("item:") for key in texts if key in known]
    words = [key for key in texts if key not in known]
    found = dict(zip([f"item:{one}" for one in ids], catalogue.vectors(ids), strict=True))
    found |= dict(zip(words, catalogue.embed([texts[key] for key in words]), strict=True))
    vectors = np.zeros((len(entries), catalogue.embedder.dimensions), np.float32)
    for row, entry in zip(vectors, entries, strict=True):
        row[:] = found.get(entry.key, 0.0)
    return vectors


@dataclass(frozen=True)
class Query:
    """What items are ranked for: a user's history and profile, and the words asked for, if any."""

    history: History
    profile: Profile
    request: str = ""
    scenario: Scenario = "shop"
    now: datetime | None = None

    @property
    def language(self) -> Language:
        """The language of the profile."""
        return self.profile.language
