"""Ranking: the signals, standardised over the candidates, weighted and added.

The language model is one signal among them, so a weak model moves the order by no more than its weight allows. It
scores the best few only.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...models.errors import ModelError
from ...models.records import Candidate, Item, Profile, Ranked
from ...models.text import clean
from ...prompts import Prompts
from ...vectorstore import Catalogue, Engagement
from ..profile import History, Query
from ..run_trace import RunTrace
from ..store import ScoreCache
from .signals import MODEL, SIGNAL_TABLE, SignalInputs, Values, standardised
from .weights import RankingWeights

_FEW_USERS = 20  # with so many users, what they do counts half
_AMONG_MANY = 0.2  # what is left of the model's weight where very many users are known
_PROMPT_EVENTS = 20
_TITLE_TOKENS = 130  # that a title of 120 characters may have, of common scripts


class Ranker:
    """Ranks candidates of one catalogue."""

    def __init__(
        self, catalogue: Catalogue, engagement: Engagement, weights: RankingWeights, priors: ScoreCache
    ) -> None:
        """Rank by these parts.

        Args:
            catalogue: holds the candidates.
            engagement: what other users used; may be empty.
            weights: of the signals.
            priors: cache of the model's likelihood of each item given nothing.
        """
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

        Args:
            candidates: items of the catalogue.
            query: the user's history, profile and request.
            trace: has the model, if there is one, and records its calls.
            prompts: templates of the model's prompt.
            model_scores: how many of the best the model re-orders, 0 or more.

        Returns:
            As many as there are candidates, with ranks from 1; the `signals` of each sum to its score.
        """
        if not candidates:
            return []
        with trace.stage("signals"):
            raw, interests = self.signals([candidate.item for candidate in candidates], query)
        parts = self.contributions(raw)
        scores = total_scores(parts, len(candidates))
        order = sorted(range(len(candidates)), key=lambda place: (-scores[place], place))
        before = {place: rank for rank, place in enumerate(order, 1)}
        scored = self._by_model(candidates, order[:model_scores], query, trace, prompts)
        if scored:
            raw[MODEL], parts[MODEL] = scored
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
        """Raw values of every signal but the model's, and the interest that each item matches best.

        Signals without information here (no request, no dislikes, no other users) are left out.

        Args:
            items: of the catalogue.
            query: the user's history, profile and request.

        Returns:
            For each signal its values, (items,), and for each item the place of an interest in the profile or None.
        """
        inputs = SignalInputs(items, query, self.catalogue, self.engagement)
        values = {name: signal.values(inputs) for name, signal in SIGNAL_TABLE.items()}
        return {name: raw for name, raw in values.items() if np.ptp(raw) > 0}, inputs.matches[1]

    @property
    def trust(self) -> float:
        """The weight of collaborative signals, users / (users + 20): 0 without other users, near 1 with very many."""
        return self.engagement.users / (self.engagement.users + _FEW_USERS)

    @property
    def model_share(self) -> float:
        """The share of the model's weight that counts: 1 without other users, down to 0.2 with very many.

        A 1.5B model knows a catalogue less well than many people who used it: with all of its weight it costs
        0.7 points of N@10 on games where 50,000 others are known (230 users, interval 0.0 to 1.4).
        """
        return 1.0 - self.trust * (1.0 - _AMONG_MANY)

    def scaled(self, raw: Mapping[str, Values]) -> dict[str, Values]:
        """The standardised values, those of collaborative signals times `trust`.

        Args:
            raw: for each signal but the model's its values, (items,).

        Returns:
            The same signals, (items,) each.
        """
        return {
            name: standardised(values) * (self.trust if SIGNAL_TABLE[name].collaborative else 1.0)
            for name, values in raw.items()
        }

    def contributions(self, raw: Mapping[str, Values]) -> dict[str, Values]:
        """What each signal adds to the scores: weight times scaled value; signals of weight 0 are left out.

        Args:
            raw: for each signal but the model's its values, (items,).

        Returns:
            For each signal its contributions, (items,).
        """
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
        """Raw values and contributions of the model's signal, for all candidates; None without the model.

        The smallest contribution among the chosen is 0, as that of all others, so that the chosen stay ahead.

        Returns:
            Two arrays, (candidates,).
        """
        weight = self.weights.weights.get(MODEL, 0.0)
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
        """Mean log-likelihood per token of each title given the history, and given nothing.

        Args:
            items: whose titles are scored.
            query: the history in the prompt, the request and the language.
            trace: has the model and records the calls.
            prompts: templates of the prompt.

        Returns:
            Two arrays, (items,), each 0 or below: given the history, and given nothing.

        Raises:
            ModelError: the model cannot be asked.
        """
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
            _prompt_titles(query.history),
            _TITLE_TOKENS,
        )
        given = trace.score("ranking", prompt, titles)
        alone = self._prior_likelihoods(titles, query, trace, prompts)
        return np.array([scored.mean for scored in given]), alone

    def _prior_likelihoods(
        self, titles: Sequence[str], query: Query, trace: RunTrace, prompts: Prompts
    ) -> Values:
        """Mean log-likelihood per token of each title given nothing, which never changes."""
        prompt = prompts.render("likelihood", query.language, scenario=query.scenario, lines=[], request="")
        fingerprint = trace.model.fingerprint if trace.model else ""

        def score(missing: list[str]) -> list[float]:
            return [scored.mean for scored in trace.score("prior", prompt, missing)]

        return self._priors.means(fingerprint, prompt.text, titles, score)


def _prompt_titles(history: History) -> list[str]:
    """The history items in the prompt: the latest with a positive weight, oldest first, each once."""
    lines: dict[str, None] = {}
    for entry in reversed(history.entries):
        if entry.weight > 0 and entry.content:
            lines.setdefault(entry.title)
    return list(reversed(list(lines)[:_PROMPT_EVENTS]))


def total_scores(parts: Mapping[str, Values], count: int) -> list[float]:
    """The sum of each item's contributions, exact (`math.fsum`), so that the order of the signals decides nothing.

    Args:
        parts: for each signal its contributions, (items,).
        count: how many items there are.

    Returns:
        (items,).
    """
    return [math.fsum(float(part[place]) for part in parts.values()) for place in range(count)]


def _matched(candidate: Candidate, profile: Profile, place: int | None) -> Candidate:
    if place is None:
        return candidate
    return candidate.model_copy(update={"interest": profile.interests[place].keyword})
