"""The interest profile: events are grouped by meaning, weighted by counting, and named by the model.

The evidence of an interest is true by construction, since the model never chooses it. It only names: all
groups in one parallel batch, bound by a grammar; its probability of the name is the confidence.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from ...models.embedder import Vectors
from ...models.records import Horizon, Interest, Language, Polarity, Profile
from ...prompts import Prompts
from ..run_trace import RunTrace
from ..store import NameCache
from .clustering import EventCluster, cluster_events
from .history import History
from .interest_naming import InterestName, name_clusters

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

    Weights sum to 1 over the interests of a polarity. Deterministic for the same events and model, so a
    `known` profile of the same fingerprint is that profile, and groups whose names are known (`names`) are
    not named again. Of many groups the lightest are left out, unless they rest on an event in `kept`.
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
    """The heaviest groups, and those further ones that rest on an event to be kept."""
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
    """Recent if its median event is among the last third of the history, else lasting.

    Events of equal time share their mean place.
    """
    places: dict[object, list[int]] = {}
    for place, entry in enumerate(history.entries):
        places.setdefault(entry.event.time or place, []).append(place)
    mean = {place: sum(same) / len(same) for same in places.values() for place in same}
    middle = float(np.median([mean[place] for place in one.places]))
    return "recent" if middle >= (1 - _RECENT_EVENTS) * (len(history) - 1) else "lasting"


def interest_vectors(profile: Profile, history: History) -> Vectors:
    """One unit vector per interest, in order: the weighted mean of its events; (interests, dimensions).

    Where none of its events counts (a muted interest), their plain mean.
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


def summarise(interests: Sequence[Interest], language: Language) -> str:
    """One sentence over the whole profile.

    A template: the default model, shown these names, wrote the same list back, and took two seconds for it.
    """
    told = [one for one in interests if not one.muted]
    liked = _apart(one.keyword for one in told if one.polarity == "positive")[:3]
    avoided = _apart(one.keyword for one in told if one.polarity == "negative")[:2]
    if language == "zh":
        parts = [
            f"主要关注{'、'.join(liked)}" if liked else "",
            f"不太喜欢一些{'、'.join(avoided)}" if avoided else "",
        ]
        return "；".join(part for part in parts if part) + "。" if liked or avoided else "还没有足够的行为。"
    parts = [
        f"Mostly drawn to {_listed(liked)}" if liked else "",
        f"turned down some {_listed(avoided)}" if avoided else "",
    ]
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}." if text else "Not enough events yet."


def _apart(names: Iterable[str]) -> list[str]:
    """The names without those that only a mark tells from one before (space · comet after space)."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.partition(" · ")[0], name)
    return list(found.values())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


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


__all__ = [
    "EventCluster",
    "InterestName",
    "build_profile",
    "cluster_events",
    "interest_vectors",
    "name_clusters",
    "summarise",
]
