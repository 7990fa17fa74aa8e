"""The quality of explanations on the hand-written samples: groundedness checks, exact counterfactuals, faithfulness.

The product's own stages make the rankings, without the model's names for interests, on which no reason rests.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from typing import Any, get_args

from ...agent.explanation import (
    Explainer,
    HistoryItem,
    PickEvidence,
    RankingSnapshot,
    counterfactuals,
    ungrounded_spans,
    with_names,
)
from ...agent.profile import History, HistoryEntry, Query, build_profile, newest_time, read_history
from ...agent.ranking import Ranker, Retriever, load_weights
from ...agent.run_trace import RunTrace
from ...agent.settings import Settings
from ...agent.store import ScoreCache
from ...models.embedder import Embedder, SentenceEmbedder
from ...models.language_model import LanguageModel
from ...models.records import Explanation, Id, Language, Ranked, Record, Scenario
from ...prompts import Prompts
from ...vectorstore import Catalogue, Engagement, Progress, memory_database
from ..data.samples import SCENARIOS, load_sample
from ..metrics import bootstrap

PICKS = 5
WRITTEN_USERS = 2
"""Users per sample whose reasons the model writes."""

EXACT_WITH_MODEL = 1
"""Users per language whose counterfactuals are recomputed with the model."""

_CANDIDATES = 200
_MODEL_SCORES = 20
_DRAWS = 5
_SAME = 1e-5  # vectors have single precision, and a text embedded beside others differs in the last bits

Json = dict[str, Any]


class CheckerCase(Record):
    """A hand-written sentence about an item of a recommender.

    Attributes:
        scenario: the recommender.
        item: the item's id.
        events: the events that it cites.
        text: the sentence.
        planted: the kind of its false fact, None for a correct sentence.
    """

    scenario: Scenario
    item: Id
    events: tuple[Id, ...]
    text: str
    planted: str | None = None


@dataclass
class ExplanationResults:
    """What was measured: `values` by figure, written `sentences`, and `missed` ones where the checker erred."""

    values: dict[str, list[float]] = field(default_factory=dict)
    sentences: list[Json] = field(default_factory=list)
    missed: list[Json] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        """Add a value to a figure."""
        self.values.setdefault(name, []).append(float(value))


def evaluate_explanations(
    model: LanguageModel | None,
    progress: Progress | None = None,
    *,
    users: int | None = None,
    scenarios: Sequence[Scenario] = SCENARIOS,
    embedder: Embedder | None = None,
) -> Json:
    """Measure what is promised of explanations, with 95 percent bootstrap intervals.

    `caught`: the share of planted false facts that the checker finds (also by kind); `false_rejects`: of
    correct sentences that it refuses; `model_written`: of reasons that the model wrote; `seconds`: for one
    of them; `counterfactual_exact`: of counterfactuals that equal a recomputation of everything;
    `faithful`: of picks whose score falls more without the cited history items than without as many others
    (comprehensiveness, DeYoung et al. 2020, section 4).

    Args:
        model: writes reasons and takes part in recomputations; without one, `model_written` and `seconds` are left
            out.
        progress: called with the number of samples done and of all samples.
        users: how many users of each sample; None for all.
        scenarios: the samples.
        embedder: defaults to the product's own.

    Returns:
        `figures` (name to mean, low and high), `sentences` (what was written) and `missed` (checker errors).
    """
    results = ExplanationResults()
    languages: tuple[Language, ...] = get_args(Language)
    for language in languages:
        _check_cases(language, results)
    samples = [(scenario, language) for scenario in scenarios for language in languages]
    vectors = embedder or SentenceEmbedder()
    if progress:
        progress(0, len(samples))
    for at, (scenario, language) in enumerate(samples, 1):
        with SampleRecommender.open(scenario, language, vectors) as recommender:
            for place, user in enumerate(recommender.users[:users]):
                exact_by_model = model if scenario == scenarios[0] and place < EXACT_WITH_MODEL else None
                snapshot = recommender.snapshot(user, exact_by_model)
                reasons = recommender.explain(snapshot, model if place < WRITTEN_USERS else None, results)
                _measure_exact(recommender, snapshot, reasons, exact_by_model, results)
                _measure_faithful(recommender, snapshot, reasons, results)
        if progress:
            progress(at, len(samples))
    figures = {name: asdict(bootstrap(values)) for name, values in sorted(results.values.items())}
    return {"figures": figures, "sentences": results.sentences, "missed": results.missed}


# --- the checker ---------------------------------------------------------------------------------------


def read_checker_cases(language: Language) -> list[CheckerCase]:
    """The hand-written sentences of a language, with and without planted false facts."""
    text = files(__package__).joinpath(f"explanation_cases.{language}.jsonl")
    return [
        CheckerCase.model_validate_json(line) for line in text.read_text(encoding="utf-8").split("\n") if line
    ]


def evidence_of(case: CheckerCase, language: Language) -> PickEvidence:
    """What the sentence of a case may rest on."""
    sample = load_sample(case.scenario, language)
    items = {item.id: item for item in sample.items}
    things: dict[str, list[HistoryEntry]] = {}
    for event in sample.events:
        if event.id in case.events:
            item = items.get(event.item or "")
            entry = HistoryEntry(event, item, 1.0, item.content if item else event.query or "")
            things.setdefault(entry.key, []).append(entry)
    return PickEvidence(
        items[case.item], "", tuple(HistoryItem.of(entries) for entries in things.values()), language
    )


def _check_cases(language: Language, results: ExplanationResults) -> None:
    for case in read_checker_cases(language):
        refused = ungrounded_spans(case.text, evidence_of(case, language).facts, language)
        if case.planted is None:
            results.add("false_rejects", bool(refused))
        else:
            results.add("caught", bool(refused))
            results.add(f"caught_{case.planted}", bool(refused))
        if bool(refused) != (case.planted is not None):
            results.missed.append(
                {"text": case.text, "planted": case.planted, "refused": list(map(str, refused))}
            )


# --- the lists -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleRecommender:
    """The product's path from events to explanations, on one recommender."""

    catalogue: Catalogue
    settings: Settings
    language: Language
    engagement: Engagement
    ranker: Ranker
    users: tuple[str, ...]
    prompts: Prompts = field(default_factory=Prompts)

    @classmethod
    def open(cls, scenario: Scenario, language: Language, embedder: Embedder) -> "SampleRecommender":
        """Index a sample; use it in a `with` block.

        Args:
            scenario: of the recommender.
            language: of the recommender.
            embedder: embeds the items.

        Returns:
            The recommender, which closes the catalogue at the end of the block.
        """
        sample = load_sample(scenario, language)
        catalogue = Catalogue.in_memory(sample.items, embedder)
        users = tuple(sorted({event.user for event in sample.events}))
        used = [[one.item for one in sample.events if one.user == user and one.item] for user in users]
        engagement = Engagement.build(used, catalogue.ids())
        ranker = Ranker(catalogue, engagement, load_weights(), ScoreCache(memory_database()))
        settings = Settings(scenario=scenario, language=language)
        return cls(catalogue, settings, language, engagement, ranker, users)

    def __enter__(self) -> "SampleRecommender":
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the catalogue."""
        self.catalogue.close()

    def history(self, user: str, *, but: Sequence[str] = ()) -> History:
        """The history of a user without the events in `but`."""
        sample = load_sample(self.settings.scenario, self.language)
        events = [event for event in sample.events if event.user == user and event.id not in but]
        return read_history(events, self.catalogue, self.settings)

    def snapshot(self, user: str, model: LanguageModel | None) -> RankingSnapshot:
        """The ranking of a user, with the model if there is one."""
        history = self.history(user)
        profile = build_profile(user, history, self.language, RunTrace(None), self.prompts)
        retriever = Retriever(self.catalogue, self.engagement, history, profile)
        candidates = retriever.retrieve("", _CANDIDATES)
        moment = newest_time([entry.event for entry in history.entries])
        query = Query(history, profile, "", self.settings.scenario, moment)
        ranked = self.ranker.rank(candidates, query, RunTrace(model), self.prompts, _MODEL_SCORES)
        return RankingSnapshot(self.ranker, candidates, query, ranked, history, (), _MODEL_SCORES)

    def explain(
        self, snapshot: RankingSnapshot, model: LanguageModel | None, results: ExplanationResults
    ) -> list[Explanation]:
        """The explanations of a user's first picks.

        Args:
            snapshot: the user's ranking.
            model: the language model, or None for templates.
            results: takes in the time and what the model wrote.

        Returns:
            One explanation for each of the first picks, in order.
        """
        picks = snapshot.ranked[:PICKS]
        trace = RunTrace(model)
        explainer = Explainer(self.catalogue, self.prompts)
        started = time.perf_counter()
        reasons = explainer.explain(picks, snapshot.query, trace)
        if model is not None:
            results.add("seconds", (time.perf_counter() - started) / len(picks))
            for pick, reason in zip(picks, reasons, strict=True):
                results.add("model_written", reason.written_by == "model")
                results.sentences.append(
                    {"item": pick.candidate.item.id, "text": reason.text, "written_by": reason.written_by}
                )
        return reasons


# --- counterfactuals and faithfulness --------------------------------------------------------------------


def _measure_exact(
    recommender: SampleRecommender,
    snapshot: RankingSnapshot,
    reasons: Sequence[Explanation],
    model: LanguageModel | None,
    results: ExplanationResults,
) -> None:
    """Whether each counterfactual equals a full recomputation, in which the model scores everything again."""
    picks = snapshot.ranked[: len(reasons)]
    cited = [(pick.candidate.item.id, one.evidence) for pick, one in zip(picks, reasons, strict=True)]
    stated = counterfactuals(snapshot, cited, RunTrace(model), recommender.prompts)
    for pick, statements in zip(picks, stated, strict=True):
        for one in statements:
            events = next(ids for ids in snapshot.history_items([one.event]).values())
            ranks = _ranks_without(recommender, snapshot, events, model)
            now = ranks[pick.candidate.item.id]
            same = one.rank_after == now.rank and abs(one.score_after - now.score) < _SAME
            results.add("counterfactual_exact", same and one.rank_before == pick.rank)


def _ranks_without(
    recommender: SampleRecommender,
    snapshot: RankingSnapshot,
    events: Sequence[str],
    model: LanguageModel | None,
) -> dict[str, Ranked]:
    """The ranking of a user without these events, recomputed from the other events on."""
    old = snapshot.query.profile
    history = recommender.history(old.user, but=events)
    profile = with_names(
        build_profile(old.user, history, old.language, RunTrace(None), recommender.prompts), old
    )
    query = replace(snapshot.query, history=history, profile=profile)
    ranked = recommender.ranker.rank(
        snapshot.candidates, query, RunTrace(model), recommender.prompts, _MODEL_SCORES
    )
    return {one.candidate.item.id: one for one in ranked}


def _measure_faithful(
    recommender: SampleRecommender,
    snapshot: RankingSnapshot,
    reasons: Sequence[Explanation],
    results: ExplanationResults,
) -> None:
    """Whether a pick loses more without the cited things than without as many others, in the mean of draws."""
    rest = random.Random(snapshot.query.profile.user)  # noqa: S311 - a draw of events, repeatable
    keys = {entry.event.id: entry.key for entry in snapshot.history.entries}
    liked = {entry.key for entry in snapshot.history.entries if entry.weight > 0 and entry.content}
    for pick, reason in zip(snapshot.ranked, reasons, strict=False):
        cited = {keys[event] for event in reason.evidence}
        others = sorted(liked - cited)
        if not cited or len(others) < len(cited):
            continue
        ours = _score_without(recommender, snapshot, pick, cited)
        theirs = [
            _score_without(recommender, snapshot, pick, rest.sample(others, len(cited)))
            for _ in range(_DRAWS)
        ]
        results.add("faithful", ours < sum(theirs) / len(theirs))


def _score_without(
    recommender: SampleRecommender, snapshot: RankingSnapshot, pick: Ranked, things: Sequence[str] | set[str]
) -> float:
    """The pick's score by the signals without the model, without these things."""
    events = [entry.event.id for entry in snapshot.history.entries if entry.key in things]
    query = snapshot.without(events, recommender.prompts)
    ranked = recommender.ranker.rank(snapshot.candidates, query, RunTrace(None), recommender.prompts, 0)
    return next(one.score for one in ranked if one.candidate.item.id == pick.candidate.item.id)


__all__ = ["SampleRecommender", "CheckerCase", "evaluate_explanations", "evidence_of", "read_checker_cases"]
