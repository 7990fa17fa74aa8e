"""From a ranking to a list: shares of interests, nothing twice."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.ranking.selection import exhausted_interest, select
from tanqu.models.records import Candidate, Interest, Item, Profile, Ranked


def ranked(rank: int, interest: str | None = None, title: str = "", **item: object) -> Ranked:
    made = Item.model_validate({"id": f"i{rank}", "title": title or f"title {rank}"} | item)
    return Ranked(
        candidate=Candidate(item=made, channels={}, interest=interest),
        rank=rank,
        score=-float(rank),
        signals={},
        raw={},
    )


def profile(**weights: float) -> Profile:
    interests = tuple(
        Interest(keyword=name, theme="t", weight=weight, confidence=0, evidence=("e",))
        for name, weight in weights.items()
    )
    return Profile(user="u", interests=interests)


def ranks(found: list[Ranked]) -> list[int]:
    return [one.rank for one in found]


def test_without_interests_the_first_are_taken() -> None:
    assert ranks(select([ranked(at) for at in range(1, 9)], profile(), (), 5)) == [1, 2, 3, 4, 5]


def test_an_interest_gets_its_share_of_the_places_rounded_up() -> None:
    given_ = [ranked(at, "tea") for at in range(1, 6)] + [ranked(at, "chess") for at in range(6, 9)]
    assert ranks(select(given_, profile(tea=0.5, chess=0.5), (), 4)) == [1, 2, 6, 7]
    assert ranks(select(given_, profile(tea=0.55, chess=0.45), (), 4)) == [1, 2, 3, 6]


def test_a_small_interest_keeps_one_place() -> None:
    given_ = [ranked(1, "chess"), ranked(2, "chess"), ranked(3, "tea"), ranked(4, "tea")]
    assert ranks(select(given_, profile(tea=0.999, chess=0.001), (), 3)) == [1, 3, 4]


def test_places_that_stay_empty_are_filled_in_the_order_of_the_ranks() -> None:
    given_ = [ranked(at, "tea") for at in range(1, 6)] + [ranked(6, "chess")]
    assert ranks(select(given_, profile(tea=0.5, chess=0.5), (), 4)) == [1, 2, 3, 6]


def test_what_ranks_before_a_pick_and_is_none_lost_its_place_to_others_of_its_interest() -> None:
    given_ = [ranked(at, "tea") for at in range(1, 6)] + [ranked(at, "chess") for at in range(6, 9)]
    who = profile(tea=0.5, chess=0.5)
    picks = select(given_, who, (), 4)
    assert ranks(picks) == [1, 2, 6, 7]
    lost = {one.rank: exhausted_interest(one, picks, who) for one in given_ if one not in picks}
    assert lost == {3: "tea", 4: "tea", 5: "tea", 8: None}


def test_what_has_no_interest_or_is_the_same_as_a_pick_lost_no_share() -> None:
    given_ = [ranked(1), ranked(2, "tea", "Heat"), ranked(3, "tea", "heat!"), ranked(4, "chess")]
    who = profile(tea=0.6, chess=0.4)
    picks = select(given_, who, [given_[0].candidate.item], 2)
    assert ranks(picks) == [2, 4]
    assert [exhausted_interest(one, picks, who) for one in given_[::2]] == [None, None]
    assert exhausted_interest(given_[0], [], who) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Heat", "heat!"),
        ("《深度学习》", "深度学习"),
        ("Ｔｅａ  pot", "tea pot"),
        ("!!!", "!!!"),
    ],
)
def test_what_says_the_same_comes_once(one: str, other: str) -> None:
    given_ = [ranked(1, title=one), ranked(2, title=other), ranked(3, title="more")]
    assert ranks(select(given_, profile(), (), 3)) == [1, 3]
    assert ranks(select(given_, profile(), [Item(id="used", title=other)], 3)) == [3]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"title": "Heat", "attributes": {"year": 1995}}, {"title": "Heat", "attributes": {"year": 1986}}),
        ({"title": "Dune", "kind": "book"}, {"title": "Dune", "kind": "film"}),
        ({"title": "C++ Primer"}, {"title": "C# Primer"}),
        ({"title": "Vitamin A"}, {"title": "Vitamin"}),
        ({"title": "哈利波特1"}, {"title": "哈利波特2"}),
        ({"title": "!!!"}, {"title": "???"}),
    ],
)
def test_what_only_sounds_alike_stays(one: dict[str, str], other: dict[str, str]) -> None:
    found = [
        Ranked(
            candidate=Candidate(item=Item.model_validate({"id": str(at)} | values), channels={}),
            rank=at,
            score=0,
            signals={},
            raw={},
        )
        for at, values in enumerate((one, other), 1)
    ]
    assert ranks(select(found, profile(), (), 2)) == [1, 2]


@given(
    given_=st.lists(
        st.tuples(st.none() | st.sampled_from(["tea", "chess", "else"]), st.integers(1, 9)), max_size=25
    ),
    tea=st.floats(0, 1),
    n=st.integers(0, 10),
)
def test_a_list_is_part_of_the_ranking_in_its_order_as_long_as_asked_for(
    given_: list[tuple[str | None, int]], tea: float, n: int
) -> None:
    whole = [ranked(at, interest, f"title {title}") for at, (interest, title) in enumerate(given_, 1)]
    weights = profile(tea=tea, chess=1 - tea)
    found = select(whole, weights, (), n)
    different = len({title for _, title in given_})
    assert len(found) == min(n, different)
    assert ranks(found) == sorted(set(ranks(found))) and all(one in whole for one in found)
    assert len({one.candidate.item.title for one in found}) == len(found)
    counts = Counter(one.candidate.interest for one in found)
    over = [name for name, w in (("tea", tea), ("chess", 1 - tea)) if counts[name] > max(1, math.ceil(n * w))]
    if over:  # only to fill places that nothing else could fill
        rest = {one.candidate.item.title for one in whole if one.candidate.interest not in ("tea", "chess")}
        assert all(any(one.candidate.item.title == title for one in found) for title in rest)
