"""Events as they come in: each gets a user, an id and a time, the same ones however often it comes."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from ...models.records import Event


def event_id(
    user: str,
    action: str,
    *,
    item: str | None = None,
    query: str | None = None,
    value: float | None = None,
    time: datetime | None = None,
    occurrence: int = 0,
) -> str:
    """The id of an event that came without one, the same for the same event.

    Args:
        user: the id of the user.
        action: what the user did.
        item: the id of the item, if there is one.
        query: the words of a search, if there are any.
        value: stars, seconds or a count, by the action.
        time: when it happened; without a zone it counts as UTC.
        occurrence: numbers the events of one source that are alike in everything, from 0.

    Returns:
        20 hexadecimal digits.
    """
    moment = None if time is None else (time if time.tzinfo else time.replace(tzinfo=UTC))
    when = None if moment is None else moment.astimezone(UTC).isoformat()
    number = None if value is None else float(value)
    told = json.dumps([user, item, query, action, number, when, occurrence])
    return hashlib.sha256(told.encode()).hexdigest()[:20]


class EventBuilder:
    """Makes the events of one source, and ids for those that have none, numbering the ones that are alike.

    Raises pydantic's ValidationError for values that are no event, as `Event.model_validate` does.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, values: Mapping[str, object]) -> Event:
        """The event of these values; the same values again make another event."""
        if values.get("id") not in (None, ""):
            return Event.model_validate(values)
        event = Event.model_validate({**values, "id": "-"})
        first = self._id(event, 0)
        again = self._seen[first]
        self._seen[first] += 1
        return event.model_copy(update={"id": self._id(event, again) if again else first})

    @staticmethod
    def _id(event: Event, occurrence: int) -> str:
        return event_id(
            event.user,
            event.action,
            item=event.item,
            query=event.query,
            value=event.value,
            time=event.time,
            occurrence=occurrence,
        )


def build_events(rows: Iterable[Event | Mapping[str, object]]) -> list[Event]:
    """The events of these rows, in order; raises pydantic's ValidationError for a row that is none."""
    build = EventBuilder()
    return [row if isinstance(row, Event) else build(row) for row in rows]
