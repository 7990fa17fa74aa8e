"""The user profile: events are clustered by meaning, weighted by counting, and named by the model.

The evidence of an interest is true by construction, since the model never chooses it. It only names the clusters, in
one batch constrained by a grammar; its probability of the name is the confidence.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ...models.embedder import Vectors
from ...models.records import Event, Horizon, Interest, Language, Polarity, Profile
from ...models.text import language_of
from ...prompts import Prompts
from ...vectorstore import Catalogue
from ..run_trace import RunTrace
from ..settings import Settings
from ..store import Edit, Memory, NameCache
from .clustering import EventCluster, cluster_events
from .event_weights import newest_time
from .history import History, Query, read_history
from .interest_naming import InterestName, name_clusters, summarise
from .profile_edits import apply_edits, forgotten_events, pinned_events, without_events, without_muted

MAX_INTERESTS = 8
MAX_NEGATIVE = 3
_RECENT_EVENTS = 0.3  # an interest is recent if its median event lies in this last part of the history


def build_profile(
    user: str,
    history: History,
    language: Language,
    trace: RunTrace,
    prompts: Prompts,
    known: Profile | None = None,
    *,
    names: NameCache | None = None,
    kept: Collection[str] = (),
) -> Profile:
    """The profile that the events support; without events it is empty.

    Deterministic for the same events and model.

    Args:
        user: whose profile it is.
        history: the events.
        language: of the names and the summary.
        trace: has the model, if there is one, and records calls and notes.
        prompts: the template that asks for a name.
        known: an earlier profile; returned as it is where nothing that it depends on has changed.
        names: cache of names of clusters; without it every cluster is named anew.
        kept: ids of events whose interests stay even where they are not among the heaviest 8 (negative: 3).

    Returns:
        Interests, positive ones first, heaviest first; the weights of each polarity sum to 1.
    """
    fingerprint = _fingerprint(history, language, trace, prompts)
    if known is not None and known.fingerprint == fingerprint and not (trace.model and _is_nameless(known)):
        _note_plain_names(known.interests, trace)
        return known
    with trace.stage("profile"):
        groups = _chosen(history, cluster_events(history, "positive"), MAX_INTERESTS, kept)
        groups += _chosen(history, cluster_events(history, "negative"), MAX_NEGATIVE, kept)
        named = name_clusters(user, history, groups, language, trace, prompts, names)
    interests = _interests(history, groups, named)
    _note_plain_names(interests, trace)
    return Profile(
        user=user,
        interests=interests,
        summary=summarise(interests, language),
        language=language,
        fingerprint=fingerprint,
    )


def _chosen(
    history: History, groups: list[EventCluster], most: int, kept: Collection[str]
) -> list[EventCluster]:
    """The heaviest clusters, and of the others those with an event to be kept."""
    rest = [one for one in groups[most:] if any(history.entries[at].event.id in kept for at in one.places)]
    return groups[:most] + rest


def _is_nameless(profile: Profile) -> bool:
    """Whether the model has failed to name anything in it: another attempt may do better."""
    return bool(profile.interests) and all(one.named_by == "template" for one in profile.interests)


def _note_plain_names(interests: Sequence[Interest], trace: RunTrace) -> None:
    plain = [one.keyword for one in interests if one.named_by == "template"]
    if plain:
        trace.note("plain_names" if trace.model else "plain_names_no_model", names=plain)


def _interests(
    history: History, groups: Sequence[EventCluster], names: Sequence[InterestName]
) -> tuple[Interest, ...]:
    totals: dict[Polarity, float] = {"positive": 0.0, "negative": 0.0}
    for one in groups:
        totals[one.polarity] += one.weight
    return tuple(
        Interest(
            keyword=name.keyword,
            theme=name.theme,
            weight=min(1.0, one.weight / totals[one.polarity]),
            confidence=min(1.0, name.confidence),
            evidence=tuple(dict.fromkeys(history.entries[place].event.id for place in one.places)),
            polarity=one.polarity,
            horizon=_horizon(history, one),
            named_by=name.by,
        )
        for one, name in zip(groups, names, strict=True)
    )


def _horizon(history: History, one: EventCluster) -> Horizon:
    """Recent if its median event is in the last 30 percent of the history, else lasting; equal times share a place."""
    places: dict[object, list[int]] = {}
    for place, entry in enumerate(history.entries):
        places.setdefault(entry.event.time or place, []).append(place)
    mean = {place: sum(same) / len(same) for same in places.values() for place in same}
    middle = float(np.median([mean[place] for place in one.places]))
    return "recent" if middle >= (1 - _RECENT_EVENTS) * (len(history) - 1) else "lasting"


def interest_vectors(profile: Profile, history: History) -> Vectors:
    """The centroid of each interest: the weighted mean of its events, or their plain mean where all weigh 0.

    Returns:
        (interests, dimensions), unit rows in the order of the profile.
    """
    places = history.by_id()
    rows = np.zeros((len(profile.interests), history.vectors.shape[1]), np.float32)
    for row, interest in zip(rows, profile.interests, strict=True):
        found = [places[one] for one in interest.evidence if one in places]
        weights = [abs(history.entries[place].weight) for place in found]
        for place, weight in zip(found, weights, strict=True):
            row += (weight if any(weights) else 1.0) * history.vectors[place]
        row /= max(float(np.linalg.norm(row)), 1e-9)
    return rows


def _fingerprint(history: History, language: Language, trace: RunTrace, prompts: Prompts) -> str:
    """12 hex digits over everything the profile depends on: events, contents, weights, model, wording."""
    model = trace.model.fingerprint if trace.model else "none"
    digest = hashlib.sha256(f"{model}|{language}|{prompts.fingerprint(language)}".encode())
    told = [
        f"{entry.event.model_dump_json()}|{entry.weight:.9f}|{entry.content}" for entry in history.entries
    ]
    for one in sorted(told):
        digest.update(one.encode(errors="replace"))
    return digest.hexdigest()[:12]


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

    def load(self, user: str) -> StoredUser:
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
        return {event.id: event.text for event in self.history(self.load(user)).shown()}

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
