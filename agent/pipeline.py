"""From events to a `Run`: profile, retrieval, ranking, selection, explanation. Read it top-down."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..models.language_model import LanguageModel
from ..models.records import Candidate, Event, Item
from ..prompts import Prompts
from ..vectorstore import Catalogue, Engagement, Progress
from .explanation import CoUsers, Explainer, with_counterfactuals
from .profile import Profiles, Query, newest_time, read_history
from .ranking import (
    EngagementCache,
    Explorer,
    Ranker,
    RankingWeights,
    Retriever,
    as_candidates,
    fresh_stories,
    select,
)
from .request import UserRequest
from .run import Run
from .run_assembly import StageResults, assemble
from .run_trace import RunTrace
from .settings import Settings
from .store import Memory, ScoreCache


@dataclass(frozen=True)
class Pipeline:
    """The stages of one home, with one model (or none) and one set of settings."""

    catalogue: Catalogue
    memory: Memory
    priors: ScoreCache
    engagement: EngagementCache
    profiles: Profiles
    prompts: Prompts
    settings: Settings
    model: LanguageModel | None
    weights: RankingWeights
    weights_name: str

    def recommend(self, request: UserRequest, progress: Progress | None = None) -> Run:
        """Recommend for a user of this home; the profile and the run are stored."""
        trace = RunTrace(self.model)
        user = self.profiles.load(request.user)
        history = self.profiles.history(user)
        query = self.profiles.query(request.user, history, request.words, trace, user)
        self.profiles.keep(query.profile)
        ranker = Ranker(self.catalogue, self.engagement.load(trace), self.weights, self.priors)
        with trace.stage("candidates"):
            candidates = self._retrieve(request, query, ranker.engagement, user.events)
        if not len(history) and not request.words:
            trace.note("popular" if ranker.engagement.known else "no_order")
        results = self._rank_and_explain(request, query, ranker, candidates, trace, used=query.history.items)
        run = assemble(results, self.settings, self.prompts, self.weights_name, trace)
        if request.what_if:
            ranking = results.ranking_snapshot(history, user.edits, self.settings.model_scores)
            by_model = request.what_if == "all"
            run = with_counterfactuals(run, ranking, trace, self.prompts, progress, by_model=by_model)
        self.memory.save_run(run)
        return run

    def rank(self, request: UserRequest, events: Sequence[Event], items: Sequence[Item]) -> Run:
        """Rank items by events that are in no database; no run or profile is stored, and used items may return.

        Args:
            request: who asks, and for what.
            events: oldest first.
            items: the candidates.

        Returns:
            The run; its `candidates` hold all items, best first.
        """
        trace = RunTrace(self.model)
        with Catalogue.in_memory(items, self.catalogue.embedder) as catalogue:
            history = read_history(events, catalogue, self.settings)
            query = self.profiles.query(request.user, history, request.words, trace)
            ranker = Ranker(catalogue, Engagement.empty(), self.weights, self.priors)
            results = self._rank_and_explain(
                request, query, ranker, as_candidates(catalogue, catalogue.ids()), trace
            )
            return assemble(results, self.settings, self.prompts, self.weights_name, trace)

    def _retrieve(
        self, request: UserRequest, query: Query, engagement: Engagement, events: Sequence[Event]
    ) -> list[Candidate]:
        """The candidates: unseen items that pass the filter; of news, recent ones and one per story."""
        retriever = Retriever(self.catalogue, engagement, query.history, query.profile, request.where)
        n = max(self.settings.n_candidates, request.n)
        candidates = retriever.retrieve(request.words, n, at_least=2 * request.n)
        if query.scenario != "news":
            return candidates
        unasked = not request.words and not request.where
        return fresh_stories(candidates, self.catalogue, newest_time(events) if unasked else None)

    def _rank_and_explain(
        self,
        request: UserRequest,
        query: Query,
        ranker: Ranker,
        candidates: Sequence[Candidate],
        trace: RunTrace,
        used: Sequence[Item] = (),
    ) -> StageResults:
        """Rank the candidates, select the picks among what is not in `used`, and explain them."""
        ranked = ranker.rank(candidates, query, trace, self.prompts, self.settings.model_scores)
        explorer = Explorer(ranker, self.memory, self.prompts, self.settings)
        new = explorer.explore(request.n_new, query, used, request.where, trace)
        taken = (*used, *(pick.candidate.item for pick in new))
        picks = [*select(ranked, query.profile, taken, request.n - len(new)), *new]
        if len(picks) < request.n:
            trace.note("too_few", n=request.n, found=len(picks))
        explainer = Explainer(ranker.catalogue, self.prompts, CoUsers(self.memory, request.user))
        reasons = explainer.explain(picks, query, trace)
        return StageResults(request, query, ranker, candidates, ranked, picks, reasons, taken)
