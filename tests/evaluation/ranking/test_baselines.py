"""What the recommender is compared with: every baseline ranks all it is given, and each by its own idea."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.evaluation.data.protocol import HeldOutCase, ProtocolOptions, RankingProtocol, RankingTask
from tanqu.evaluation.ranking.baselines import (
    BASELINES,
    ListingRanker,
    RankingSystem,
    ScoreRanker,
    TrainingData,
    baselines,
    listed,
)
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import InputError
from tanqu.models.records import Event, Item
from tanqu.models.scripted_model import ScriptedModel
from tanqu.prompts import Prompts
from tanqu.vectorstore.catalogue import Catalogue

TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets")
ITEMS = tuple(
    Item(id=f"{topic.split()[0]}{at}", title=f"{topic} volume {at}") for topic in TOPICS for at in range(5)
)
IDS = [item.id for item in ITEMS]
HISTORIES = (
    ("chess0", "garden3"),
    ("chess1", "garden3"),
    ("chess0", "garden3", "violin4"),
    ("chess1", "space0"),
)
"""garden3 is used by three, and beside chess."""


def task(*used: str, candidates: Sequence[str] | None = None, user: str = "anna") -> RankingTask:
    events = [Event(id=f"e{at}", user=user, item=item, action="purchase") for at, item in enumerate(used)]
    return RankingTask(user, tuple(events), None if candidates is None else tuple(candidates))


def protocol(choices: ProtocolOptions = ProtocolOptions(), *cases: HeldOutCase) -> RankingProtocol:  # noqa: B008  # frozen
    return RankingProtocol("small", "shop", ITEMS, cases, HISTORIES, choices)


@pytest.fixture(scope="module")
def data() -> Iterator[TrainingData]:
    with Catalogue.in_memory(ITEMS, HashEmbedder(256)) as catalogue:
        yield TrainingData(protocol(), catalogue)


def system(name: str, data: TrainingData, *answers: str) -> RankingSystem:
    [found] = baselines([name], data, ScriptedModel(replies=list(answers)), Prompts())
    return found


# --- all of them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=25, deadline=None)
@given(
    used=st.lists(st.sampled_from([*IDS, "gone"]), max_size=8),
    candidates=st.lists(st.sampled_from(IDS), min_size=1, unique=True),
)
def test_the_candidates_come_back_each_once(
    data: TrainingData, name: str, used: list[str], candidates: list[str]
) -> None:
    asked = task(*used, candidates=candidates)
    ranked = system(name, data, "[2] > [1]").rank(asked, 3)
    assert Counter(ranked) == Counter(candidates), "all of them, however few are looked at"
    assert ranked == system(name, data, "[2] > [1]").rank(asked, 3)


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "listing"])
@settings(max_examples=25, deadline=None)
@given(used=st.lists(st.sampled_from([*IDS, "gone"]), max_size=8), k=st.integers(1, 30))
def test_of_the_whole_catalogue_the_best_come_without_what_was_used(
    data: TrainingData, name: str, used: list[str], k: int
) -> None:
    ranked = system(name, data).rank(task(*used), k)
    unused = set(IDS) - set(used)
    assert len(ranked) == len(set(ranked)) == min(k, len(unused)) and set(ranked) <= unused


@pytest.mark.parametrize("name", ["popularity", "bm25", "vectors", "itemknn"])
def test_what_nothing_tells_apart_stays_in_the_order_drawn(data: TrainingData, name: str) -> None:
    alike = ["violin2", "chess4", "space3", "garden1"]
    asked = [task("gone", candidates=order) for order in (alike, alike[::-1])]
    assert [system(name, data).rank(one, 10) for one in asked] == [alike, alike[::-1]]


def test_names_give_the_systems_once_each_and_in_order(data: TrainingData) -> None:
    found = baselines(["vectors", "listing", "random", "vectors"], data, ScriptedModel(), Prompts())
    assert [one.name for one in found] == ["vectors", "listing", "random"]
    assert baselines([], data, None, Prompts()) == []


def test_an_unknown_name_and_a_listing_without_a_model_say_what_to_do(data: TrainingData) -> None:
    with pytest.raises(
        InputError, match=r"no baseline 'sasrec': use some of random, popularity, .*, listing"
    ):
        baselines(["random", "sasrec"], data, None, Prompts())
    with pytest.raises(
        InputError, match="'listing' needs a language model: see `tanqu models list`, or leave"
    ):
        baselines(["listing"], data, None, Prompts())


# --- each by its own idea ---------------------------------------------------------------------------


def test_popularity_counts_users_once(data: TrainingData) -> None:
    offered = ["space3", "space0", "chess0", "garden3"]
    assert system("popularity", data).rank(task("violin0", candidates=offered), 4) == [
        "garden3", "chess0", "space0", "space3",
    ]  # fmt: skip
    with Catalogue.in_memory(ITEMS, HashEmbedder(16)) as catalogue:
        again = RankingProtocol(
            "small", "shop", ITEMS, (), (("space0",) * 9, ("chess0",), ("chess0",)), ProtocolOptions()
        )
        counts = TrainingData(again, catalogue).counts
    assert counts[data.place["space0"]] == 1 and counts[data.place["chess0"]] == 2


def test_neighbours_are_what_the_same_users_used(data: TrainingData) -> None:
    ranker = system("itemknn", data)
    assert ranker.rank(task("garden3", candidates=["space0", "violin4", "chess0"]), 3)[0] == "chess0"
    assert ranker.rank(task("space0", candidates=["garden3", "chess0", "chess1"]), 3)[0] == "chess1"
    assert ranker.rank(task("chess1"), 1) == ["space0"], "of few users, and of no others"
    assert ranker.rank(task("chess1", candidates=["chess1", "space0"]), 2)[0] == "space0", "not of itself"


def test_words_are_those_of_the_last_ten_titles(data: TrainingData) -> None:
    offered = ["garden1", "space1", "violin1", "chess1"]
    ranker = system("bm25", data)
    assert ranker.rank(task("violin0", candidates=offered), 4)[0] == "violin1"
    long_ago = ["violin0", *["chess0", "chess2", "chess3"] * 4]
    ranked = ranker.rank(task(*long_ago, candidates=offered), 4)
    assert ranked == ["chess1", "garden1", "space1", "violin1"], "an older title says nothing"


def test_vectors_are_those_of_the_texts(data: TrainingData) -> None:
    offered = ["garden1", "space1", "violin1", "chess1"]
    ranked = system("vectors", data).rank(task("space0", "space2", "violin0", candidates=offered), 4)
    assert ranked[:2] == ["space1", "violin1"]


def test_chance_depends_on_user_and_seed_alone(data: TrainingData) -> None:
    ranker = ScoreRanker("random", data)
    orders = [tuple(ranker.rank(task(candidates=IDS, user=f"u{at}"), 20)) for at in range(30)]
    assert len(set(orders)) == 30
    assert ranker.rank(task("chess0", candidates=IDS, user="u0"), 20) == list(orders[0])
    other = TrainingData(protocol(ProtocolOptions(seed=7)), data.catalogue)
    assert ScoreRanker("random", other).rank(task(candidates=IDS, user="u0"), 20) != list(orders[0])


# --- the model's list -------------------------------------------------------------------------------

FOUR = ("chess1", "violin1", "garden1", "space1")


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        ("3] > [1] > [4] > [2]", "3142"),  # every one
        ("4] > [2]", "4213"),  # some: the others follow in the order given
        ("", "1234"),
        ("I would rather not.", "1234"),
        ("2] > [2] > [2] > [1]", "2134"),  # a repetition counts once
        ("0] > [5] > [99] > [-3]", "3124"),  # numbers of nothing
        ("123456789012345678901 > [2]", "2134"),
        ("三 ３ [2]", "3214"),  # digits of full width are digits
        ("第2个，然后是第4个", "2413"),
    ],
)
def test_a_list_is_read_for_its_numbers_and_completed(data: TrainingData, answer: str, order: str) -> None:
    ranked = system("listing", data, answer).rank(task("chess0", candidates=FOUR), 4)
    assert ranked == [FOUR[int(place) - 1] for place in order]


@given(
    st.text(alphabet="0123456789²٣[]> a一", max_size=40), st.lists(st.integers(), unique=True, max_size=12)
)
def test_whatever_the_model_writes_no_candidate_is_lost_or_invented(answer: str, names: list[int]) -> None:
    candidates = [str(name) for name in names]
    assert sorted(listed(answer, candidates)) == sorted(candidates)


def test_the_model_is_asked_once_whatever_it_answers_and_never_told_the_target(data: TrainingData) -> None:
    for target in FOUR:
        model = ScriptedModel(replies=["none of them"])
        asked = task("chess0", "gone", candidates=FOUR)
        assert ListingRanker(data, model, Prompts()).rank(HeldOutCase(asked, target).task, 4) == list(FOUR)
        [prompt] = model.history
        assert [prompt.text.count(data.titles[item]) for item in FOUR] == [1, 1, 1, 1]
        assert "- chess endgame volume 0" in prompt.text and prompt.owner == "anna"
        assert prompt.text == _prompt(data, asked), "the same for every target"


def _prompt(data: TrainingData, asked: RankingTask) -> str:
    model = ScriptedModel(replies=["1"])
    ListingRanker(data, model, Prompts()).rank(asked, 4)
    return model.history[0].text


def test_chinese_titles_are_asked_about_in_chinese() -> None:
    items = tuple(Item(id=f"b{at}", title=f"第{at}本关于园艺的书") for at in range(4))
    with Catalogue.in_memory(items, HashEmbedder(16)) as catalogue:
        data = TrainingData(RankingProtocol("书", "shop", items, (), (), ProtocolOptions()), catalogue)
        model = ScriptedModel(replies=["2"])
        ranked = ListingRanker(data, model, Prompts()).rank(task("b0", candidates=["b1", "b2", "b3"]), 3)
    assert ranked == ["b2", "b1", "b3"] and "候选" in model.history[0].text


def test_a_whole_catalogue_is_no_list_for_a_prompt(data: TrainingData) -> None:
    with pytest.raises(InputError, match="cannot rank a whole catalogue: leave it out, or leave --full out"):
        system("listing", data, "1").rank(task("chess0"), 10)
