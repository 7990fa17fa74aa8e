"""Leave-one-out protocols: users with a held-out item, the candidates it is ranked among, and the training data.

Nothing that is held out reaches a system: a `RankingTask` has no target and its candidates are in random order,
and `RankingProtocol.histories`, from which popularity and co-engagement are learnt, hold no user's target.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ...agent.ranking import held_out_event
from ...models.errors import InputError
from ...models.records import Event, Item, Scenario
from .datasets import (
    is_sequences,
    movielens_100k,
    read_candidates,
    read_interactions,
    read_items,
    read_sequences,
)

GOOD_STARS = 4
"""From so many stars on a rating is positive."""

FEWEST_EVENTS = 3
"""A user with fewer positive events before the held-out one is not measured."""

NEGATIVES = 19

_EARLY = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RankingTask:
    """What a system gets: a user's events, oldest first, and the ids to rank (None: the whole catalogue)."""

    user: str
    events: tuple[Event, ...]
    candidates: tuple[str, ...] | None

    @property
    def history(self) -> list[str]:
        """The items of the events, oldest first."""
        return [event.item for event in self.events if event.item is not None]


@dataclass(frozen=True, slots=True)
class HeldOutCase:
    """A task, and the item that the user really took next."""

    task: RankingTask
    target: str


@dataclass(frozen=True, slots=True)
class ProtocolOptions:
    """How a protocol is made.

    Attributes:
        users: how many are measured, drawn by the seed; None for all.
        seed: draws users, negatives, and the order of candidates.
        negatives: items beside the target that the user never touched.
        history: how many of a user's last events a system gets; None for all.
        full: rank the whole catalogue and draw no negatives.
        low_ratings: whether a system also gets the events with fewer than `GOOD_STARS`.
    """

    users: int | None = None
    seed: int = 0
    negatives: int = NEGATIVES
    history: int | None = None
    full: bool = False
    low_ratings: bool = False


@dataclass(frozen=True, slots=True)
class RankingProtocol:
    """A data set made ready; `histories` are the items of all its users, oldest first, without any target."""

    dataset: str
    scenario: Scenario
    items: tuple[Item, ...]
    cases: tuple[HeldOutCase, ...]
    histories: tuple[tuple[str, ...], ...]
    options: ProtocolOptions

    @property
    def description(self) -> dict[str, object]:
        """The protocol for a report, as plain values."""
        return {
            "users": len(self.cases),
            "items": len(self.items),
            "histories": len(self.histories),
            "candidates": "whole catalogue" if self.options.full else self.options.negatives + 1,
            "negatives": None if self.options.full else self.options.negatives,
            "seed": self.options.seed,
            "history": self.options.history or "all",
            "target": "each user's last item, not seen by any system",
        }


@dataclass(frozen=True, slots=True)
class _SplitUser:
    """A user whose next item is split off.

    `history` holds the items of the positive events before it, `events` all events before it where the data has
    more than a list of items, and `others` items that are no negatives either.
    """

    name: str
    history: tuple[str, ...]
    target: str
    events: tuple[Event, ...] = ()
    others: frozenset[str] = frozenset()

    def events_before(self, *, low_ratings: bool) -> tuple[Event, ...]:
        """The events before the target; a list of items says only their order, so that they have no time."""
        if self.events:
            return tuple(event for event in self.events if low_ratings or _is_positive(event))
        return tuple(
            Event(id=f"{self.name}:{place}", user=self.name, item=item, action="purchase")
            for place, item in enumerate(self.history)
        )

    @property
    def touched(self) -> frozenset[str]:
        """Every item that is no negative."""
        return self.others.union(self.history, [self.target])


def read_protocol(
    items: Path,
    interactions: Path,
    candidates: Path | None,
    options: ProtocolOptions,
    scenario: Scenario = "shop",
) -> RankingProtocol:
    """The protocol of files in RecBole's format.

    Args:
        items: a `.item` file.
        interactions: a `.inter` file, either of sequences (user_id, item_id_list, item_id: the last is the
            target) or of single events (user_id, item_id, perhaps timestamp and rating: each user's last new
            item by time is the target; without times, by the order of the file).
        candidates: a file of negatives per user, of which the first `options.negatives` count; it also says
            which users can be measured. Without it negatives are drawn from what a user never touched.
        options: how the protocol is made.
        scenario: what kind of items these are.

    Returns:
        The protocol, its cases in the order in which the seed draws the users.

    Raises:
        InputError: a file cannot be used, or no user can be measured.
    """
    catalogue = read_items(items)
    if is_sequences(interactions):
        users = [_SplitUser(row.user, row.history, row.target) for row in read_sequences(interactions)]
    else:
        users = _split_users(read_interactions(interactions, "user_id", "item_id"))
    listed = read_candidates(candidates) if candidates is not None else None
    return _protocol(items.stem, scenario, catalogue, users, listed, options)


def read_folder(folder: Path, options: ProtocolOptions) -> RankingProtocol:
    """The protocol of a folder with one `.item`, one `.inter`, and perhaps a `.random` file of negatives.

    Returns:
        As `read_protocol`.

    Raises:
        InputError: a file is missing or cannot be used, or no user can be measured.
    """
    negatives = next(iter(sorted(folder.glob("*.random"))), None)
    return read_protocol(_only(folder, "item"), _only(folder, "inter"), negatives, options)


def movielens(options: ProtocolOptions) -> RankingProtocol:
    """MovieLens-100K: each user's last film with 4 stars or more held out, negatives among unrated films.

    Returns:
        As `read_protocol`.

    Raises:
        WeightsError: the data is not here and cannot be fetched.
    """
    films = movielens_100k()
    return _protocol(films.name, "video", films.items, _split_users(films.events), None, options)


def _only(folder: Path, ending: str) -> Path:
    files = sorted(folder.glob(f"*.{ending}"))
    if len(files) != 1:
        msg = f"{folder} holds {len(files)} files ending in .{ending}: give a folder with exactly one"
        raise InputError(msg)
    return files[0]


def _split_users(events: Iterable[Event]) -> list[_SplitUser]:
    """Users with their last positive event about a new item split off, and all events before it by time."""
    by_user: dict[str, list[Event]] = {}
    for event in events:
        by_user.setdefault(event.user, []).append(event)
    users = []
    for name, own in by_user.items():
        own.sort(key=lambda event: event.time or _EARLY)
        place = held_out_event(own, lambda at, own=own: _is_positive(own[at]))  # type: ignore[misc]  # a default
        if place is not None:
            before, touched = tuple(own[:place]), frozenset(event.item for event in own if event.item)
            history = tuple(event.item for event in before if event.item and _is_positive(event))
            users.append(_SplitUser(name, history, str(own[place].item), before, touched))
    return users


def _is_positive(event: Event) -> bool:
    return event.value is None or event.value >= GOOD_STARS


def _protocol(
    name: str,
    scenario: Scenario,
    items: Sequence[Item],
    users: Sequence[_SplitUser],
    listed: Mapping[str, list[str]] | None,
    options: ProtocolOptions,
) -> RankingProtocol:
    known = {item.id for item in items}
    usable = [
        user
        for user in users
        if len(user.history) >= FEWEST_EVENTS
        and user.target in known
        and user.target not in user.history
        and (listed is None or user.name in listed)
    ]
    if not usable:
        where = "the catalogue" if listed is None else "the catalogue, with candidates"
        msg = (
            f"{name} has no user with {FEWEST_EVENTS} events and a next item, new to them, that is in {where}: "
            "check that the files belong together"
        )
        raise InputError(msg)
    ids = sorted(known)
    cases = []
    for user in _drawn(usable, options):
        candidates = None if options.full else _candidates(user, ids, listed, known, options)
        events = user.events_before(low_ratings=options.low_ratings)
        events = events[-options.history :] if options.history else events
        cases.append(HeldOutCase(RankingTask(user.name, events, candidates), user.target))
    histories = tuple(user.history for user in users)
    return RankingProtocol(name, scenario, tuple(items), tuple(cases), histories, options)


def _drawn(users: Sequence[_SplitUser], options: ProtocolOptions) -> list[_SplitUser]:
    """So many users, drawn by the seed: a smaller number gives some of those that a larger one gives."""
    order = sorted(users, key=lambda user: (zlib.crc32(f"{options.seed} {user.name}".encode()), user.name))
    return order[: options.users]


def _candidates(
    user: _SplitUser,
    ids: Sequence[str],
    listed: Mapping[str, list[str]] | None,
    known: Collection[str],
    options: ProtocolOptions,
) -> tuple[str, ...]:
    """The target and its negatives in an order drawn for this user alone."""
    rng = np.random.default_rng([options.seed, zlib.crc32(user.name.encode())])
    if listed is None:
        drawn = rng.permutation(len(ids))[: options.negatives + len(user.touched)]
        offered: Iterable[str] = (ids[place] for place in drawn)
    else:
        offered = listed[user.name]
    unused = [item for item in dict.fromkeys(offered) if item not in user.touched]
    negatives = unused[: options.negatives]
    if len(negatives) < options.negatives:
        msg = f"user {user.name!r} has {len(negatives)} negatives, not {options.negatives}: ask for fewer"
        raise InputError(msg)
    if missing := [item for item in negatives if item not in known]:
        msg = f"the candidate {missing[0]!r} of user {user.name!r} is not among the items: check the files"
        raise InputError(msg)
    mixed = [user.target, *negatives]
    return tuple(mixed[place] for place in rng.permutation(len(mixed)))


__all__ = [
    "HeldOutCase",
    "ProtocolOptions",
    "RankingProtocol",
    "RankingTask",
    "movielens",
    "read_folder",
    "read_protocol",
]
