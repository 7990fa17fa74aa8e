"""What the model answered is asked for once, per user where it rests on a history, and holds no title."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tanqu.agent.store.model_cache import ALL_USERS, SCORES, NameCache, ScoreCache
from tanqu.vectorstore.database import memory_database


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    made = memory_database()
    yield made
    made.dispose()


class Scorer:
    """Scores a text by its length, and records what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: list[str]) -> list[float]:
        self.asked.append(texts)
        return [-float(len(text)) for text in texts]


def test_values_come_in_the_order_of_the_texts_and_equal_texts_are_scored_once(engine: sa.Engine) -> None:
    score = Scorer()
    found = ScoreCache(engine).means("model", "prompt", [" abc", " a", " abc", " 深度"], score)
    assert found.tolist() == [-4.0, -2.0, -4.0, -3.0]
    assert score.asked == [[" abc", " a", " 深度"]]


def test_a_known_text_is_not_scored_again(engine: sa.Engine) -> None:
    score = Scorer()
    ScoreCache(engine).means("model", "prompt", [" a", " b"], score)
    assert ScoreCache(engine).means("model", "prompt", [" b", " ccc"], score).tolist() == [-2.0, -4.0]
    assert score.asked == [[" a", " b"], [" ccc"]]
    ScoreCache(engine).means("model", "prompt", [" a", " b", " ccc"], score)
    assert len(score.asked) == 2


def test_another_model_prompt_or_user_is_scored_apart(engine: sa.Engine) -> None:
    score, cache = Scorer(), ScoreCache(engine)
    for model, prompt, user in (("m", "p", ""), ("n", "p", ""), ("m", "q", ""), ("m", "p", "anna")):
        cache.means(model, prompt, [" a"], score, user)
    assert len(score.asked) == 4


def test_scores_for_another_history_take_the_place_of_the_users_scores(engine: sa.Engine) -> None:
    cache = ScoreCache(engine)
    cache.means("m", "prior", [" a"], Scorer())
    cache.means("m", "history", [" a", " b"], Scorer(), "anna")
    cache.means("m", "longer history", [" a"], Scorer(), "anna")
    with engine.connect() as connection:
        users = list(connection.scalars(sa.select(SCORES.c.user).order_by(SCORES.c.user)))
    assert users == [ALL_USERS, "anna"]


def test_the_database_holds_no_title(engine: sa.Engine) -> None:
    ScoreCache(engine).means("model", "prompt", [" secret title"], Scorer())
    with engine.connect() as connection:
        rows = connection.execute(sa.select(SCORES)).all()
    assert len(rows) == 1 and "secret" not in repr(rows)


@pytest.mark.parametrize(
    "texts", [[], ["\x00"], ["\ud800"], ["🙂"], ["x" * 100_000], [f" {at}" for at in range(1200)]]
)
def test_any_texts_and_any_number_of_them(engine: sa.Engine, texts: list[str]) -> None:
    score = Scorer()
    for _ in range(2):
        found = ScoreCache(engine).means("model", "prompt", texts, score)
        assert found.tolist() == [-float(len(text)) for text in texts]
    assert len(score.asked) == bool(texts)


def test_names_of_a_user_are_replaced_and_names_for_all_users_are_added(engine: sa.Engine) -> None:
    names = NameCache(engine)
    for user, kept in (("anna", {"k2"}), (ALL_USERS, {"k1", "k2"})):
        names.keep(user, "en", {"k1": ("lamps", 0.5)})
        names.keep(user, "zh", {"k3": ("灯", 0.5)})
        names.keep(user, "en", {"k2": ("stoves", 0.5)})
        assert set(names.known(user, ["k1", "k2", "k3"])) == kept | {"k3"}
