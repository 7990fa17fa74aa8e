"""Retrieval: several channels search the catalogue, and rank fusion makes them one pool of candidates."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...models.embedder import Vectors
from ...models.records import Candidate, Profile
from ...vectorstore import Catalogue, Engagement
from ..profile import History, interest_vectors

RANK_CONSTANT = 60
"""k of the formula; 60 is the value of the paper."""


def reciprocal_rank_fusion(rankings: Iterable[Iterable[tuple[str, float]]]) -> list[str]:
    """The items of all rankings, the largest sum of 1 / (60 + rank) first (ranks from 1).

    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods", SIGIR 2009, section 2. Scores are not compared, so the rankings may be on different scales.

    Args:
        rankings: lists of (item id, score), best first; only the order counts.

    Returns:
        Item ids, each once, best first; ties by id.
    """
    fused: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (item, _) in enumerate(ranking, 1):
            fused[item] += 1 / (RANK_CONSTANT + rank)
    return sorted(fused, key=lambda item: (-fused[item], item))


_RECENT = 3
_LATEST = "recent"
_WORDS_FROM = 10

Hits = list[tuple[str, float]]


class Retriever:
    """Retrieves candidates of one catalogue for one user; every channel is a list of (item id, score), best first."""

    def __init__(
        self,
        catalogue: Catalogue,
        engagement: Engagement,
        history: History,
        profile: Profile,
        where: Mapping[str, object] | None = None,
    ) -> None:
        """Retrieve for one user.

        Args:
            catalogue: is searched.
            engagement: what other users used; may be empty.
            history: of the user; its items are never retrieved.
            profile: its positive interests are searched for.
            where: a filter that holds in every channel.
        """
        self._catalogue = catalogue
        self._engagement = engagement
        self._history = history
        self._profile = profile
        self._where = where
        self._exclude = history.consumed

    def retrieve(self, request: str, n: int, *, at_least: int = 0) -> list[Candidate]:
        """The candidates by fused rank; deterministic.

        Args:
            request: words that are searched for beside the history; may be empty.
            n: how many at most.
            at_least: where the channels have fewer, other items that pass the filter follow in order of their ids.

        Returns:
            At most `n` candidates, best first, each with its scores by channel.
        """
        channels = self._all(request, n)
        scores: dict[str, dict[str, float]] = {}
        for name, hits in channels.items():
            for item, score in hits:
                scores.setdefault(item, {})[name] = score
        best = reciprocal_rank_fusion(channels.values())[:n]
        if len(best) < at_least:
            others = set(self._catalogue.matching(self._where)) - self._exclude - set(best)
            best += sorted(others)[: n - len(best)]
        found = ((item, scores.get(item.id, {})) for item in self._catalogue.get(best))
        return [Candidate(item=item, channels=own, interest=self._interest(own)) for item, own in found]

    def _all(self, request: str, n: int) -> dict[str, Hits]:
        channels: dict[str, Hits] = {}
        names, directions = self._directions()
        found = self._catalogue.search_many(directions, n // 2, exclude=self._exclude, where=self._where)
        channels |= zip(names, found, strict=True)
        recent = channels.pop(_LATEST, [])
        channels["words"] = self._words(self._recent_words(), n // 2)
        channels[_LATEST] = recent
        channels |= self._collaborative(n, popular=not request or len(self._history) == 0)
        if request:
            channels["request"] = self._similar(request, n)
            channels["request words"] = self._words(request, n)
        return {name: hits for name, hits in channels.items() if hits}

    def _recent_words(self) -> str:
        entries = [entry for entry in self._history.entries if entry.weight > 0][-_WORDS_FROM:]
        names = [one.keyword for one in self._profile.positive if not one.muted]
        return " ".join([*names, *(entry.title for entry in entries)])

    def _words(self, text: str, n: int) -> Hits:
        return self._catalogue.search_words(text, n, exclude=self._exclude, where=self._where)

    def _similar(self, text: str, n: int) -> Hits:
        vector = self._catalogue.embed([text])[0]
        return self._catalogue.search(vector, n, exclude=self._exclude, where=self._where)

    def _directions(self) -> tuple[list[str], Vectors]:
        """The dense channels: every positive interest, and the mean of the last liked items.

        Returns:
            Their names and query vectors, (channels, dimensions): they are searched in one call, which costs as much as
            five single searches.
        """
        interests = self._profile.interests
        places = [place for place, one in enumerate(interests) if one.polarity == "positive" and one.weight]
        names = [f"interest:{interests[place].keyword}" for place in places]
        latest = [at for at, entry in enumerate(self._history.entries) if entry.weight > 0][-_RECENT:]
        parts = [interest_vectors(self._profile, self._history)[places]] if places else []
        if latest:
            names.append(_LATEST)
            parts.append(self._history.vectors[latest].mean(axis=0)[None])
        width = self._catalogue.embedder.dimensions
        return names, np.concatenate(parts) if parts else np.zeros((0, width), np.float32)

    def _collaborative(self, n: int, *, popular: bool) -> dict[str, Hits]:
        """The collaborative channels, with a single call for which of their items are in the catalogue and pass."""
        liked, known = self._history.liked_items, self._engagement
        found = {
            "engagement": known.neighbours(liked, n, exclude=self._exclude),
            "co_engagement": known.neighbours(liked, n, exclude=self._exclude, by="pairs"),
        }
        if popular:
            found["popular"] = known.popular(n // 4, exclude=self._exclude)
        every = {item for hits in found.values() for item, _ in hits}
        allowed = self._catalogue.passing(every, self._where)
        return {name: [hit for hit in hits if hit[0] in allowed] for name, hits in found.items()}

    def _interest(self, scores: Mapping[str, float]) -> str | None:
        """The interest whose channel scores the item highest."""
        found = {
            name.removeprefix("interest:"): score
            for name, score in scores.items()
            if name.startswith("interest:")
        }
        return max(found, key=lambda name: found[name]) if found else None


def as_candidates(catalogue: Catalogue, ids: Sequence[str]) -> list[Candidate]:
    """The items of these ids as candidates, without retrieval."""
    return [Candidate(item=item, channels={}) for item in catalogue.get(ids)]
