"""Candidates: several channels, one pool; nothing consumed, nothing that the filter does not let through."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.agent.profile.history import History, read_history
from tanqu.agent.profile.user_profile import build_profile
from tanqu.agent.ranking.retrieval import Retriever, as_candidates
from tanqu.agent.run_trace import RunTrace
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError
from tanqu.models.records import Candidate, Event, Item, Profile
from tanqu.prompts import Prompts
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.engagement import Engagement

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets")
ITEMS = [
    Item(
        id=f"{topic.split()[0]}{at}",
        title=f"{topic} volume {at}",
        tags=tuple(topic.split()),
        attributes={"price": 10 * at},
    )
    for topic in TOPICS
    for at in range(5)
]
BY_ID = {item.id: item for item in ITEMS}
NOBODY = Engagement.empty(list(BY_ID))
# CoUsers took chess3 most, and always garden4 with chess0.
OTHERS = Engagement.build(
    [["chess0", "garden4", "chess3"]] * 4 + [["violin1", "chess3"]] * 3 + [["space1", "chess3"]] * 2,
    list(BY_ID),
)


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    with Catalogue.in_memory(ITEMS, HashEmbedder(256)) as made:
        yield made


def history_of(catalogue: Catalogue, *about: str, action: str = "view") -> History:
    events = [
        Event.model_validate(
            {
                "id": f"e{at}",
                "user": "u",
                "item" if one in BY_ID else "query": one,
                "action": action,
                "time": START + timedelta(days=at),
            }
        )
        for at, one in enumerate(about)
    ]
    return read_history(events, catalogue, Settings())


def retriever(
    catalogue: Catalogue,
    history: History,
    engagement: Engagement = NOBODY,
    where: dict[str, object] | None = None,
) -> Retriever:
    profile = build_profile("u", history, "en", RunTrace(None), Prompts())
    return Retriever(catalogue, engagement, history, profile, where)


def price(item: Item) -> float:
    return float(str(item.attributes["price"]))


def ids(found: list[Candidate]) -> list[str]:
    return [one.item.id for one in found]


def test_each_interest_finds_its_own(catalogue: Catalogue) -> None:
    found = retriever(catalogue, history_of(catalogue, "chess", "violin")).retrieve("", 20)
    by_id = {one.item.id: one for one in found}
    assert by_id["chess1"].interest == "chess" and by_id["violin1"].interest == "violin"
    assert set(ids(found)[:10]) == {f"{topic}{at}" for topic in ("chess", "violin") for at in range(5)}


def test_a_candidate_carries_the_score_of_every_channel_that_found_it(catalogue: Catalogue) -> None:
    found = retriever(catalogue, history_of(catalogue, "chess0"), OTHERS).retrieve("roses", 20)
    garden = next(one for one in found if one.item.id == "garden4")
    assert {"co_engagement", "request", "request words"} <= set(garden.channels)
    assert all(score > 0 for score in garden.channels.values())


def test_who_is_found_by_more_channels_comes_first(catalogue: Catalogue) -> None:
    found = retriever(catalogue, history_of(catalogue, "chess0"), OTHERS).retrieve("", 20)
    ranks = [len(one.channels) for one in found]
    assert found[0].item.id == "chess3" and ranks[0] == max(ranks)


def test_a_request_is_searched_by_meaning_and_by_words(catalogue: Catalogue) -> None:
    found = retriever(catalogue, history_of(catalogue)).retrieve("violin", 20)
    assert set(ids(found)[:5]) == {f"violin{at}" for at in range(5)}
    assert {"request", "request words"} <= set(found[0].channels)


def test_what_is_popular_comes_where_nothing_else_is_known(catalogue: Catalogue) -> None:
    found = retriever(catalogue, history_of(catalogue), OTHERS).retrieve("", 20)
    assert ids(found)[0] == "chess3" and set(found[0].channels) == {"popular"}


def test_what_is_popular_does_not_water_down_a_request(catalogue: Catalogue) -> None:
    found = retriever(catalogue, history_of(catalogue, "violin0"), OTHERS).retrieve("violin", 20)
    assert all("popular" not in one.channels for one in found)


def test_dislikes_search_for_nothing(catalogue: Catalogue) -> None:
    assert retriever(catalogue, history_of(catalogue, "chess0", action="dislike")).retrieve("", 20) == []


def test_the_rest_follows_by_id_where_too_few_are_found(catalogue: Catalogue) -> None:
    some = retriever(
        catalogue, history_of(catalogue, "chess0", action="dislike"), where={"price": {"$lte": 10}}
    )
    assert ids(some.retrieve("", 20, at_least=3)) == [
        "chess1", "garden0", "garden1", "space0", "space1", "violin0", "violin1"
    ]  # fmt: skip
    assert ids(some.retrieve("", 2, at_least=3)) == ["chess1", "garden0"]
    assert all(one.channels == {} and one.interest is None for one in some.retrieve("", 20, at_least=3))


def test_a_filter_holds_for_every_channel(catalogue: Catalogue) -> None:
    where: dict[str, object] = {"price": {"$gte": 30}}
    found = retriever(catalogue, history_of(catalogue, "chess0", "violin0"), OTHERS, where).retrieve(
        "garden", 20, at_least=20
    )
    assert found and all(price(one.item) >= 30 for one in found)


def test_a_wrong_filter_is_an_error_even_where_nothing_is_searched(catalogue: Catalogue) -> None:
    with pytest.raises(InputError):
        retriever(catalogue, history_of(catalogue), where={"$nonsense": 1}).retrieve("", 20)


@pytest.mark.parametrize("request_", ["\x00", "\u202e", "🙂", "<|im_start|>system", "x" * 100_000, "的"])
def test_any_request_can_be_searched(catalogue: Catalogue, request_: str) -> None:
    found = retriever(catalogue, history_of(catalogue)).retrieve(request_, 20, at_least=5)
    assert len(found) >= 5


def test_interests_may_come_in_any_order(catalogue: Catalogue) -> None:
    history = read_history(
        [
            Event(id="e0", user="u", item="chess0", action="dislike", time=START),
            Event(id="e1", user="u", item="violin0", action="like", time=START),
        ],
        catalogue,
        Settings(),
    )
    profile = build_profile("u", history, "en", RunTrace(None), Prompts())
    turned = profile.model_copy(update={"interests": profile.interests[::-1]})
    one, other = (Retriever(catalogue, NOBODY, history, each).retrieve("", 20) for each in (profile, turned))
    assert one == other and one[0].item.id.startswith("violin")


@settings(max_examples=60, deadline=None)
@given(
    about=st.lists(st.sampled_from([*BY_ID, "roses", "a rocket"]), max_size=10),
    request=st.sampled_from(["", "violin", "chess and roses", "深度学习"]),
    limit=st.none() | st.sampled_from([0, 20, 100]),
    n=st.integers(1, 30),
)
def test_a_pool_has_each_item_once_none_of_them_consumed(
    catalogue: Catalogue, about: list[str], request: str, limit: int | None, n: int
) -> None:
    history = history_of(catalogue, *about)
    where: dict[str, object] | None = None if limit is None else {"price": {"$lte": limit}}
    pool = retriever(catalogue, history, OTHERS, where)
    found = pool.retrieve(request, n, at_least=n)
    unseen = [item for item in ITEMS if item.id not in history.consumed]
    passing = [item for item in unseen if limit is None or price(item) <= limit]
    assert len(found) == min(n, len(passing))
    assert len(set(ids(found))) == len(found) and set(ids(found)) <= {one.id for one in passing}
    assert pool.retrieve(request, n, at_least=n) == found


def test_given_items_are_candidates_without_a_search(catalogue: Catalogue) -> None:
    assert as_candidates(catalogue, ["violin1", "chess2"]) == [
        Candidate(item=BY_ID["violin1"], channels={}),
        Candidate(item=BY_ID["chess2"], channels={}),
    ]


def test_an_empty_profile_and_catalogue_give_nothing() -> None:
    with Catalogue.in_memory([], HashEmbedder()) as empty:
        history = read_history([], empty, Settings())
        pool = Retriever(empty, Engagement.empty(), history, Profile(user="u"))
        assert pool.retrieve("anything", 10, at_least=5) == []
