"""From a ranking to a list: no interest takes more than its share, nothing comes twice under two ids."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from ..models.records import Item, Profile, Ranked

_WORD = re.compile(r"[\w+#]+")  # C, C++ and C# are three things


def select(ranked: Sequence[Ranked], profile: Profile, used: Iterable[Item], n: int) -> list[Ranked]:
    """At most `n` of the ranked, in their order; nothing that says the same as an item in `used`.

    An interest of weight w gets at most ceil(n * w) places and never fewer than one (calibration to the
    profile, Steck 2018, in its simplest form); what was passed over fills places that stay empty. Items
    that say the same as one already chosen are dropped, and so are those of a muted interest.
    """
    weights = {one.keyword: one.weight for one in profile.positive}
    muted = {one.keyword for one in profile.positive if one.muted}
    seen = {same_thing(item) for item in used}
    taken: Counter[str] = Counter()
    chosen: list[Ranked] = []
    waiting: list[Ranked] = []
    for one in ranked:
        if len(chosen) == n:
            break
        mark = same_thing(one.candidate.item)
        if mark in seen or one.candidate.interest in muted:
            continue
        seen.add(mark)
        interest = one.candidate.interest
        if interest in weights and taken[interest] >= max(1, math.ceil(n * weights[interest])):
            waiting.append(one)
            continue
        taken[interest or ""] += 1
        chosen.append(one)
    filled = chosen + waiting[: n - len(chosen)]
    return sorted(filled, key=lambda one: one.rank)


def same_thing(item: Item) -> tuple[str, ...]:
    """Equal for items that are one thing: kind, words of the title, and year."""
    return (item.kind, same_words(item.title), str(item.attributes.get("year", "")))


def same_words(title: str) -> str:
    """The words of a title, equal for titles that differ in case, width and punctuation alone."""
    folded = unicodedata.normalize("NFKC", title).casefold()
    return " ".join(_WORD.findall(folded)) or folded
