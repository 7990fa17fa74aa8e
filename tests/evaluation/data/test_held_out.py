"""Whose next item is held out for the measurements of a profile, and what it is found among."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tanqu.evaluation.data.held_out import NEGATIVES, HeldOut, read_held_out
from tanqu.models.errors import InputError

RATED = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
Row = tuple[int, int, int]
"""Item, stars, seconds."""


def rated(folder: Path, rows: list[Row], user: str = "u") -> HeldOut:
    """What is read when one user has rated these."""
    text = RATED + "".join(f"{user}\t{item}\t{stars}\t{time}\n" for item, stars, time in rows)
    (folder / "d.inter").write_text(text, encoding="utf-8")
    return read_held_out(folder, 6)


# --- what is held out -------------------------------------------------------------------------------


def test_the_target_is_among_twenty_candidates_and_in_no_history(dataset: Path) -> None:
    data = read_held_out(dataset, 6)
    assert [case.user for case in data.cases] == list("012345")
    for case in data.cases:
        used = {event.item for event in case.events}
        assert len(set(case.candidates)) == NEGATIVES + 1 == 20 and case.target in case.candidates
        assert not used & set(case.candidates)
    assert len({case.candidates.index(case.target) for case in data.cases}) > 1
    assert read_held_out(dataset, 6) == data


def test_single_events_with_ratings_hold_out_the_last_good_one(dataset: Path) -> None:
    [case] = rated(dataset, [(5, 5, 900), (1, 4, 100), (2, 2, 200), (3, 5, 300), (4, 1, 1000)]).cases
    assert case.target == "5" and [event.item for event in case.events] == ["1", "2", "3"]
    assert [event.value for event in case.events] == [4, 2, 5]


def test_what_was_used_before_is_no_next_item(dataset: Path) -> None:
    [case] = rated(dataset, [(1, 4, 1), (2, 5, 2), (3, 5, 3), (4, 5, 4), (2, 5, 5), (1, 5, 6)]).cases
    assert case.target == "4" and [event.item for event in case.events] == ["1", "2", "3"]


def test_events_may_have_neither_stars_nor_times(dataset: Path) -> None:
    text = "user_id:token\titem_id:token\n" + "".join(f"u\t{item}\n" for item in (7, 3, 9, 4))
    (dataset / "d.inter").write_text(text, encoding="utf-8")
    [case] = read_held_out(dataset, 1).cases
    assert case.target == "4" and [event.item for event in case.events] == ["7", "3", "9"]
    assert {(event.action, event.value, event.time) for event in case.events} == {("purchase", None, None)}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 30)), min_size=1, max_size=15))
def test_nothing_from_the_target_on_is_seen(dataset: Path, rows: list[Row]) -> None:
    try:
        [case] = rated(dataset, rows).cases
    except InputError as error:
        assert "no user with 3 events" in str(error)
        return
    told = [(event.item, event.value, event.time.timestamp() if event.time else 0) for event in case.events]
    by_time = sorted(rows, key=lambda row: row[2])
    assert told == [(str(item), stars, time) for item, stars, time in by_time[: len(told)]]
    item, stars, _ = by_time[len(told)]
    assert str(item) == case.target and stars >= 4 and case.target not in {one[0] for one in told}
    seen = {row[0] for row in by_time[: len(told) + 1]}
    for item, stars, _ in by_time[len(told) + 1 :]:
        assert stars < 4 or item in seen, "it is the last good new one"
        seen.add(item)


# --- who is measured --------------------------------------------------------------------------------


def test_the_first_users_are_measured_and_others_with_long_histories_are_kept(dataset: Path) -> None:
    with (dataset / "d.inter").open("a", encoding="utf-8") as file:
        file.write(f"long\t{' '.join(str(at) for at in range(35))}\t40\n")
        file.write(f"longer\t{' '.join(str(at) for at in range(45))}\t50\n")
    data = read_held_out(dataset, 2, long_users=1, long_events=30)
    assert [case.user for case in data.cases] == ["0", "1"]
    [long] = data.long
    assert long.user == "long" and [event.item for event in long.events] == [str(at) for at in range(5, 35)]
    assert long.candidates == () and not read_held_out(dataset, 2).long


def test_given_negatives_say_who_is_measured_and_among_what(dataset: Path) -> None:
    (dataset / "d.random").write_text(f"3\t{' '.join(map(str, range(40, 60)))}\n", encoding="utf-8")
    [case] = read_held_out(dataset, 6).cases
    assert case.user == "3" and set(case.candidates) == {"28", *map(str, range(40, 59))}


def test_of_given_negatives_those_that_were_used_are_passed_over(dataset: Path) -> None:
    listed = ["3", "28", "40", "40", *map(str, range(41, 60))]
    (dataset / "d.random").write_text(f"3\t{' '.join(listed)}\n", encoding="utf-8")
    [case] = read_held_out(dataset, 6).cases
    assert set(case.candidates) == {"28", *map(str, range(40, 59))}


# --- what cannot be used ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.inter", "", r"2 files ending in \.inter: give a folder with exactly one"),
        ("e.item", "", r"2 files ending in \.item: give a folder with exactly one"),
        ("d.inter", "user_id:token\n0\n", r"d\.inter, line 1: it needs user_id, item_id .* and has user_id"),
        ("d.inter", f"{RATED}u\t1\t5\t1e300\n", r"d\.inter, line 2: time: "),
        ("d.inter", f"{RATED}u\t1\t5\t1\n", "no user with 3 events and a next item that is new to them"),
        ("d.random", "3\t40 41\n", "user '3' has 2 negatives, not 19: give more items or candidates"),
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
        read_held_out(dataset, 6)


def test_a_folder_that_is_not_there_holds_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 files ending in \.item"):
        read_held_out(tmp_path / "nowhere", 1)
