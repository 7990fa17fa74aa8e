"""From a ranking to a list: no interest takes more than its share, nothing comes twice under two ids."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from ...models.records import Item, Profile, Ranked

_WORD = re.compile(r"[\w+#]+")  # C, C++ and C# are three things


def select(ranked: Sequence[Ranked], profile: Profile, used: Iterable[Item], n: int) -> list[Ranked]:
    """At most `n` of the ranked, in their order; nothing that says the same as an item in `used`.

    An interest gets at most its `places`; what was passed over fills places that stay empty. Items that
    say the same as one already chosen are dropped, and so are those of a muted interest.
    """
    room = interest_quotas(profile, n)
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
        if interest is not None and taken[interest] >= room.get(interest, n):
            waiting.append(one)
            continue
        taken[interest or ""] += 1
        chosen.append(one)
    filled = chosen + waiting[: n - len(chosen)]
    return sorted(filled, key=lambda one: one.rank)


def interest_quotas(profile: Profile, n: int) -> dict[str, int]:
    """How many of `n` places each interest may take: of weight w ceil(n * w), and never fewer than one.

    Calibration to the profile (Steck 2018) in its simplest form.
    """
    return {one.keyword: max(1, math.ceil(n * one.weight)) for one in profile.positive}


def exhausted_interest(one: Ranked, picks: Sequence[Ranked], profile: Profile) -> str | None:
    """The interest whose places on this list others took, so that one ranked before some of them is not on it."""
    interest = one.candidate.interest
    if interest is None or not picks or one.rank > max(pick.rank for pick in picks):
        return None
    taken = sum(pick.candidate.interest == interest for pick in picks)
    return interest if taken >= interest_quotas(profile, len(picks)).get(interest, taken + 1) else None


def duplicate_key(item: Item) -> tuple[str, ...]:
    """Equal for items that are one thing: kind, words of the title, and year."""
    return (item.kind, normalised_title(item.title), str(item.attributes.get("year", "")))


def normalised_title(title: str) -> str:
    """The words of a title, equal for titles that differ in case, width and punctuation alone."""
    folded = unicodedata.normalize("NFKC", title).casefold()
    return " ".join(_WORD.findall(folded)) or folded
