"""The signals of the ranking: one function for each, and `SIGNAL_TABLE`, which names them.

A new signal is a function of `SignalInputs`, a row of `SIGNAL_TABLE`, a weight in `ranking.toml`, its name and hint
in the message catalogue (`report.signals`, `report.signal_hints`), and a row in docs/tuning.md;
tests/agent/ranking/test_signals.py compares these places.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...models.embedder import Vectors
from ...models.records import Interest, Item
from ...vectorstore import Catalogue, Engagement
from ..profile import History, Query, interest_vectors
from .selection import published

Values = NDArray[np.float64]

_COMMON = 0.01  # a keyword in more items than this share of the catalogue ...
_FEW_ITEMS = 10  # ... and in more than so many is too common to be a match
_NEAR = 0.04  # squared similarity from which on an item belongs to an interest at all
_HISTORY_ITEMS = 50
_SOFTNESS = 4.0  # towards 0 the mean, towards infinity the maximum
_UNSEEN = 0.2  # users that an item without any counts as
_LEXICAL_EVENTS = 10
_ENGAGEMENT_ITEMS = 20


@dataclass(frozen=True)
class SignalInputs:
    """What the signals of some items are computed from."""

    items: Sequence[Item]
    query: Query
    catalogue: Catalogue
    engagement: Engagement

    @cached_property
    def ids(self) -> list[str]:
        """The ids of the items."""
        return [item.id for item in self.items]

    @cached_property
    def vectors(self) -> Vectors:
        """Centred unit vectors, (items, dimensions)."""
        return self.catalogue.vectors(self.ids)

    @cached_property
    def liked(self) -> list[str]:
        """The latest items of the history with a positive weight, oldest first."""
        return self.query.history.liked_items[-_ENGAGEMENT_ITEMS:]

    @cached_property
    def matches(self) -> tuple[Values, list[int | None]]:
        """`interest_matches` of the items."""
        return interest_matches(self.catalogue, self.items, self.vectors, self.query)


def interest(inputs: SignalInputs) -> Values:
    """Weight times match of the interest that fits best, 0 to 1: see `interest_matches`."""
    return inputs.matches[0]


def history(inputs: SignalInputs) -> Values:
    """Similarity to the items of the history: see `history_similarity`."""
    return history_similarity(inputs.vectors, inputs.query.history)


def lexical(inputs: SignalInputs) -> Values:
    """BM25 of the item for the words of the last 10 positive events (Robertson and Zaragoza 2009, section 3)."""
    entries = [entry for entry in inputs.query.history.entries if entry.weight > 0][-_LEXICAL_EVENTS:]
    words = " ".join(entry.line for entry in entries)
    return np.asarray(inputs.catalogue.word_scores(words, inputs.ids), np.float64)


def engagement(inputs: SignalInputs) -> Values:
    """Similarity of the item to the liked ones in the SVD of what users use one after another."""
    return inputs.engagement.similar(inputs.liked, inputs.ids).astype(np.float64)


def co_engagement(inputs: SignalInputs) -> Values:
    """How often other users used the item soon before or after the liked ones."""
    return inputs.engagement.cooccurrence(inputs.liked, inputs.ids).astype(np.float64)


def popularity(inputs: SignalInputs) -> Values:
    """log(0.2 + users), where a user counts less the longer ago they used the item."""
    return np.log(_UNSEEN + inputs.engagement.trend(inputs.ids).astype(np.float64))


def recency(inputs: SignalInputs) -> Values:
    """-log(1 + age in days) by `published`; the mean of the others where an item has none."""
    now = inputs.query.now
    if now is None:
        return np.zeros(len(inputs.items))
    moments = [published(item, now) for item in inputs.items]
    ages = [np.nan if moment is None else (now - moment).total_seconds() / 86_400 for moment in moments]
    values: Values = -np.log1p(np.maximum(0.0, np.array(ages)))
    return np.where(np.isnan(values), np.nanmean(values) if not np.isnan(values).all() else 0.0, values)


def request(inputs: SignalInputs) -> Values:
    """Cosine similarity to the request plus its BM25 divided by the largest; 0 without a request."""
    words = inputs.query.request
    if not words:
        return np.zeros(len(inputs.items))
    dense = np.maximum(0.0, inputs.vectors @ inputs.catalogue.embed([words])[0])
    lexical_scores = np.asarray(inputs.catalogue.word_scores(words, inputs.ids), np.float64)
    largest = max(float(lexical_scores.max(initial=0.0)), 1e-9)
    return np.asarray(dense + lexical_scores / largest, np.float64)


def negative(inputs: SignalInputs) -> Values:
    """How much nearer the best match among disliked items is than that among liked ones; 0 if it is not."""
    past = inputs.query.history
    disliked = [at for at, entry in enumerate(past.entries) if entry.weight < 0 and entry.content]
    if not disliked:
        return np.zeros(len(inputs.items))
    against = (inputs.vectors @ past.vectors[disliked].T).max(axis=1)
    liked = _positive(past)
    support = (inputs.vectors @ past.vectors[liked].T).max(axis=1) if liked else np.zeros(len(against))
    return np.asarray(np.maximum(0.0, against - np.maximum(support, 0.0)), np.float64)


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of the ranking.

    `values` gives one number per item. A `collaborative` signal rests on other users' events and counts less while
    they are few. One `for_new_topics` also ranks items of topics that are new to the user.
    """

    values: Callable[[SignalInputs], Values]
    collaborative: bool = False
    for_new_topics: bool = False


MODEL = "model"
"""The signal of the language model, which scores the best few only: see `Ranker`."""

SIGNAL_TABLE: Mapping[str, Signal] = {
    "interest": Signal(interest),
    "history": Signal(history),
    "lexical": Signal(lexical),
    "engagement": Signal(engagement, collaborative=True, for_new_topics=True),
    "co_engagement": Signal(co_engagement, collaborative=True, for_new_topics=True),
    "popularity": Signal(popularity, collaborative=True, for_new_topics=True),
    "recency": Signal(recency, for_new_topics=True),
    "request": Signal(request, for_new_topics=True),
    "negative": Signal(negative, for_new_topics=True),
}
"""Every signal that is computed without the model, by the name that weights, messages and reports use."""

SIGNALS = (*SIGNAL_TABLE, MODEL)
"""The names of all signals."""


def interest_matches(
    catalogue: Catalogue, items: Sequence[Item], vectors: Vectors, query: Query
) -> tuple[Values, list[int | None]]:
    """Weight times match of the positive interest that fits each item best, and which interest that is.

    The match is the squared cosine similarity: what is twice as near counts for more than an interest of twice
    the weight. A keyword that very many items contain ("game") is no match. An item nearest to a muted
    interest is assigned to that one.

    Args:
        catalogue: counts the items that contain a keyword.
        items: the items to match.
        vectors: theirs, (items, dimensions), centred and of unit length.
        query: has the profile and the history that its interests rest on.

    Returns:
        The values, (items,), 0 to 1, and for each item the place of its interest in the profile, or None.
    """
    interests = query.profile.positive
    if not interests:
        return np.zeros(len(items)), [None] * len(items)
    places = [at for at, one in enumerate(query.profile.interests) if one.polarity == "positive"]
    similarity = np.maximum(0.0, vectors @ interest_vectors(query.profile, query.history)[places].T) ** 2
    most = max(_FEW_ITEMS, _COMMON * len(catalogue))
    common = {one.keyword for one in interests if catalogue.items_with(one.keyword) > most}
    muted = [at for at, one in enumerate(interests) if one.muted]
    values, matched = [], []
    for item, row in zip(items, similarity.tolist(), strict=True):
        value, which = interest_score(interests, item.content, row, common)
        nearest = int(np.argmax(row))
        if nearest in muted and row[nearest] >= _NEAR:
            which = nearest
        values.append(value)
        matched.append(None if which is None else places[which])
    return np.array(values), matched


def interest_score(
    interests: Sequence[Interest],
    text: str,
    similarity: Sequence[float] | None = None,
    common: Collection[str] = (),
) -> tuple[float, int | None]:
    """The largest weight times match over the interests.

    Args:
        interests: positive ones.
        text: of the item; a keyword that it contains as words is a match of 1.
        similarity: the match, 0 to 1, of each interest whose keyword the text does not contain; without it 0.
        common: keywords that are too common to be a match.

    Returns:
        The value, and the place of the interest that gives it; None where nothing matches.
    """
    folded = text.casefold()
    best, which = 0.0, None
    for place, candidate in enumerate(interests):
        contained = candidate.keyword not in common and _contains(folded, candidate.keyword.casefold())
        match = 1.0 if contained else max(0.0, similarity[place] if similarity is not None else 0.0)
        if candidate.weight * match > best:
            best, which = candidate.weight * match, place
    return best, which


def _contains(text: str, words: str) -> bool:
    """Whether a text has these words; in the Latin script not as a part of longer ones (tea in team)."""
    if words not in text:
        return False
    before = r"(?<![a-z0-9])" if re.match(r"[a-z0-9]", words) else ""
    after = r"(?![a-z0-9])" if re.search(r"[a-z0-9]$", words) else ""
    return re.search(f"{before}{re.escape(words)}{after}", text) is not None


def history_similarity(vectors: Vectors, history: History) -> Values:
    """The soft maximum of the similarities to the last 50 positive events; later ones count more.

    log(sum(w x exp(4 x similarity)) / sum(w)) / 4, with w = 1 / sqrt(1 + how many come after). N@10 on games by
    text alone (4,000 users): 64.7; the mean of the three best reaches 63.3, the mean of all 62.1.

    Args:
        vectors: of the items, (items, dimensions), centred and of unit length.
        history: the events, whose vectors are of the same kind.

    Returns:
        (items,), each -1 to 1; 0 where the history has no positive event.
    """
    places = _positive(history)
    if not places:
        return np.zeros(len(vectors))
    similarity = (vectors @ history.vectors[places[-_HISTORY_ITEMS:]].T).astype(np.float64)
    weights = 1 / np.sqrt(np.arange(similarity.shape[1], 0, -1))
    return np.asarray(
        np.log(np.exp(_SOFTNESS * similarity) @ weights / weights.sum()) / _SOFTNESS, np.float64
    )


def _positive(history: History) -> list[int]:
    return [at for at, entry in enumerate(history.entries) if entry.weight > 0 and entry.content]


def standardised(values: Values) -> Values:
    """The values with mean 0 and standard deviation 1; all 0 where they do not differ.

    Args:
        values: (items,).

    Returns:
        (items,), in the same order.
    """
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 1e-12 else np.zeros(len(values))
