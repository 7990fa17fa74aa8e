"""Exploration: items of topics that are new to the user and near to an interest.

Topics are clusters of the catalogue. Code selects those that qualify, the model orders the nearest by likelihood, and
their items are ranked apart, since similarity to the history says little about them.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np

from ...models.embedder import Vectors
from ...models.errors import InputError, ModelError
from ...models.records import Bridge, Candidate, Item, Ranked
from ...models.text import clean
from ...prompts import Prompts
from ..profile import Query, interest_vectors, name_clusters
from ..run_trace import RunTrace
from ..settings import Settings
from ..store import ALL_USERS, Memory
from .ranker import Ranker, total_scores
from .selection import duplicate_key
from .signals import SIGNAL_TABLE, Values, standardised
from .topics import Topics, as_groups, topics_of

_NEAR = 0.05  # below it, which interest is nearest is a matter of chance: sewing after sleep, pets after AI
_SAME = 0.5  # a topic this near to an interest is that interest, whatever of it was used
_FEW = 6  # topics that the model chooses among
_ITEMS = 50  # items of each that are ranked
_TYPICAL = 0.8  # how near to its middle what is typical of a topic is, to the mean of its items
_TOPIC_WEIGHT = 1.0


def exploration_count(n: int, explore: float) -> int:
    """How many of `n` picks explore: the nearest whole number, at least 1 where `explore` is above 0 and n above 1.

    Returns:
        0 to `n`.

    Raises:
        InputError: `explore` is not between 0 and 1.
    """
    if not 0 <= explore <= 1:  # also true of what is not a number
        msg = f"the share {explore} of new things cannot be used: give a number from 0 (none) to 1 (all)"
        raise InputError(msg)
    return max(int(n * explore + 0.5), 1 if explore and n > 1 else 0)


@dataclass(frozen=True, slots=True)
class _Field:
    """A topic that qualifies: its place, the nearest interest, closeness times sqrt(weight of that), its items."""

    place: int
    interest: str
    pull: float
    items: tuple[Item, ...]


class Explorer:
    """Selects exploration picks for the users of one home."""

    def __init__(self, ranker: Ranker, memory: Memory, prompts: Prompts, settings: Settings) -> None:
        """Explore the catalogue of a ranker.

        Args:
            ranker: scores the items of new topics.
            memory: stores the topics and their names.
            prompts: templates that name and order topics.
            settings: as for `read_history`.
        """
        self._ranker = ranker
        self._catalogue = ranker.catalogue
        self._memory = memory
        self._prompts = prompts
        self._settings = settings

    def explore(
        self,
        n: int,
        query: Query,
        used: Sequence[Item],
        where: Mapping[str, object] | None,
        trace: RunTrace,
    ) -> list[Ranked]:
        """Items of topics that are new to the user; a note says if there are fewer than `n`.

        Args:
            n: how many.
            query: the user's history and profile.
            used: items that must not return, nor their duplicates.
            where: a filter that holds for all of them.
            trace: has the model, if there is one, and records its calls.

        Returns:
            At most `n`, each with its bridge (`new_for_you`); `rank` is the place among them, from 1.
        """
        if n < 1:
            return []
        with trace.stage("exploration"):
            topics = topics_of(self._catalogue, self._memory)
            fields = sorted(self._fields(topics, query, where), key=lambda one: (-one.pull, one.place))
            bridges = self._bridges(topics, fields[:_FEW], query, trace)
            picks = self._best(n, topics, bridges, query, used)
        if len(picks) < n:
            trace.note("few_new", n=n, found=len(picks))
        return picks

    def _fields(self, topics: Topics, query: Query, where: Mapping[str, object] | None) -> Iterator[_Field]:
        """The topics that qualify: no event touches them, and they are near to a liked interest.

        Less near to any muted or disliked one, and not so near that they are that interest under another name.

        Yields:
            Each with its items for this user.
        """
        liked = [at for at, one in enumerate(query.profile.interests) if _is_liked(query, at) and one.weight]
        others = [at for at in range(len(query.profile.interests)) if not _is_liked(query, at)]
        if not liked or not len(topics):
            return
        near = topics.vectors @ _directions(topics, query).T
        touched = topics.touched(query.history)
        for place in range(len(topics)):
            closeness = float(near[place, liked].max())
            away = float(near[place, others].max()) if others else -1.0
            if place in touched or not max(_NEAR, away) < closeness < _SAME:
                continue
            items = self._items(topics, place, query.history.consumed, where)
            if items:
                interest = query.profile.interests[liked[int(near[place, liked].argmax())]]
                # As weights are saturated sums, so is their pull: one glance does not lead as far as a habit.
                yield _Field(place, interest.keyword, closeness * math.sqrt(interest.weight), items)

    def _items(
        self,
        topics: Topics,
        place: int,
        used: Collection[str],
        where: Mapping[str, object] | None,
    ) -> tuple[Item, ...]:
        """Items that pass and are typical of a topic: what lies at its edge may be taken for another's."""
        found = self._catalogue.search(topics.vectors[place], _ITEMS, exclude=used, where=where)
        ids = [item for item, _ in found]
        near = topics.of(self._catalogue.vectors(ids))
        least = _TYPICAL * topics.closeness[place]
        own = [item for (item, score), of in zip(found, near, strict=True) if of == place and score >= least]
        return tuple(self._catalogue.get(own))

    def _bridges(
        self, topics: Topics, fields: Sequence[_Field], query: Query, trace: RunTrace
    ) -> list[tuple[_Field, Bridge]]:
        """The fields with their names, best first: by their pull and, with a model, by its likelihood too."""
        if not fields:
            return []
        read, groups = as_groups(topics, [one.place for one in fields], self._catalogue, self._settings)
        named = name_clusters(
            ALL_USERS,
            read,
            groups,
            query.language,
            trace,
            self._prompts,
            self._memory.names,
            stage="exploration",
        )
        known = {one.keyword.casefold() for one in query.profile.interests}
        found = [
            (field, Bridge(interest=field.interest, topic=name.keyword, theme=name.theme))
            for field, name in zip(fields, named, strict=True)
            if name.keyword.casefold() not in known
        ]
        chosen = self._likelihoods([bridge.topic for _, bridge in found], query, trace)
        if chosen is None:
            return found
        # Equal parts: the model knows what goes together, the pull what this user would come from.
        both = chosen + standardised(np.array([field.pull for field, _ in found]))
        order = sorted(range(len(found)), key=lambda at: (-round(float(both[at]), 9), -chosen[at]))
        return [found[at] for at in order]

    def _likelihoods(self, names: Sequence[str], query: Query, trace: RunTrace) -> Values | None:
        """The model's log-likelihood of each topic given the interests, minus alpha times that given nothing.

        Returns:
            Standardised values, (topics,); None without a model, or with fewer than two topics.
        """
        if trace.model is None or len(names) < 2:
            return None
        liked = [one.keyword for one in query.profile.positive if not one.muted]
        owner, language = query.profile.user, query.language
        with_interests = self._prompts.render(
            "explore", language, owner=owner, lines=[clean(one) for one in liked]
        )
        alone = self._prompts.render("explore", language, lines=[])
        texts = [f" {name}" for name in names]
        try:
            given, prior = (trace.score("exploration", prompt, texts) for prompt in (with_interests, alone))
        except ModelError as error:
            trace.note("nearest_topics", error=error)
            return None
        alpha = self._ranker.weights.alpha
        return standardised(
            np.array([one.mean - alpha * by.mean for one, by in zip(given, prior, strict=True)])
        )

    def _best(
        self,
        n: int,
        topics: Topics,
        bridges: Sequence[tuple[_Field, Bridge]],
        query: Query,
        used: Sequence[Item],
    ) -> list[Ranked]:
        """The best item of each topic in turn, then the second best, until there are `n`."""
        seen = {duplicate_key(item) for item in used}
        items = {item.id: item for field, _ in bridges for item in field.items}
        places = {item.id: field.place for field, _ in bridges for item in field.items}
        of = {field.place: bridge for field, bridge in bridges}
        ranked = self._ranked(topics, places, list(items.values()), query)
        by_topic = [[one for one in ranked if places[one.candidate.item.id] == place] for place in of]
        picks: list[Ranked] = []
        for one in chain.from_iterable(zip_longest(*by_topic)):
            if one is None or len(picks) == n or duplicate_key(one.candidate.item) in seen:
                continue
            seen.add(duplicate_key(one.candidate.item))
            bridge = of[places[one.candidate.item.id]]
            candidate = one.candidate.model_copy(update={"new_for_you": bridge})
            picks.append(one.model_copy(update={"candidate": candidate, "rank": len(picks) + 1}))
        return picks

    def _ranked(
        self, topics: Topics, places: Mapping[str, int], items: Sequence[Item], query: Query
    ) -> list[Ranked]:
        """Rank items by similarity to their topic and the signals marked `for_new_topics`.

        Returns:
            Best first, without those that match a muted interest best.
        """
        if not items:
            return []
        vectors = self._catalogue.vectors([item.id for item in items])
        centres = topics.vectors[[places[item.id] for item in items]]
        match: Values = np.einsum("nd,nd->n", vectors, centres).astype(np.float64)
        raw, matched = self._ranker.signals(items, query)
        raw = {name: values for name, values in raw.items() if SIGNAL_TABLE[name].for_new_topics}
        parts = {"topic": _TOPIC_WEIGHT * standardised(match), **self._ranker.contributions(raw)}
        raw = {"topic": match, **raw}
        scores = total_scores(parts, len(items))
        order = sorted(range(len(items)), key=lambda at: (-scores[at], at))
        return [
            Ranked(
                candidate=Candidate(item=items[at], channels={"exploration": float(match[at])}),
                rank=rank,
                score=scores[at],
                signals={name: float(part[at]) for name, part in parts.items()},
                raw={name: float(values[at]) for name, values in raw.items()},
            )
            for rank, at in enumerate(order, 1)
            if not _is_muted(query, matched[at])
        ]


def _directions(topics: Topics, query: Query) -> Vectors:
    """A unit vector per interest, drawn towards the topic that it is of: a single event is near to much by chance."""
    vectors = interest_vectors(query.profile, query.history)
    own = topics.of(vectors)
    vectors[own >= 0] += topics.vectors[own[own >= 0]]
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)


def _is_liked(query: Query, place: int) -> bool:
    interest = query.profile.interests[place]
    return interest.polarity == "positive" and not interest.muted


def _is_muted(query: Query, place: int | None) -> bool:
    return place is not None and query.profile.interests[place].muted


__all__ = ["Explorer", "exploration_count"]
