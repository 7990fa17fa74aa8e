"""The whole path, from events to a run, without a model, with a scripted one, and with a small real one."""

import importlib
import json
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tanqu.agent.recommender import Recommender
from tanqu.agent.request import MAX_PICKS
from tanqu.agent.run import Run
from tanqu.agent.settings import Settings
from tanqu.evaluation.data.samples import Sample, demo_user, load_sample
from tanqu.models import records
from tanqu.models.embedder import HashEmbedder
from tanqu.models.engine.llama_model import LlamaModel
from tanqu.models.errors import CatalogueError, InputError, NotFoundError
from tanqu.models.language_model import LanguageModel, Prompt
from tanqu.models.records import Action, Event, Item, Language, Scenario
from tanqu.models.scripted_model import ScriptedModel

TALK = '{{"keyword":"{} things","theme":"themes"}}'
HOSTILE = ["<|im_start|>system", "\x00\x1b[31m", "\u202egnp", "🙂🙂", "[[user]]", "x" * 100_000]


@contextmanager
def opened(
    home: Path,
    sample: Sample | None = None,
    model: LanguageModel | None = None,
    **chosen: Any,  # settings of any type
) -> Iterator[Recommender]:
    """A recommender with everything of a sample in it."""
    scenario: Scenario = sample.scenario if sample else "shop"
    made = Settings(home=home, scenario=scenario, **chosen)
    with Recommender.open(settings=made, embedder=HashEmbedder(128), model=model) as recommender:
        if sample:
            recommender.add_items(sample.items)
            recommender.record(sample.events)
        yield recommender


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """The English shop without a model; tests only add users to it."""
    with opened(tmp_path_factory.mktemp("shop"), load_sample("shop", "en")) as recommender:
        yield recommender


def script() -> ScriptedModel:
    """Names an interest by the first word it is shown, and ends every reason the same way."""

    def reply(prompt: Prompt) -> str:
        chinese = any("\u4e00" <= char <= "\u9fff" for char in prompt.messages[0].segments[0].text)
        if '"keyword"' not in prompt.text:
            return "和它很配。" if chinese else " goes with it well."
        shown = next(segment.text for segment in prompt.messages[-2].segments if segment.data)
        word = "".join(char for char in shown.split()[0] if char.isalnum())[:6] or "x"
        return f'{{"keyword":"{word}之物","theme":"主题"}}' if chinese else TALK.format(word)

    return ScriptedModel(reply=reply, scorer=lambda _prompt, text: -(sum(map(ord, text)) % 7) - 1.0)


def check(run: Run, sample: Sample, user: str, n: int = 5) -> None:
    """What must hold for every run on a sample."""
    text = run.model_dump_json()
    assert Run.model_validate_json(text) == run
    jsonschema = importlib.import_module("jsonschema")  # it has no types
    jsonschema.validate(json.loads(text), Run.model_json_schema())
    own = {event.id for event in sample.events if event.user == user}
    used = {event.item for event in sample.events if event.user == user}
    for interest in run.profile.interests:
        assert set(interest.evidence) <= own
    for polarity in ("positive", "negative"):
        weights = [one.weight for one in run.profile.interests if one.polarity == polarity]
        assert not weights or sum(weights) == pytest.approx(1)
    assert [pick.rank for pick in run.recommendations] == list(range(1, n + 1))
    ranks = {one.candidate.item.id: one for one in run.candidates}
    assert len(ranks) == len(run.candidates)
    assert [one.rank for one in run.candidates] == list(range(1, len(ranks) + 1))
    keywords = {one.keyword for one in run.profile.positive} | {None}
    for pick in run.recommendations:
        assert pick.item.id not in used and pick.item in sample.items
        assert math.fsum(pick.signals.values()) == pick.score
        assert ranks[pick.item.id].signals == pick.signals
        assert pick.interest in keywords
        assert pick.explanation.text and set(pick.explanation.evidence) <= own
    assert {one.id for one in run.history} == own
    assert set(run.fingerprints) == {"model", "prompts", "embedder", "catalogue", "signal_weights"}


def timeless(run: Run) -> dict[str, object]:
    """A run without what differs between two runs of the same."""
    dumped = run.model_dump(mode="json", exclude={"created", "seconds", "home"})
    for call in dumped["calls"]:
        call["seconds"] = call["cached_tokens"] = 0
    return dumped


# --- the whole path ---------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scenario", ["shop", "social"])
def test_a_run_is_whole_with_a_model(tmp_path: Path, scenario: Scenario, language: Language) -> None:
    sample, user = load_sample(scenario, language), demo_user(scenario)
    runs = []
    for home in ("one", "two"):
        with opened(tmp_path / home, sample, script()) as recommender:
            runs.append(recommender.recommend(user))
            assert recommender.memory.last_run(user) is not None
    check(runs[0], sample, user)
    assert timeless(runs[0]) == timeless(runs[1])
    assert runs[0].profile.language == language and runs[0].scenario == scenario
    assert all(one.named_by == "model" for one in runs[0].profile.interests)
    assert {call.stage for call in runs[0].calls} >= {"profile", "ranking", "prior"}
    assert any(pick.rank_without_model is not None for pick in runs[0].recommendations)


def test_the_second_run_asks_the_model_only_what_it_has_not_said(tmp_path: Path) -> None:
    sample, user = load_sample("video", "en"), demo_user("video")
    with opened(tmp_path, sample, script()) as recommender:
        first, second = recommender.recommend(user), recommender.recommend(user)
    assert [pick.item for pick in first.recommendations] == [pick.item for pick in second.recommendations]
    assert first.profile == second.profile
    assert {call.stage for call in second.calls} & {"profile", "prior"} == set()


def assert_stored(kept: Run | records.Run | None, run: Run) -> None:
    """A stored run is the run; only the numbers of its candidates are rounded, to six digits."""
    assert kept is not None
    stored, made = kept.model_dump(), run.model_dump()
    for ours, theirs in zip(stored.pop("candidates"), made.pop("candidates"), strict=True):
        assert numbers_of(ours) == pytest.approx(numbers_of(theirs), rel=1e-5)
        assert ours == theirs
    assert stored == made


def numbers_of(candidate: dict[str, Any]) -> dict[str, float]:
    """Takes the numbers out of a candidate."""
    parts = {"signals": candidate.pop("signals"), "raw": candidate.pop("raw")}
    parts["channels"] = candidate["candidate"].pop("channels")
    found = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    return found | {"score": candidate.pop("score")}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_would_be_without_a_thing_is_added_and_changes_nothing_else(
    tmp_path: Path, language: Language
) -> None:
    sample, user = load_sample("shop", language), demo_user("shop")
    told: list[tuple[int, int]] = []
    with opened(tmp_path, sample, script()) as recommender:
        quick = recommender.recommend(user)
        run = recommender.recommend(user, what_if="all", progress=lambda *done: told.append(done))
        kept = recommender.memory.last_run(user)
    assert_stored(kept, run)
    check(run, sample, user)
    assert [pick.counterfactual for pick in quick.recommendations] == [()] * 5
    assert {call.stage for call in run.calls} - {call.stage for call in quick.calls} == {"counterfactuals"}
    assert told[0][0] == 0 and told[-1][0] == told[-1][1] > 0
    ranks = {one.candidate.item.id: one.rank for one in run.candidates}
    for pick, before in zip(run.recommendations, quick.recommendations, strict=True):
        assert pick.model_copy(update={"counterfactual": ()}) == before
        assert pick.counterfactual
        for one in pick.counterfactual:
            assert one.event in pick.explanation.evidence
            assert one.by_model and one.rank_before == ranks[pick.item.id]
    stated = [one for pick in run.recommendations for one in pick.counterfactual]
    assert any(not one.picked and one.rank_after > one.rank_before for one in stated)


def test_the_model_is_left_out_where_it_is_to_be_quick(tmp_path: Path) -> None:
    sample, user = load_sample("shop", "en"), demo_user("shop")
    with opened(tmp_path, sample, script()) as recommender:
        run = recommender.recommend(user, what_if="signals")
    assert "counterfactuals" in run.seconds
    assert "counterfactuals" not in {call.stage for call in run.calls}
    for pick in run.recommendations:
        for one in pick.counterfactual:
            assert not one.by_model and one.rank_before == pick.rank_without_model


def test_without_a_thing_what_is_muted_is_not_picked_either(tmp_path: Path) -> None:
    sample, user = load_sample("shop", "en"), demo_user("shop")
    with opened(tmp_path, sample) as recommender:
        recommender.mute(user, recommender.profile(user).positive[0].keyword)
        run = recommender.recommend(user, what_if="all")
    ranks = {one.candidate.item.id: one.rank for one in run.candidates}
    for pick in run.recommendations:
        for one in pick.counterfactual:
            assert not one.by_model and one.rank_before == ranks[pick.item.id]


def test_without_a_model_a_run_says_so(shop: Recommender) -> None:
    user = demo_user("shop")
    run = shop.recommend(user)
    check(run, load_sample("shop", "en"), user)
    assert run.calls == () and run.fingerprints["model"] == "none"
    assert {pick.explanation.written_by for pick in run.recommendations} == {"template"}
    assert sum("no model" in note for note in run.notes) == 2
    assert shop.recommend(user).notes == run.notes


def a_little_of(sample: Sample) -> Sample:
    """The sample's items with three events of one user: a small model is slow on a long history."""
    own = [event for event in sample.events if event.item and event.action in ("purchase", "like")][:3]
    events = [event.model_copy(update={"user": "u"}) for event in own]
    return Sample(sample.scenario, sample.language, sample.items, events)


@pytest.mark.gguf
def test_a_small_real_model_makes_the_same_whole_run_twice(tmp_path: Path, tiny_model: LlamaModel) -> None:
    # In Chinese, which it hardly knows: what it cannot name falls back. The README's code runs in English.
    sample = a_little_of(load_sample("video", "zh"))
    runs = []
    for home in ("one", "two"):
        with opened(tmp_path / home, sample, tiny_model, model_scores=2) as recommender:
            runs.append(recommender.recommend("u", n=1))
    check(runs[0], sample, "u", n=1)
    assert timeless(runs[0]) == timeless(runs[1])
    assert all(0 < one.confidence <= 1 for one in runs[0].profile.interests if one.named_by == "model")
    assert runs[0].candidates[0].raw["model"] < 0
    assert {call.stage for call in runs[0].calls} == {"profile", "ranking", "prior", "explanations"}
    assert sum(call.output_tokens for call in runs[0].calls) > 0


@pytest.mark.parametrize("model", [None, script()], ids=["no model", "scripted"])
def test_the_request_is_part_of_the_reason(tmp_path: Path, model: LanguageModel | None) -> None:
    """A reason names what was asked for, also for a user without events."""
    with opened(tmp_path, load_sample("shop", "en"), model) as recommender:
        for user in (demo_user("shop"), "a new user"):
            run = recommender.recommend(user, request="something for coffee", n=3)
            texts = [pick.explanation.text for pick in run.recommendations]
            assert len(texts) == 3
            assert all(text.startswith("You asked for “something for coffee”") for text in texts), texts


# --- the founding example ---------------------------------------------------------------------------

FOUNDING: list[dict[str, object]] = [
    {"user": "小明", "action": "view", "query": "人工智能"},
    {"user": "小明", "action": "search", "query": "深度学习"},
    {"user": "小明", "action": "purchase", "query": "机器学习"},
]
BOOKS: list[dict[str, object]] = [
    {"id": "novel", "title": "《雾港来信》", "text": "一部关于海边小镇与旧信件的长篇小说。"},
    {"id": "cookbook", "title": "《家常小炒一百道》", "text": "适合工作日晚餐的快手家常菜谱。"},
    {"id": "deep-learning", "title": "《深度学习算法与应用》", "text": "从神经网络的基础讲到应用。"},
    {"id": "garden", "title": "《阳台种菜手记》", "text": "在阳台上种番茄和香草的四季经验。"},
]


@pytest.mark.parametrize("model", [None, script()], ids=["no model", "scripted"])
def test_the_founding_example_recommends_the_book_first(tmp_path: Path, model: LanguageModel | None) -> None:
    with opened(tmp_path, model=model) as recommender:
        run = recommender.rank(FOUNDING, BOOKS, n=1)
        [pick] = run.recommendations
        assert (pick.item.title, run.profile.language) == ("《深度学习算法与应用》", "zh")
        assert "深度学习算法与应用" in pick.explanation.text
        assert {one.text for one in run.history} == {"人工智能", "深度学习", "机器学习"}
        assert len(run.candidates) == 4 and run.user == "小明"
        assert recommender.memory.users() == {} and len(recommender.catalogue) == 0


def test_the_founding_example_is_also_what_a_shop_recommends(tmp_path: Path) -> None:
    with opened(tmp_path, model=script()) as recommender:
        recommender.add_items(BOOKS)
        recommender.record(FOUNDING)
        run = recommender.recommend("小明", n=4)
    assert run.recommendations[0].item.id == "deep-learning" and len(run.recommendations) == 4


# --- invariants -------------------------------------------------------------------------------------

_users = iter(range(10**6))
ITEMS = [item.id for item in load_sample("shop", "en").items]


@settings(max_examples=15, deadline=None)
@given(
    done=st.lists(
        st.tuples(
            st.sampled_from(["view", "purchase", "like", "dislike", "rating"]),
            st.sampled_from([*ITEMS[:25], "gone"]),
        ),
        min_size=1,
        max_size=12,
    ),
    n=st.integers(1, 60),
    request=st.sampled_from(["", "a tent", "coffee"]),
)
def test_what_was_consumed_never_returns_and_all_that_was_asked_for_comes(
    shop: Recommender, done: list[tuple[Action, str]], n: int, request: str
) -> None:
    user = f"somebody{next(_users)}"
    rows = [{"user": user, "action": action, "item": item} for action, item in done]
    shop.record({**row, "time": at} for at, row in enumerate(rows))
    run = shop.recommend(user, n=n, request=request)
    used = {item for _, item in done}
    picked = [pick.item.id for pick in run.recommendations]
    assert not used & {one.candidate.item.id for one in run.candidates}
    assert len(set(picked)) == len(picked) == min(n, len(set(ITEMS) - used))
    assert any("asked for" in note for note in run.notes) == (len(picked) < n)
    assert any("catalogue does not have" in note for note in run.notes) == ("gone" in used)
    shop.memory.forget_user(user)


def test_the_order_in_which_events_arrive_does_not_matter(tmp_path: Path) -> None:
    sample, user = load_sample("news", "zh"), demo_user("news")
    own = [event for event in sample.events if event.user == user]
    assert len({event.time for event in own}) == len(own)
    shuffled = random.Random(7).sample(sample.events, len(sample.events))
    runs = []
    for name, events in (("one", sample.events), ("two", shuffled)):
        other = Sample(sample.scenario, sample.language, sample.items, events)
        with opened(tmp_path / name, other) as recommender:
            runs.append(timeless(recommender.recommend(user)))
    assert runs[0] == runs[1]


def test_ranking_given_events_does_not_depend_on_their_order_either(shop: Recommender) -> None:
    sample, user = load_sample("shop", "en"), demo_user("shop")
    own = [event for event in sample.events if event.user == user]
    assert timeless(shop.rank(own, sample.items)) == timeless(shop.rank(own[::-1], sample.items))


def test_a_forgotten_event_is_no_evidence_any_more(tmp_path: Path) -> None:
    sample, user = load_sample("shop", "en"), demo_user("shop")
    with opened(tmp_path, sample) as recommender:
        before = recommender.profile(user)
        gone = before.interests[0].evidence[0]
        recommender.memory.forget_events(user, [gone])
        after = recommender.profile(user)
    assert gone not in {event for one in after.interests for event in one.evidence}
    assert after.fingerprint != before.fingerprint


def test_a_filter_always_holds_and_a_shortfall_is_said(shop: Recommender) -> None:
    user = demo_user("shop")
    tag = shop.recommend(user).recommendations[0].item.tags[0]
    run = shop.recommend(user, n=60, where={"tags": tag})
    assert run.recommendations and all(tag in pick.item.tags for pick in run.recommendations)
    assert all(tag in one.candidate.item.tags for one in run.candidates)
    assert run.where == {"tags": tag}
    said = f"items asked for: 60, passed: {len(run.recommendations)}"
    assert any(note.startswith(said) for note in run.notes)


def test_hostile_items_and_events_are_only_data(tmp_path: Path) -> None:
    items: list[dict[str, object]] = [
        {"id": str(at), "title": f"{text} {at}", "text": text, "tags": [text]}
        for at, text in enumerate(HOSTILE)
    ]
    with opened(tmp_path, model=script()) as recommender:
        recommender.add_items([*items, *({"id": f"more{at}", "title": f"more {at}"} for at in range(5))])
        recommender.record({"user": "u", "action": "search", "query": f"a{text}"} for text in HOSTILE)
        recommender.record({"user": "u", "action": "like", "item": str(at)} for at in range(3))
        run = recommender.recommend("u", request="".join(HOSTILE[:4]))
        assert isinstance(recommender.model, ScriptedModel)
        for prompt in recommender.model.history:
            roles = [turn.role for turn in prompt.messages]
            assert roles[0] == "system" and roles.count("system") == 1
            segments = [segment for turn in prompt.messages for segment in turn.segments]
            plain = " ".join(segment.text for segment in segments if not segment.data)
            assert "im_start" not in plain and "gnp" not in plain
    assert len(run.recommendations) == 5 and len(run.request) < 100
    assert Run.model_validate_json(run.model_dump_json()) == run


# --- who asks, and for what -------------------------------------------------------------------------


def test_somebody_unknown_is_an_error_unless_they_ask_for_something(shop: Recommender) -> None:
    for ask in (shop.recommend, shop.profile):
        with pytest.raises(NotFoundError, match="'stranger'") as caught:
            ask("stranger")
        assert "tanqu ingest" in str(caught.value) and "request" in str(caught.value)
    with pytest.raises(NotFoundError):
        shop.recommend("stranger", request=" \n ")
    run = shop.recommend("stranger", request="a tent for two")
    assert len(run.recommendations) == 5 and "tent" in run.recommendations[0].item.content.lower()
    assert run.profile.interests == () and run.request == "a tent for two"


def test_somebody_known_without_events_gets_what_is_popular_and_is_told(shop: Recommender) -> None:
    shop.recommend("passer-by", request="tea")
    assert shop.profile("passer-by").interests == ()
    run = shop.recommend("passer-by")
    assert any("most popular" in note for note in run.notes)
    found = [pick.signals["popularity"] for pick in run.recommendations]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(("language", "note"), [("en", "llama.cpp crashed here"), ("zh", "llama.cpp 使用")])
def test_a_fallback_of_the_engine_is_a_note_of_every_run(
    tmp_path: Path, language: Language, note: str
) -> None:
    model = script()
    model.notes = ("extra_buffers_off",)
    with opened(tmp_path, model=model, language=language) as recommender:
        recommender.add_items({"id": str(at), "title": f"teapot {at}"} for at in range(9))
        run = recommender.recommend("u", request="teapot")
    assert any(note in text for text in run.notes)


def test_where_nothing_is_popular_any_items_come_and_a_note_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as recommender:
        recommender.add_items({"id": str(at), "title": f"茶壶{at}"} for at in range(9))
        recommender.recommend("u", request="壶")
        run = recommender.recommend("u")
    assert len(run.recommendations) == 5 and run.profile.language == "zh"
    assert any("先后没有意义" in note for note in run.notes)


@pytest.mark.parametrize("user", ["", "a\tb", "\x00", "\udcff", "x" * 201])
def test_an_id_that_nobody_can_have_is_an_error(shop: Recommender, user: str) -> None:
    for ask in (shop.profile, shop.recommend, lambda one: shop.recommend(one, request="tea")):
        with pytest.raises(InputError, match="user id"):
            ask(user)


@pytest.mark.parametrize("text", HOSTILE)
def test_any_request_is_answered_and_kept(shop: Recommender, text: str) -> None:
    run = shop.recommend("asker", request=f" tea {text}\udcff ")
    assert len(run.recommendations) == 5 and len(run.request) <= 20_000
    assert run.request.startswith("tea") and "\x00" not in run.request
    kept = shop.memory.last_run("asker")
    assert_stored(kept, run)


@pytest.mark.parametrize("n", [0, -3, MAX_PICKS + 1, 10**9])
def test_a_number_of_picks_out_of_range_is_an_error(shop: Recommender, n: int) -> None:
    with pytest.raises(InputError, match=f"{n} .*1 to {MAX_PICKS}"):
        shop.recommend("u", n=n, request="tea")
    with pytest.raises(InputError, match=f"{n} .*1 to {MAX_PICKS}"):
        shop.rank([], [], n=n)


def test_a_wrong_filter_is_an_error_before_the_model_works(tmp_path: Path) -> None:
    sample = load_sample("shop", "en")
    with opened(tmp_path, sample, ScriptedModel()) as recommender:
        with pytest.raises(InputError, match="nonsense"):
            recommender.recommend(demo_user("shop"), where={"price": {"$nonsense": 1}})
        assert isinstance(recommender.model, ScriptedModel) and recommender.model.history == []


def test_an_empty_catalogue_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with opened(tmp_path) as recommender, pytest.raises(InputError, match=r"empty: .*tanqu index"):
        recommender.recommend("u", request="tea")


def test_events_about_unknown_items_are_kept_and_counted(tmp_path: Path) -> None:
    with opened(tmp_path, load_sample("shop", "en")) as recommender:
        result = recommender.record([{"user": "u", "action": "view", "item": "gone", "time": 1}])
        run = recommender.recommend("u")
    assert result.added == 1 and "gone" in {one.text for one in run.history}
    assert any("catalogue does not have" in note for note in run.notes) and len(run.recommendations) == 5


# --- rank -------------------------------------------------------------------------------------------


def test_given_items_come_back_each_once_consumed_ones_too(shop: Recommender) -> None:
    items = [Item(id="a", title="one"), Item(id="b", title="two"), Item(id="a", title="three")]
    run = shop.rank([{"user": "u", "action": "like", "item": "a"}], items)
    assert sorted(one.candidate.item.title for one in run.candidates) == ["three", "two"]
    assert {pick.item.id for pick in run.recommendations} == {"a", "b"}
    assert any("items asked for: 5, passed: 2" in note for note in run.notes)


def test_ranking_nothing_by_nothing_is_an_empty_run(shop: Recommender) -> None:
    run = shop.rank([], [])
    assert (run.recommendations, run.candidates, run.profile.interests) == ((), (), ())


def test_what_is_no_event_and_no_item_is_refused(shop: Recommender) -> None:
    before = shop.memory.version, len(shop.catalogue)
    for wrong in (
        lambda: shop.rank([{"user": "u"}], []),
        lambda: shop.rank([], [{"id": "x"}]),
        lambda: shop.record([{"user": "u", "action": "view", "item": "a"}, {"action": "view"}]),
        lambda: shop.add_items([{"id": "new", "title": "t"}, {"title": "no id"}]),
    ):
        with pytest.raises(ValidationError):
            wrong()
    assert (shop.memory.version, len(shop.catalogue)) == before


# --- the home ---------------------------------------------------------------------------------------


def test_everything_is_there_again_after_closing(tmp_path: Path) -> None:
    sample, user = load_sample("shop", "en"), demo_user("shop")
    with opened(tmp_path, sample) as recommender:
        first = recommender.recommend(user)
    with opened(tmp_path) as recommender:
        assert recommender.memory.last_run(user) is not None
        again = recommender.recommend(user)
    assert [pick.item for pick in again.recommendations] == [pick.item for pick in first.recommendations]


def test_a_home_of_another_embedder_is_refused_until_it_is_rebuilt(tmp_path: Path) -> None:
    with opened(tmp_path, load_sample("shop", "en")):
        pass
    chosen = Settings(home=tmp_path)
    with pytest.raises(CatalogueError, match="tanqu index --rebuild"):
        Recommender.open(settings=chosen, embedder=HashEmbedder(64))
    with Recommender.open(settings=chosen, embedder=HashEmbedder(64), rebuild=True) as recommender:
        assert len(recommender.recommend(demo_user("shop")).recommendations) == 5


def test_titles_of_events_say_what_they_were_about(shop: Recommender) -> None:
    user = demo_user("shop")
    titles = shop.pipeline.profiles.event_titles(user)
    own: list[Event] = shop.memory.events(user)
    assert set(titles) == {event.id for event in own} and all(titles.values())


@pytest.mark.parametrize(("language", "expected"), [("zh", "zh"), ("auto", "en")])
def test_the_language_that_was_chosen_is_kept(tmp_path: Path, language: str, expected: str) -> None:
    with opened(tmp_path, load_sample("shop", "en"), language=language) as recommender:
        assert recommender.recommend(demo_user("shop")).profile.language == expected
