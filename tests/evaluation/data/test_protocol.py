"""Who is results against what: the last new item is held out, and nothing of it reaches a system."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tanqu.evaluation.data.protocol import ProtocolOptions, RankingProtocol, movielens, read_protocol
from tanqu.evaluation.ranking.baselines import TrainingData
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError
from tanqu.models.records import Item
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.engagement import Engagement

ITEMS = [f"i{at}" for at in range(40)]
FEW = ProtocolOptions(negatives=4)
Row = tuple[str, str, float | None, int]
"""User, item, stars (None: a purchase), seconds."""


def written(path: Path, header: str, rows: Sequence[Sequence[object]]) -> Path:
    lines = ["\t".join("" if cell is None else str(cell) for cell in row) for row in rows]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def items(tmp_path: Path) -> Path:
    rows = [(item, f"Title of {item}") for item in ITEMS]
    return written(tmp_path / "small.item", "item_id:token\ttitle:token_seq", rows)


def sequences(folder: Path, rows: Sequence[tuple[str, Sequence[str], str]]) -> Path:
    header = "user_id:token\titem_id_list:token_seq\titem_id:token"
    return written(folder / "s.inter", header, [(user, " ".join(used), last) for user, used, last in rows])


def single(folder: Path, rows: Sequence[Row]) -> Path:
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    return written(folder / "e.inter", header, rows)


def many(folder: Path, users: int = 60) -> Path:
    """Users with four items each and a fifth to come."""
    return sequences(
        folder, [(f"u{at}", [ITEMS[(at + 3 * step) % 40] for step in range(4)], ITEMS[(at + 13) % 40])
                 for at in range(users)]
    )  # fmt: skip


def asked(protocol: RankingProtocol) -> dict[str, tuple[list[str], str]]:
    return {case.task.user: (case.task.history, case.target) for case in protocol.cases}


# --- what is held out -------------------------------------------------------------------------------


def test_of_a_sequence_the_next_item_is_held_out(items: Path, tmp_path: Path) -> None:
    inter = sequences(tmp_path, [("anna", ["i1", "i2", "i3"], "i4"), ("ben", ["i4", "i3", "i1", "i9"], "i2")])
    protocol = read_protocol(items, inter, None, FEW, "video")
    assert asked(protocol) == {"anna": (["i1", "i2", "i3"], "i4"), "ben": (["i4", "i3", "i1", "i9"], "i2")}
    assert protocol.histories == (("i1", "i2", "i3"), ("i4", "i3", "i1", "i9"))
    assert (protocol.dataset, protocol.scenario, len(protocol.items)) == ("small", "video", 40)


def test_of_events_the_last_good_new_one_by_time_is_held_out(items: Path, tmp_path: Path) -> None:
    rows: list[Row] = [
        ("anna", "i5", 5, 500),  # the target, though it stands first
        ("anna", "i1", 4, 100),
        ("anna", "i2", 3, 150),  # not liked: not told
        ("anna", "i3", 5, 200),
        ("anna", "i4", None, 300),
        ("anna", "i1", 5, 600),  # used before: not new, and after the target
        ("anna", "i6", 1, 700),  # not liked, and after the target
    ]
    [case] = read_protocol(items, single(tmp_path, rows), None, FEW).cases
    assert (case.target, case.task.history) == ("i5", ["i1", "i3", "i4"])
    assert [event.action for event in case.task.events] == ["rating", "rating", "purchase"]
    assert all(event.time is not None and event.time.timestamp() < 500 for event in case.task.events)
    assert not {"i1", "i2", "i3", "i4", "i6"} & set(case.task.candidates or ())


def test_the_past_is_told_from_its_end(items: Path, tmp_path: Path) -> None:
    inter = sequences(tmp_path, [("anna", ["i1", "i2", "i3", "i4"], "i5")])
    [case] = read_protocol(items, inter, None, ProtocolOptions(negatives=4, history=2)).cases
    assert case.task.history == ["i3", "i4"]
    assert not {"i1", "i2"} & set(case.task.candidates or ()), "what was used long ago is no negative"


def test_who_has_no_past_or_no_new_item_is_learnt_from_and_not_measured(items: Path, tmp_path: Path) -> None:
    inter = sequences(
        tmp_path,
        [("anna", ["i1", "i2", "i3"], "i4"), ("short", ["i1", "i2"], "i3"),
         ("elsewhere", ["i1", "i2", "i3"], "unknown"), ("again", ["i1", "i2", "i3"], "i2")],
    )  # fmt: skip
    protocol = read_protocol(items, inter, None, FEW)
    assert list(asked(protocol)) == ["anna"]
    assert len(protocol.histories) == 4 and protocol.description["histories"] == 4


users_ = st.dictionaries(
    st.sampled_from([f"u{at}" for at in range(8)]),
    st.tuples(
        st.lists(st.sampled_from(ITEMS[:15]), min_size=1, max_size=8),
        st.tuples(st.sampled_from(ITEMS[15:28]), st.sampled_from(ITEMS[28:])),
    ),
    min_size=1,
)
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the folder is written anew each time


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    named = [Item(id=one, title=f"Title of {one}") for one in ITEMS]
    with Catalogue.in_memory(named, HashEmbedder(16)) as made:
        yield made


@QUICK
@given(users_, st.booleans())
def test_with_another_target_everything_learnt_stays_the_same(
    items: Path,
    tmp_path: Path,
    catalogue: Catalogue,
    users: dict[str, tuple[list[str], tuple[str, str]]],
    as_events: bool,
) -> None:
    """What popularity, co-engagement and the questions hold cannot depend on what is held out."""
    found = []
    for chosen in (0, 1):
        if as_events:
            rows: list[Row] = []
            for at, (user, (past, next_)) in enumerate(users.items()):
                rows += [(user, past[0], None, 2000), (user, next_[1 - chosen], 2, 3000)]
                rows.append((user, next_[chosen], 5, 1000))
                rows += [(user, item, None, 100 * step + at) for step, item in enumerate(past)]
            inter = single(tmp_path, rows)
        else:
            inter = sequences(
                tmp_path, [(user, past, next_[chosen]) for user, (past, next_) in users.items()]
            )
        try:
            protocol = read_protocol(items, inter, None, ProtocolOptions(full=True))
        except InputError:
            assert all(len(past) < 3 for past, _ in users.values())
            return
        assert all(case.target == users[case.task.user][1][chosen] for case in protocol.cases)
        data, others = TrainingData(protocol, catalogue), Engagement.build(protocol.histories, ITEMS)
        learnt = [data.counts, data.cosines.toarray(), others.popularity(ITEMS), others.pairs.toarray()]
        found.append((protocol.histories, [case.task for case in protocol.cases], learnt))
    (histories, questions, learnt), (histories_, questions_, learnt_) = found
    assert histories == histories_ and questions == questions_
    assert all(np.array_equal(one, other) for one, other in zip(learnt, learnt_, strict=True))
    assert not any({*next_} & {*histories[at]} for at, (_, next_) in enumerate(users.values()))


# --- what it is ranked among ------------------------------------------------------------------------


def test_negatives_are_new_to_the_user_and_the_target_is_there_once(items: Path, tmp_path: Path) -> None:
    for case in read_protocol(items, many(tmp_path), None, ProtocolOptions(negatives=19)).cases:
        candidates = case.task.candidates or ()
        assert len(candidates) == len(set(candidates)) == 20 and candidates.count(case.target) == 1
        assert not set(candidates) & set(case.task.history) and set(candidates) <= set(ITEMS)


def test_the_order_does_not_give_the_target_away(items: Path, tmp_path: Path) -> None:
    listed = written(
        tmp_path / "s.random", "u0\ti30 i31 i32 i33", [(f"u{at}", "i36 i37 i38 i39 i35 i34") for at in range(1, 30)]
    )  # fmt: skip
    for candidates, users in ((None, 60), (listed, 30)):
        cases = read_protocol(items, many(tmp_path, users), candidates, FEW).cases
        places = [(case.task.candidates or ()).index(case.target) for case in cases]
        assert len(cases) == users and set(places) == set(range(5))
        assert max(places.count(place) for place in range(5)) < users * 0.4


def test_given_negatives_are_the_first_of_the_list_that_are_unused(items: Path, tmp_path: Path) -> None:
    inter = sequences(tmp_path, [("anna", ["i1", "i2", "i3"], "i4"), ("ben", ["i1", "i2", "i3"], "i5")])
    listed = written(tmp_path / "s.random", "anna\ti9 i2 i8 i4 i9 i7 i6 i10", [])
    [case] = read_protocol(items, inter, listed, FEW).cases
    assert case.task.user == "anna" and set(case.task.candidates or ()) == {
        "i4", "i9", "i8", "i7", "i6",
    }  # fmt: skip


def test_the_same_seed_draws_the_same_and_another_one_something_else(items: Path, tmp_path: Path) -> None:
    def draw(seed: int, users: int | None = 20) -> RankingProtocol:
        return read_protocol(items, inter, None, ProtocolOptions(users, seed, 4))

    inter = many(tmp_path)
    assert draw(1) == draw(1)
    assert list(asked(draw(1))) != list(asked(draw(2)))
    every, other = ({case.task.user: case for case in draw(seed, None).cases} for seed in (1, 2))
    assert {case.target for case in every.values()} == {case.target for case in other.values()}
    assert sum(every[user] != other[user] for user in every) > 50
    assert list(asked(draw(1, 5))) == list(asked(draw(1)))[:5], "fewer users are some of the same"


def test_for_the_whole_catalogue_nothing_is_drawn(items: Path, tmp_path: Path) -> None:
    protocol = read_protocol(items, many(tmp_path), None, ProtocolOptions(full=True))
    assert all(case.task.candidates is None for case in protocol.cases)
    assert (
        protocol.description["candidates"] == "whole catalogue" and protocol.description["negatives"] is None
    )


def test_what_a_report_says_of_the_protocol_is_what_was_done(items: Path, tmp_path: Path) -> None:
    told = read_protocol(items, many(tmp_path), None, ProtocolOptions(7, 3, 9, 2)).description
    wanted = {
        "users": 7,
        "items": 40,
        "histories": 60,
        "candidates": 10,
        "negatives": 9,
        "seed": 3,
        "history": 2,
    }
    assert wanted.items() <= told.items()


# --- what cannot be used ----------------------------------------------------------------------------

EVENTS = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
SEQUENCES = "user_id:token\titem_id_list:token_seq\titem_id:token"


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (
            "user_id:token\ttitle:token",
            "a\ti1",
            r"line 1: it needs user_id, item_id .*and has user_id, title",
        ),
        (EVENTS, "a\ti1\t5\t1e300", r"e\.inter, line 2: time: "),
        (EVENTS, "\ti1\t5\t100", r"e\.inter, line 2: user: "),
        (EVENTS, "a\t\t5\t100", r"e\.inter, line 2: item: "),
        (EVENTS, "a\ti1\tfive\t100", r"e\.inter, line 2: .*five"),
        (EVENTS, "a\ti1\t5\t100", r"small has no user with 3 events .* check that the files belong together"),
        (SEQUENCES, "a\ti1 i2 i3\tgone", r"new to them, that is in the catalogue: check that"),
        (SEQUENCES, "a\ti1\ti2\na\ti1 i2 i3\ti4", r"line 3: the user 'a' was there before: keep"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(
    items: Path, tmp_path: Path, header: str, row: str, message: str
) -> None:
    inter = written(tmp_path / "e.inter", header, [(row,)])
    with pytest.raises(InputError, match=message):
        read_protocol(items, inter, None, FEW)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("anna\ti6 i7", "user 'anna' has 2 negatives, not 4: ask for fewer"),
        ("anna\ti6 i7 i8 nothing", "the candidate 'nothing' of user 'anna' is not among the items: check"),
        ("ben\ti6 i7 i8 i9", "in the catalogue, with candidates: check that the files belong together"),
    ],
)
def test_a_wrong_list_of_candidates_is_named_with_what_is_wrong(
    items: Path, tmp_path: Path, listed: str, message: str
) -> None:
    inter = sequences(tmp_path, [("anna", ["i1", "i2", "i3"], "i4")])
    with pytest.raises(InputError, match=message):
        read_protocol(items, inter, written(tmp_path / "s.random", listed, []), FEW)


def test_more_negatives_than_items_are_refused(items: Path, tmp_path: Path) -> None:
    inter = sequences(tmp_path, [("anna", ["i1", "i2", "i3"], "i4")])
    with pytest.raises(InputError, match="user 'anna' has 36 negatives, not 50: ask for fewer"):
        read_protocol(items, inter, None, ProtocolOptions(negatives=50))


# --- MovieLens --------------------------------------------------------------------------------------


def test_movielens_holds_out_the_last_film_that_was_liked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANQU_DATA", str(tmp_path))
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    films = [(at, f"Film {at}", 1990, "Drama") for at in range(12)]
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    written(folder / "ml-100k.item", header, films)
    rated = [
        ("1", 1, 4, 10),
        ("1", 2, 5, 20),
        ("1", 3, 2, 25),
        ("1", 4, 5, 30),
        ("1", 5, 4, 40),
        ("1", 6, 3, 50),
    ]
    written(folder / "ml-100k.inter", EVENTS, rated)
    written(folder / "ml-100k.user", "user_id:token", [("1",)])
    protocol = movielens(ProtocolOptions(negatives=6))
    assert protocol.scenario == "video" and asked(protocol) == {"1": (["1", "2", "4"], "5")}
    [case] = protocol.cases
    assert set(case.task.candidates or ()) == {"5", "0", "7", "8", "9", "10", "11"}, "only unrated films"
