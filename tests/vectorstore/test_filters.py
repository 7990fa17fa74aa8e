"""Filters hold: the fast way over columns and the plain way over items say the same."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.models.errors import InputError
from tanqu.models.records import Item
from tanqu.vectorstore.filters import Columns, compile_where

DUNE = Item(
    id="dune",
    title="沙丘",
    tags=("科幻", "史诗"),
    kind="film",
    attributes={"price": 30, "year": 2021, "genre": ("sf", "drama"), "lang": "zh-CN", "new": True},
)

HOLDS: list[dict[str, Any]] = [
    {},
    {"price": 30},
    {"price": 30.0},
    {"price": {"$lte": 30}},
    {"price": {"$gt": 29, "$lt": 31}},
    {"price": {"$gte": 30}, "year": {"$lt": 2022}},
    {"genre": "sf"},
    {"genre": {"$contains": "drama"}},
    {"genre": {"$in": ["news", "drama"]}},
    {"genre": {"$ne": "news"}},
    {"genre": {"$nin": ["news", "sport"]}},
    {"genre": {"$gt": "drama"}},
    {"tags": "科幻"},
    {"kind": "film"},
    {"id": "dune"},
    {"id": {"$in": ["dune", "heat"]}},
    {"lang": {"$contains": "zh"}},
    {"new": True},
    {"missing": {"$ne": 1}},
    {"missing": {"$nin": [1]}},
    {"$or": [{"price": 1}, {"kind": "film"}]},
    {"$and": [{"price": 30}, {"$or": [{"year": 2021}, {"year": 1984}]}]},
]
FAILS: list[dict[str, Any]] = [
    {"price": {"$lt": 30}},
    {"price": "30"},
    {"price": {"$gt": "3"}},
    {"price": {"$in": []}},
    {"genre": {"$contains": "dram"}},
    {"genre": {"$ne": "sf"}},
    {"genre": {"$nin": ["sf"]}},
    {"tags": {"$contains": "科"}},
    {"lang": {"$contains": "en"}},
    {"lang": {"$gt": 5}},
    {"new": 1},
    {"new": {"$gte": 0}},
    {"year": True},
    {"missing": 1},
    {"missing": {"$lt": 10**9}},
    {"title": "沙丘"},
    {"kind": ""},
    {"$and": [{"price": 30}, {"year": 1984}]},
    {"$or": [{"price": 1}, {"year": 1984}]},
]


def both_ways(where: dict[str, Any] | None, items: list[Item]) -> list[bool]:
    """The predicate's answers, after checking that columns give the same."""
    passes = compile_where(where)
    answers = [passes(item) for item in items]
    assert Columns(enumerate(items)).allowed(where).tolist() == answers
    return answers


@pytest.mark.parametrize("where", HOLDS, ids=str)
def test_a_filter_that_holds(where: dict[str, Any]) -> None:
    assert both_ways(where, [DUNE]) == [True]


@pytest.mark.parametrize("where", FAILS, ids=str)
def test_a_filter_that_does_not_hold(where: dict[str, Any]) -> None:
    assert both_ways(where, [DUNE]) == [False]


def test_no_filter_lets_everything_through() -> None:
    assert both_ways(None, [DUNE, Item(id="bare", title="x")]) == [True, True]


def test_attributes_cannot_pose_as_fields_of_the_item() -> None:
    item = Item(id="a", title="x", kind="film", attributes={"kind": "book", "id": "b", "tags": "t"})
    assert both_ways({"kind": "book"}, [item]) == [False]
    assert both_ways({"id": "b"}, [item]) == [False]
    assert both_ways({"tags": "t"}, [item]) == [False]


def deep(levels: int) -> dict[str, Any]:
    where: dict[str, Any] = {"price": 1}
    for _ in range(levels):
        where = {"$and": [where]}
    return where


MALFORMED: list[Any] = [
    [],
    "price<50",
    5,
    {"price": {"$near": 5}},
    {"price": {"lte": 5}},
    {"price": {}},
    {"price": None},
    {"price": [1, 2]},
    {"price": {"$lt": None}},
    {"price": {"$lt": True}},
    {"price": {"$lt": float("nan")}},
    {"price": {"$eq": float("inf")}},
    {"price": {"$in": "abc"}},
    {"price": {"$in": [[1]]}},
    {"price": {"$in": [float("nan")]}},
    {"price": {"$contains": {}}},
    {"$and": []},
    {"$or": {"price": 1}},
    {"$and": [5]},
    {"$not": {"price": 1}},
    {"": 1},
    {5: 1},
    deep(100_000),
]


@pytest.mark.parametrize("where", MALFORMED, ids=lambda where: str(type(where)))
def test_a_malformed_filter_is_an_input_error(where: Any) -> None:
    with pytest.raises(InputError) as raised:
        compile_where(where)
    assert len(str(raised.value)) < 300
    with pytest.raises(InputError):
        Columns([(0, DUNE)]).allowed(where)


def test_errors_name_the_field_and_what_to_use() -> None:
    with pytest.raises(InputError, match=r"'price' has the operator '\$near': use one of .*\$lte"):
        compile_where({"price": {"$near": 5}})


values = st.one_of(
    st.integers(-3, 3), st.sampled_from([0.5, 2.0, -1.0]), st.booleans(), st.sampled_from("abc猫")
)
fields = st.sampled_from(["id", "kind", "tags", "p", "q"])
items = st.builds(
    lambda kind, tags, attributes: {"kind": kind, "tags": tags, "attributes": attributes},
    st.sampled_from(["", "a", "b"]),
    st.lists(st.sampled_from("abc"), max_size=3),
    st.dictionaries(
        st.sampled_from(["p", "q"]), values | st.lists(st.sampled_from("abc"), max_size=3).map(tuple)
    ),
)
tests = st.one_of(
    values,
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$eq", "$ne", "$contains"]), values),
    st.builds(
        lambda name, value: {name: value},
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
        values.filter(lambda value: not isinstance(value, bool)),
    ),
    st.builds(
        lambda name, value: {name: value}, st.sampled_from(["$in", "$nin"]), st.lists(values, max_size=3)
    ),
)
wheres = st.recursive(
    st.dictionaries(fields, tests, max_size=2),
    lambda inner: st.builds(
        lambda name, parts: {name: parts},
        st.sampled_from(["$and", "$or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)


@given(st.lists(items, max_size=6), wheres)
def test_columns_and_predicate_agree(raw: list[dict[str, Any]], where: dict[str, Any]) -> None:
    both_ways(where, [Item(id=f"{place}", title="x", **one) for place, one in enumerate(raw)])


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), max_size=12),
    st.sets(st.sampled_from("abcde")),
)
def test_columns_follow_changes_and_deletions(changes: list[tuple[str, int]], gone: set[str]) -> None:
    columns = Columns()
    current = {}
    for row, (id_, price) in enumerate(changes):
        item = Item(id=id_, title="x", attributes={"p": price})
        columns.put(row, item)
        current[id_] = (row, item)
    for id_ in gone:
        columns.drop(id_)
        current.pop(id_, None)
    assert len(columns) == len(current)
    for where in ({}, {"p": {"$gte": 2}}, {"p": {"$ne": 1}}, {"id": {"$gt": "b"}}):
        places = np.flatnonzero(columns.allowed(where))
        passes = compile_where(where)
        expected = {id_: row for id_, (row, item) in current.items() if passes(item)}
        assert dict(zip(columns.ids(places), columns.rows(places).tolist(), strict=True)) == expected


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([0, 1, True, None])), max_size=12))
def test_a_filter_that_is_asked_again_sees_what_changed(changes: list[tuple[str, int | None]]) -> None:
    columns, current = Columns(), dict[str, Item]()
    for row, (id_, value) in enumerate(changes):
        if value is None:
            columns.drop(id_)
            current.pop(id_, None)
        else:
            current[id_] = Item(id=id_, title="x", attributes={"p": value})
            columns.put(row, current[id_])
        for where in ({"p": 1}, {"p": True}, {"p": {"$ne": 0}}):
            columns.allowed(where, ["a"])
            found = columns.ids(np.flatnonzero(columns.allowed(where)))
            passes = compile_where(where)
            assert set(found) == {id_ for id_, item in current.items() if passes(item)}


def test_excluded_items_do_not_pass() -> None:
    columns = Columns(enumerate(Item(id=id_, title="x") for id_ in "abc"))
    mask = columns.allowed(None, ["b", "unknown"])
    assert mask.tolist() == [True, False, True]
    assert [columns.passes(id_, mask) for id_ in ("a", "b", "unknown")] == [True, False, False]
    assert columns.aligned(["c", "unknown", "b"]).tolist() == [2, -1, 1]


def test_a_filter_on_many_items_takes_milliseconds() -> None:
    made = (
        Item.model_construct(id=str(n), title="x", tags=(), kind="", attributes={"p": n % 97})
        for n in range(20_000)
    )
    columns = Columns(enumerate(made))
    started = time.perf_counter()
    found = columns.allowed({"p": {"$lt": 50}})
    assert time.perf_counter() - started < 0.5  # 2 ms on a quiet machine
    assert found.sum() == sum(n % 97 < 50 for n in range(20_000))
