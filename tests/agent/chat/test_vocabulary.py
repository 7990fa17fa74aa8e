"""The vocabulary of a catalogue: few rows are read however many items there are, and it follows the catalogue."""

from collections.abc import Sequence

from tanqu.agent.chat.condition_parser import parse_conditions
from tanqu.agent.chat.vocabulary import vocabulary_of
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Item
from tanqu.vectorstore import Catalogue

GENRES = ("comedy", "horror", "drama")


class Counting(Catalogue):
    """A catalogue that counts the items and ids which are read from it."""

    read = 0

    def get(self, ids: Sequence[str]) -> list[Item]:
        self.read += len(ids)
        return super().get(ids)

    def ids(self, limit: int | None = None) -> list[str]:
        found = super().ids(limit)
        self.read += len(found)
        return found


def _film(number: int) -> Item:
    attributes = {"minutes": 60 + number % 100, "genre": GENRES[number % 3]}
    return Item(id=f"f{number}", title=f"Harbour Story Part {number}", kind="film", attributes=attributes)


def test_a_large_catalogue_is_not_read_item_by_item() -> None:
    with Counting.in_memory(map(_film, range(4000)), HashEmbedder(32)) as catalogue:
        parsed = parse_conditions("no horror, under 100 minutes", vocabulary_of(catalogue))
        assert {rule.fields for rule in parsed.rules} == {("genre",), ("minutes",)}
        parsed = parse_conditions("something like Harbour Story Part 3217", vocabulary_of(catalogue))
        assert parsed.like == ("f3217",)
        assert catalogue.read <= 1000


def test_the_values_are_aggregated_once_for_each_version_of_the_catalogue() -> None:
    with Catalogue.in_memory([_film(0), _film(1)], HashEmbedder(32)) as catalogue:
        first = vocabulary_of(catalogue)
        assert vocabulary_of(catalogue).words is first.words
        assert "drama" not in first.words
        catalogue.upsert([_film(2)])
        assert "drama" in vocabulary_of(catalogue).words


def test_a_word_of_a_title_or_a_value_is_known_and_no_other() -> None:
    with Catalogue.in_memory([_film(0)], HashEmbedder(32)) as catalogue:
        vocabulary = vocabulary_of(catalogue)
        assert vocabulary.has_word("harbour") and vocabulary.has_word("comedy")
        assert not vocabulary.has_word("harbuor")
