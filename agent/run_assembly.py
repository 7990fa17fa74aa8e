"""What the stages of one request gave, put together as a `Run`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..models.records import Candidate, Enrichment, Explanation, Item, Ranked, Recommendation
from ..prompts import Prompts
from .explanation import RankingSnapshot
from .profile import History, Query
from .ranking import Ranker
from .request import UserRequest
from .run import Run
from .run_trace import RunTrace
from .settings import Settings
from .store import Edit


@dataclass(frozen=True, slots=True)
class StageResults:
    """The output of each stage.

    `ranked` are the `candidates`, best first; `picks` are the list, with one of the `reasons` each; nothing
    that says the same as an item in `taken` (used items, and picks of new topics) was selected from `ranked`.
    """

    request: UserRequest
    query: Query
    ranker: Ranker
    candidates: Sequence[Candidate]
    ranked: Sequence[Ranked]
    picks: Sequence[Ranked]
    reasons: Sequence[Explanation]
    taken: Sequence[Item]

    def ranking_snapshot(self, history: History, edits: Sequence[Edit], model_scores: int) -> RankingSnapshot:
        """The ranking as counterfactuals repeat it.

        Args:
            history: the history as it was read, before muted interests were silenced.
            edits: the owner's edits of the profile.
            model_scores: how many candidates the model scores, 0 or more.

        Returns:
            The ranking with all that it was made from.
        """
        listed = self.request.n - sum(pick.candidate.new_for_you is not None for pick in self.picks)
        return RankingSnapshot(
            self.ranker,
            self.candidates,
            self.query,
            self.ranked,
            history,
            edits,
            model_scores,
            self.taken,
            listed,
        )


def assemble(
    results: StageResults, settings: Settings, prompts: Prompts, weights_name: str, trace: RunTrace
) -> Run:
    """The run of a request.

    Args:
        results: what the stages gave.
        settings: those in force; the run names their home and scenario.
        prompts: the templates, for their fingerprint.
        weights_name: where the weights of the signals come from.
        trace: the calls of the model, the seconds and the notes of this request.

    Returns:
        The run, without counterfactuals; it is not stored.
    """
    catalogue, profile = results.ranker.catalogue, results.query.profile
    enrichments = catalogue.enrichments([pick.candidate.item.id for pick in results.picks])
    model, embedder = trace.model, catalogue.embedder
    for key in model.notes if model else ():
        trace.note(key)
    return Run(
        user=profile.user,
        home=settings.named_home,
        request=results.query.request,
        scenario=settings.scenario,
        created=datetime.now(UTC),
        profile=profile,
        recommendations=tuple(
            _recommendation(place, pick, reason, enrichments.get(pick.candidate.item.id))
            for place, (pick, reason) in enumerate(zip(results.picks, results.reasons, strict=True), 1)
        ),
        candidates=tuple(results.ranked),
        history=results.query.history.shown(),
        where=dict(results.request.where or {}),
        weights=dict(results.ranker.weights.weights),
        calls=tuple(trace.calls),
        seconds=trace.seconds,
        fingerprints={
            "model": f"{model.name} ({model.fingerprint})" if model else "none",
            "prompts": prompts.fingerprint(profile.language),
            "embedder": f"{embedder.name} ({embedder.fingerprint[:12]})",
            "catalogue": catalogue.fingerprint,
            "signal_weights": f"{weights_name} ({results.ranker.weights.fingerprint})",
        },
        notes=tuple(trace.notes),
    )


def _recommendation(
    place: int, pick: Ranked, reason: Explanation, enrichment: Enrichment | None
) -> Recommendation:
    return Recommendation(
        rank=place,
        item=pick.candidate.item,
        score=pick.score,
        signals=pick.signals,
        interest=pick.candidate.interest,
        explanation=reason,
        rank_without_model=pick.rank_without_model,
        enrichment=enrichment,
        new_for_you=pick.candidate.new_for_you,
    )
