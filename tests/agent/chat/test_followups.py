"""Corrections and follow-ups: the call before with the items of this message."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tanqu.agent.chat import tool_calls as calls
from tanqu.agent.chat.references import find_references, resolve_followup
from tanqu.agent.chat.tool_calls import ChatState
from tanqu.agent.chat.toolbox import Toolbox
from tanqu.agent.chat.vocabulary import vocabulary_of
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.evaluation.data.samples import load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Language
from tanqu.vectorstore import Catalogue

ITEMS = {language: load_sample("video", language).items for language in ("zh", "en")}


def _resolved(language: Language, text: str, last: calls.Call) -> calls.Call | None:
    """What a message makes of the call before, over a list of the first five items."""
    items = ITEMS[language]
    references = find_references(
        text, items[:5], items[0].id, vocabulary_of(Catalogue.in_memory(items, HashEmbedder()))
    )
    return resolve_followup(
        references, ChatState(shown=tuple(one.id for one in items[:5]), last=last), language
    )


@pytest.mark.parametrize(
    ("language", "text", "place"),
    [
        ("zh", "不对，我说的是第三个", 3),
        ("zh", "说错了，应该是第四部", 4),
        ("zh", "我说的是《潮汐之城》", 2),
        ("zh", "等等，第五个才对", 5),
        ("en", "no, I meant the third one", 3),
        ("en", "sorry, number 4", 4),
        ("en", "I meant Tide City", 2),
        ("en", "oops, make it the last one instead", 5),
    ],
)
def test_a_correction_is_the_same_call_in_the_place_of_the_one_before(
    language: Language, text: str, place: int
) -> None:
    item = ITEMS[language][place - 1].id
    first = (ITEMS[language][0].id,)
    seen = calls.Feedback(do="seen", items=first)
    assert _resolved(language, text, seen) == calls.Feedback(do="seen", items=(item,), instead=True)
    why = calls.Explain(do="why", items=first)
    assert _resolved(language, text, why) == calls.Explain(do="why", items=(item,))
    less = calls.Refine(do="less", item=first[0], words="less like the first")
    assert _resolved(language, text, less) == less.model_copy(update={"item": item, "instead": True})


@pytest.mark.parametrize(
    ("language", "text"),
    [("zh", "那第三个呢"), ("zh", "第三个怎么样"), ("en", "and the third?"), ("en", "what about number 3")],
)
def test_a_question_about_the_next_item_is_the_question_before(language: Language, text: str) -> None:
    first, third = (ITEMS[language][place].id for place in (0, 2))
    for do in ("why", "about"):
        asked = calls.Explain.model_validate({"do": do, "items": (first,)})
        assert _resolved(language, text, asked) == asked.model_copy(update={"items": (third,)})
    assert _resolved(language, text, calls.Feedback(do="seen", items=(first,))) is None


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "不喜欢第三个"),
        ("zh", "第三个看过了"),
        ("en", "no more like the third"),
        ("en", "I hate number 3"),
    ],
)
def test_a_message_that_says_more_stands_for_itself(language: Language, text: str) -> None:
    first = (ITEMS[language][0].id,)
    assert _resolved(language, text, calls.Feedback(do="like", items=first)) is None


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Toolbox]:
    chosen = Settings(home=tmp_path, scenario="video", language="en")
    with Recommender.open(settings=chosen, embedder=HashEmbedder()) as recommender:
        recommender.add_items(ITEMS["en"])
        recommender.record(load_sample("video", "en").events)
        yield Toolbox(recommender, "video-lin", "en")


def test_corrected_feedback_counts_only_for_the_right_item(tools: Toolbox) -> None:
    shown = [one.item.id for one in tools.execute(calls.Recommend()).shown]
    before = tools.recommender.memory.events("video-lin")
    tools.execute(calls.Feedback(do="seen", items=(shown[1],)))
    outcome = tools.execute(calls.Feedback(do="seen", items=(shown[2],), instead=True))
    after = tools.recommender.memory.events("video-lin")
    assert [event.item for event in after if event not in before] == [shown[2]]
    assert "Taken back" in outcome.text and "Noted" in outcome.text
    tools.execute(calls.ProfileCall(do="undo"))
    assert tools.recommender.memory.events("video-lin") == before
