"""Messages with two wishes are cut in two, and all others are left whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tanqu.agent.chat.agent import ChatAgent
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.evaluation.data.samples import load_sample
from tanqu.models.embedder import SentenceEmbedder
from tanqu.models.records import Language

USER = "video-lin"


def _agent(recommender: Recommender, language: Language) -> ChatAgent:
    return ChatAgent(recommender, USER, language=language, fresh=True)


@pytest.fixture(params=["zh", "en"])
def agent(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ChatAgent]:
    """A conversation of one to whom a list was shown."""
    sample = load_sample("video", request.param)
    settings = Settings(home=tmp_path, scenario="video", language=request.param)
    with Recommender.open(settings=settings, embedder=SentenceEmbedder()) as recommender:
        recommender.add_items(sample.items)
        recommender.record(sample.events)
        with _agent(recommender, request.param) as made:
            made.send({"zh": "推荐点什么", "en": "recommend something"}[request.param])
            yield made


TWO: dict[Language, list[tuple[str, list[tuple[str, str]]]]] = {
    "en": [
        ("seen the first one, show me something shorter", [("feedback", "seen"), ("refine", "narrow")]),
        ("show me others, i've seen the second", [("feedback", "seen"), ("refine", "other")]),
        ("like 1 and hate 3", [("feedback", "like"), ("feedback", "dislike")]),
        ("dont like the first, too long", [("feedback", "dislike"), ("refine", "narrow")]),
        ("what's 1 about and why 2", [("explain", "about"), ("explain", "why")]),
    ],
    "zh": [
        ("第一个看过了，换一批", [("feedback", "seen"), ("refine", "other")]),
        ("换一批吧，第二个我看过了", [("feedback", "seen"), ("refine", "other")]),
        ("第一个喜欢，第三个不喜欢", [("feedback", "like"), ("feedback", "dislike")]),
        ("不喜欢第二个 来点短一点的", [("feedback", "dislike"), ("refine", "narrow")]),
        ("第一个讲的什么，第二个为什么推荐", [("explain", "about"), ("explain", "why")]),
    ],
}
WHOLE: dict[Language, list[str]] = {
    "en": [
        "i like 1 and 2",
        "no horror, nothing too long",
        "I like the first one, is it long?",
        "compare 1 and 3",
        "something light, with music",
        "undo, please",
        "1.5 hours at most",
    ],
    "zh": ["1和3都看过了", "不要恐怖片，短一点", "比较一下1和3", "第二个不错，讲的是什么呢", "撤销，谢谢"],
}


def _calls(agent: ChatAgent, text: str) -> list[tuple[str, str]]:
    return [(event.text, event.call["do"]) for event in agent.stream(text) if event.kind == "tool"]


def test_two_wishes_are_carried_out_what_is_remembered_first(agent: ChatAgent) -> None:
    for text, calls in TWO[agent.language]:
        agent.send("/recommend")
        shown = agent.toolbox.state.shown
        assert _calls(agent, text) == calls, text
        remembered = agent.recommender.memory.events(USER)[-1].item
        assert calls[-1][0] == "explain" or remembered in shown


def test_one_wish_stays_whole(agent: ChatAgent) -> None:
    for text in WHOLE[agent.language]:
        agent.send("/recommend")
        assert len([event for event in agent.stream(text) if event.kind == "tool"]) <= 1, text


def test_what_was_said_is_kept_once_and_both_answers_with_it(agent: ChatAgent) -> None:
    text, _ = TWO[agent.language][0]
    before = len(agent.transcript())
    reply = agent.send(text)
    told = agent.transcript()[before:]
    assert [who for who, _ in told] == ["user", "tanqu", "tanqu"] and told[0][1] == text
    assert len(reply.text.split("\n")) == 2 and reply.items
