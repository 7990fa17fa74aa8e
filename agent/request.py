"""What is asked of the recommender, as it may be used and stored."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from ..models.errors import InputError
from ..models.records import MAX_ID, Event, Id, Item, Record, Text
from .ingest import EventBuilder

MAX_PICKS = 100
Where = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """How many picks, under which filter, the items that were used before, and how many picks are to be new."""

    n: int
    where: Where | None = None
    used: tuple[Item, ...] = ()
    new: int = 0


class UserRequest(Record):
    """Who asks, and for what in words."""

    user: Id
    request: Text = ""


def as_events(rows: Iterable[Event | Where]) -> list[Event]:
    """Events as they are remembered; raises pydantic's ValidationError for one that cannot be."""
    build = EventBuilder()
    return [row if isinstance(row, Event) else build(dict(row)) for row in rows]


def user_request(user: str, request: str = "") -> UserRequest:
    """Who asks for what, as it can be stored; raises InputError if it cannot be."""
    try:
        found = UserRequest(user=user, request=request)
    except ValidationError as error:
        shown = repr(str(user)[:100])
        msg = f"the user id {shown} cannot be used: give 1 to {MAX_ID} characters that can be printed"
        raise InputError(msg) from error
    return found.model_copy(update={"request": found.request.strip()})


def check_count(n: int) -> None:
    """Raises InputError if no list can have `n` recommendations."""
    if not 1 <= n <= MAX_PICKS:
        msg = f"{n} recommendations cannot be given: ask for 1 to {MAX_PICKS}"
        raise InputError(msg)


def unknown_user_message(user: str) -> str:
    """What to say of a user of whom nothing is known."""
    return f"no events of user {user!r} are known: record some with `tanqu ingest FILE`, or give a request"
