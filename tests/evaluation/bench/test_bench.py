"""The arithmetic of the benchmark: medians, ratios, what meets a target, and the table of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.evaluation.bench.bench import table
from tanqu.evaluation.bench.sides import AT_MOST, REPEATS, TARGETS, Row, conversation, in_turn, row

seconds = st.lists(st.floats(0.001, 1000), min_size=1, max_size=9)


def test_a_row_compares_medians_and_a_ratio_above_one_says_that_ours_is_faster() -> None:
    found = row("generate_vs_llama", [1.0, 9.0, 1.2, 0.5, 1.1], [3.3, 2.0, 99.0, 2.2, 1.0], 100)
    assert found == {"ours": 1.1, "theirs": 2.2, "ratio": 2.0, "tokens": 100, "target": 1.6, "meets": True}


@pytest.mark.parametrize(
    ("key", "ours", "theirs", "meets"),
    [
        ("generate_vs_llama", 1.0, 1.6, True),  # just so
        ("generate_vs_llama", 1.0, 1.599, False),
        ("generate_vs_limit", 1.0, 0.9, True),
        ("generate_vs_limit", 1.0, 0.89, False),
        ("grammar_overhead", 1.04, 1.0, True),  # here less is better
        ("grammar_overhead", 1.06, 1.0, False),
        ("grammar_overhead", 0.5, 1.0, True),
    ],
)
def test_a_target_is_met_from_its_own_side(key: str, ours: float, theirs: float, meets: bool) -> None:
    found = row(key, [ours], [theirs], 1)
    assert found["meets"] is meets and found["target"] == TARGETS[key]


@given(st.sampled_from(sorted(TARGETS)), seconds, seconds)
def test_being_faster_never_makes_a_row_worse(key: str, ours: list[float], theirs: list[float]) -> None:
    before, after = row(key, ours, theirs, 1), row(key, [one / 2 for one in ours], theirs, 1)
    assert after["meets"] or not before["meets"]
    assert after["ratio"] <= before["ratio"] if key in AT_MOST else after["ratio"] >= before["ratio"]


def test_a_row_without_a_target_is_none() -> None:
    with pytest.raises(KeyError, match="guessed"):
        row("guessed", [1.0], [1.0], 1)
    assert set(TARGETS) >= AT_MOST and all(target > 0 for target in TARGETS.values())


def test_sides_take_turns_after_a_round_that_does_not_count() -> None:
    calls: list[str] = []

    def side(name: str) -> float:
        calls.append(name)
        return float(calls.count(name))

    ours, theirs = in_turn(lambda: side("ours"), lambda: side("theirs"))
    assert ours == theirs == [float(at) for at in range(2, REPEATS + 2)]
    assert calls == ["ours", "theirs"] * (REPEATS + 1)


def test_a_question_may_begin_its_answer() -> None:
    assert [turn.role for turn in conversation("Tell of rain.").messages] == ["system", "user"]
    last = conversation("Tell of rain.", "Once").messages[-1]
    assert (last.role, last.segments[0].text) == ("assistant", "Once")


@pytest.fixture
def result() -> dict[str, Any]:
    rows: dict[str, Row] = {
        "generate_vs_llama": row("generate_vs_llama", [1.0], [1.5], 100),
        "grammar_overhead": row("grammar_overhead", [1.02], [1.0], 60),
    }
    return {"machine": "x86_64, 2 cores, Linux", "model": "small", "rows": rows}


def test_the_table_has_a_line_for_each_row_and_says_what_falls_short(result: dict[str, Any]) -> None:
    first, head, generate, grammar = table(result).splitlines()
    assert first == "small on x86_64, 2 cores, Linux"
    assert head.split() == ["row", "ours", "theirs", "ratio", "target"]
    assert generate.split() == ["generate_vs_llama", "1.0000", "1.5000", "1.50", ">=", "1.6", "SHORT"]
    assert grammar.split() == ["grammar_overhead", "1.0200", "1.0000", "1.02", "<=", "1.05", "met"]


def test_no_rows_are_a_table_of_none(result: dict[str, Any]) -> None:
    assert len(table(result | {"rows": {}}).splitlines()) == 2
