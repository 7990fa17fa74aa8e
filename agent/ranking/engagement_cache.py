"""The co-engagement statistics of all users, cached in memory and in a file, recomputed once enough events are new."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ...models.errors import CatalogueError
from ...vectorstore import Catalogue, Engagement
from ..run_trace import RunTrace
from ..store import Memory

STALE = 0.01
"""Share of new events (or items) from which on the cache is stale.

A user's own new events count at once, as their history; what they add to the statistics for others waits until one
event in a hundred is new. Removed events are out of it at once.
"""

_FILE = "engagement.npz"
_VERSION = "engagement.version"


@dataclass(frozen=True, slots=True)
class _State:
    """What the statistics cover: the event clock of the store, its removals, and the items of the catalogue."""

    clock: int
    removals: int
    items: int

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        parts = (text or "").split()
        return cls(*map(int, parts)) if len(parts) == 3 and all(map(str.isdecimal, parts)) else None

    def __str__(self) -> str:
        return f"{self.clock} {self.removals} {self.items}"

    def serves(self, now: "_State") -> bool:
        """Whether statistics of this state may still be used."""
        grown = (now.clock - self.clock, abs(now.items - self.items))
        few = (STALE * self.clock, STALE * self.items)
        return self.removals == now.removals and 0 <= grown[0] <= few[0] and grown[1] <= few[1]


class EngagementCache:
    """The engagement of all users of a home; the file serves the next process."""

    def __init__(self, memory: Memory, catalogue: Catalogue, home: Path) -> None:
        """Cache for one home.

        Args:
            memory: has the events.
            catalogue: has the items; events about others do not count.
            home: the folder of the file.
        """
        self._memory, self._catalogue = memory, catalogue
        self._path = home / _FILE
        self._held: tuple[_State, Engagement] | None = None

    def load(self, trace: RunTrace) -> Engagement:
        """The statistics of at least 99 percent of all events.

        Computing them takes one to ten seconds per 100,000 events, reading the file a tenth of a second.

        Returns:
            The engagement, which may be empty.
        """
        now = _State(self._memory.version, self._memory.removals, len(self._catalogue))
        kept = _State.parse(self._memory.meta(_VERSION))
        held = self._held
        if held is not None and held[0].serves(now) and kept == held[0]:
            return held[1]
        if kept is not None and kept.serves(now) and self._path.is_file():
            try:
                found = Engagement.load(self._path)
            except CatalogueError:
                trace.note("damaged", path=self._path)
            else:
                self._held = kept, found
                return found
        built = self._count(now, trace)
        self._held = now, built
        return built

    def _count(self, now: _State, trace: RunTrace) -> Engagement:
        with trace.stage("engagement"):
            histories = [items for _, items in self._memory.all_sequences()]
            used = {item for items in histories for item in items}
            built = Engagement.build(histories, sorted(self._catalogue.passing(used)))
            try:
                built.save(self._path)
            except OSError as error:
                trace.note("unwritable", path=self._path, error=error)
            else:
                self._memory.set_meta(_VERSION, str(now))
        return built


def clear_engagement(memory: Memory, home: Path) -> None:
    """Remove the cached statistics; the next run recomputes them from the events that are left."""
    (home / _FILE).unlink(missing_ok=True)
    memory.set_meta(_VERSION, "")


__all__ = ["STALE", "EngagementCache", "clear_engagement"]
