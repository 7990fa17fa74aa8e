"""What the ranking would be without a thing of the history: recomputed, never guessed.

"Without X" means that the user had nothing to do with X: all events about it count no more, as if their
owner had forgotten them (`ownership.without`). The candidates stay the same, other users' events stay, and
interests keep their names as far as they rest on the same events, since what a model would call them then
is not what the user did.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ...models.records import Candidate, Counterfactual, Interest, Item, Profile, Ranked, Run
from ...prompts import Prompts
from ...vectorstore import Progress
from ..profile import History, Query, apply_edits, build_profile, pinned_events, without_events, without_muted
from ..ranking import Ranker, exhausted_interest, select
from ..run_trace import RunTrace
from ..store import Edit

Made = TypeVar("Made", bound=Run)


@dataclass(frozen=True)
class Ranking:
    """A ranking, and what it was made from.

    `candidates` are in the order in which the ranker got them, `history` is as it was read, before muted
    interests were silenced, and `edits` are what the owner changed. `n` were picked, if any were, and nothing
    that says the same as an item in `used`.
    """

    ranker: Ranker
    candidates: Sequence[Candidate]
    query: Query
    ranked: Sequence[Ranked]
    history: History
    edits: Sequence[Edit] = ()
    model_scores: int = 0
    used: Sequence[Item] = ()
    n: int = 0

    def things(self, events: Collection[str]) -> dict[str, list[str]]:
        """The things that these events are about, in order: for each, the ids of all events about it."""
        wanted = [entry for entry in self.history.entries if entry.event.id in set(events)]
        keys = {entry.event.id: entry.key for entry in wanted}
        found: dict[str, list[str]] = {keys[one]: [] for one in events if one in keys}
        for entry in self.history.entries:
            if entry.key in found:
                found[entry.key].append(entry.event.id)
        return found

    def without(self, events: Collection[str], prompts: Prompts) -> Query:
        """What would be ranked for if these events counted no more."""
        history = without_events(self.history, events)
        old = self.query.profile
        found = build_profile(
            old.user, history, old.language, RunTrace(None), prompts, kept=pinned_events(self.edits)
        )
        profile = apply_edits(with_names(found, old), self.edits)
        return replace(self.query, history=without_muted(history, profile), profile=profile)


@dataclass(frozen=True)
class _Without:
    """The ranks without one thing, by item; `picks` are the list for `profile`, `by_model` if the model counts."""

    ranks: dict[str, Ranked]
    picks: Sequence[Ranked]
    profile: Profile
    by_model: bool


def with_counterfactuals(
    run: Made,
    made: Ranking,
    trace: RunTrace,
    prompts: Prompts,
    progress: Progress | None = None,
    *,
    by_model: bool = True,
) -> Made:
    """The run with a statement for each thing that a reason cites; `trace` is the one it was made with.

    None for picks that are new for the user: they are in no ranking with the others.
    """
    cited = [
        (pick.item.id, () if pick.new_for_you else pick.explanation.evidence) for pick in run.recommendations
    ]
    stated = counterfactuals(made, cited, trace, prompts, progress, by_model=by_model)
    picks = tuple(
        pick.model_copy(update={"counterfactual": found})
        for pick, found in zip(run.recommendations, stated, strict=True)
    )
    used = {"calls": tuple(trace.calls), "seconds": trace.seconds, "notes": tuple(trace.notes)}
    return run.model_copy(update={"recommendations": picks, **used})


def counterfactuals(
    made: Ranking,
    cited: Sequence[tuple[str, Sequence[str]]],
    trace: RunTrace,
    prompts: Prompts,
    progress: Progress | None = None,
    *,
    by_model: bool = True,
) -> list[tuple[Counterfactual, ...]]:
    """For each item with the events that its reason cites: where it stood without each thing of these.

    One ranking per thing, however many items cite it. The model's likelihood is asked for again only where
    one of these items is among the `model_scores` first without it, for below them it changes nothing. If
    the model took no part in `made`, `trace` has none, or it is not to count, both ranks are those of the
    other signals.
    """
    before = {one.candidate.item.id: one for one in made.ranked}
    things = {item: made.things(events) for item, events in cited}
    asking: dict[str, list[str]] = {}
    for item, found in things.items():
        for key in found:
            asking.setdefault(key, []).append(item)
    after: dict[str, _Without] = {}
    with trace.stage("counterfactuals"):
        for done, (key, items) in enumerate(asking.items()):
            if progress:
                progress(done, len(asking))
            asked = items if by_model else ()
            after[key] = _ranked_without(made, things[items[0]][key], asked, trace, prompts)
    if progress:
        progress(len(asking), len(asking))
    return [
        tuple(
            _difference(next(one for one in events if one in things[item][key]), before[item], after[key])
            for key in things[item]
        )
        for item, events in cited
    ]


def _ranked_without(
    made: Ranking, events: Collection[str], items: Collection[str], trace: RunTrace, prompts: Prompts
) -> _Without:
    """The ranking without these events; the model counts if there is one, and it is asked about items."""
    query = made.without(events, prompts)
    ranked = made.ranker.rank(made.candidates, query, RunTrace(None), prompts, 0)
    took_part = any(one.rank_without_model is not None for one in made.ranked)
    by_model = bool(items) and trace.model is not None and took_part
    reached = any(one.candidate.item.id in items and one.rank <= made.model_scores for one in ranked)
    if by_model and reached:
        with trace.within("counterfactuals") as inner:
            ranked = made.ranker.rank(made.candidates, query, inner, prompts, made.model_scores)
        by_model = any(one.rank_without_model is not None for one in ranked)
    picks = select(ranked, query.profile, made.used, made.n) if made.n else ()
    return _Without({one.candidate.item.id: one for one in ranked}, picks, query.profile, by_model)


def _difference(event: str, before: Ranked, after: _Without) -> Counterfactual:
    now = after.ranks[before.candidate.item.id]
    rank, score = before.rank, before.score
    if not after.by_model and before.rank_without_model is not None:
        rank, score = before.rank_without_model, before.score - before.signals["model"]
    picked = now.candidate.item.id in {one.candidate.item.id for one in after.picks}
    return Counterfactual(
        event=event,
        rank_before=rank,
        rank_after=now.rank,
        score_before=score,
        score_after=now.score,
        by_model=after.by_model,
        picked=picked,
        share_of=None if picked else exhausted_interest(now, after.picks, after.profile),
    )


def with_names(found: Profile, old: Profile) -> Profile:
    """A profile whose interests are called what those of `old` are with which they share most events."""
    overlaps = sorted(
        (
            (-len(set(one.evidence) & set(other.evidence)), place, at)
            for place, one in enumerate(found.interests)
            for at, other in enumerate(old.interests)
            if one.polarity == other.polarity and set(one.evidence) & set(other.evidence)
        )
    )
    names: dict[int, Interest] = {}
    used: set[int] = set()
    for _, place, at in overlaps:
        if place not in names and at not in used:
            names[place] = old.interests[at]
            used.add(at)
    taken = {one.keyword.casefold() for one in names.values()}
    interests = []
    for place, one in enumerate(found.interests):
        if place in names:
            known = names[place]
            update = {name: getattr(known, name) for name in ("keyword", "theme", "confidence", "named_by")}
            interests.append(one.model_copy(update=update))
            continue
        keyword, number = one.keyword, 2
        while keyword.casefold() in taken:
            keyword, number = f"{one.keyword} · {number}", number + 1
        taken.add(keyword.casefold())
        interests.append(one.model_copy(update={"keyword": keyword}))
    return found.model_copy(update={"interests": tuple(interests)})


__all__ = ["Ranking", "counterfactuals", "with_counterfactuals", "with_names"]
