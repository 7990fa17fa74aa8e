"""Selection: from a ranking to a calibrated list, without duplicates under several ids."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ...models.embedder import Vectors
from ...models.records import Candidate, Item, Profile, Ranked
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


_WORD = re.compile(r"[\w+#]+")  # C, C++ and C# are three words


def select(ranked: Sequence[Ranked], profile: Profile, used: Iterable[Item], n: int) -> list[Ranked]:
    """The list that is shown: the best of the ranked within the quota of each interest.

    Where places stay empty, the best items over their quota fill them. Duplicates and items of a muted interest are
    dropped.

    Args:
        ranked: best first.
        profile: has the interests, whose `interest_quotas` hold.
        used: items that must not return, nor their duplicates.
        n: the length of the list.

    Returns:
        At most `n` of the ranked, in their order.
    """
    quotas = interest_quotas(profile, n)
    muted = {one.keyword for one in profile.positive if one.muted}
    seen = {duplicate_key(item) for item in used}
    taken: Counter[str] = Counter()
    chosen: list[Ranked] = []
    waiting: list[Ranked] = []
    for one in ranked:
        if len(chosen) == n:
            break
        mark = duplicate_key(one.candidate.item)
        if mark in seen or one.candidate.interest in muted:
            continue
        seen.add(mark)
        interest = one.candidate.interest
        if interest is not None and taken[interest] >= quotas.get(interest, n):
            waiting.append(one)
            continue
        taken[interest or ""] += 1
        chosen.append(one)
    filled = chosen + waiting[: n - len(chosen)]
    return sorted(filled, key=lambda one: one.rank)


def interest_quotas(profile: Profile, n: int) -> dict[str, int]:
    """How many of `n` places each interest may take: ceil(n x weight), at least 1.

    A simple form of calibration (Steck 2018, "Calibrated recommendations", RecSys).

    Returns:
        The quota of each positive interest, by keyword.
    """
    return {one.keyword: max(1, math.ceil(n * one.weight)) for one in profile.positive}


def exhausted_interest(one: Ranked, picks: Sequence[Ranked], profile: Profile) -> str | None:
    """The interest whose full quota kept an item off a list although a pick of the list ranks lower.

    Args:
        one: the item that is not on the list.
        picks: the list.
        profile: has the interests.

    Returns:
        Its keyword; None where the quota is not the cause.
    """
    interest = one.candidate.interest
    if interest is None or not picks or one.rank > max(pick.rank for pick in picks):
        return None
    taken = sum(pick.candidate.interest == interest for pick in picks)
    return interest if taken >= interest_quotas(profile, len(picks)).get(interest, taken + 1) else None


def duplicate_key(item: Item) -> tuple[str, ...]:
    """Equal for duplicates: kind, normalised title, and year."""
    return (item.kind, normalised_title(item.title), str(item.attributes.get("year", "")))


def normalised_title(title: str) -> str:
    """The words of a title (NFKC, case folded): equal where only case, width and punctuation differ."""
    folded = unicodedata.normalize("NFKC", title).casefold()
    return " ".join(_WORD.findall(folded)) or folded
