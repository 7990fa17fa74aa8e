"""The evaluation of reasons: its cases are sound, and its figures count what they say."""

from collections import Counter

import pytest

from tanqu.agent.explanation.groundedness import ungrounded_spans
from tanqu.evaluation.data.samples import load_sample
from tanqu.evaluation.explanations.experiment import (
    SampleRecommender,
    evaluate_explanations,
    evidence_of,
    read_checker_cases,
)
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Language
from tanqu.models.scripted_model import ScriptedModel

KINDS = {"title", "person", "number", "date", "quality", "action"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_cases_rest_on_the_samples(language: Language) -> None:
    for case in read_checker_cases(language):
        sample = load_sample(case.scenario, language)
        users = {event.user for event in sample.events if event.id in case.events}
        assert len(users) == 1
        assert set(case.events) <= {event.id for event in sample.events}
        assert case.item in {item.id for item in sample.items}


def test_there_are_enough_planted_facts_of_every_kind_in_both_languages() -> None:
    for language in ("en", "zh"):
        counts = Counter(case.planted for case in read_checker_cases(language))
        assert set(counts) == {None, *KINDS}
        assert min(counts[kind] for kind in KINDS) >= 17
        assert counts[None] >= 60
    assert (
        sum(case.planted is not None for language in ("en", "zh") for case in read_checker_cases(language))
        >= 200
    )


def test_no_case_is_there_twice() -> None:
    texts = [case.text for language in ("en", "zh") for case in read_checker_cases(language)]
    assert len(texts) == len(set(texts))


def test_the_checker_finds_what_is_planted_and_lets_pass_what_is_true() -> None:
    refused = {True: 0, False: 0}
    total = {True: 0, False: 0}
    for language in ("en", "zh"):
        for case in read_checker_cases(language):
            planted = case.planted is not None
            total[planted] += 1
            refused[planted] += bool(ungrounded_spans(case.text, evidence_of(case, language).facts, language))
    assert refused[True] / total[True] >= 0.99
    assert refused[False] / total[False] <= 0.05


def test_figures_have_means_within_their_bounds() -> None:
    steps: list[tuple[int, int]] = []
    model = ScriptedModel(
        reply=lambda prompt: "适合在家使用。" if "写完" in prompt.text else " is what the description says.",
        scorer=lambda prompt, text: -1.0 - (len(prompt.text) * len(text)) % 7,
    )
    found = evaluate_explanations(
        model,
        lambda done, all_: steps.append((done, all_)),
        users=1,
        scenarios=("shop",),
        embedder=HashEmbedder(256),
    )
    promised = {"caught", "false_rejects", "model_written", "counterfactual_exact", "faithful", "seconds"}
    assert promised <= set(found["figures"])
    for one in found["figures"].values():
        assert one["low"] <= one["mean"] <= one["high"]
    assert found["figures"]["counterfactual_exact"]["mean"] == 1.0
    assert {one["written_by"] for one in found["sentences"]} <= {"model", "template"}
    assert steps == [(0, 2), (1, 2), (2, 2)]


def test_without_a_model_nothing_is_said_of_what_it_writes() -> None:
    found = evaluate_explanations(None, users=1, scenarios=("shop",), embedder=HashEmbedder(256))
    assert "model_written" not in found["figures"]
    assert "seconds" not in found["figures"]
    assert found["sentences"] == []


def test_a_bench_makes_the_same_ranking_twice() -> None:
    with SampleRecommender.open("news", "zh", HashEmbedder(256)) as sample:
        user = sample.users[0]
        assert sample.snapshot(user, None).ranked == sample.snapshot(user, None).ranked
