"""A folder as a protocol: what is held out, whose events a profile rests on, and what is refused."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tanqu.evaluation.data.protocol import NEGATIVES, ProtocolOptions, RankingProtocol, read_folder
from tanqu.models.errors import InputError

RATED = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ALL = ProtocolOptions(low_ratings=True)
Row = tuple[int, int, int]
"""Item, stars, seconds."""


def rated(folder: Path, rows: list[Row], user: str = "u") -> RankingProtocol:
    """What is read when one user has rated these."""
    text = RATED + "".join(f"{user}\t{item}\t{stars}\t{time}\n" for item, stars, time in rows)
    (folder / "d.inter").write_text(text, encoding="utf-8")
    return read_folder(folder, ALL)


# --- what is held out -------------------------------------------------------------------------------


def test_the_target_is_among_twenty_candidates_and_in_no_history(dataset: Path) -> None:
    data = read_folder(dataset, ALL)
    assert sorted(case.task.user for case in data.cases) == list("012345")
    for case in data.cases:
        used = {event.item for event in case.task.events}
        assert len(set(case.task.candidates or ())) == NEGATIVES + 1 == 20 and case.target in (
            case.task.candidates or ()
        )
        assert not used & set(case.task.candidates or ())
    assert len({(case.task.candidates or ()).index(case.target) for case in data.cases}) > 1
    assert read_folder(dataset, ALL) == data


def test_single_events_with_ratings_hold_out_the_last_good_one(dataset: Path) -> None:
    [case] = rated(
        dataset, [(5, 5, 900), (1, 4, 100), (2, 2, 200), (6, 4, 250), (3, 5, 300), (4, 1, 1000)]
    ).cases
    assert case.target == "5" and [event.item for event in case.task.events] == ["1", "2", "6", "3"]
    assert [event.value for event in case.task.events] == [4, 2, 4, 5]


def test_what_was_used_before_is_no_next_item(dataset: Path) -> None:
    [case] = rated(dataset, [(1, 4, 1), (2, 5, 2), (3, 5, 3), (4, 5, 4), (2, 5, 5), (1, 5, 6)]).cases
    assert case.target == "4" and [event.item for event in case.task.events] == ["1", "2", "3"]


def test_events_may_have_neither_stars_nor_times(dataset: Path) -> None:
    text = "user_id:token\titem_id:token\n" + "".join(f"u\t{item}\n" for item in (7, 3, 9, 4))
    (dataset / "d.inter").write_text(text, encoding="utf-8")
    [case] = read_folder(dataset, ALL).cases
    assert case.target == "4" and [event.item for event in case.task.events] == ["7", "3", "9"]
    assert {(event.action, event.value, event.time) for event in case.task.events} == {
        ("purchase", None, None)
    }


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 30)), min_size=1, max_size=15))
def test_nothing_from_the_target_on_is_seen(dataset: Path, rows: list[Row]) -> None:
    try:
        [case] = rated(dataset, rows).cases
    except InputError as error:
        assert "no user with 3 events" in str(error)
        return
    told = [
        (event.item, event.value, event.time.timestamp() if event.time else 0) for event in case.task.events
    ]
    by_time = sorted(rows, key=lambda row: row[2])
    assert told == [(str(item), stars, time) for item, stars, time in by_time[: len(told)]]
    item, stars, _ = by_time[len(told)]
    assert str(item) == case.target and stars >= 4 and case.target not in {one[0] for one in told}
    seen = {row[0] for row in by_time[: len(told) + 1]}
    for item, stars, _ in by_time[len(told) + 1 :]:
        assert stars < 4 or item in seen, "it is the last good new one"
        seen.add(item)


# --- who is measured --------------------------------------------------------------------------------


def test_without_low_ratings_a_history_has_the_good_ones(dataset: Path) -> None:
    rows: list[Row] = [(1, 4, 100), (2, 2, 200), (3, 5, 300), (4, 4, 400), (5, 5, 500)]
    rated(dataset, rows)
    [case] = read_folder(dataset, ProtocolOptions()).cases
    assert case.target == "5" and case.task.history == ["1", "3", "4"]
    assert "2" not in (case.task.candidates or ())


def test_given_negatives_say_who_is_measured_and_among_what(dataset: Path) -> None:
    (dataset / "d.random").write_text(f"3\t{' '.join(map(str, range(40, 60)))}\n", encoding="utf-8")
    [case] = read_folder(dataset, ALL).cases
    assert case.task.user == "3" and set(case.task.candidates or ()) == {"28", *map(str, range(40, 59))}


def test_of_given_negatives_those_that_were_used_are_passed_over(dataset: Path) -> None:
    listed = ["3", "28", "40", "40", *map(str, range(41, 60))]
    (dataset / "d.random").write_text(f"3\t{' '.join(listed)}\n", encoding="utf-8")
    [case] = read_folder(dataset, ALL).cases
    assert set(case.task.candidates or ()) == {"28", *map(str, range(40, 59))}


# --- what cannot be used ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.inter", "", r"2 files ending in \.inter: give a folder with exactly one"),
        ("e.item", "", r"2 files ending in \.item: give a folder with exactly one"),
        ("d.inter", "user_id:token\n0\n", r"d\.inter, line 1: it needs user_id, item_id .* and has user_id"),
        ("d.inter", f"{RATED}u\t1\t5\t1e300\n", r"d\.inter, line 2: time: "),
        ("d.inter", f"{RATED}u\t1\t5\t1\n", "no user with 3 events and a next item, new to them"),
        ("d.random", "3\t40 41\n", "user '3' has 2 negatives, not 19: ask for fewer"),
        (
            "d.random",
            f"3\t{' '.join(map(str, range(50, 70)))}\n",
            "candidate '60' of user '3' is not among the items: check the files",
        ),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(dataset: Path, name: str, text: str, message: str) -> None:
    (dataset / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_folder(dataset, ALL)


def test_a_folder_that_is_not_there_holds_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 files ending in \.item"):
        read_folder(tmp_path / "nowhere", ALL)
