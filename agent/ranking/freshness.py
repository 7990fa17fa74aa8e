"""What is special about news: outdated items are left out, and each story appears once."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ...models.embedder import Vectors
from ...models.records import Candidate, Item
from ...vectorstore import Catalogue

MAX_AGE = timedelta(days=30)
"""Age from which on news is outdated, counted back from the user's last event."""

SAME_STORY = 0.6
"""Cosine similarity from which on two items report the same story.

With the default embedder headlines of one story in other words have 0.61 to 0.85 (five pairs, English and
Chinese), the nearest two of the sample's 55 different stories 0.42.
"""


def fresh_stories(
    candidates: Sequence[Candidate], catalogue: Catalogue, now: datetime | None
) -> list[Candidate]:
    """The candidates in their order, recent ones only and each story once.

    Args:
        candidates: best first.
        catalogue: has their vectors.
        now: what counts as the present; None keeps old items.

    Returns:
        Those that are left, in the same order.
    """
    fresh = without_outdated(candidates, now)
    return one_per_story(fresh, catalogue.vectors([candidate.item.id for candidate in fresh]))


def without_outdated(candidates: Sequence[Candidate], now: datetime | None) -> list[Candidate]:
    """The candidates in their order without those published more than 30 days before `now`."""
    return [candidate for candidate in candidates if now is None or not _is_outdated(candidate.item, now)]


def _is_outdated(item: Item, now: datetime) -> bool:
    moment = published(item, now)
    return moment is not None and now - moment > MAX_AGE


def published(item: Item, now: datetime) -> datetime | None:
    """When an item was published by its attribute of that name, in the time zone of `now` where it names none."""
    try:
        moment = datetime.fromisoformat(str(item.attributes["published"]))
    except (KeyError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


def one_per_story(candidates: Sequence[Candidate], vectors: Vectors) -> list[Candidate]:
    """The candidates in their order without those that report the story of an earlier one.

    Args:
        candidates: best first.
        vectors: theirs, (candidates, dimensions), centred and of unit length.

    Returns:
        Those that are left, in the same order.
    """
    near = vectors @ vectors.T >= SAME_STORY
    kept: list[int] = []
    for place in range(len(candidates)):
        if not near[place, kept].any():
            kept.append(place)
    return [candidates[place] for place in kept]
