"""What a model wrote about items is searched with them, is kept apart from them, and goes when they change."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tanqu.models.embedder import HashEmbedder, Vectors
from tanqu.models.records import Enrichment, Item
from tanqu.vectorstore.catalogue import Catalogue

CORK = Item(id="cork", title="Cork mat", tags=("yoga",))
STOVE = Item(id="stove", title="Gas stove", text="For two pots.")
FITNESS = Enrichment(keywords=("home workout", "stretching"), theme="fitness")


class CountingEmbedder(HashEmbedder):
    """A hashing embedder that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(64)
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return super().embed(texts)


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    with Catalogue.in_memory([CORK, STOVE], CountingEmbedder()) as made:
        yield made


def test_an_item_is_found_by_what_was_written_about_it(catalogue: Catalogue) -> None:
    assert catalogue.search_words("stretching", 5) == []
    before = catalogue.search(catalogue.embed(["home workout stretching fitness"])[0], 2)
    assert catalogue.enrich([(CORK, FITNESS)]) == 1
    assert [id_ for id_, _ in catalogue.search_words("stretching", 5)] == ["cork"]
    after = catalogue.search(catalogue.embed(["home workout stretching fitness"])[0], 2)
    assert after[0][0] == "cork" and after[0][1] > dict(before)["cork"]


def test_the_item_itself_stays_as_it_was(catalogue: Catalogue) -> None:
    catalogue.enrich([(CORK, FITNESS)])
    assert catalogue.get(["cork"]) == [CORK]
    assert catalogue.enrichments(["cork", "stove", "gone"]) == {"cork": FITNESS}


def test_only_what_changed_is_embedded(catalogue: Catalogue) -> None:
    embedder = catalogue.embedder
    assert isinstance(embedder, CountingEmbedder)
    embedder.texts.clear()
    catalogue.enrich([(CORK, FITNESS)])
    assert embedder.texts == ["Cork mat yoga home workout stretching fitness"]
    assert catalogue.enrich([(CORK, FITNESS)]) == 0 and len(embedder.texts) == 1


def test_an_item_that_says_something_else_loses_it(catalogue: Catalogue) -> None:
    catalogue.enrich([(CORK, FITNESS)])
    changed = CORK.model_copy(update={"title": "Cork floor"})
    catalogue.upsert([changed])
    assert catalogue.enrichments(["cork"]) == {} and catalogue.search_words("stretching", 5) == []
    assert catalogue.enrich([(CORK, FITNESS)]) == 0  # it was written about the item of before


def test_an_item_of_another_price_keeps_it(catalogue: Catalogue) -> None:
    catalogue.enrich([(CORK, FITNESS)])
    catalogue.upsert([CORK.model_copy(update={"attributes": {"price": 5}})])
    assert catalogue.enrichments(["cork"]) == {"cork": FITNESS}


def test_the_fingerprint_is_that_of_the_content_whatever_the_way_to_it(catalogue: Catalogue) -> None:
    plain = catalogue.fingerprint
    catalogue.enrich([(CORK, FITNESS), (STOVE, FITNESS)])
    both = catalogue.fingerprint
    assert both != plain
    catalogue.enrich([(CORK, Enrichment(keywords=("x",), theme="y"))])
    assert catalogue.fingerprint not in (plain, both)
    catalogue.enrich([(CORK, FITNESS)])
    assert catalogue.fingerprint == both
    catalogue.delete(["cork", "stove"])
    catalogue.upsert([CORK, STOVE])
    assert catalogue.fingerprint == plain and catalogue.enrichments(["cork", "stove"]) == {}


def test_it_is_there_when_the_home_is_opened_again_and_survives_a_rebuild(tmp_path: Path) -> None:
    with Catalogue.open(tmp_path, HashEmbedder()) as made:
        made.upsert([CORK, STOVE])
        made.enrich([(CORK, FITNESS)])
        vector = made.vectors(["cork"])
    with Catalogue.open(tmp_path, HashEmbedder(), rebuild=True) as again:
        assert again.check() == [] and again.enrichments(["cork"]) == {"cork": FITNESS}
        assert [id_ for id_, _ in again.search_words("stretching", 5)] == ["cork"]
        assert float((again.vectors(["cork"]) @ vector.T)[0, 0]) > 0.99
