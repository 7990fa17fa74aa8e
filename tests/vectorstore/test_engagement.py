"""What other users' events say, and that it says nothing where there is nothing to say."""

import stat
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.models.errors import CatalogueError
from tanqu.vectorstore.engagement import Engagement, Signal

IDS = ["nes1", "nes2", "nes3", "茶1", "茶2", "茶3", "unused"]
HISTORIES = [
    ["nes1", "nes2", "nes3"],
    ["nes2", "nes3", "nes1"],
    ["nes1", "nes3"],
    ["茶1", "茶2", "茶3"],
    ["茶2", "茶3"],
    ["茶3", "茶1", "茶2", "nes1"],
]


@pytest.fixture(scope="module")
def learnt() -> Engagement:
    return Engagement.build(HISTORIES, IDS)


def test_popularity_counts_users_and_not_events(learnt: Engagement) -> None:
    assert learnt.popularity([*IDS, "stranger"]).tolist() == [4, 2, 3, 2, 3, 3, 0, 0]
    again = Engagement.build([*HISTORIES, ["茶1"] * 50], IDS)
    assert again.popularity(["茶1"]).tolist() == [3]


def test_old_events_count_less() -> None:
    histories = [["a", "b"]] * 6
    faded = Engagement.build(histories, ["a", "b"], ages=[[180.0, 0.0]] * 6, half_life=90)
    np.testing.assert_allclose(faded.popularity(["a", "b"]), [1.5, 6])


def test_the_most_popular_come_first_ties_by_id(learnt: Engagement) -> None:
    assert learnt.popular(3) == [("nes1", 4), ("nes3", 3), ("茶2", 3)]
    assert [id_ for id_, _ in learnt.popular(99, exclude=["nes1", "stranger"])] == [
        "nes3",
        "茶2",
        "茶3",
        "nes2",
        "茶1",
    ]
    assert learnt.popular(0) == []


def test_items_of_the_same_users_are_alike(learnt: Engagement) -> None:
    similar = dict(zip(IDS, learnt.similar(["nes1", "nes2"], IDS), strict=True))
    assert similar["nes3"] > similar["茶1"] + 0.3
    assert similar["unused"] == 0
    support = dict(zip(IDS, learnt.cooccurrence(["茶1", "茶2"], IDS), strict=True))
    assert support["茶3"] > support["nes1"] > support["nes2"] == support["unused"] == 0


@pytest.mark.parametrize("by", ["vectors", "pairs"])
def test_neighbours_are_the_best_of_all_items(learnt: Engagement, by: Signal) -> None:
    history = ["nes1", "stranger", "nes2"]
    found = learnt.neighbours(history, 2, exclude=history, by=by)
    assert found[0][0] == "nes3"
    signal = learnt.similar if by == "vectors" else learnt.cooccurrence
    everything = signal(history, IDS)
    expected = sorted(
        (v for id_, v in zip(IDS, everything, strict=True) if v > 0 and id_ not in history), reverse=True
    )
    np.testing.assert_allclose([score for _, score in found], expected[:2], rtol=1e-5)


def test_what_follows_speaks_more_than_what_came_before() -> None:
    learnt = Engagement.build([["first", "then"]] * 6, ["first", "then"])
    assert learnt.cooccurrence(["first"], ["then"])[0] > learnt.cooccurrence(["then"], ["first"])[0] > 0


def test_later_events_of_a_history_speak_more(learnt: Engagement) -> None:
    late, early = learnt.cooccurrence(["nes1", "茶1"], ["茶2"]), learnt.cooccurrence(["茶1", "nes1"], ["茶2"])
    assert late[0] > early[0]


def test_only_recent_events_count(learnt: Engagement) -> None:
    long = ["茶1"] * 50 + ["nes1"] * 20
    np.testing.assert_array_equal(learnt.similar(long, IDS), learnt.similar(["nes1"] * 20, IDS))
    np.testing.assert_array_equal(learnt.cooccurrence(long, IDS), learnt.cooccurrence(["nes1"] * 20, IDS))


@pytest.mark.parametrize(
    "histories",
    [[], [[]] * 9, [["nes1", "nes2"]] * 4, [["stranger"]] * 9, [["nes1"]] * 4 + [["stranger"]] * 9],
)
def test_with_too_few_users_everything_is_zero(histories: list[list[str]], tmp_path: Path) -> None:
    learnt = Engagement.build(histories, IDS)
    assert not learnt.known and learnt.users == 0
    for values in (
        learnt.popularity(IDS),
        learnt.similar(["nes1"], IDS),
        learnt.cooccurrence(["nes1"], IDS),
    ):
        assert values.tolist() == [0] * 7
    assert (
        learnt.neighbours(["nes1"], 5)
        == learnt.neighbours(["nes1"], 5, by="pairs")
        == learnt.popular(5)
        == []
    )
    learnt.save(tmp_path / "e.npz")
    assert not Engagement.load(tmp_path / "e.npz").known


def test_an_engagement_of_no_items_answers() -> None:
    nothing = Engagement.empty()
    assert nothing.popularity(["a"]).tolist() == nothing.similar(["b"], ["a"]).tolist() == [0]
    assert nothing.cooccurrence(["b"], ["a"]).tolist() == [0]
    assert nothing.neighbours(["a"], 3) == []
    assert not Engagement.build(HISTORIES, []).known


def test_one_item_that_everybody_used_is_enough_to_be_popular() -> None:
    learnt = Engagement.build([["a"]] * 9, ["a"])
    assert learnt.popular(1) == [("a", 9)]
    assert learnt.similar(["a"], ["a"]).shape == (1,)


histories = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=8), max_size=12)


@settings(deadline=None)
@given(histories, st.lists(st.sampled_from("abcdefgz"), max_size=6))
def test_signals_are_finite_and_bounded_whatever_the_users(
    users: list[list[str]], history: list[str]
) -> None:
    ids = list("abcdefg")
    learnt = Engagement.build(users, ids)
    similar, support = learnt.similar(history, [*ids, "z"]), learnt.cooccurrence(history, [*ids, "z"])
    assert np.all(np.abs(similar) <= 1 + 1e-5) and similar[-1] == 0
    assert np.all(np.isfinite(support)) and np.all(support >= 0) and support[-1] == 0
    found = learnt.neighbours(history, 3, exclude=history)
    assert len(found) <= 3 and not {id_ for id_, _ in found} & set(history)
    again = Engagement.build(users, ids)
    np.testing.assert_array_equal(learnt.similar(history, ids), again.similar(history, ids))


def large() -> list[list[str]]:
    """1,000 users of 400 items in 20 clusters."""
    chance = np.random.default_rng(0)
    clusters = chance.integers(0, 20, 1_000)
    return [[str(cluster + 20 * n) for n in chance.permutation(20)[:8]] for cluster in clusters]


def test_many_users_are_learnt_quickly_and_the_same_each_time() -> None:
    ids = [str(n) for n in range(400)]
    started = time.perf_counter()
    learnt = Engagement.build(large(), ids)
    assert time.perf_counter() - started < 20  # 0.2 s on a quiet machine
    assert learnt.users == 1_000
    methods: tuple[Signal, ...] = ("vectors", "pairs")
    for by in methods:
        found = learnt.neighbours(["0", "20", "40"], 10, exclude=["0", "20", "40"], by=by)
        assert sum(int(id_) % 20 == 0 for id_, _ in found) >= 9
    np.testing.assert_array_equal(Engagement.build(large(), ids).factors, learnt.factors)


def test_what_was_saved_says_the_same_and_is_private(learnt: Engagement, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "e.npz"
    learnt.save(path)
    learnt.save(path)
    loaded = Engagement.load(path)
    assert (loaded.ids, loaded.users) == (learnt.ids, learnt.users)
    for history in (["nes1"], ["茶1", "nes2"]):
        np.testing.assert_array_equal(loaded.similar(history, IDS), learnt.similar(history, IDS))
        np.testing.assert_array_equal(loaded.cooccurrence(history, IDS), learnt.cooccurrence(history, IDS))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["e.npz"]


def damaged(path: Path, how: str, learnt: Engagement) -> None:
    learnt.save(path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif how == "garbage":
        path.write_bytes(b"garbage")
    elif how == "pickle":
        np.savez(path, ids=np.array([{"a": 1}], dtype=object))
    elif how == "gone":
        path.unlink()
    elif how == "mixed":
        replace(learnt, counts=learnt.counts[:2]).save(path)


@pytest.mark.parametrize("how", ["cut", "garbage", "pickle", "gone", "mixed"])
def test_a_damaged_file_is_an_error_with_advice(learnt: Engagement, tmp_path: Path, how: str) -> None:
    damaged(tmp_path / "e.npz", how, learnt)
    with pytest.raises(CatalogueError, match=r"e\.npz .*delete it to learn anew"):
        Engagement.load(tmp_path / "e.npz")
