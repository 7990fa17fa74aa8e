"""Who is ranked against what: users with a held-out item, the candidates it stands among, and what is known.

Nothing that is held out reaches a system. A `Question` has no target, its candidates are in a drawn order,
and `Protocol.histories`, from which popularity and co-engagement are learnt, hold nobody's target.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

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
"""From so many stars on a rating says that something was liked; lower ones are left out."""

FEWEST_EVENTS = 3
"""A user with fewer events before the held-out one is not measured."""

NEGATIVES = 19

_EARLY = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Question:
    """What a system is asked: a user's events, oldest first, and the ids to rank.

    Without candidates it is to pick from the whole catalogue.
    """

    user: str
    events: tuple[Event, ...]
    candidates: tuple[str, ...] | None

    @property
    def history(self) -> list[str]:
        """The items of the events, oldest first."""
        return [event.item for event in self.events if event.item is not None]


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and the item that the user really took next."""

    question: Question
    target: str


@dataclass(frozen=True, slots=True)
class Choices:
    """How a protocol is made.

    `users` None means all; `seed` draws users, negatives, and the order of candidates; `history` is how many
    of a user's last events are told (None: all); `full` ranks the whole catalogue and draws no negatives.
    """

    users: int | None = None
    seed: int = 0
    negatives: int = NEGATIVES
    history: int | None = None
    full: bool = False


@dataclass(frozen=True, slots=True)
class Protocol:
    """A data set made ready. `histories` are what all its users used, oldest first, without any target."""

    dataset: str
    scenario: Scenario
    items: tuple[Item, ...]
    cases: tuple[Case, ...]
    histories: tuple[tuple[str, ...], ...]
    choices: Choices

    @property
    def told(self) -> dict[str, object]:
        """The protocol for a report, as plain values."""
        return {
            "users": len(self.cases),
            "items": len(self.items),
            "histories": len(self.histories),
            "candidates": "whole catalogue" if self.choices.full else self.choices.negatives + 1,
            "negatives": None if self.choices.full else self.choices.negatives,
            "seed": self.choices.seed,
            "history": self.choices.history or "all",
            "target": "each user's last item, not seen by any system",
        }


@dataclass(frozen=True, slots=True)
class _User:
    """A user as a data set has them: items used, oldest first, and the next one.

    `events` say more about the items, where the data does; `others` were touched too, and are no negatives.
    """

    name: str
    history: tuple[str, ...]
    target: str
    events: tuple[Event, ...] = ()
    others: frozenset[str] = frozenset()

    def told(self) -> tuple[Event, ...]:
        """The events; a list of items says only their order, so that they have no time."""
        return self.events or tuple(
            Event(id=f"{self.name}:{place}", user=self.name, item=item, action="purchase")
            for place, item in enumerate(self.history)
        )


def read_protocol(
    items: Path, interactions: Path, candidates: Path | None, choices: Choices, scenario: Scenario = "shop"
) -> Protocol:
    """The protocol of files in RecBole's format.

    Args:
        items: a `.item` file.
        interactions: a `.inter` file, either of sequences (user_id, item_id_list, item_id: the last is the
            target) or of single events (user_id, item_id, timestamp, perhaps rating: each user's last new
            item by time is the target).
        candidates: a file of negatives per user, of which the first `choices.negatives` count; it also says
            which users can be measured. Without it negatives are drawn from what a user never touched.
        choices: how the protocol is made.
        scenario: what kind of items these are.

    Raises:
        InputError: a file cannot be used, or no user can be measured.
    """
    catalogue = read_items(items)
    if is_sequences(interactions):
        users = [_User(one.user, one.history, one.target) for one in read_sequences(interactions)]
    else:
        users = _by_time(read_interactions(interactions, "user_id", "item_id", "timestamp"))
    listed = read_candidates(candidates) if candidates is not None else None
    return _protocol(items.stem, scenario, catalogue, users, listed, choices)


def movielens(choices: Choices) -> Protocol:
    """MovieLens-100K: ratings of 4 and more, each user's last one held out, negatives among unrated films.

    Raises:
        WeightsError: the data is not here and cannot be fetched.
    """
    found = movielens_100k()
    return _protocol(found.name, "video", found.items, _by_time(found.events), None, choices)


def _protocol(
    name: str,
    scenario: Scenario,
    items: Sequence[Item],
    users: Sequence[_User],
    listed: Mapping[str, list[str]] | None,
    choices: Choices,
) -> Protocol:
    known = {item.id for item in items}
    usable = [
        one
        for one in users
        if len(one.history) >= FEWEST_EVENTS
        and one.target in known
        and one.target not in one.history
        and (listed is None or one.name in listed)
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
    for one in _chosen(usable, choices):
        candidates = None if choices.full else _candidates(one, ids, listed, known, choices)
        told = one.told()[-choices.history :] if choices.history else one.told()
        cases.append(Case(Question(one.name, told, candidates), one.target))
    histories = tuple(one.history for one in users)
    return Protocol(name, scenario, tuple(items), tuple(cases), histories, choices)


def _chosen(users: Sequence[_User], choices: Choices) -> list[_User]:
    """So many users, drawn by the seed: a smaller number gives some of those that a larger one gives."""
    order = sorted(users, key=lambda one: (zlib.crc32(f"{choices.seed} {one.name}".encode()), one.name))
    return order[: choices.users]


def _candidates(
    one: _User,
    ids: Sequence[str],
    listed: Mapping[str, list[str]] | None,
    known: Collection[str],
    choices: Choices,
) -> tuple[str, ...]:
    """The target and its negatives in an order drawn for this user alone."""
    rng = np.random.default_rng([choices.seed, zlib.crc32(one.name.encode())])
    touched = one.others.union(one.history, [one.target])
    if listed is None:
        drawn = rng.permutation(len(ids))[: choices.negatives + len(touched)]
        offered: Iterable[str] = (ids[place] for place in drawn)
    else:
        offered = listed[one.name]
    unused = [item for item in dict.fromkeys(offered) if item not in touched]
    negatives = unused[: choices.negatives]
    if len(negatives) < choices.negatives:
        msg = f"user {one.name!r} has {len(negatives)} negatives, not {choices.negatives}: ask for fewer"
        raise InputError(msg)
    if missing := [item for item in negatives if item not in known]:
        msg = f"the candidate {missing[0]!r} of user {one.name!r} is not among the items: check the files"
        raise InputError(msg)
    mixed = [one.target, *negatives]
    return tuple(mixed[place] for place in rng.permutation(len(mixed)))


def _by_time(events: Iterable[Event]) -> list[_User]:
    """Users whose last good event by time about something new is held out, with all that came before."""
    by_user: dict[str, list[Event]] = {}
    for event in events:
        by_user.setdefault(event.user, []).append(event)
    users = []
    for name, own in by_user.items():
        good = [event for event in own if event.value is None or event.value >= GOOD_STARS]
        good.sort(key=lambda event: event.time or _EARLY)
        seen: set[str] = set()
        new = [at for at, event in enumerate(good) if _is_new(event, seen)]
        if new:
            told, next_one = tuple(good[: new[-1]]), good[new[-1]].item or ""
            touched = frozenset(event.item for event in own if event.item)
            history = tuple(event.item for event in told if event.item)
            users.append(_User(name, history, next_one, told, touched))
    return users


def _is_new(event: Event, seen: set[str]) -> bool:
    """Whether the event's item was not seen before; from now on it is."""
    new = event.item is not None and event.item not in seen
    seen.add(event.item or "")
    return new


__all__ = ["Case", "Choices", "Protocol", "Question", "movielens", "read_protocol"]
