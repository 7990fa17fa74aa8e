"""What all users' events say together, computed once per state of the events and kept beside them."""

from pathlib import Path

from ..models.errors import CatalogueError
from ..vectorstore.catalogue import Catalogue
from ..vectorstore.engagement import Engagement
from .ledger import Ledger
from .memory import Memory

_FILE = "engagement.npz"
_VERSION = "engagement.version"


def engagement_of(memory: Memory, catalogue: Catalogue, home: Path, ledger: Ledger) -> Engagement:
    """The engagement of all users' present events: from its file if that is of this state, else built.

    Building takes about a second per 100,000 events.
    """
    path = home / _FILE
    state = f"{memory.version} {catalogue.fingerprint}"
    if memory.meta(_VERSION) == state and path.is_file():
        try:
            return Engagement.load(path)
        except CatalogueError:
            ledger.note(f"{path} was damaged and has been built again")
    with ledger.stage("engagement"):
        histories = [items for _, items in memory.all_sequences()]
        built = Engagement.build(histories, catalogue.ids())
        try:
            built.save(path)
        except OSError as error:
            ledger.note(f"{path} cannot be written ({error.strerror}): it will be built again each time")
        else:
            memory.set_meta(_VERSION, state)
    return built


def forget_engagement(memory: Memory, home: Path) -> None:
    """Remove what was counted over all users; the next run counts those who are left."""
    (home / _FILE).unlink(missing_ok=True)
    memory.set_meta(_VERSION, "")
