"""The leave-one-out split by time: which event of a user is held out."""

from collections.abc import Callable, Sequence

from ...models.records import Event


def held_out_event(events: Sequence[Event], counts: Callable[[int], bool]) -> int | None:
    """The position of the last event that counts and is the first one with its item.

    What comes after it must not be shown to what is measured.

    Args:
        events: those of one user, oldest first.
        counts: whether the event at a position may be held out, such as a purchase or a good rating.

    Returns:
        The position, or None if there is no such event.
    """
    first = {event.item: place for place, event in reversed(list(enumerate(events)))}
    return next(
        (
            place
            for place in range(len(events) - 1, -1, -1)
            if events[place].item is not None and first[events[place].item] == place and counts(place)
        ),
        None,
    )


__all__ = ["held_out_event"]
