"""Facets: what the database counts is what the items hold."""

import pytest

from tanqu.evaluation.data.samples import SCENARIOS, load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Item, Language, Scenario
from tanqu.vectorstore import Catalogue, Facets
from tanqu.vectorstore.facets import facets_of

ODD = [
    Item(id="odd", title="Odd", attributes={"flag": True, "mixed": ("x", "2020-01-01"), "code": "9", "n": 3}),
    Item(id="odd2", title="Odd", tags=("9", "2021-05-06"), attributes={"n": 4.5}),
]


def _sorted(facets: Facets) -> tuple[object, ...]:
    return facets.numbers, facets.dates, {name: sorted(values) for name, values in facets.words.items()}


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_database_counts_what_the_items_hold(scenario: Scenario, language: Language) -> None:
    items = [*load_sample(scenario, language).items, *ODD]
    with Catalogue.in_memory(items, HashEmbedder(32)) as catalogue:
        assert _sorted(catalogue.facets(10_000)) == _sorted(facets_of(items, 10_000))


def test_of_many_values_the_commonest_are_kept() -> None:
    items = [Item(id=str(at), title="Tea", tags=("tea", f"tag{at}")) for at in range(20)]
    with Catalogue.in_memory(items, HashEmbedder(32)) as catalogue:
        for facets in (catalogue.facets(3), facets_of(items, 3)):
            assert len(facets.words["tags"]) == 3 and "tea" in facets.words["tags"]


def test_an_empty_catalogue_has_no_fields() -> None:
    with Catalogue.in_memory([], HashEmbedder(32)) as catalogue:
        assert catalogue.facets(10) == Facets({}, {}, {})
