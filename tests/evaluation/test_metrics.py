import math
from statistics import fmean

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.evaluation.metrics import (
    CUTOFFS,
    bootstrap,
    bootstrap_statistic,
    coverage,
    diversity,
    figures,
    hit_rate,
    ndcg,
    ndcg_of_scores,
    novelty,
    permutation_test,
    reciprocal_rank,
)

ORACLES = {"ndcg": ir_measures.nDCG, "hr": ir_measures.Success, "mrr": ir_measures.RR}

names = st.text(alphabet="abcdef电影游戏", min_size=1, max_size=3)


def by_trec_eval(scores: dict[str, float]) -> list[str]:
    """The order in which trec_eval reads a run: ties by the id, the last one first."""
    return sorted(scores, key=lambda item: (scores[item], item.encode()), reverse=True)


def oracle(scores: dict[str, float], relevant: set[str], metric: str, k: int) -> float:
    measure = ORACLES[metric] @ k
    qrels = {"user": dict.fromkeys(sorted(relevant), 1)}
    return float(ir_measures.calc_aggregate([measure], qrels, {"user": scores})[measure])


@settings(max_examples=60, deadline=None)
@given(
    # Few different scores: most rankings have ties.
    st.dictionaries(names, st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30),
    st.sets(names, min_size=1, max_size=4),
)
def test_every_figure_is_that_of_ir_measures_with_ties_too(
    scores: dict[str, float], relevant: set[str]
) -> None:
    order = by_trec_eval(scores)
    untied = {item: float(-place) for place, item in enumerate(order)}
    found = figures(order, relevant)

    assert set(found) == {f"{metric}@{k}" for metric in ORACLES for k in CUTOFFS}
    for key, value in found.items():
        metric, k = key.split("@")
        # RR@k is not computed by trec_eval: ir_measures breaks its ties in another way.
        run = untied if metric == "mrr" else scores
        assert value == pytest.approx(oracle(run, relevant, metric, int(k)), abs=1e-6), key


def test_one_target_at_rank_three() -> None:
    ranking = ["a", "b", "target", "c"]

    assert ndcg(ranking, ["target"], 10) == pytest.approx(0.5)
    assert hit_rate(ranking, ["target"], 2) == 0
    assert hit_rate(ranking, ["target"], 3) == 1
    assert reciprocal_rank(ranking, ["target"], 10) == pytest.approx(1 / 3)
    assert reciprocal_rank(ranking, ["target"], 2) == 0


def test_nothing_relevant_or_nothing_ranked_is_zero() -> None:
    assert set(figures(["a"], []).values()) == {0.0}
    assert set(figures([], ["a"]).values()) == {0.0}


@given(st.permutations([f"item {at}" for at in range(8)]), st.integers(0, 7))
def test_moving_the_target_up_never_lowers_a_figure(ranking: list[str], place: int) -> None:
    target = ranking[place]
    up = [target, *[one for one in ranking if one != target]]

    before, after = figures(ranking, [target]), figures(up, [target])

    assert all(after[key] >= before[key] for key in before)
    assert after["ndcg@10"] == 1


def test_coverage_counts_each_item_once() -> None:
    assert coverage([["a", "b"], ["b", "c"]], 6) == pytest.approx(0.5)
    assert coverage([], 6) == 0
    assert coverage([[]], 0) == 0


def test_novelty_is_in_bits_and_the_unknown_counts_as_used_once() -> None:
    assert novelty(["half"], {"half": 4}, 8) == pytest.approx(1)
    assert novelty(["half", "never"], {"half": 4}, 8) == pytest.approx((1 + 3) / 2)
    assert novelty([], {}, 8) == 0
    assert novelty(["all"], {"all": 8}, 8) == 0


def test_diversity_is_zero_for_twins_one_for_strangers_two_for_opposites() -> None:
    x, y = np.array([1, 0], np.float32), np.array([0, 1], np.float32)

    assert diversity(np.stack([x, x])) == pytest.approx(0)
    assert diversity(np.stack([x, y])) == pytest.approx(1)
    assert diversity(np.stack([x, -x])) == pytest.approx(2)
    assert diversity(np.stack([x, x, y])) == pytest.approx(2 / 3)
    assert diversity(np.stack([x])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_an_interval_holds_its_mean_and_is_the_same_again(values: list[float], seed: int) -> None:
    found = bootstrap(values, seed)

    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found.mean == pytest.approx(np.mean(values))
    assert found == bootstrap(values, seed)


def test_the_interval_of_a_known_distribution_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)

    found = bootstrap(values.tolist())

    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(400), rel=0.1)


def test_no_values_have_no_interval() -> None:
    with pytest.raises(ValueError, match="nothing"):
        bootstrap([])


def test_the_permutation_test_agrees_with_all_sign_patterns_counted() -> None:
    ours, theirs = [0.9, 0.8, 0.7, 0.9, 0.6, 0.5], [0.5, 0.7, 0.2, 0.4, 0.5, 0.6]
    differences = np.array(ours) - np.array(theirs)
    patterns = np.array([[1 if code >> bit & 1 else -1 for bit in range(6)] for code in range(64)])
    exact = (abs(patterns @ differences) >= abs(differences.sum()) - 1e-9).mean()

    assert permutation_test(ours, theirs) == pytest.approx(exact, abs=0.015)


def test_equal_systems_are_alike_and_far_apart_ones_are_not() -> None:
    values = np.random.default_rng(0).random(100).tolist()

    assert permutation_test(values, values) == 1
    assert permutation_test([value + 0.2 for value in values], values) < 0.001
    assert permutation_test(values, values[::-1]) == permutation_test(values[::-1], values)


def test_different_numbers_of_users_cannot_be_compared() -> None:
    with pytest.raises(ValueError):
        permutation_test([1.0, 0.5], [1.0, 0.5, 0.2])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1.0, 0.5, 0.2], 1.0),
        ([0.5, 1.0, 0.2], 1 / math.log2(3)),
        ([0.0, *[1.0] * 10], 0.0),
        ([1.0, 1.0, 0.0], 1 / math.log2(2.5)),
    ],
)
def test_ndcg_of_scores_is_that_of_one_relevant_item_and_ties_share_their_rank(
    scores: list[float], expected: float
) -> None:
    assert ndcg_of_scores(np.array(scores), 0, 10) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20, unique=True), st.integers(0, 19))
def test_without_ties_ndcg_of_scores_is_that_of_the_ranking(scores: list[float], place: int) -> None:
    target = place % len(scores)
    ranking = sorted(range(len(scores)), key=lambda at: -scores[at])
    expected = ndcg([str(at) for at in ranking], [str(target)], 10)
    assert ndcg_of_scores(np.array(scores), target, 10) == pytest.approx(expected)


def test_the_bootstrap_of_a_mean_as_a_statistic_is_about_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 100).tolist()
    found, mean = bootstrap_statistic(values, fmean), bootstrap(values)
    assert found is not None and found.mean == pytest.approx(mean.mean)
    assert (found.low, found.high) == pytest.approx((mean.low, mean.high), abs=0.01)


def test_a_statistic_that_is_undefined_has_no_interval() -> None:
    assert bootstrap_statistic([], fmean) is None
    assert bootstrap_statistic([1.0], lambda _: math.nan) is None
