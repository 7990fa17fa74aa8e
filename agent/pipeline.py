"""From candidates to an answer: ranked, picked, explained, and put together as a `Run`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..models.records import Candidate, Enrichment, Explanation, Language, Ranked, Recommendation
from ..prompts import Prompts
from .explanation import CoUsers, Explainer
from .profile import Query
from .ranking import Explorer, Ranker, select
from .request import Asked
from .run import Run
from .run_trace import RunTrace
from .settings import Settings
from .store import Memory


@dataclass(frozen=True, slots=True)
class Composer:
    """Makes the runs of one home.

    `weights_name` says where the ranker's weights are from; `others` are the users who may be spoken of.
    """

    ranker: Ranker
    memory: Memory
    prompts: Prompts
    settings: Settings
    weights_name: str
    others: CoUsers | None = None

    def compose(self, found: Sequence[Candidate], query: Query, asked: Asked, trace: RunTrace) -> Run:
        """The best of the candidates, each with its reason, and all that they rest on."""
        catalogue, history, profile = self.ranker.catalogue, query.history, query.profile
        ranked = self.ranker.rank(found, query, trace, self.prompts, self.settings.model_scores)
        explorer = Explorer(self.ranker, self.memory, self.prompts, self.settings)
        new = explorer.explore(asked.new, query, asked.used, asked.where, trace)
        taken = (*asked.used, *(one.candidate.item for one in new))
        picks = [*select(ranked, profile, taken, asked.n - len(new)), *new]
        if len(picks) < asked.n:
            trace.note("too_few", n=asked.n, found=len(picks))
        explainer = Explainer(catalogue, self.prompts, self.others)
        reasons = explainer.explain(picks, profile, history, self.settings.scenario, trace)
        understood = catalogue.enrichments([pick.candidate.item.id for pick in picks])
        return Run(
            user=profile.user,
            home=self.settings.named_home,
            request=query.request,
            scenario=self.settings.scenario,
            created=datetime.now(UTC),
            profile=profile,
            recommendations=tuple(
                _picked(place, pick, why, understood.get(pick.candidate.item.id))
                for place, (pick, why) in enumerate(zip(picks, reasons, strict=True), 1)
            ),
            candidates=tuple(ranked),
            history=history.shown(),
            where=dict(asked.where or {}),
            weights=dict(self.ranker.weights.weights),
            calls=tuple(trace.calls),
            seconds=trace.seconds,
            fingerprints=self._fingerprints(trace, profile.language),
            notes=tuple(trace.notes),
        )

    def _fingerprints(self, trace: RunTrace, language: Language) -> dict[str, str]:
        catalogue, model = self.ranker.catalogue, trace.model
        return {
            "model": f"{model.name} ({model.fingerprint})" if model else "none",
            "prompts": self.prompts.fingerprint(language),
            "embedder": f"{catalogue.embedder.name} ({catalogue.embedder.fingerprint[:12]})",
            "catalogue": catalogue.fingerprint,
            "signal_weights": f"{self.weights_name} ({self.ranker.weights.fingerprint})",
        }


def _picked(place: int, pick: Ranked, why: Explanation, understood: Enrichment | None) -> Recommendation:
    return Recommendation(
        rank=place,
        item=pick.candidate.item,
        score=pick.score,
        signals=pick.signals,
        interest=pick.candidate.interest,
        explanation=why,
        rank_without_model=pick.rank_without_model,
        enrichment=understood,
        new_for_you=pick.candidate.new_for_you,
    )
