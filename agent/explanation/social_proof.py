"""What others did who did the same: a second sentence of a reason, counted and never guessed.

It stands where the events of others speak for a pick, which no sentence about the item's text can say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...models.records import Item, Language, Ranked
from ..messages import quoted
from ..store import Memory, Took
from .templates import Thing

MIN_OTHERS = 5
"""Fewer others than this are not told of: a small number could point at somebody."""

_MIN_SHARE = 0.2
_BY_OTHERS = ("engagement", "co_engagement")


@dataclass(frozen=True, slots=True)
class Company:
    """Of `all` other users who took to a thing of the history in the same way, `also` took to the pick."""

    thing: Thing
    all: int
    also: int

    def told(self, language: Language) -> str:
        """One sentence."""
        name = quoted(self.thing.first.title, self.thing.first.item, language)
        did = self.thing.took_verb(language)
        if language == "zh":
            return f"{did}{name}的另外{self.all}人里，有{self.also}人也{did}它。"
        return f"Of the {self.all} others who {did} {name}, {self.also} {did} this one too."


class CoUsers:
    """EngagementCache what all users but one took to."""

    def __init__(self, memory: Memory, user: str) -> None:
        """`user` is the one who is not counted."""
        self._memory = memory
        self._user = user
        self._known: dict[tuple[str, Took], frozenset[str]] = {}

    def of(self, pick: Ranked, things: Sequence[Thing]) -> Company | None:
        """The thing whose users took to the pick most often; None if others do not speak for the pick.

        That is where their signals do not raise its score, fewer than five took to both, or less than a fifth
        of those who took to the thing.
        """
        if sum(pick.signals.get(name, 0.0) for name in _BY_OTHERS) <= 0:
            return None
        found = [self._company(pick.candidate.item, thing) for thing in things if thing.first.item]
        told = [one for one in found if one.also >= max(MIN_OTHERS, _MIN_SHARE * one.all)]
        return max(told, key=lambda one: one.also / one.all, default=None)

    def _company(self, item: Item, thing: Thing) -> Company:
        theirs = self._users(thing.first.item.id if thing.first.item else "", thing.took)
        return Company(thing, len(theirs), len(theirs & self._users(item.id, thing.took)))

    def _users(self, item: str, took: Took) -> frozenset[str]:
        key = (item, took)
        if key not in self._known:
            self._known[key] = frozenset(self._memory.users_of(item, took) - {self._user})
        return self._known[key]


__all__ = ["MIN_OTHERS", "Company", "CoUsers"]
