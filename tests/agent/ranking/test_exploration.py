"""New for the user: topics not touched but near, apart from the other picks, and never past a filter."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.agent.chat.terminal import talk
from tanqu.agent.cli.printout import print_picks
from tanqu.agent.explanation.evidence import collect_evidence
from tanqu.agent.explanation.groundedness import ungrounded_spans
from tanqu.agent.profile.history import Query
from tanqu.agent.profile.user_profile import Profiles
from tanqu.agent.ranking.exploration import exploration_count
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.evaluation.data.samples import demo_user, load_sample
from tanqu.models.embedder import SentenceEmbedder
from tanqu.models.errors import InputError, ModelError
from tanqu.models.language_model import (
    DEFAULT_LIMITS,
    LanguageModel,
    Limits,
    Prompt,
    Scored,
    Usage,
)
from tanqu.models.records import Bridge, Candidate, Language, Ranked, Recommendation, Run, Scenario
from tanqu.models.scripted_model import ScriptedModel
from tanqu.vectorstore.filters import compile_where

SHOP = load_sample("shop", "en")
EMBEDDER = SentenceEmbedder()
# In this shop artificial intelligence is near to programming, gardening to pets and coffee, and not the reverse
# of these: each line is a topic, as its items are grouped.
PROGRAMMING = {"shop-python-first", "shop-python-keeping", "shop-turtle-coding", "shop-database-design"}
AI = {"shop-ai-maths", "shop-deep-learning", "shop-reinforcement", "shop-nlp-notes", "shop-ai-history"}
AI |= {"shop-machine-learning"}
GARDEN = {"shop-planter-box", "shop-succulents", "shop-compost-bin"}
PETS = {"shop-cat-fountain", "shop-cat-tree", "shop-pet-feeder"}
TOPICS = (PROGRAMMING, AI, GARDEN, PETS)
LIKES_AI = (("shop-ai-maths", "like"), ("shop-nlp-notes", "like"))
LIKES_GARDENS = (("shop-planter-box", "like"), ("shop-compost-bin", "like"))

_users = itertools.count()
actions = st.sampled_from(["view", "like", "purchase", "dislike"])
histories = st.lists(
    st.tuples(st.sampled_from([item.id for item in SHOP.items]), actions), min_size=1, max_size=6
)
filters = st.sampled_from(
    [None, {"price": {"$lte": 40}}, {"tags": "programming"}, {"price": {"$gt": 10_000}}]
)


def opened(home: Path, model: LanguageModel | None = None, **chosen: Any) -> Recommender:
    made = Recommender.open(settings=Settings(home=home, **chosen), embedder=EMBEDDER, model=model)
    made.add_items(SHOP.items)
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    with opened(tmp_path_factory.mktemp("home")) as made:
        yield made


def user_with(recommender: Recommender, *done: tuple[str, str]) -> str:
    user = f"user{next(_users)}"
    recommender.record(
        {"id": f"{user}-{at}", "user": user, "item": item, "action": action}
        for at, (item, action) in enumerate(done)
    )
    return user


def new_picks(run: Run) -> list[Recommendation]:
    return [pick for pick in run.recommendations if pick.new_for_you]


def ids(picks: Sequence[Recommendation]) -> set[str]:
    return {pick.item.id for pick in picks}


def timeless(run: Run) -> dict[str, Any]:  # Any: JSON
    dumped = run.model_dump(mode="json", exclude={"created", "seconds"})
    for call in dumped["calls"]:
        call["seconds"] = call["cached_tokens"] = 0
    return dumped


# --- what qualifies ---------------------------------------------------------------------------------


def test_a_pick_is_of_a_near_topic_that_was_not_touched_and_says_what_leads_there(home: Recommender) -> None:
    run = home.recommend(user_with(home, *LIKES_AI), n=4, explore=0.25)
    assert [pick.rank for pick in run.recommendations] == [1, 2, 3, 4]
    assert [pick.new_for_you is not None for pick in run.recommendations] == [False, False, False, True]
    [pick] = new_picks(run)
    assert pick.item.id in PROGRAMMING
    assert pick.new_for_you == Bridge(
        interest="artificial intelligence", topic="programming", theme="Python"
    ) and not (pick.interest or pick.counterfactual)
    assert math.fsum(pick.signals.values()) == pick.score and "topic" in pick.signals
    assert not {"history", "interest", "lexical"} & set(pick.signals)
    assert "exploration" in run.seconds


@pytest.mark.parametrize("action", ["view", "purchase", "dislike"])
def test_a_topic_with_any_event_is_not_new(home: Recommender, action: str) -> None:
    user = user_with(home, *LIKES_AI, ("shop-database-design", action))
    assert not ids(new_picks(home.recommend(user, n=8, explore=1))) & PROGRAMMING


def test_a_topic_near_to_what_is_disliked_stays_out(home: Recommender) -> None:
    likes = (("shop-hand-grinder", "like"), ("shop-gooseneck-kettle", "like"))
    before = new_picks(home.recommend(user_with(home, *likes), n=8, explore=1))
    # Gardening is near to coffee, and nearer to pets.
    user = user_with(home, *likes, ("shop-cat-tree", "dislike"), ("shop-pet-feeder", "dislike"))
    after = new_picks(home.recommend(user, n=8, explore=1))
    assert ids(before) & GARDEN and after and not ids(after) & GARDEN


def test_a_muted_interest_leads_nowhere(home: Recommender) -> None:
    user = user_with(home, *LIKES_AI, *LIKES_GARDENS)
    before = new_picks(home.recommend(user, n=12, explore=1))
    muted = home.mute(user, "gardening")
    after = home.recommend(user, n=12, explore=1)
    assert [one.keyword for one in muted.interests if one.muted] == ["gardening"]
    assert ids(before) & PETS and ids(before) & PROGRAMMING
    assert not ids(new_picks(after)) & PETS and ids(new_picks(after)) & PROGRAMMING
    assert "gardening" not in {pick.interest for pick in after.recommendations}


def test_where_no_topic_qualifies_the_list_is_filled_with_others_and_a_note_says_so(
    home: Recommender,
) -> None:
    run = home.recommend(user_with(home, ("shop-turntable", "like")), n=4, explore=0.5)
    assert len(run.recommendations) == 4 and new_picks(run) == []
    assert any("new things asked for: 2, found: 0" in note for note in run.notes)


def test_one_of_whom_nothing_is_known_has_no_interest_to_set_out_from(home: Recommender) -> None:
    run = home.recommend("nobody", n=4, request="coffee", explore=0.5)
    assert len(run.recommendations) == 4 and new_picks(run) == []
    assert any("found: 0" in note for note in run.notes)


def test_topics_take_turns(home: Recommender) -> None:
    run = home.recommend(user_with(home, *LIKES_AI, *LIKES_GARDENS), n=8, explore=1)
    topics = [pick.new_for_you.topic for pick in new_picks(run) if pick.new_for_you]
    different = len(set(topics))
    assert different > 2 and len(set(topics[:different])) == different


# --- the dial ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "explore", "expected"),
    [(5, 0, 0), (5, 0.3, 2), (5, 0.01, 1), (1, 0.3, 0), (1, 0.5, 1), (5, 1, 5), (10, 0.25, 3), (1, 1, 1)],
)
def test_the_share_is_rounded_and_never_nothing_where_it_was_asked_for(
    n: int, explore: float, expected: int
) -> None:
    assert exploration_count(n, explore) == expected


@pytest.mark.parametrize("explore", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_that_is_none_is_refused(home: Recommender, explore: float) -> None:
    with pytest.raises(InputError, match="from 0"):
        home.recommend(user_with(home, *LIKES_AI), explore=explore)


def test_without_exploration_a_run_is_what_it_was(home: Recommender) -> None:
    user = user_with(home, *LIKES_AI, *LIKES_GARDENS)
    plain, none = home.recommend(user), home.recommend(user, explore=0)
    assert timeless(plain) == timeless(none) and new_picks(plain) == []
    assert "exploration" not in plain.seconds


def test_the_settings_give_the_share_and_the_caller_has_the_last_word(tmp_path: Path) -> None:
    with opened(tmp_path, explore=0.4) as recommender:
        user = user_with(recommender, *LIKES_AI)
        assert len(new_picks(recommender.recommend(user, n=5))) == 2
        assert new_picks(recommender.recommend(user, n=5, explore=0)) == []


# --- invariants -------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(histories, filters, st.integers(1, 12), st.floats(0, 1))
def test_filters_used_items_and_the_share_hold_whatever_is_asked(
    home: Recommender, done: list[tuple[str, str]], where: dict[str, Any] | None, n: int, explore: float
) -> None:
    run = home.recommend(user_with(home, *done), n=n, where=where, explore=explore)
    picks = [pick.item for pick in run.recommendations]
    passes = compile_where(where)
    assert all(passes(item) for item in picks) and not {item.id for item in picks} & {id_ for id_, _ in done}
    assert len(ids(run.recommendations)) == len(picks) <= n
    new = new_picks(run)
    assert len(new) <= exploration_count(n, explore)
    assert len(new) == exploration_count(n, explore) or any(
        "new things asked for" in one for one in run.notes
    )
    touched = [topic for topic in TOPICS if topic & {id_ for id_, _ in done}]
    assert not any(ids(new) & topic for topic in touched)
    assert list(run.recommendations[len(picks) - len(new) :]) == new


@settings(max_examples=5, deadline=None)
@given(histories)
def test_exploring_twice_gives_the_same_run(home: Recommender, done: list[tuple[str, str]]) -> None:
    user = user_with(home, *done)
    assert timeless(home.recommend(user, explore=0.5)) == timeless(home.recommend(user, explore=0.5))


# --- with a model -----------------------------------------------------------------------------------


def script(favourite: str) -> ScriptedModel:
    """Names a group by the last tag of its first line, and finds `favourite` likeliest."""

    def reply(prompt: Prompt) -> str:
        if '"keyword"' not in prompt.text:
            return " can be used by anyone."
        shown = next(segment.text for segment in prompt.messages[-2].segments if segment.data)
        return f'{{"keyword":"about {shown.split("|")[1].split(",")[0].strip()}","theme":"things"}}'

    return ScriptedModel(reply=reply, scorer=lambda _prompt, text: -1.0 if favourite in text else -5.0)


def namings(model: ScriptedModel) -> int:
    return sum('"keyword"' in prompt.text for prompt in model.history)


@pytest.mark.parametrize("favourite", ["programming", "pets"])
def test_the_model_names_the_topics_and_chooses_among_them(tmp_path: Path, favourite: str) -> None:
    model = script(favourite)
    with opened(tmp_path, model) as recommender:
        user = user_with(recommender, *LIKES_AI, *LIKES_GARDENS)
        [pick] = new_picks(recommender.recommend(user, n=4, explore=0.25))
        assert pick.new_for_you and pick.new_for_you.topic == f"about {favourite}"
        assert pick.new_for_you.theme == "things" and pick.new_for_you.interest.startswith("about ")
        named = namings(model)
        again = recommender.recommend(user, n=4, explore=0.25)
        assert new_picks(again)[0].item == pick.item and namings(model) == named
        assert {call.kind for call in again.calls if call.stage == "exploration"} == {"score"}


def test_names_of_topics_are_nobodys_and_stay_when_a_user_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path, script("programming")) as recommender:
        user, other = (user_with(recommender, *LIKES_AI) for _ in range(2))
        recommender.recommend(user, n=4, explore=0.25)
        recommender.forget_user(user)
        run = recommender.recommend(other, n=4, explore=0.25)
        assert "generate" not in {call.kind for call in run.calls if call.stage == "exploration"}
        assert new_picks(run)


class Mute(ScriptedModel):
    """A model that cannot score."""

    def score(
        self, prompt: Prompt, continuations: object, *, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[list[Scored], Usage]:
        msg = "out of memory"
        raise ModelError(msg)


def test_a_model_that_fails_leaves_the_nearest_topics_and_a_note(tmp_path: Path) -> None:
    with opened(tmp_path, Mute(reply=script("").reply)) as recommender:
        run = recommender.recommend(user_with(recommender, *LIKES_AI, *LIKES_GARDENS), n=4, explore=0.5)
    assert len(new_picks(run)) == 2
    assert any("did not choose among new topics" in note for note in run.notes)


# --- reasons ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "language"), [("shop", "en"), ("news", "en"), ("social", "zh"), ("video", "zh")]
)
def test_a_reason_cites_the_interest_that_leads_there_and_says_it_is_new(
    tmp_path: Path, scenario: Scenario, language: Language
) -> None:
    sample, user = load_sample(scenario, language), demo_user(scenario)
    chosen = Settings(home=tmp_path, scenario=scenario)
    with Recommender.open(settings=chosen, embedder=EMBEDDER) as recommender:
        recommender.add_items(sample.items)
        recommender.record(sample.events)
        run = recommender.recommend(user, n=8, explore=0.5)
        profiles = Profiles(recommender.memory, recommender.catalogue, chosen, recommender.pipeline.prompts)
        history = profiles.history(profiles.load(user))
        for pick in new_picks(run):
            bridge, reason = pick.new_for_you, pick.explanation
            assert bridge and reason.grounded and reason.written_by == "template"
            source = next(one for one in run.profile.interests if one.keyword == bridge.interest)
            assert reason.evidence and set(reason.evidence) <= set(source.evidence)
            assert bridge.topic in reason.text and bridge.interest in reason.text
            assert ("新尝试" if language == "zh" else "first step") in reason.text
            found = Candidate(item=pick.item, channels={}, new_for_you=bridge)
            ranked = Ranked(candidate=found, rank=1, score=0.0, signals={}, raw={})
            [evidence] = collect_evidence(recommender.catalogue, [ranked], Query(history, run.profile))
            assert ungrounded_spans(evidence.template, evidence.facts, language) == []
            assert ungrounded_spans(evidence.subject, evidence.prompt_facts, language) == []
    assert new_picks(run)


# --- where people meet it ---------------------------------------------------------------------------


def said(recommender: Recommender, user: str, *lines: str) -> str:
    """What a chat answers to lines."""
    waiting, written = [*lines, "/exit"], list[str]()
    assert talk(recommender, user, lambda _prompt: waiting.pop(0), written.append) == 0
    return "\n".join(written)


@pytest.mark.parametrize("share", ["0.4", "40%"])
def test_a_chat_marks_what_is_new_once_its_share_is_set(home: Recommender, share: str) -> None:
    text = said(
        home, user_with(home, *LIKES_AI, *LIKES_GARDENS), f"/explore {share}", "/recommend", "/explore 0"
    )
    assert "new for you: 40% of each list" in text and "new for you: 0% of each list" in text
    assert text.count("[new for you: from ") == 2
    assert "[new for you: from artificial intelligence to programming]" in text
    assert home.settings.explore == 0


def test_a_chat_goes_on_exploring_in_another_language(home: Recommender) -> None:
    user = user_with(home, *LIKES_AI, *LIKES_GARDENS)
    text = said(home, user, "/explore 0.4", "/lang zh", "/recommend", "/explore 9")
    assert text.count("[新鲜尝试：从") == 2 and "探索比例不能是 9" in text


def test_a_chat_says_why_something_new_is_there(home: Recommender) -> None:
    text = said(home, user_with(home, *LIKES_AI), "/explore 0.2", "/recommend", "/why 5")
    _, why_ = text.rsplit("\n5. ", 1)
    assert why_.count("is a first step from artificial intelligence into programming") == 2
    assert "typical of the topic" in why_


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            "is pick 4 of 4, new for you: from artificial intelligence to programming. It is ranked apart.",
        ),
        ("zh", "是 4 个推荐中的第 4 个，是新鲜尝试：从artificial intelligence到programming，单独排序。"),
    ],
)
def test_why_tells_a_new_pick_from_the_others(home: Recommender, language: Language, expected: str) -> None:
    user = user_with(home, *LIKES_AI)
    with opened(home.settings.home, language=language) as recommender:
        run = recommender.recommend(user, n=4, explore=0.25)
        [pick], told = new_picks(run), recommender.why(user, new_picks(run)[0].item.id)
    assert told.item.status == "new" and told.item.place == 4 and expected in told.text
    assert math.fsum(part.value for part in told.item.parts) == pick.score


def test_what_a_new_pick_rests_on_is_not_said_to_have_raised_it(home: Recommender) -> None:
    run = home.recommend(user_with(home, *LIKES_AI), n=4, explore=0.25, what_if="all")
    [new] = new_picks(run)
    assert any(pick.counterfactual for pick in run.recommendations)
    assert new.explanation.evidence and new.counterfactual == ()


@pytest.mark.parametrize(
    ("language", "heading", "led"), [("en", "New for you", "from "), ("zh", "新鲜尝试", "从")]
)
def test_the_console_shows_new_picks_under_a_heading_of_their_own(
    home: Recommender, capsys: pytest.CaptureFixture[str], language: Language, heading: str, led: str
) -> None:
    user = user_with(home, *LIKES_AI)
    with opened(home.settings.home, language=language) as recommender:
        print_picks(recommender.recommend(user, n=4, explore=0.25))
    before, after = capsys.readouterr().out.split(f"\n{heading}\n")
    assert before.count("\n3. ") == 1 and after.startswith("4. ") and led in after.split("\n")[0]
