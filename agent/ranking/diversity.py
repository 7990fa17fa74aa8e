"""Selection: from a ranking to a calibrated list, without duplicates under several ids."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from ...models.records import Item, Profile, Ranked

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
