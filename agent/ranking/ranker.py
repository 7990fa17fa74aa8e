"""Ranking: named signals, standardised over the candidates, weighted and added.

The language model is one signal among them, so a weak model moves the order by no more than its weight allows. It
scores the best few only.
"""

import hashlib
import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ...models.embedder import Vectors
from ...models.errors import InputError, ModelError
from ...models.records import Candidate, Interest, Item, Number, Profile, Ranked, Record
from ...models.text import clean
from ...prompts import Prompts
from ...vectorstore import Catalogue, Engagement
from ..profile import History, Query, interest_vectors
from ..run_trace import RunTrace
from ..settings import Settings
from ..store import Priors

Values = NDArray[np.float64]

SIGNALS = (
    "interest", "history", "lexical", "engagement", "co_engagement",
    "popularity", "recency", "request", "negative", "model",
)  # fmt: skip
_OF_OTHERS = frozenset({"engagement", "co_engagement", "popularity"})
_FEW_USERS = 20  # with so many users, what they do counts half
_AMONG_MANY = 0.2  # what is left of the model's weight where very many users are known
_COMMON = 0.01  # a keyword in more items than this share of the catalogue ...
_FEW_ITEMS = 10  # ... and in more than so many is too common to look for
_NEAR = 0.04  # the squared similarity from which on something is of an interest at all
_MATCHED = 50
_SOFT = 4.0  # 0 would be the mean, much more the maximum
_UNSEEN = 0.2  # users that an item without any counts as
_RECENT_WORDS = 10
_RECENT_ITEMS = 20
_PROMPT_EVENTS = 20
_TITLE_TOKENS = 130  # that a title of 120 characters may have, of common scripts


WEIGHTS_FILE = "ranking.toml"
"""What `tanqu tune` leaves in a home: weights that hold there in place of ours."""


class RankingWeights(Record):
    """The weight of each signal, and `alpha` (how much of the model's prior is taken off)."""

    alpha: Number = 0.3
    weights: dict[str, Number] = Field(default_factory=dict)
    provenance: str = ""

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change with any of the numbers."""
        numbers = sorted({**self.weights, "alpha": self.alpha}.items())
        return hashlib.sha256(repr(numbers).encode()).hexdigest()[:12]


def load_weights(path: Path | None = None) -> RankingWeights:
    """The weights in a TOML file; without a path, ours.

    Raises:
        InputError: the file cannot be read, or names a signal that does not exist.
    """
    source = path or files(__package__) / "ranking.toml"
    try:
        found = RankingWeights.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        msg = f"the signal weights in {source} cannot be used: {place}: {first['msg']}"
        raise InputError(msg) from error
    except (OSError, ValueError) as error:  # not there, not UTF-8, not TOML
        msg = f"the signal weights in {source} cannot be read: {error}"
        raise InputError(msg) from error
    unknown = set(found.weights) - set(SIGNALS)
    if unknown:
        msg = f"{source} has weights for unknown signals {sorted(unknown)}; known: {', '.join(SIGNALS)}"
        raise InputError(msg)
    return found


def weights_in_force(settings: Settings) -> tuple[RankingWeights, Path | None]:
    """The weights of an installation, and the file they are from: its settings', its home's, or None for ours.

    Raises:
        InputError: the file cannot be used.
    """
    own = settings.home / WEIGHTS_FILE
    path = settings.signal_weights or (own if own.is_file() else None)
    return load_weights(path), path


def interest_score(
    interests: Sequence[Interest],
    text: str,
    similarity: Sequence[float] | None = None,
    common: Collection[str] = (),
) -> tuple[float, int | None]:
    """The largest weight x match over the interests, and which interest that was (None if nothing matches).

    A keyword that the text contains as words is a match of 1, unless it is in `common`; else the match is
    the similarity (0 to 1).
    """
    folded = text.casefold()
    best, which = 0.0, None
    for place, interest in enumerate(interests):
        contained = interest.keyword not in common and _says(folded, interest.keyword.casefold())
        match = 1.0 if contained else max(0.0, similarity[place] if similarity is not None else 0.0)
        if interest.weight * match > best:
            best, which = interest.weight * match, place
    return best, which


def _says(text: str, words: str) -> bool:
    """Whether a text has these words; in the Latin script not as a part of longer ones (tea in team)."""
    if words not in text:
        return False
    before = r"(?<![a-z0-9])" if re.match(r"[a-z0-9]", words) else ""
    after = r"(?![a-z0-9])" if re.search(r"[a-z0-9]$", words) else ""
    return re.search(f"{before}{re.escape(words)}{after}", text) is not None


class Ranker:
    """Ranks candidates of one catalogue."""

    def __init__(
        self, catalogue: Catalogue, engagement: Engagement, weights: RankingWeights, priors: Priors
    ) -> None:
        """`priors` keeps the model's likelihood of each item given nothing."""
        self.catalogue = catalogue
        self.engagement = engagement
        self.weights = weights
        self._priors = priors

    def rank(
        self,
        candidates: Sequence[Candidate],
        query: Query,
        trace: RunTrace,
        prompts: Prompts,
        model_scores: int,
    ) -> list[Ranked]:
        """The candidates, each once, best first; ties by the order given.

        The model re-orders only the first `model_scores` of them. `signals` of each sum to its score.
        """
        if not candidates:
            return []
        with trace.stage("signals"):
            raw, interests = self.signals([one.item for one in candidates], query)
        parts = self.contributions(raw)
        scores = total_scores(parts, len(candidates))
        order = sorted(range(len(candidates)), key=lambda place: (-scores[place], place))
        before = {place: rank for rank, place in enumerate(order, 1)}
        scored = self._by_model(candidates, order[:model_scores], query, trace, prompts)
        if scored:
            raw["model"], parts["model"] = scored
            scores = total_scores(parts, len(candidates))
            order = sorted(range(len(candidates)), key=lambda place: (-scores[place], before[place]))
        return [
            Ranked(
                candidate=_matched(candidates[place], query.profile, interests[place]),
                rank=rank,
                score=scores[place],
                signals={name: float(part[place]) for name, part in parts.items()},
                raw={name: float(values[place]) for name, values in raw.items()},
                rank_without_model=before[place] if scored else None,
            )
            for rank, place in enumerate(order, 1)
        ]

    def signals(self, items: Sequence[Item], query: Query) -> tuple[dict[str, Values], list[int | None]]:
        """Raw values of every signal but the model's, one per item, and the interest each matches best.

        Signals that say nothing here (no request, no dislikes, no other users) are left out.
        """
        vectors = self.catalogue.vectors([item.id for item in items])
        ids = [item.id for item in items]
        history = query.history
        interest, matched = interest_matches(self.catalogue, items, vectors, query)
        recent = history.liked_items[-_RECENT_ITEMS:]
        found: dict[str, Values] = {
            "interest": interest,
            "history": history_similarity(vectors, history),
            "lexical": self._lexical(ids, history),
            "engagement": self.engagement.similar(recent, ids).astype(np.float64),
            "co_engagement": self.engagement.cooccurrence(recent, ids).astype(np.float64),
            "popularity": np.log(_UNSEEN + self.engagement.trend(ids).astype(np.float64)),
            "negative": _dislike(vectors, history),
            "recency": _recency(items, query),
        }
        if query.request:
            found["request"] = self._request(ids, vectors, query.request)
        return {name: values for name, values in found.items() if np.ptp(values) > 0}, matched

    def _lexical(self, ids: Sequence[str], history: History) -> Values:
        entries = [entry for entry in history.entries if entry.weight > 0][-_RECENT_WORDS:]
        words = " ".join(entry.line for entry in entries)
        return np.asarray(self.catalogue.word_scores(words, ids), np.float64)

    def _request(self, ids: Sequence[str], vectors: Vectors, request: str) -> Values:
        """Similarity to the request plus its words, each on a scale of 1."""
        dense = np.maximum(0.0, vectors @ self.catalogue.embed([request])[0])
        words = np.asarray(self.catalogue.word_scores(request, ids), np.float64)
        return np.asarray(dense + words / max(float(words.max(initial=0.0)), 1e-9), np.float64)

    @property
    def trust(self) -> float:
        """How far what other users do is relied on, 0 (there are none) to 1 (very many)."""
        return self.engagement.users / (self.engagement.users + _FEW_USERS)

    @property
    def model_share(self) -> float:
        """What counts of the model's weight, 1 without other users, less the more there are.

        A 1.5B model knows a catalogue less well than many people who used it: with all of its weight it costs
        0.7 points of N@10 on games where 50,000 others are known (230 users, interval 0.0 to 1.4).
        """
        return 1.0 - self.trust * (1.0 - _AMONG_MANY)

    def scaled(self, raw: Mapping[str, Values]) -> dict[str, Values]:
        """What is multiplied by the weights: standardised values, those of others less while they are few."""
        return {
            name: standardised(values) * (self.trust if name in _OF_OTHERS else 1.0)
            for name, values in raw.items()
        }

    def contributions(self, raw: Mapping[str, Values]) -> dict[str, Values]:
        """Weight times standardised value."""
        weights = {name: self.weights.weights.get(name, 0.0) for name in raw}
        return {name: weights[name] * values for name, values in self.scaled(raw).items() if weights[name]}

    def _by_model(
        self,
        candidates: Sequence[Candidate],
        chosen: Sequence[int],
        query: Query,
        trace: RunTrace,
        prompts: Prompts,
    ) -> tuple[Values, Values] | None:
        """Raw values and contributions of the model, for all candidates; None without the model.

        The contributions of the chosen begin at 0, which is what the others have: so the chosen stay
        ahead, and the sum of the signals is the score of either.
        """
        weight = self.weights.weights.get("model", 0.0)
        if trace.model is None or not weight or len(chosen) < 2:
            return None
        with trace.stage("model"):
            try:
                items = [candidates[place].item for place in chosen]
                given, alone = self.likelihoods(items, query, trace, prompts)
            except ModelError as error:
                trace.note("not_ranked", error=error)
                return None
        values = given - self.weights.alpha * alone
        parts = weight * self.model_share * standardised(values)
        raw, contributions = np.zeros(len(candidates)), np.zeros(len(candidates))
        raw[list(chosen)] = values
        contributions[list(chosen)] = parts - parts.min()
        return raw, contributions

    def likelihoods(
        self, items: Sequence[Item], query: Query, trace: RunTrace, prompts: Prompts
    ) -> tuple[Values, Values]:
        """Mean log-likelihood per token of each title given the history, and that alone. Needs a model."""
        titles = [f" {clean(item.title, 120)}" for item in items]
        prompt = trace.fit(
            "ranking",
            lambda lines: prompts.render(
                "likelihood",
                query.language,
                owner=query.profile.user,
                scenario=query.scenario,
                lines=lines,
                request=query.request,
            ),
            _told(query.history),
            _TITLE_TOKENS,
        )
        given = trace.score("ranking", prompt, titles)
        alone = self._priors.of(titles, query.language, query.scenario, trace, prompts)
        return np.array([one.mean for one in given]), alone


def _told(history: History) -> list[str]:
    """What the model is told of the history: the latest things taken well, oldest first, each once."""
    lines: dict[str, None] = {}
    for entry in reversed(history.entries):
        if entry.weight > 0 and entry.content:
            lines.setdefault(entry.title)
    return list(reversed(list(lines)[:_PROMPT_EVENTS]))


def interest_matches(
    catalogue: Catalogue, items: Sequence[Item], vectors: Vectors, query: Query
) -> tuple[Values, list[int | None]]:
    """Weight times match of the positive interest that fits best, and its place in the profile.

    The match is the squared similarity: what is twice as near counts for more than an interest of twice the
    weight. A keyword that very many items contain ("game") says nothing and is not looked for. What is
    nearest to a muted interest is said to be of that one.
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


def history_similarity(vectors: Vectors, history: History) -> Values:
    """The soft maximum of the similarities to the last 50 things taken well, -1 to 1; later ones count more.

    log(mean(exp(4 x similarity))) / 4, with weights 1 / sqrt(1 + how many come after). N@10 on games by text
    alone (4,000 users): 64.7; the mean of the three best reaches 63.3, the mean of all 62.1.
    """
    places = [at for at, entry in enumerate(history.entries) if entry.weight > 0 and entry.content]
    if not places:
        return np.zeros(len(vectors))
    similarity = (vectors @ history.vectors[places[-_MATCHED:]].T).astype(np.float64)
    weights = 1 / np.sqrt(np.arange(similarity.shape[1], 0, -1))
    return np.asarray(np.log(np.exp(_SOFT * similarity) @ weights / weights.sum()) / _SOFT, np.float64)


def _dislike(vectors: Vectors, history: History) -> Values:
    """How much nearer the best match among the disliked is than that among the liked; 0 if it is not."""
    disliked = [at for at, entry in enumerate(history.entries) if entry.weight < 0 and entry.content]
    if not disliked:
        return np.zeros(len(vectors))
    liked = [at for at, entry in enumerate(history.entries) if entry.weight > 0 and entry.content]
    against = (vectors @ history.vectors[disliked].T).max(axis=1)
    for_ = (vectors @ history.vectors[liked].T).max(axis=1) if liked else np.zeros(len(vectors))
    return np.asarray(np.maximum(0.0, against - np.maximum(for_, 0.0)), np.float64)


def _recency(items: Sequence[Item], query: Query) -> Values:
    """Minus the logarithm of the item's age in days, by its `published` attribute; 0 where it has none."""
    if query.now is None:
        return np.zeros(len(items))
    ages = []
    for item in items:
        try:
            published = datetime.fromisoformat(str(item.attributes["published"]))
        except (KeyError, ValueError):
            ages.append(math.nan)
            continue
        moment = published if published.tzinfo else published.replace(tzinfo=query.now.tzinfo)
        ages.append(max(0.0, (query.now - moment).total_seconds() / 86_400))
    values = -np.log1p(np.array(ages))
    return np.where(np.isnan(values), np.nanmean(values) if not np.isnan(values).all() else 0.0, values)


def standardised(values: Values) -> Values:
    """Mean 0, standard deviation 1; all 0 where they do not differ."""
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 1e-12 else np.zeros(len(values))


def total_scores(parts: Mapping[str, Values], count: int) -> list[float]:
    """What the contributions of each candidate add up to, exactly as a reader of `signals` would."""
    return [math.fsum(float(part[place]) for part in parts.values()) for place in range(count)]


def _matched(candidate: Candidate, profile: Profile, place: int | None) -> Candidate:
    if place is None:
        return candidate
    return candidate.model_copy(update={"interest": profile.interests[place].keyword})
