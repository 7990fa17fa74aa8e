"""Users of a data set with their last item held out, and the candidates it is to be found among.

Nothing that is held out is in a history: neither the item nor anything after it.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...models.errors import InputError
from ...models.records import Event, Item
from .datasets import is_sequences, read_candidates, read_interactions, read_items, read_sequences

NEGATIVES = 19
_GOOD_STARS = 4
_FEWEST_EVENTS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A user's events, oldest first, the item that came next, and the ids it is ranked among.

    `candidates` hold the target and 19 others in an order that tells nothing.
    """

    user: str
    events: tuple[Event, ...]
    target: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The items of a data set, the users to be measured, and others with long histories (no candidates)."""

    items: tuple[Item, ...]
    cases: tuple[Case, ...]
    long: tuple[Case, ...]


def read_held_out(folder: Path, users: int, long_users: int = 0, long_events: int = 30) -> HeldOut:
    """The first `users` users of a folder with one `.item` and one `.inter` file in RecBole's format.

    The `.inter` file holds sequences (user_id, item_id_list, item_id) or single events (user_id, item_id and,
    if known, rating and timestamp). A `.random` file, if there is one, says which users and which negatives.

    Raises:
        InputError: a file is missing or cannot be read, or no user can be measured.
    """
    items = read_items(_only(folder, "item"))
    known = {item.id for item in items}
    inter = _only(folder, "inter")
    listed = next(iter(sorted(folder.glob("*.random"))), None)
    negatives = read_candidates(listed) if listed else {}
    cases: list[Case] = []
    long: list[Case] = []
    for user, events, target in _users(inter):
        used = {one.item for one in events}
        usable = target in known - used and len(events) >= _FEWEST_EVENTS
        if usable and len(cases) < users and (not negatives or user in negatives):
            others = negatives.get(user) or _drawn(user, sorted(known - used - {target}))
            unused = [one for one in dict.fromkeys(others) if one not in used and one != target]
            cases.append(Case(user, events, target, _mixed(user, target, unused, known)))
        elif len(long) < long_users and len(events) >= long_events:
            long.append(Case(user, events[-long_events:], target, ()))
        if len(cases) == users and len(long) == long_users:
            break
    if not cases:
        msg = (
            f"{inter} has no user with {_FEWEST_EVENTS} events and a next item that is new to them and in the "
            "catalogue: check that the files belong together"
        )
        raise InputError(msg)
    return HeldOut(tuple(items), tuple(cases), tuple(long))


def _only(folder: Path, ending: str) -> Path:
    found = sorted(folder.glob(f"*.{ending}"))
    if len(found) != 1:
        msg = f"{folder} holds {len(found)} files ending in .{ending}: give a folder with exactly one"
        raise InputError(msg)
    return found[0]


def _users(path: Path) -> Iterator[tuple[str, tuple[Event, ...], str]]:
    """Each user's events and the item that came next."""
    if is_sequences(path):
        for one in read_sequences(path):
            yield one.user, tuple(_purchases(one.user, one.history)), one.target
        return
    for user, events in _by_user(path).items():
        good = [at for at, event in enumerate(events) if event.value is None or event.value >= _GOOD_STARS]
        first = {event.item: at for at, event in reversed(list(enumerate(events)))}
        new = [at for at in good if first[events[at].item] == at]
        if new:
            yield user, tuple(events[: new[-1]]), str(events[new[-1]].item)


def _purchases(user: str, items: Sequence[str]) -> Iterator[Event]:
    """Events without a time: a list of items says only their order."""
    for place, item in enumerate(items):
        yield Event(id=f"{user}:{place}", user=user, item=item, action="purchase")


def _by_user(path: Path) -> dict[str, list[Event]]:
    """The events of each user by time; those without one stay where they are, before the others."""
    users: dict[str, list[Event]] = {}
    for event in read_interactions(path, "user_id", "item_id"):
        users.setdefault(event.user, []).append(event)
    early = datetime.min.replace(tzinfo=UTC)
    return {user: sorted(events, key=lambda one: one.time or early) for user, events in users.items()}


def _drawn(user: str, others: Sequence[str]) -> list[str]:
    chosen = random.Random(f"negatives {user}")  # noqa: S311  # a sample that anybody can draw again
    return chosen.sample(others, min(NEGATIVES, len(others)))


def _mixed(user: str, target: str, unused: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    negatives = unused[:NEGATIVES]
    if len(negatives) < NEGATIVES:
        msg = f"user {user!r} has {len(negatives)} negatives, not {NEGATIVES}: give more items or candidates"
        raise InputError(msg)
    if missing := [one for one in negatives if one not in known]:
        msg = f"the candidate {missing[0]!r} of user {user!r} is not among the items: check the files"
        raise InputError(msg)
    candidates = [target, *negatives]
    random.Random(f"order {user}").shuffle(candidates)  # noqa: S311  # as above
    return tuple(candidates)
