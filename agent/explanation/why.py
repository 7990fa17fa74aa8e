"""Why this, and why not that: told from the signal values of a run, with no model.

What was kept away is told too: by which dislike, by which filter, or because it was used before.
"""

from ...models.errors import NotFoundError
from ...models.records import HistoryEvent, Item, Recommendation, Run
from ...prompts import clean
from ...vectorstore.filters import compile_where
from ..recommender import Recommender
from .exclusions import is_pushed, pushed_down
from .groundedness import bare
from .why_records import KeptAway, Part, Standing, Why
from .why_text import told

_KEPT_AWAY_SHOWN = 5
_TITLES = 50  # how many hits of its words are looked at for a title


def why(recommender: Recommender, user: str, item: str, not_: str | None = None) -> Why:
    """Why `item` is or is not recommended to `user`, and why it and not the item `not_`.

    Told from the user's last run if that still holds, else from a new one.

    Raises:
        NotFoundError: the user or an item is unknown.
    """
    found = [_item(recommender, one) for one in (item, not_) if one is not None]
    run = _run(recommender, user)
    standings = [_standing(recommender, run, one) for one in found]
    other = standings[1] if len(standings) > 1 else None
    difference = _difference(standings[0], other) if other else ()
    kept = tuple(kept_away(recommender, run))[:_KEPT_AWAY_SHOWN]
    return Why(
        user=run.user,
        language=run.profile.language,
        item=standings[0],
        other=other,
        difference=difference,
        kept_away=kept,
        text=told(run, standings, difference, kept),
    )


def kept_away(recommender: Recommender, run: Run) -> list[KeptAway]:
    """The candidates that what was turned down keeps from the picks, by the rank they would have."""
    return [
        KeptAway(
            item=one.candidate.item,
            rank_before=before,
            rank=one.rank,
            event=_turned_down(recommender, run, one.candidate.item),
        )
        for before, one in pushed_down(run)
    ]


def _item(recommender: Recommender, wanted: str) -> Item:
    """The item of this id, or else of this title."""
    catalogue = recommender.catalogue
    found = catalogue.get([wanted])
    if not found:
        ids = [one for one, _ in catalogue.search_words(wanted, _TITLES)]
        found = [item for item in catalogue.get(ids) if bare(item.title) == bare(wanted)]
    if not found:
        name = clean(wanted, 80)
        msg = f"the catalogue has no item {name!r}: give an id or a whole title, as `tanqu recommend` prints"
        raise NotFoundError(msg)
    return found[0]


def _run(recommender: Recommender, user: str) -> Run:
    """The last run of the user, unless events, changes or the catalogue are newer."""
    last = recommender.memory.last_run(user)
    if last is not None:
        known = {event.id for event in recommender.memory.events(user)}
        edits = recommender.memory.edits(user)
        same = known == {event.id for event in last.history} and all(
            one.created < last.created for one in edits
        )
        if same and last.fingerprints.get("catalogue") == recommender.catalogue.fingerprint:
            return last
    return recommender.recommend(user)


def _standing(recommender: Recommender, run: Run, item: Item) -> Standing:
    new = next((pick for pick in run.recommendations if pick.item.id == item.id and pick.new_for_you), None)
    if new:
        return _apart(new)
    ranked = next((one for one in run.candidates if one.candidate.item.id == item.id), None)
    if ranked is None:
        return _absent(recommender, run, item)
    place = next((pick.rank for pick in run.recommendations if pick.item.id == item.id), None)
    muted = {one.keyword for one in run.profile.interests if one.muted}
    interest = ranked.candidate.interest
    pushed = _turned_down(recommender, run, item) if is_pushed(ranked) else None
    return Standing(
        item=item,
        status="picked" if place else "muted" if interest in muted else "ranked",
        place=place,
        rank=ranked.rank,
        score=ranked.score,
        interest=interest,
        parts=tuple(Part(signal=name, value=value) for name, value in ranked.signals.items()),
        events=(pushed,) if pushed else (),
    )


def _apart(pick: Recommendation) -> Standing:
    """A pick that is new for the user: it stands in no ranking with the others."""
    return Standing(
        item=pick.item,
        status="new",
        place=pick.rank,
        score=pick.score,
        new_for_you=pick.new_for_you,
        parts=tuple(Part(signal=name, value=value) for name, value in pick.signals.items()),
    )


def _absent(recommender: Recommender, run: Run, item: Item) -> Standing:
    """Why an item is not even a candidate."""
    ids = {event.id for event in recommender.memory.events(run.user) if event.item == item.id}
    known = tuple(event for event in run.history if event.id in ids)
    if known:
        return Standing(item=item, status="seen", events=known)
    passes = compile_where(run.where)(item)
    return Standing(item=item, status="not found" if passes else "filtered")


def _turned_down(recommender: Recommender, run: Run, item: Item) -> HistoryEvent | None:
    """The event of a negative interest that is about what is most like the item."""
    wanted = {event for one in run.profile.negative for event in one.evidence}
    against = [event for event in recommender.memory.events(run.user) if event.id in wanted]
    known = [event for event in against if event.item is not None and event.item in recommender.catalogue]
    shown_ = {event.id: event for event in run.history}
    if not known:
        return next((shown_[event.id] for event in against if event.id in shown_), None)
    vectors = recommender.catalogue.vectors([item.id, *(str(event.item) for event in known)])
    nearest = known[int((vectors[1:] @ vectors[0]).argmax())]
    return shown_.get(nearest.id)


def _difference(first: Standing, second: Standing) -> tuple[Part, ...]:
    """What each signal adds to the first more than to the second, the largest first; empty if one has none."""
    if first.rank is None or second.rank is None:
        return ()
    ours, theirs = ({part.signal: part.value for part in one.parts} for one in (first, second))
    names = dict.fromkeys((*ours, *theirs))
    parts = [Part(signal=name, value=ours.get(name, 0.0) - theirs.get(name, 0.0)) for name in names]
    return tuple(sorted(parts, key=lambda part: -abs(part.value)))


__all__ = ["KeptAway", "Part", "Standing", "Why", "kept_away", "why"]
