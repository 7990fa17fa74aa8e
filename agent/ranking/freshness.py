"""What is different about news: old items are no news, and a story is told once."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ...models.embedder import Vectors
from ...models.records import Candidate, Item
from ...vectorstore import Catalogue

MAX_AGE = timedelta(days=30)
"""Before the user's last event; what was published earlier is left out of a list that nobody asked for."""

SAME_STORY = 0.6
"""Similarity from which on two items tell one story.

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


def without_outdated(found: Sequence[Candidate], now: datetime | None) -> list[Candidate]:
    """The candidates in their order without those published more than 30 days before `now`."""
    return [one for one in found if not _is_old(one.item, now)]


def _is_old(item: Item, now: datetime | None) -> bool:
    """Whether an item says that it is; one that does not say when it was published is not."""
    try:
        published = datetime.fromisoformat(str(item.attributes["published"]))
    except (KeyError, ValueError):
        return False
    if now is None:
        return False
    return now - (published if published.tzinfo else published.replace(tzinfo=now.tzinfo)) > MAX_AGE


def one_per_story(found: Sequence[Candidate], vectors: Vectors) -> list[Candidate]:
    """The candidates in their order without those that tell the story of an earlier one.

    `vectors` are theirs, centred and of unit length.
    """
    near = vectors @ vectors.T >= SAME_STORY
    told: list[int] = []
    for place in range(len(found)):
        if not near[place, told].any():
            told.append(place)
    return [found[place] for place in told]
