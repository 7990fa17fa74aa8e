"""Numbers are read out of digits, English words and Chinese numerals, with what they count."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.models.numbers import NUMBER, numerals, read_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("三千四百五十元", [(3450, "元")]),
        ("两千四百年前", [(2400, "年")]),
        ("15 亿参数", [(1.5e9, "参")]),
        ("1.5 billion parameters", [(1.5e9, "parameters")]),
        ("three hundred pages", [(300, "pages")]),
        ("one hundred and twenty pieces", [(120, "pieces")]),
        ("twenty-five minutes", [(25, "minutes")]),
        ("a dozen words", [(12, "words")]),
        ("约 1,200 人", [(1200, "人")]),
        ("一九九八年", [(1998, "年")]),
        ("$54 only", [(54, "$")]),
        ("11%", [(11, "%")]),
        ("最低万分之五\n七家公司", [(10_000, "分"), (5, ""), (7, "家")]),
        ("约一百五块", [(150, "块")]),
        ("0.5 million users", [(5e5, "users")]),
        ("none at all", []),
        ("often, bone and stone", []),
    ],
)
def test_numbers_and_what_they_count(text: str, expected: list[tuple[float, str]]) -> None:
    assert [(one.value, one.unit) for one in numerals(text)] == expected


@given(st.integers(0, 10**9))
def test_digits_are_read_as_they_stand(value: int) -> None:
    assert [one.value for one in numerals(f"about {value:,} of them")] == [value]


@given(st.text(max_size=80))
def test_numbers_lie_in_order_inside_the_text(text: str) -> None:
    found = list(numerals(text))
    assert all(0 <= one.start < one.end <= one.unit_end <= len(text) for one in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5k", 1500),
        ("2 w", 20_000),
        ("3万", 30_000),
        ("1,200", 1200),
        ("一百五", 150),
        ("两万三", 23_000),
        ("一千零五", 1005),
        ("二〇一五", 2015),
        ("三百半", 300.5),
        ("半", 0.5),
        ("a hundred and twenty", 120),
        ("half a dozen", 6),
        ("half a million", 500_000),
        ("a couple", 2),
        ("twenty-five thousand", 25_000),
        ("九千亿亿", None),
    ],
)
def test_a_number_is_read_as_people_mean_it(text: str, value: float | None) -> None:
    assert re.fullmatch(NUMBER, text)
    assert read_number(text) == value
