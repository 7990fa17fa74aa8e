"""Counterfactuals: the ranking without an item of the history, recomputed by the ranker itself.

"Without X" removes all events about X from the history, as if the user had forgotten them. The candidates and
the other users' events stay the same. Interests keep their names where they rest on the same events, so that
the difference is due to the events and not to a new name.
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

AnyRun = TypeVar("AnyRun", bound=Run)


@dataclass(frozen=True)
class RankingSnapshot:
    """A ranking with its inputs, so that it can be recomputed without some events.

    `candidates` are in the order in which the ranker got them, `history` is as it was read, before muted
    interests were silenced, and `edits` are the user's of the profile. The model scored the first
    `model_scores`. `n` candidates were picked (0: none were), without duplicates of the items in `used`.
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

    def history_items(self, events: Collection[str]) -> dict[str, list[str]]:
        """The history items that these events are about, in order: by key, the ids of all events about each."""
        keys = {entry.event.id: entry.key for entry in self.history.entries}
        items: dict[str, list[str]] = {keys[event]: [] for event in events if event in keys}
        for entry in self.history.entries:
            if entry.key in items:
                items[entry.key].append(entry.event.id)
        return items

    def without(self, events: Collection[str], prompts: Prompts) -> Query:
        """The query without these events: history and profile are rebuilt, interests keep their names."""
        history = without_events(self.history, events)
        old = self.query.profile
        rebuilt = build_profile(
            old.user, history, old.language, RunTrace(None), prompts, kept=pinned_events(self.edits)
        )
        profile = apply_edits(with_names(rebuilt, old), self.edits)
        return replace(self.query, history=without_muted(history, profile), profile=profile)


@dataclass(frozen=True)
class _RankingWithout:
    """The ranking without one history item: by item id, and the list picked from it for `profile`.

    `by_model` says whether the model's likelihood is among its signals.
    """

    ranks: dict[str, Ranked]
    picks: Sequence[Ranked]
    profile: Profile
    by_model: bool


def with_counterfactuals(
    run: AnyRun,
    ranking: RankingSnapshot,
    trace: RunTrace,
    prompts: Prompts,
    progress: Progress | None = None,
    *,
    by_model: bool = True,
) -> AnyRun:
    """The run with a counterfactual for each history item that a reason cites.

    Picks of new topics get none: they are not ranked with the others.

    Args:
        run: a run.
        ranking: the ranking that the run was made from.
        trace: the trace of the run; what is recomputed is added to it.
        prompts: the templates of the prompts.
        progress: called with the rankings done and their total.
        by_model: whether the model's likelihood is recomputed too.

    Returns:
        A copy of the run.
    """
    cited = [
        (pick.item.id, () if pick.new_for_you else pick.explanation.evidence) for pick in run.recommendations
    ]
    stated = counterfactuals(ranking, cited, trace, prompts, progress, by_model=by_model)
    picks = tuple(
        pick.model_copy(update={"counterfactual": statements})
        for pick, statements in zip(run.recommendations, stated, strict=True)
    )
    used = {"calls": tuple(trace.calls), "seconds": trace.seconds, "notes": tuple(trace.notes)}
    return run.model_copy(update={"recommendations": picks, **used})


def counterfactuals(
    ranking: RankingSnapshot,
    cited: Sequence[tuple[str, Sequence[str]]],
    trace: RunTrace,
    prompts: Prompts,
    progress: Progress | None = None,
    *,
    by_model: bool = True,
) -> list[tuple[Counterfactual, ...]]:
    """Where items would rank without each history item that their reasons cite.

    There is one ranking per history item, however many reasons cite it. The model's likelihood is recomputed
    only where a citing item is among the `model_scores` first without it: below them it changes nothing. If
    the model took no part in `ranking`, `trace` has no model, or `by_model` is off, both ranks are those of
    the other signals.

    Args:
        ranking: the ranking to recompute.
        cited: pairs of an item's id and the ids of the events that its reason cites.
        trace: the trace of the run, with its model.
        prompts: the templates of the prompts.
        progress: called with the rankings done and their total.
        by_model: whether the model's likelihood is recomputed too.

    Returns:
        For each pair of `cited`, in order, one counterfactual per history item.
    """
    before = {ranked.candidate.item.id: ranked for ranked in ranking.ranked}
    history_items = {item: ranking.history_items(events) for item, events in cited}
    citing: dict[str, list[str]] = {}
    for item, keys in history_items.items():
        for key in keys:
            citing.setdefault(key, []).append(item)
    after: dict[str, _RankingWithout] = {}
    with trace.stage("counterfactuals"):
        for done, (key, items) in enumerate(citing.items()):
            if progress:
                progress(done, len(citing))
            scored = items if by_model else ()
            after[key] = _ranked_without(ranking, history_items[items[0]][key], scored, trace, prompts)
    if progress:
        progress(len(citing), len(citing))
    return [
        tuple(
            _difference(next(event for event in events if event in ids), before[item], after[key])
            for key, ids in history_items[item].items()
        )
        for item, events in cited
    ]


def _ranked_without(
    ranking: RankingSnapshot,
    events: Collection[str],
    items: Collection[str],
    trace: RunTrace,
    prompts: Prompts,
) -> _RankingWithout:
    """The ranking without these events; the model scores again if `items` are among the first."""
    query = ranking.without(events, prompts)
    ranked = ranking.ranker.rank(ranking.candidates, query, RunTrace(None), prompts, 0)
    took_part = any(ranked.rank_without_model is not None for ranked in ranking.ranked)
    by_model = bool(items) and trace.model is not None and took_part
    reached = any(other.candidate.item.id in items and other.rank <= ranking.model_scores for other in ranked)
    if by_model and reached:
        with trace.within("counterfactuals") as inner:
            ranked = ranking.ranker.rank(ranking.candidates, query, inner, prompts, ranking.model_scores)
        by_model = any(other.rank_without_model is not None for other in ranked)
    picks = select(ranked, query.profile, ranking.used, ranking.n) if ranking.n else ()
    return _RankingWithout(
        {other.candidate.item.id: other for other in ranked}, picks, query.profile, by_model
    )


def _difference(event: str, before: Ranked, after: _RankingWithout) -> Counterfactual:
    now = after.ranks[before.candidate.item.id]
    rank, score = before.rank, before.score
    if not after.by_model and before.rank_without_model is not None:
        rank, score = before.rank_without_model, before.score - before.signals["model"]
    picked = now.candidate.item.id in {pick.candidate.item.id for pick in after.picks}
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


def with_names(profile: Profile, named: Profile) -> Profile:
    """The profile with its interests named as those of another with which they share most events.

    Args:
        profile: a rebuilt profile.
        named: the profile whose names are kept; each name is used once.

    Returns:
        A copy; an interest that shares no events keeps its own name, numbered where that is taken.
    """
    overlaps = sorted(
        (-len(set(ours.evidence) & set(theirs.evidence)), place, at)
        for place, ours in enumerate(profile.interests)
        for at, theirs in enumerate(named.interests)
        if ours.polarity == theirs.polarity and set(ours.evidence) & set(theirs.evidence)
    )
    matches: dict[int, Interest] = {}
    used: set[int] = set()
    for _, place, at in overlaps:
        if place not in matches and at not in used:
            matches[place] = named.interests[at]
            used.add(at)
    taken = {interest.keyword.casefold() for interest in matches.values()}
    interests = []
    for place, interest in enumerate(profile.interests):
        if place in matches:
            fields = ("keyword", "theme", "confidence", "named_by")
            update = {field: getattr(matches[place], field) for field in fields}
        else:
            update = {"keyword": _unused(interest.keyword, taken)}
            taken.add(update["keyword"].casefold())
        interests.append(interest.model_copy(update=update))
    return profile.model_copy(update={"interests": tuple(interests)})


def _unused(keyword: str, taken: Collection[str]) -> str:
    """The keyword, with the first number that makes it differ from those that are taken."""
    name, number = keyword, 2
    while name.casefold() in taken:
        name, number = f"{keyword} · {number}", number + 1
    return name


__all__ = ["RankingSnapshot", "counterfactuals", "with_counterfactuals", "with_names"]
