"""Events are read against the catalogue: what each was about, how much it counts, and its vector."""

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.profile.history import History, read_history
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Event, Item
from tanqu.models.text import language_of
from tanqu.prompts import item_line
from tanqu.vectorstore.catalogue import Catalogue

START = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = [
    Item(id="tea", title="Green tea", tags=("tea", "drinks")),
    Item(id="pot", title="Teapot", text="It pours."),
    Item(id="书", title="《深度学习算法与应用》", tags=("人工智能",)),
]
HOSTILE = ["\x00\x01", "<|im_start|>system", "\u202egnp", "🙂" * 3, "x" * 100_000, "[[system]]", "\ue000"]


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    with Catalogue.in_memory(ITEMS, HashEmbedder()) as made:
        yield made


def read(catalogue: Catalogue, *events: dict[str, object], scenario: str = "shop") -> History:
    """The history of these events, one a day unless they say otherwise."""
    made = [
        Event.model_validate({"id": f"e{at}", "user": "u", "time": START + timedelta(days=at)} | event)
        for at, event in enumerate(events)
    ]
    return read_history(made, catalogue, Settings.model_validate({"scenario": scenario}))


def is_one_visible_line(text: str) -> bool:
    hidden = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    return not any(unicodedata.category(char) in hidden for char in text)


def test_an_event_about_an_item_has_its_words_and_its_vector(catalogue: Catalogue) -> None:
    history = read(catalogue, {"item": "pot", "action": "view"})
    entry = history.entries[0]
    assert (entry.key, entry.content, entry.title) == ("item:pot", "Teapot It pours.", "Teapot")
    assert np.allclose(history.vectors[0], catalogue.vectors(["pot"])[0])
    assert np.isclose(np.linalg.norm(history.vectors[0]), 1)


def test_an_event_in_words_is_embedded_without_its_action(catalogue: Catalogue) -> None:
    searched, viewed = read(
        catalogue, {"query": " 深度学习 ", "action": "search"}, {"query": "深度学习", "action": "view"}
    ).entries
    assert searched.content == "深度学习" and searched.key == viewed.key
    history = read(catalogue, {"query": "深度学习", "action": "search"})
    assert np.allclose(history.vectors[0], catalogue.embed(["深度学习"])[0])


def test_an_event_about_an_unknown_item_counts_as_seen_and_says_nothing(catalogue: Catalogue) -> None:
    history = read(catalogue, {"item": "gone", "action": "purchase"})
    assert history.entries[0].content == "" and not history.vectors.any()
    assert history.consumed == {"gone"} and history.items == []
    assert history.shown()[0].text == "gone"


def test_the_words_of_an_event_count_where_its_item_is_unknown(catalogue: Catalogue) -> None:
    history = read(
        catalogue,
        {"item": "gone", "query": "green tea", "action": "search"},
        {"query": "green tea", "action": "search"},
    )
    assert history.entries[0].key == history.entries[1].key
    assert history.vectors[0].any() and np.array_equal(history.vectors[0], history.vectors[1])
    assert history.consumed == {"gone"}


def test_everything_with_an_event_is_consumed_and_what_was_taken_well_is_liked(catalogue: Catalogue) -> None:
    history = read(
        catalogue,
        {"item": "tea", "action": "dislike"},
        {"item": "pot", "action": "purchase"},
        {"item": "gone", "action": "rating", "value": 1},
        {"query": "cups", "action": "search"},
    )
    assert history.consumed == {"tea", "pot", "gone"}
    assert history.liked_items == ["pot"]
    assert [item.id for item in history.items] == ["tea", "pot"]
    assert history.by_id() == {"e0": 0, "e1": 1, "e2": 2, "e3": 3}
    assert len(history) == 4


def test_an_event_counts_less_the_older_it_is_and_the_faster_its_scenario_moves(catalogue: Catalogue) -> None:
    events: list[dict[str, object]] = [{"item": "tea", "action": "view"}, {"item": "tea", "action": "view"}]
    shop, news = read(catalogue, *events), read(catalogue, *events, scenario="news")
    assert 0 < shop.entries[0].weight < shop.entries[1].weight == 1.0
    assert news.entries[0].weight < shop.entries[0].weight
    assert news.scenario == "news"


def test_words_that_are_shared_make_rows_similar(catalogue: Catalogue) -> None:
    rows = read(
        catalogue,
        {"item": "tea", "action": "view"},
        {"query": "green tea", "action": "search"},
        {"query": "巧克力", "action": "search"},
    ).words
    likeness = (rows @ rows.T).toarray()
    assert likeness[0, 1] > 0.1 and likeness[0, 2] == 0
    assert np.allclose(np.diag(likeness), 1, atol=1e-5)


def test_an_empty_history_is_empty_everywhere(catalogue: Catalogue) -> None:
    history = read(catalogue)
    assert len(history) == 0 and history.vectors.shape == (0, catalogue.embedder.dimensions)
    assert (history.consumed, history.items, history.liked_items, history.shown()) == (set(), [], [], ())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_become_one_plain_line(catalogue: Catalogue, text: str) -> None:
    history = read(catalogue, {"query": f"a{text}", "action": "search"})
    entry, shown = history.entries[0], history.shown()[0]
    for line in (entry.line, entry.title, shown.text):
        assert line and len(line) <= 160 and is_one_visible_line(line)
    assert np.isfinite(history.vectors).all()


def test_words_without_a_visible_character_are_shown_as_a_question_mark(catalogue: Catalogue) -> None:
    assert read(catalogue, {"query": "\x01", "action": "search"}).shown()[0].text == "?"


def test_a_line_has_the_title_and_at_most_four_tags() -> None:
    assert item_line(ITEMS[0]) == "Green tea | tea, drinks"
    assert item_line(ITEMS[1]) == "Teapot"
    assert item_line(Item(id="x", title="T", tags=tuple("abcdef"))) == "T | a, b, c, d"


@given(st.text(max_size=500), st.lists(st.text(max_size=100), max_size=6))
def test_a_line_is_one_visible_line_whatever_an_item_says(title: str, tags: list[str]) -> None:
    line = item_line(Item(id="x", title=f"x{title}", tags=tuple(tags)))
    assert len(line) <= 203 and is_one_visible_line(line)


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["浏览人工智能"], "zh"),
        (["green tea"], "en"),
        (["iPhone 16 手机壳 透明"], "zh"),
        (["green tea from 龙井"], "en"),
        (["🙂 123"], "en"),
        ([], "en"),
        (["一" * 300, "word " * 10_000], "zh"),
    ],
)
def test_the_language_is_chinese_from_a_fifth_of_the_letters_on(texts: list[str], language: str) -> None:
    assert language_of(texts) == language
