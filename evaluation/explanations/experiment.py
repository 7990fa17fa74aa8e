"""How good the reasons are, measured on the hand-written samples: are they checked, written, exact, faithful.

The product's own stages make the lists, without the model's names for interests, on which no reason rests.
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
"""Of so many users per sample the model writes the reasons."""

EXACT_WITH_MODEL = 1
"""Of so many users per language the counterfactuals are recomputed with the model."""

_CANDIDATES = 200
_MODEL_SCORES = 20
_DRAWS = 5
_SAME = 1e-5  # vectors have single precision, and a text embedded beside others differs in the last bits

Found = dict[str, Any]
"""`figures`: name to mean, low and high; `sentences`: what was written; `missed`: where the checker erred."""


class Case(Record):
    """A sentence about a pick of a sample, with the events it cites; `planted` is the kind of its false fact."""

    scenario: Scenario
    item: Id
    events: tuple[Id, ...]
    text: str
    planted: str | None = None


@dataclass
class Measured:
    """The values of each figure, one per sentence, statement or pick."""

    values: dict[str, list[float]] = field(default_factory=dict)
    sentences: list[Found] = field(default_factory=list)
    missed: list[Found] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        """Another value of a figure."""
        self.values.setdefault(name, []).append(float(value))


def evaluate_explanations(
    model: LanguageModel | None,
    progress: Progress | None = None,
    *,
    users: int | None = None,
    scenarios: Sequence[Scenario] = SCENARIOS,
    embedder: Embedder | None = None,
) -> Found:
    """Everything that is promised of reasons, as figures with 95 percent bootstrap intervals.

    `caught`: the share of planted false facts that the checker finds (also by kind); `false_rejects`: of
    correct sentences that it refuses; `model_written`: of reasons that the model wrote; `seconds`: for one
    of them; `counterfactual_exact`: of counterfactuals that equal a recomputation of everything;
    `faithful`: of picks whose score falls more without the cited things than without as many others.
    Without a model, what it would write is left out. `users` limits the users of each sample (all);
    `embedder` defaults to the product's own.
    """
    found = Measured()
    languages: tuple[Language, ...] = get_args(Language)
    for language in languages:
        _check_cases(language, found)
    samples = [(scenario, language) for scenario in scenarios for language in languages]
    vectors = embedder or SentenceEmbedder()
    for at, (scenario, language) in enumerate(samples, 1):
        with Bench.open(scenario, language, vectors) as bench:
            for place, user in enumerate(bench.users[:users]):
                exact_by_model = model if scenario == scenarios[0] and place < EXACT_WITH_MODEL else None
                made = bench.made(user, exact_by_model)
                reasons = bench.explain(made, model if place < WRITTEN_USERS else None, found)
                _measure_exact(bench, made, reasons, exact_by_model, found)
                _measure_faithful(bench, made, reasons, found)
        if progress:
            progress(at, len(samples))
    figures = {name: asdict(bootstrap(values)) for name, values in sorted(found.values.items())}
    return {"figures": figures, "sentences": found.sentences, "missed": found.missed}


# --- the checker ---------------------------------------------------------------------------------------


def read_cases(language: Language) -> list[Case]:
    """The hand-written sentences of a language, in which false facts are planted or not."""
    text = files(__package__).joinpath(f"explanation_cases.{language}.jsonl")
    return [Case.model_validate_json(line) for line in text.read_text(encoding="utf-8").split("\n") if line]


def evidence_of(case: Case, language: Language) -> PickEvidence:
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


def _check_cases(language: Language, found: Measured) -> None:
    for case in read_cases(language):
        refused = ungrounded_spans(case.text, evidence_of(case, language).facts, language)
        if case.planted is None:
            found.add("false_rejects", bool(refused))
        else:
            found.add("caught", bool(refused))
            found.add(f"caught_{case.planted}", bool(refused))
        if bool(refused) != (case.planted is not None):
            found.missed.append(
                {"text": case.text, "planted": case.planted, "refused": list(map(str, refused))}
            )


# --- the lists -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """The product's path from events to reasons, over one sample."""

    catalogue: Catalogue
    settings: Settings
    language: Language
    engagement: Engagement
    ranker: Ranker
    users: tuple[str, ...]
    prompts: Prompts = field(default_factory=Prompts)

    @classmethod
    def open(cls, scenario: Scenario, language: Language, embedder: Embedder) -> "Bench":
        """A bench on the sample of a scenario and a language; use it in a `with` block."""
        sample = load_sample(scenario, language)
        catalogue = Catalogue.in_memory(sample.items, embedder)
        users = tuple(sorted({event.user for event in sample.events}))
        used = [[one.item for one in sample.events if one.user == user and one.item] for user in users]
        engagement = Engagement.build(used, catalogue.ids())
        ranker = Ranker(catalogue, engagement, load_weights(), ScoreCache(memory_database()))
        settings = Settings(scenario=scenario, language=language)
        return cls(catalogue, settings, language, engagement, ranker, users)

    def __enter__(self) -> "Bench":
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the catalogue."""
        self.catalogue.close()

    def history(self, user: str, *, but: Sequence[str] = ()) -> History:
        """What the user did, read anew; without the events in `but`."""
        sample = load_sample(self.settings.scenario, self.language)
        events = [event for event in sample.events if event.user == user and event.id not in but]
        return read_history(events, self.catalogue, self.settings)

    def made(self, user: str, model: LanguageModel | None) -> RankingSnapshot:
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
        self, made: RankingSnapshot, model: LanguageModel | None, found: Measured
    ) -> list[Explanation]:
        """The reasons of a user's first picks; what the model wrote of them is measured."""
        picks = made.ranked[:PICKS]
        trace = RunTrace(model)
        explainer = Explainer(self.catalogue, self.prompts)
        started = time.perf_counter()
        reasons = explainer.explain(picks, made.query, trace)
        if model is not None:
            found.add("seconds", (time.perf_counter() - started) / len(picks))
            for pick, reason in zip(picks, reasons, strict=True):
                found.add("model_written", reason.written_by == "model")
                found.sentences.append(
                    {"item": pick.candidate.item.id, "text": reason.text, "written_by": reason.written_by}
                )
        return reasons


# --- counterfactuals and faithfulness --------------------------------------------------------------------


def _measure_exact(
    bench: Bench,
    made: RankingSnapshot,
    reasons: Sequence[Explanation],
    model: LanguageModel | None,
    found: Measured,
) -> None:
    """Whether each statement is what a ranking from nothing says, with everything asked of the model again."""
    picks = made.ranked[: len(reasons)]
    cited = [(pick.candidate.item.id, one.evidence) for pick, one in zip(picks, reasons, strict=True)]
    stated = counterfactuals(made, cited, RunTrace(model), bench.prompts)
    for pick, statements in zip(picks, stated, strict=True):
        for one in statements:
            events = next(ids for ids in made.history_items([one.event]).values())
            ranks = _ranks_without(bench, made, events, model)
            now = ranks[pick.candidate.item.id]
            same = one.rank_after == now.rank and abs(one.score_after - now.score) < _SAME
            found.add("counterfactual_exact", same and one.rank_before == pick.rank)


def _ranks_without(
    bench: Bench, made: RankingSnapshot, events: Sequence[str], model: LanguageModel | None
) -> dict[str, Ranked]:
    """The ranking of a user who has none of these events, from reading the others up."""
    old = made.query.profile
    history = bench.history(old.user, but=events)
    profile = with_names(build_profile(old.user, history, old.language, RunTrace(None), bench.prompts), old)
    query = replace(made.query, history=history, profile=profile)
    ranked = bench.ranker.rank(made.candidates, query, RunTrace(model), bench.prompts, _MODEL_SCORES)
    return {one.candidate.item.id: one for one in ranked}


def _measure_faithful(
    bench: Bench, made: RankingSnapshot, reasons: Sequence[Explanation], found: Measured
) -> None:
    """Whether a pick loses more without the cited things than without as many others, in the mean of draws."""
    rest = random.Random(made.query.profile.user)  # noqa: S311 - a draw of events, repeatable
    keys = {entry.event.id: entry.key for entry in made.history.entries}
    liked = {entry.key for entry in made.history.entries if entry.weight > 0 and entry.content}
    for pick, reason in zip(made.ranked, reasons, strict=False):
        cited = {keys[event] for event in reason.evidence}
        others = sorted(liked - cited)
        if not cited or len(others) < len(cited):
            continue
        ours = _score_without(bench, made, pick, cited)
        theirs = [_score_without(bench, made, pick, rest.sample(others, len(cited))) for _ in range(_DRAWS)]
        found.add("faithful", ours < sum(theirs) / len(theirs))


def _score_without(
    bench: Bench, made: RankingSnapshot, pick: Ranked, things: Sequence[str] | set[str]
) -> float:
    """The pick's score by the signals without the model, without these things."""
    events = [entry.event.id for entry in made.history.entries if entry.key in things]
    query = made.without(events, bench.prompts)
    ranked = bench.ranker.rank(made.candidates, query, RunTrace(None), bench.prompts, 0)
    return next(one.score for one in ranked if one.candidate.item.id == pick.candidate.item.id)


__all__ = ["Bench", "Case", "evaluate_explanations", "evidence_of", "read_cases"]
