"""Topics: the catalogue grouped once, the same way every time, and again when it has changed."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tanqu.agent.profile.history import History, read_history
from tanqu.agent.ranking.topics import Topics, as_groups, topics_of
from tanqu.agent.settings import Settings
from tanqu.agent.store.memory import Memory
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Event, Item
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.database import memory_database

SUBJECTS = ("chess endgame", "violin music", "garden roses", "space rockets")
ITEMS = [
    Item(id=f"{subject.split()[0]}{at}", title=f"{subject} volume {at}", tags=tuple(subject.split()))
    for subject in SUBJECTS
    for at in range(4)
]
STRAYS = [
    Item(id="stray", title="Kettle"),
    Item(id="lamp", title="Bedside lamp", tags=("light",)),
    Item(id="mat", title="Picnic mat for two with pockets", tags=("meadow", "blanket", "cloth", "chess")),
]


@dataclass
class Home:
    """A catalogue in memory, and what is remembered beside it."""

    catalogue: Catalogue
    memory: Memory

    @property
    def topics(self) -> Topics:
        return topics_of(self.catalogue, self.memory)

    def history(self, *events: Event) -> History:
        return read_history(events, self.catalogue, Settings())


@pytest.fixture
def home() -> Iterator[Home]:
    engine = memory_database()
    with Catalogue.in_memory([*ITEMS, *STRAYS], HashEmbedder(256)) as catalogue:
        yield Home(catalogue, Memory(engine))
    engine.dispose()


def subjects(topics: Topics) -> list[set[str]]:
    return [{one.rstrip("0123456789") for one in ids} for ids in topics.members]


def test_items_about_the_same_thing_are_one_topic_and_strays_are_of_none(home: Home) -> None:
    topics = home.topics
    assert sorted(map(sorted, subjects(topics))) == [["chess"], ["garden"], ["space"], ["violin"]]
    assert all(len(ids) == 4 for ids in topics.members) and topics.vectors.shape == (4, 256)
    places = topics.of(home.catalogue.vectors([item.id for item in (*ITEMS, *STRAYS)])).tolist()
    for item, place in zip(ITEMS, places, strict=False):
        assert item.id in topics.members[place]
    assert places[len(ITEMS) :] == [-1, -1, -1]


def test_the_same_catalogue_has_the_same_topics(home: Home) -> None:
    engine = memory_database()
    again = topics_of(home.catalogue, Memory(engine))
    engine.dispose()
    assert again.members == home.topics.members


def test_a_grouping_is_kept_until_the_catalogue_changes(home: Home) -> None:
    first, kept = home.topics, home.memory.meta("topics")
    assert kept and home.topics.members == first.members and home.memory.meta("topics") == kept
    home.catalogue.upsert([Item(id=f"tea{at}", title=f"green tea {at}", tags=("tea",)) for at in range(5)])
    assert {"tea"} in subjects(home.topics) and home.memory.meta("topics") != kept


def test_a_grouping_that_cannot_be_read_is_made_again(home: Home) -> None:
    expected = home.topics.members
    home.memory.set_meta("topics", '{"of": "another version"}')
    assert home.topics.members == expected


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_catalogue_too_small_for_topics_has_none(home: Home, count: int) -> None:
    home.catalogue.delete([item.id for item in (*ITEMS, *STRAYS)][count:])
    topics = home.topics
    assert len(topics) == 0 and topics.touched(home.history()) == set()
    assert topics.of(home.catalogue.vectors([item.id for item in ITEMS[:count]])).tolist() == [-1] * count


@pytest.mark.parametrize(
    "event",
    [
        Event(id="e", user="u", item="chess1", action="view"),
        Event(id="e", user="u", item="chess1", action="dislike"),
        Event(id="e", user="u", query="chess endgame", action="search"),
        Event(id="e", user="u", item="mat", action="view"),
    ],
    ids=["an item seen", "an item disliked", "words searched for", "another thing with its tag"],
)
def test_whatever_was_done_with_a_topic_has_touched_it(home: Home, event: Event) -> None:
    topics = home.topics
    [place] = topics.touched(home.history(event))
    assert subjects(topics)[place] == {"chess"}


def test_a_tag_that_everything_carries_tells_no_topic_from_another(home: Home) -> None:
    home.catalogue.upsert([item.model_copy(update={"tags": (*item.tags, "sale")}) for item in ITEMS])
    topics = home.topics
    assert len(topics) == 4 and all(len(tags) == 2 and "sale" not in tags for tags in topics.tags)


def test_a_topic_is_shown_by_its_most_typical_items(home: Home) -> None:
    topics = home.topics
    read, groups = as_groups(topics, [1, 0], home.catalogue, Settings())
    for one, place in zip(groups, (1, 0), strict=True):
        assert [read.entries[at].event.item for at in one.places] == list(topics.members[place])
        vectors = home.catalogue.vectors(topics.members[place])
        near = vectors @ topics.vectors[place]
        assert near.argmax() == 0 or near[0] == pytest.approx(near.max(), abs=1e-5)
