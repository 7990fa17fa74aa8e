"""What `tanqu bench --scale` measures is whole, and the same items, events and vectors each time."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import load_settings
from tanqu.evaluation.bench import scale as bench_scale
from tanqu.evaluation.bench.scale import BROAD, NARROW, label, read_sizes, table
from tanqu.evaluation.data.synthetic import WordEmbedder, synthetic_events, synthetic_items
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError
from tanqu.vectorstore import compile_where

KEYS = {"ours", "theirs", "ratio", "tokens", "items", "target", "meets"}


def test_items_are_the_same_each_time_and_a_smaller_catalogue_is_the_beginning_of_a_larger() -> None:
    items = list(synthetic_items(10_100))
    assert list(synthetic_items(10_100)) == items
    assert list(synthetic_items(10_000)) == items[:10_000]
    assert len({item.id for item in items}) == 10_100
    assert list(islice(synthetic_items(100, seed=1), 5)) != items[:5]


def test_filters_are_as_broad_and_as_narrow_as_they_say() -> None:
    items = list(synthetic_items(10_000))
    passing = [sum(map(compile_where(where), items)) / len(items) for where in (BROAD, NARROW)]
    assert passing[0] == pytest.approx(0.96, abs=0.01)
    assert passing[1] == pytest.approx(0.004, abs=0.002)


def test_users_have_thirty_events_each_with_items_that_are_there() -> None:
    events = list(synthetic_events(5, 1_000))
    assert events == list(synthetic_events(5, 1_000))
    assert len(events) == len({event.id for event in events}) == 150
    assert {event.item for event in events} <= {item.id for item in synthetic_items(1_000)}


def test_texts_of_one_topic_lie_nearer_than_those_of_two() -> None:
    items = list(synthetic_items(600))
    vectors = WordEmbedder().embed([item.content for item in items])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert not WordEmbedder().embed([" "]).any()
    topics = np.array([item.tags[0] for item in items])
    same = topics[:, None] == topics
    likeness = vectors @ vectors.T
    assert likeness[same & ~np.eye(600, dtype=bool)].mean() > likeness[~same].mean() + 0.2


@pytest.mark.slow
def test_a_size_is_built_and_measured_whole(tmp_path: Path) -> None:
    assert bench_scale.build(tmp_path, 2_000, users=20) > 0
    rows = bench_scale.measure(tmp_path, 2_000, {"build_seconds": 1.0})
    assert set(rows) == {
        "retrieve_ms_2k", "retrieve_vs_chroma_2k", "filtered_vs_unfiltered_2k", "peak_mb_2k",
    }  # fmt: skip
    assert all(set(row) >= KEYS and row["ours"] > 0 and row["ratio"] > 0 for row in rows.values())
    filtered = rows["filtered_vs_unfiltered_2k"]
    assert filtered["ratio"] == max(filtered["broad"], filtered["narrow"])
    assert rows["peak_mb_2k"]["one_more_item_ms"] > 0


def test_a_request_ranks_two_hundred_candidates_and_a_filter_holds(tmp_path: Path) -> None:
    bench_scale.build(tmp_path, 1_500, users=20)
    settings = load_settings(scenario="shop", language="en", model="none", home=tmp_path)
    with Recommender.open(embedder=WordEmbedder(), settings=settings) as recommender:
        benchmark = bench_scale._bench(recommender, tmp_path)
        assert len(benchmark.queries) == 5 and all(query.profile.positive for query in benchmark.queries)
        assert benchmark.request(benchmark.queries[0]) == 200
        assert 0 < benchmark.request(benchmark.queries[0], NARROW) < 30
        assert benchmark.dense(benchmark.queries[0]) == len(benchmark.queries[0].profile.interests)


def test_indexing_is_held_against_the_embedder() -> None:
    row = bench_scale.indexing(HashEmbedder(512), 300, rounds=1)
    assert set(row) == KEYS
    assert row["ratio"] == pytest.approx(row["ours"] / row["theirs"], rel=0.02)
    assert row["meets"] == (row["ratio"] >= 0.8)


def test_the_issue_s_names_are_of_the_largest_size_and_filters_of_a_hundred_thousand() -> None:
    rows = {
        f"{key}_{size}": {"items": size}
        for key in ("retrieve_vs_chroma", "filtered_vs_unfiltered")
        for size in ("17k", "100k", "1m")
    }
    found = bench_scale._headed(rows, [17_000, 100_000, 1_000_000])
    assert found["retrieve_vs_chroma"] == {"items": "1m"}
    assert found["filtered_vs_unfiltered"] == {"items": "100k"}
    assert len(found) == len(rows)
    assert bench_scale._headed({"filtered_vs_unfiltered_17k": {}}, [17_000]) == {"filtered_vs_unfiltered": {}}


@pytest.mark.parametrize(("size", "name"), [(17_000, "17k"), (1_000_000, "1m"), (1_234, "1234")])
def test_sizes_have_short_names(size: int, name: str) -> None:
    assert label(size) == name


def test_sizes_are_read_and_nonsense_is_refused() -> None:
    assert read_sizes("17000, 1000000") == (17_000, 1_000_000)
    for text in ("", "many", "17k", "999", "1e6", "-5000"):
        with pytest.raises(InputError, match="--items"):
            read_sizes(text)


def test_the_table_says_what_is_met() -> None:
    row = {"ours": 20.0, "theirs": 30.0, "ratio": 20.0, "target": 30.0, "meets": True}
    shown = table({"machine": "m", "rows": {"retrieve_ms_17k": row, "x": row | {"meets": False}}})
    assert "<= 30 met" in shown and "<= 30 SHORT" in shown
