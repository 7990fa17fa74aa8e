"""The profiles of a home's users: built from their stored events, with their edits applied."""

from dataclasses import dataclass

from ...models.records import Event, Language, Profile
from ...models.text import language_of
from ...prompts import Prompts
from ...vectorstore import Catalogue
from ..run_trace import RunTrace
from ..settings import Settings
from ..store import Edit, Memory
from .event_weights import newest_time
from .history import History, read_history
from .profile_building import build_profile
from .profile_edits import apply_edits, forgotten_events, pinned_events, without_events, without_muted
from .query import Query

_TEXTS = 50  # so many say which language to answer in


@dataclass(frozen=True, slots=True)
class StoredUser:
    """What the store has of a user: events, edits of the profile, and its last version."""

    events: tuple[Event, ...]
    edits: tuple[Edit, ...]
    profile: Profile | None


class Profiles:
    """Reads histories and builds profiles; only `keep` stores anything."""

    def __init__(self, memory: Memory, catalogue: Catalogue, settings: Settings, prompts: Prompts) -> None:
        """Build profiles from these parts.

        Args:
            memory: the users' events, edits and profiles, and the cache of names.
            catalogue: has the items.
            settings: scenario, language and weights.
            prompts: the templates.
        """
        self._memory = memory
        self._catalogue = catalogue
        self._settings = settings
        self._prompts = prompts

    def known(self, user: str) -> StoredUser:
        """What the store has of a user."""
        return StoredUser(
            tuple(self._memory.events(user)), tuple(self._memory.edits(user)), self._memory.profile(user)
        )

    def history(self, known: StoredUser) -> History:
        """The user's history, in which events of forgotten interests weigh 0."""
        read = read_history(known.events, self._catalogue, self._settings)
        return without_events(read, forgotten_events(known.edits))

    def event_titles(self, user: str) -> dict[str, str]:
        """The title or words of each of a user's events, by event id."""
        return {event.id: event.text for event in self.history(self.known(user)).shown()}

    def keep(self, profile: Profile) -> None:
        """Save a profile as a new version if it is one."""
        if profile != self._memory.profile(profile.user):
            self._memory.save_profile(profile)

    def profile(
        self, user: str, history: History, request: str, trace: RunTrace, known: StoredUser | None = None
    ) -> Profile:
        """The profile of a history.

        Args:
            user: whose profile it is.
            history: their events.
            request: words that may decide the language; may be empty.
            trace: has the model, if there is one; its language becomes that of the profile.
            known: the user's stored record, whose edits are applied; None for one who is not in the store.

        Returns:
            The profile; it is not stored.
        """
        trace.language = language = self._language(history, request)
        unknown = sum(1 for entry in history.entries if entry.weight and not entry.content)
        if unknown:
            trace.note("unknown_items", n=unknown)
        if known is None:
            return build_profile(user, history, language, trace, self._prompts)
        found = build_profile(
            user,
            history,
            language,
            trace,
            self._prompts,
            known.profile,
            names=self._memory.names,
            kept=pinned_events(known.edits),
        )
        return apply_edits(found, known.edits)

    def query(
        self, user: str, history: History, request: str, trace: RunTrace, known: StoredUser | None = None
    ) -> Query:
        """What items are ranked for: the profile, the history without the weights of muted interests, the request.

        Args:
            user: whose query it is.
            history: their events; the newest is the present.
            request: what they ask for in words; may be empty.
            trace: as for `profile`.
            known: as for `profile`.

        Returns:
            The query.
        """
        profile = self.profile(user, history, request, trace, known)
        moment = newest_time([entry.event for entry in history.entries])
        return Query(without_muted(history, profile), profile, request, self._settings.scenario, moment)

    def _language(self, history: History, request: str) -> Language:
        if self._settings.language != "auto":
            return self._settings.language
        texts = [request] if request else [entry.content for entry in history.entries[-_TEXTS:]]
        if not any(texts):
            texts = [item.title for item in self._catalogue.get(self._catalogue.ids()[:_TEXTS])]
        return language_of(texts)
