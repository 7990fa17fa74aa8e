"""News: nothing old in a list that nobody asked for, and each story once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tanqu.agent.ranking.selection import one_per_story, without_outdated
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder, SentenceEmbedder, unit
from tanqu.models.records import Candidate, Item, Scenario

NOW = datetime(2026, 10, 9, tzinfo=UTC)


def candidates(*published: str) -> list[Candidate]:
    """A candidate per date; "" is one without."""
    items = [
        Item(id=str(at), title=f"item {at}", attributes={"published": one} if one else {})
        for at, one in enumerate(published)
    ]
    return [Candidate(item=item, channels={}) for item in items]


def test_what_is_older_than_thirty_days_is_left_out_and_the_order_stays() -> None:
    found = candidates("2026-10-08", "2026-09-08", "2026-09-10T08:00:00+02:00", "", "no date", "2027-01-01")
    assert [one.item.id for one in without_outdated(found, NOW)] == ["0", "2", "3", "4", "5"]
    assert without_outdated(found, None) == found


def test_of_items_that_tell_one_story_the_first_stays() -> None:
    found = candidates("", "", "", "")
    near = unit(np.array([[1, 0, 0], [0, 1, 0], [0.9, 0, 0.3], [0.1, 0.9, 0]], np.float32))
    assert [one.item.id for one in one_per_story(found, near)] == ["0", "1"]
    assert one_per_story(found, np.zeros((4, 3), np.float32)) == found  # without words nothing is alike
    assert one_per_story([], np.zeros((0, 3), np.float32)) == []


@pytest.mark.parametrize(
    ("one", "other", "unlike"),
    [
        (
            "Storm floods harbour town, hundreds evacuated",
            "Hundreds flee as storm floods the harbour",
            "Central bank raises interest rate by a quarter point",
        ),
        ("台风登陆沿海，数百人转移", "台风袭击沿海城市，数百居民撤离", "央行加息25个基点"),
    ],
)
def test_a_story_in_other_words_is_told_once(one: str, other: str, unlike: str) -> None:
    found = candidates("", "", "")
    vectors = SentenceEmbedder().embed([one, other, unlike])
    assert [one.item.id for one in one_per_story(found, vectors)] == ["0", "2"]


ROWS = [
    ("tram", "Tram line nine opens across the old town", "2026-10-08"),
    ("tram again", "Tram line nine opens across the old town today", "2026-10-08"),
    ("tram fares", "Fares of the tram stay the same", "2026-10-07"),
    ("old tram", "Tram drivers on strike in the harbour", "2026-06-01"),
    ("read", "Tram bridge is closed at night", "2026-10-05"),
    ("chess", "A girl of nine wins at chess", "2026-10-06"),
]


@pytest.fixture
def opened(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Recommender]:
    scenario: Scenario = request.param
    settings = Settings(home=tmp_path / "home", model="none", scenario=scenario)
    with Recommender.open(embedder=HashEmbedder(256), settings=settings) as made:
        made.add_items(Item(id=id_, title=title, attributes={"published": day}) for id_, title, day in ROWS)
        made.record([{"user": "ann", "action": "view", "item": "read", "time": "2026-10-09T08:00:00Z"}])
        yield made


def listed(recommender: Recommender, request: str = "") -> set[str]:
    return {one.item.id for one in recommender.recommend("ann", n=5, request=request).recommendations}


@pytest.mark.parametrize("opened", ["news"], indirect=True)
def test_a_list_of_news_has_each_story_once_and_nothing_old_unless_asked_for(opened: Recommender) -> None:
    assert listed(opened) in ({"tram", "tram fares", "chess"}, {"tram again", "tram fares", "chess"})
    assert "old tram" in listed(opened, "tram drivers strike")


@pytest.mark.parametrize("opened", ["shop"], indirect=True)
def test_a_shop_keeps_what_is_alike_and_what_is_old(opened: Recommender) -> None:
    assert listed(opened) == {"tram", "tram again", "tram fares", "old tram", "chess"}
