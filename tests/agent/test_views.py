"""A view is the same home with another model or other settings; the recommender it is of never changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tanqu import Item, Recommender, Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError
from tanqu.models.scripted_model import ScriptedModel

ITEMS = [Item(id=f"tea{at}", title=f"Green tea number {at}", tags=("tea",)) for at in range(8)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Recommender]:
    settings = Settings(home=tmp_path / "home", language="en")
    with Recommender.open(settings=settings, embedder=HashEmbedder(64)) as made:
        made.add_items(ITEMS)
        made.record([{"user": "ann", "action": "purchase", "item": "tea0"}])
        yield made


def in_chinese(home: Recommender) -> Recommender:
    return home.view(settings=home.settings.model_copy(update={"language": "zh"}))


def test_a_view_answers_in_its_own_language_and_the_first_recommender_in_its_own(home: Recommender) -> None:
    chinese = in_chinese(home)
    assert chinese.recommend("ann", n=1).profile.language == "zh"
    assert home.recommend("ann", n=1).profile.language == "en"
    assert home.settings.language == "en"


def test_a_view_sees_what_is_recorded_by_the_first_and_the_other_way_round(home: Recommender) -> None:
    chinese = in_chinese(home)
    home.record([{"user": "bob", "action": "like", "item": "tea1"}])
    chinese.record([{"user": "bob", "action": "like", "item": "tea2"}])
    assert set(chinese.memory.consumed("bob")) == set(home.memory.consumed("bob")) == {"tea1", "tea2"}


def test_a_view_with_another_model_leaves_the_first_without_one(home: Recommender) -> None:
    model = ScriptedModel()
    assert home.view(model=model).model is model
    assert home.model is None
    assert home.view(model=model).view(model=None).model is None


def test_closing_a_view_leaves_the_home_open(home: Recommender) -> None:
    with in_chinese(home):
        pass
    assert home.recommend("ann", n=1).recommendations


def test_nothing_of_a_recommender_can_be_replaced(home: Recommender) -> None:
    with pytest.raises(AttributeError):
        home.settings = Settings()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        home.model = None  # type: ignore[misc]


def test_a_view_of_another_home_is_an_error_that_names_both(home: Recommender, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="elsewhere"):
        home.view(settings=Settings(home=tmp_path / "elsewhere"))
