"""Why this and why not that is told from the numbers of a run, in the user's language, without a model."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tanqu.agent.explanation.why import KeptAway, WhySource, kept_away
from tanqu.agent.recommender import Recommender
from tanqu.agent.run import Run
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import NotFoundError
from tanqu.models.records import Item, Language
from tanqu.models.scripted_model import ScriptedModel

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets")
ITEMS = [
    Item(
        id=f"{topic.split()[0]}{at}",
        title=f"{topic.title()} {at}",
        tags=tuple(topic.split()),
        kind="book",
        attributes={"price": 10 * at},
    )
    for topic in TOPICS
    for at in range(4)
]
EVENTS = [
    {"id": "e1", "user": "u", "item": "chess0", "action": "purchase", "time": START},
    {"id": "e2", "user": "u", "item": "violin0", "action": "like", "time": START + timedelta(days=1)},
    {"id": "e3", "user": "u", "item": "garden0", "action": "dislike", "time": START + timedelta(days=2)},
    {
        "id": "e4",
        "user": "u",
        "query": "garden and chess",
        "action": "search",
        "time": START + timedelta(days=3),
    },
]


def opened(home: Path, language: Language) -> Recommender:
    settings = Settings(home=home, language=language)
    recommender = Recommender.open(model=None, embedder=HashEmbedder(256), settings=settings)
    recommender.add_items(ITEMS)
    recommender.record(EVENTS)
    return recommender


@pytest.fixture
def recommender(tmp_path: Path) -> Iterator[Recommender]:
    with opened(tmp_path / "home", "en") as made:
        yield made


def _kept(recommender: Recommender, run: Run) -> list[KeptAway]:
    return kept_away(WhySource(run, recommender.memory.events(run.user), recommender.catalogue))


def test_a_pick_is_told_with_where_it_would_stand_if_its_run_says_so(recommender: Recommender) -> None:
    quick = recommender.recommend("u", n=3)
    assert "Without “" not in recommender.why("u", quick.recommendations[0].item.id).text
    run = recommender.recommend("u", n=3, what_if="signals")
    for pick in run.recommendations:
        text = recommender.why("u", pick.item.id).text
        assert text.count("Without ") == len(pick.counterfactual) > 0


def test_a_pick_is_told_with_its_place_and_its_parts(recommender: Recommender) -> None:
    run = recommender.recommend("u", n=3)
    first = run.recommendations[0]
    found = recommender.why("u", first.item.id)
    assert (found.item.status, found.item.place) == ("picked", 1)
    assert sum(part.value for part in found.item.parts) == pytest.approx(first.score)
    assert f"“{first.item.title}” is pick 1 of 3" in found.text
    assert "For it: " in found.text
    assert found.other is None
    assert found.difference == ()


def test_an_item_and_not_another_is_told_by_what_tells_them_apart(recommender: Recommender) -> None:
    run = recommender.recommend("u", n=3)
    first, last = run.candidates[0], run.candidates[-1]
    found = recommender.why("u", last.candidate.item.id, first.candidate.item.id)
    assert found.other is not None
    assert found.other.place == 1
    assert found.item.status == "ranked"
    assert sum(part.value for part in found.difference) == pytest.approx(last.score - first.score)
    sizes = [abs(part.value) for part in found.difference]
    assert sizes == sorted(sizes, reverse=True)
    assert f"“{first.candidate.item.title}” is " in found.text
    assert f" ahead of “{last.candidate.item.title}”: " in found.text


def test_what_was_used_before_is_told_with_what_was_done(recommender: Recommender) -> None:
    found = recommender.why("u", "chess0")
    assert found.item.status == "seen"
    assert [event.id for event in found.item.events] == ["e1"]
    assert "Bought “Chess Endgame 0”" in found.text


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Rated “Chess Endgame 1” (2 of 5 stars)"), ("zh", "评分“Chess Endgame 1”，2 分（满分 5 分）")],
)
def test_a_rating_is_told_with_its_stars(tmp_path: Path, language: Language, said: str) -> None:
    with opened(tmp_path / "home", language) as recommender:
        recommender.record([{"id": "r", "user": "u", "item": "chess1", "action": "rating", "value": 2}])
        assert said in recommender.why("u", "chess1").text


@pytest.mark.parametrize(
    ("language", "liked", "disliked"),
    [("en", "Unlike what was disliked +", "Like what was disliked −"), ("zh", "与不喜欢的不同 +", "与不喜欢的相近 −")],
)  # fmt: skip
def test_what_speaks_for_an_item_is_never_that_it_is_like_what_was_disliked(
    tmp_path: Path, language: Language, liked: str, disliked: str
) -> None:
    with opened(tmp_path / "home", language) as recommender:
        run = recommender.recommend("u", n=3)
        ranked = sorted(run.candidates, key=lambda one: one.signals["negative"])
        worst, best = (recommender.why("u", one.candidate.item.id).text for one in (ranked[0], ranked[-1]))
        assert liked in best and disliked not in best
        assert disliked in worst and liked not in worst


def test_a_filter_that_keeps_an_item_away_is_named(recommender: Recommender) -> None:
    recommender.recommend("u", where={"price": {"$lte": 10}})
    found = recommender.why("u", "chess3")
    assert found.item.status == "filtered"
    assert '{"price": {"$lte": 10}}' in found.text


def test_a_muted_interest_is_named(recommender: Recommender) -> None:
    profile = recommender.profile("u")
    chess = next(one.keyword for one in profile.positive if "e1" in one.evidence)
    recommender.mute("u", chess)
    found = recommender.why("u", "chess1")
    assert found.item.status == "muted"
    assert chess in found.text


def test_a_dislike_that_pushes_an_item_down_is_named(recommender: Recommender) -> None:
    run = recommender.recommend("u", n=1)
    pushed = [one for one in run.candidates if one.signals.get("negative", 0.0) < -0.01]
    assert pushed
    found = recommender.why("u", pushed[0].candidate.item.id)
    assert [event.id for event in found.item.events] == ["e3"]
    assert "Disliked “Garden Roses 0”" in found.text


def test_what_dislikes_keep_away_would_be_a_pick_without_them(recommender: Recommender) -> None:
    for n in range(1, len(ITEMS)):
        run = recommender.recommend("u", n=n)
        for one in _kept(recommender, run):
            assert one.rank_before <= n < one.rank
            assert one.event is not None
            assert one.event.id == "e3"
    run = recommender.recommend("u", n=len(ITEMS))
    assert _kept(recommender, run) == []


def test_an_item_may_be_given_by_its_title(recommender: Recommender) -> None:
    assert recommender.why("u", "chess endgame 2").item.item.id == "chess2"
    assert recommender.why("u", "“Chess Endgame 2”").item.item.id == "chess2"


@pytest.mark.parametrize("wanted", ["nothing", "Chess", "", "\x1b[2J", "<|im_start|>", "a" * 5000])
def test_an_item_that_is_not_there_is_told_so(recommender: Recommender, wanted: str) -> None:
    with pytest.raises(NotFoundError, match="the catalogue has no item") as error:
        recommender.why("u", wanted)
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 300


def test_a_user_of_whom_nothing_is_known_is_told_so(recommender: Recommender) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        recommender.why("nobody", "chess1")


def test_the_last_run_is_told_as_long_as_it_holds(recommender: Recommender) -> None:
    recommender.recommend("u", n=2)
    recommender.why("u", "chess1")
    assert len(recommender.memory.runs("u")) == 1
    recommender.record([{"id": "e9", "user": "u", "item": "space0", "action": "like"}])
    recommender.why("u", "chess1")
    assert len(recommender.memory.runs("u")) == 2
    recommender.add_items([Item(id="new", title="New")])
    recommender.why("u", "chess1")
    assert len(recommender.memory.runs("u")) == 3


def test_a_run_that_holds_needs_no_model(recommender: Recommender) -> None:
    recommender.recommend("u", n=2)
    asked = recommender.view(model=ScriptedModel())  # has no reply: to ask it is an error
    assert asked.why("u", "chess1").text


def test_chinese_is_told_in_chinese(tmp_path: Path) -> None:
    with opened(tmp_path / "home", "zh") as recommender:
        run = recommender.recommend("u", n=3)
        first, last = run.candidates[0].candidate.item, run.candidates[-1].candidate.item
        text = recommender.why("u", first.id, last.id).text
        assert f"《{first.title}》是 3 个推荐中的第 1 个" in text
        assert f"《{first.title}》比《{last.title}》高 " in text
        assert "购买《Chess Endgame 0》" in recommender.why("u", "chess0").text.replace("“", "《").replace(
            "”", "》"
        )
