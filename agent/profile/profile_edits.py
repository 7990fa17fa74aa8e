"""Edits that users make to their profile: mute, pin, rename and forget, applied to every version that is built.

An edit refers to an interest by its keyword and its evidence. So it survives new events and other clusters: it
applies to the interest that holds most of that evidence now.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
from pydantic import JsonValue

from ...models.errors import InputError, NotFoundError
from ...models.records import Interest, Profile, Record
from ...models.text import clean
from ..store import Edit, EditKind
from .history import History, HistoryEntry
from .interest_naming import summarise

PIN_FLOOR = 0.25
"""The least weight of a pinned interest, or an equal share where many are pinned."""

_MAX_KEYWORD = 40
Payload = dict[str, JsonValue]


def find_interest(profile: Profile, wanted: str) -> Interest:
    """The interest of this name, or the only one whose name contains it, or of this number (from 1).

    Returns:
        The interest as the profile has it.

    Raises:
        NotFoundError: there is none, or several.
    """
    folded = " ".join(wanted.split()).casefold()
    names = [one.keyword.casefold() for one in profile.interests]
    found = [place for place, name in enumerate(names) if name == folded]
    found = found or [place for place, name in enumerate(names) if folded and folded in name]
    if not found and folded.isdecimal() and 1 <= int(folded) <= len(names):
        found = [int(folded) - 1]
    if len(found) != 1:
        known = ", ".join(one.keyword for one in profile.interests) or "none"
        msg = (
            f"{len(found)} interests of {profile.user!r} are called {clean(wanted, 60)!r}; there are: {known}"
        )
        raise NotFoundError(msg)
    return profile.interests[found[0]]


def edit_payload(profile: Profile, kind: EditKind, wanted: str, new: str = "") -> Payload:
    """The payload that stores an edit, for `Memory.add_edit`; a forgotten interest is stored without its words.

    Args:
        profile: has the interest.
        kind: of the edit.
        wanted: the interest, as `find_interest` takes it.
        new: for a rename, the new name.

    Returns:
        The evidence, with the keyword and the new name where the kind needs them.

    Raises:
        NotFoundError: there is no such interest.
        InputError: the new name is empty or is that of another interest.
    """
    interest = find_interest(profile, wanted)
    evidence: Payload = {"evidence": list(interest.evidence)}
    if kind == "forget":
        return evidence
    if kind != "rename":
        return {"keyword": interest.keyword, **evidence}
    name = clean(new, _MAX_KEYWORD)
    others = {one.keyword.casefold() for one in profile.interests if one is not interest}
    if not name or name.casefold() in others:
        msg = f"the name {name!r} is {'taken by another interest' if name else 'empty'}: give another one"
        raise InputError(msg)
    return {"keyword": interest.keyword, **evidence, "to": name}


def forgotten_events(edits: Iterable[Edit]) -> frozenset[str]:
    """The ids of the events of forgotten interests."""
    return frozenset(event for edit in edits if edit.kind == "forget" for event in _evidence(edit))


def pinned_events(edits: Iterable[Edit]) -> frozenset[str]:
    """The ids of the events whose interests are to stay in the profile."""
    return frozenset(event for edit in edits if edit.kind == "pin" for event in _evidence(edit))


def without_events(history: History, events: Collection[str]) -> History:
    """The history in which these events have no weight and no content; their items still count as seen."""
    gone = [place for place, entry in enumerate(history.entries) if entry.event.id in events]
    if not gone:
        return history
    left = np.ones(len(history), np.float32)
    left[gone] = 0.0
    entries = list(history.entries)
    for place in gone:
        entries[place] = HistoryEntry(entries[place].event, None, 0.0, "")
    words = history.words.multiply(left[:, None]).tocsr()
    return replace(history, entries=tuple(entries), vectors=history.vectors * left[:, None], words=words)


def without_muted(history: History, profile: Profile) -> History:
    """The history in which the events of muted interests weigh 0; their content stays."""
    muted = {event for one in profile.interests if one.muted for event in one.evidence}
    if not muted:
        return history
    entries = (replace(one, weight=0.0) if one.event.id in muted else one for one in history.entries)
    return replace(history, entries=tuple(entries))


def apply_edits(profile: Profile, edits: Sequence[Edit]) -> Profile:
    """The profile with a user's edits applied, in their order; deterministic.

    Returns:
        A profile in which muted interests weigh 0, pinned ones at least `PIN_FLOOR` (or an equal share), and the
        weights of the positive interests sum to 1 unless all of them are muted.
    """
    interests = list(profile.interests)
    changed = False
    for edit in edits:
        for place in _places(edit, interests) if edit.kind != "forget" else ():
            interests[place] = _changed(interests[place], edit, interests)
            changed = True
    if not changed:
        return profile
    told = "".join(edit.model_dump_json() for edit in edits)
    digest = hashlib.sha256(f"{profile.fingerprint}|{told}".encode(errors="replace"))
    return _with(profile, interests).model_copy(update={"fingerprint": digest.hexdigest()[:12]})


def without_interests(profile: Profile, events: Collection[str]) -> Profile:
    """The profile without the interests that any of these events supports."""
    left = [one for one in profile.interests if not set(one.evidence) & set(events)]
    if len(left) == len(profile.interests):
        return profile
    return _with(profile, left)


class InterestChange(Record):
    """The weight of an interest in two versions of a profile; None where a version lacks it."""

    keyword: str
    before: float | None
    after: float | None
    before_keyword: str | None = None


def compare_profiles(before: Profile | None, after: Profile | None) -> tuple[InterestChange, ...]:
    """What differs between two versions of a profile.

    Interests are the same where they share evidence, whatever they are called.

    Returns:
        The changes, the largest change of weight first.
    """
    old = list(before.interests) if before else []
    changes: list[InterestChange] = []
    for one in after.interests if after else ():
        shared = [len(set(other.evidence) & set(one.evidence)) for other in old]
        same = old.pop(int(np.argmax(shared))) if any(shared) else None
        if same is None or (same.keyword, same.weight) != (one.keyword, one.weight):
            changes.append(
                InterestChange(
                    keyword=one.keyword,
                    before=same.weight if same else None,
                    after=one.weight,
                    before_keyword=same.keyword if same and same.keyword != one.keyword else None,
                )
            )
    changes += [InterestChange(keyword=one.keyword, before=one.weight, after=None) for one in old]
    return tuple(sorted(changes, key=lambda one: -abs((one.after or 0.0) - (one.before or 0.0))))


def _with(profile: Profile, interests: Sequence[Interest]) -> Profile:
    weighed = _weighed(interests, "positive") + _weighed(interests, "negative")
    return profile.model_copy(
        update={"interests": tuple(weighed), "summary": summarise(weighed, profile.language)}
    )


def _evidence(edit: Edit) -> list[str]:
    """The events of an edit; an imported one may hold anything."""
    found = edit.payload.get("evidence")
    return [event for event in found if isinstance(event, str)] if isinstance(found, list) else []


def _places(edit: Edit, interests: Sequence[Interest]) -> list[int]:
    """The places of the interests that an edit applies to.

    Returns:
        The one with most of the edit's evidence, for a mute all that consist mostly of it; by name where none has any.
    """
    events = set(_evidence(edit))
    held = [len(events & set(one.evidence)) for one in interests]
    if not any(held):
        name = str(edit.payload.get("keyword", "")).casefold()
        return [place for place, one in enumerate(interests) if one.keyword.casefold() == name][:1]
    best = held.index(max(held))
    if edit.kind != "mute":
        return [best]
    mostly = {place for place, one in enumerate(interests) if 2 * held[place] >= len(one.evidence)}
    return sorted(mostly | {best})


def _changed(interest: Interest, edit: Edit, all_: Sequence[Interest]) -> Interest:
    if edit.kind == "mute":
        return interest.model_copy(update={"muted": True, "pinned": False})
    if edit.kind == "pin":
        return interest.model_copy(update={"pinned": True, "muted": False})
    name = clean(str(edit.payload.get("to", "")), _MAX_KEYWORD) or interest.keyword
    taken = {one.keyword.casefold() for one in all_ if one is not interest}
    number, free = 2, name
    while free.casefold() in taken:
        free, number = f"{name} · {number}", number + 1
    return interest.model_copy(update={"keyword": free, "confidence": 1.0, "named_by": "owner"})


def _weighed(interests: Sequence[Interest], polarity: str) -> list[Interest]:
    """The interests of a polarity, heaviest first, with weights that respect mutes and pins."""
    own = [one for one in interests if one.polarity == polarity]
    live = [one for one in own if not one.muted]
    shares = _shares([one.weight for one in live], [one.pinned for one in live])
    result = [one.model_copy(update={"weight": share}) for one, share in zip(live, shares, strict=True)]
    result.sort(key=lambda one: -one.weight)
    return result + [one.model_copy(update={"weight": 0.0}) for one in own if one.muted]


def _shares(weights: Sequence[float], pinned: Sequence[bool]) -> list[float]:
    """The weights as shares of 1, no pinned one below the floor: the others make room in proportion."""
    total = sum(weights)
    shares = [weight / total if total else 1 / len(weights) for weight in weights]
    floor = min(PIN_FLOOR, 1 / max(1, len(weights)) if all(pinned) else 1 / (1 + sum(pinned)))
    low = {at for at, share in enumerate(shares) if pinned[at] and share < floor}
    while low:
        rest = sum(share for at, share in enumerate(shares) if at not in low)
        room = max(0.0, 1.0 - floor * len(low))
        fitted = [floor if at in low else share / rest * room for at, share in enumerate(shares)]
        further = {at for at, share in enumerate(fitted) if pinned[at] and share < floor - 1e-12} - low
        if not further:
            return [min(1.0, share) for share in fitted]
        low |= further
    return [min(1.0, share) for share in shares]
