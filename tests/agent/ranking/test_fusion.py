import pytest

from tanqu.agent.ranking.retrieval import RANK_CONSTANT, reciprocal_rank_fusion


def test_an_item_high_in_two_rankings_comes_before_one_that_is_first_in_a_single_one() -> None:
    first, second = [("single", 9.0), ("both", 8.0)], [("both", 0.2), ("low", 0.1)]
    assert 1 / (RANK_CONSTANT + 2) + 1 / (RANK_CONSTANT + 1) > 1 / (RANK_CONSTANT + 1)
    assert reciprocal_rank_fusion([first, second]) == ["both", "single", "low"]


def test_ties_are_ordered_by_id_whatever_the_order_of_the_rankings() -> None:
    rankings = [[("b", 1.0)], [("a", 2.0)]]
    assert reciprocal_rank_fusion(rankings) == reciprocal_rank_fusion(rankings[::-1]) == ["a", "b"]


@pytest.mark.parametrize("rankings", [[], [[]]])
def test_nothing_fused_is_nothing(rankings: list[list[tuple[str, float]]]) -> None:
    assert reciprocal_rank_fusion(rankings) == []
