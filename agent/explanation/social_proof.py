"""Social proof: how many co-users engaged with the pick too, as a second sentence of a reason.

It stands where engagement signals raise the pick's score, which a sentence about its text cannot explain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...models.records import Item, Language, Ranked
from ..messages import messages_for
from ..store import Memory, Took
from .templates import HistoryItem

MIN_CO_USERS = 5
"""Fewer co-users than this are not mentioned: a small number could identify a person."""

_MIN_SHARE = 0.2
_ENGAGEMENT_SIGNALS = ("engagement", "co_engagement")


@dataclass(frozen=True, slots=True)
class CoUserCount:
    """How many other users engaged with a history item (`all`), and how many of these with the pick (`also`)."""

    cited: HistoryItem
    all: int
    also: int

    def sentence(self, language: Language) -> str:
        """The counts in one sentence."""
        words = messages_for(language, "explanation")
        verb, name = words.lookup("verbs", self.cited.took_verb), self.cited.name(language)
        return words.say("co_users", all=self.all, also=self.also, verb=verb, name=name)


class CoUsers:
    """Counts the users who engaged with the same items as one user."""

    def __init__(self, memory: Memory, user: str) -> None:
        """Read counts from `memory`; `user` is not counted."""
        self._memory = memory
        self._user = user
        self._known: dict[tuple[str, Took], frozenset[str]] = {}

    def of(self, pick: Ranked, cited: Sequence[HistoryItem]) -> CoUserCount | None:
        """The cited item whose users engaged with the pick most often.

        Returns:
            None where the engagement signals do not raise the pick's score, or where fewer than five co-users,
            or less than a fifth of them, engaged with both.
        """
        if sum(pick.signals.get(name, 0.0) for name in _ENGAGEMENT_SIGNALS) <= 0:
            return None
        counts = [self._count(pick.candidate.item, history) for history in cited if history.strongest.item]
        enough = [count for count in counts if count.also >= max(MIN_CO_USERS, _MIN_SHARE * count.all)]
        return max(enough, key=lambda count: count.also / count.all, default=None)

    def _count(self, item: Item, cited: HistoryItem) -> CoUserCount:
        theirs = self._users(cited.strongest.item.id if cited.strongest.item else "", cited.took)
        return CoUserCount(cited, len(theirs), len(theirs & self._users(item.id, cited.took)))

    def _users(self, item: str, took: Took) -> frozenset[str]:
        key = (item, took)
        if key not in self._known:
            self._known[key] = frozenset(self._memory.users_of(item, took) - {self._user})
        return self._known[key]


__all__ = ["MIN_CO_USERS", "CoUserCount", "CoUsers"]
