"""The evaluation of the chat: the dialogues are what they should be, and the judge sees mistakes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tanqu.agent.chat.agent import ChatAgent, ChatEvent
from tanqu.evaluation.chat.experiment import (
    Dialogue,
    Turn,
    TurnResult,
    evaluate_chat,
    figures,
    hold,
    load_dialogues,
)
from tanqu.evaluation.data.samples import SCENARIOS, load_sample
from tanqu.evaluation.measure import mistakes
from tanqu.models.embedder import SentenceEmbedder

EMBEDDER = SentenceEmbedder()


def test_there_are_enough_dialogues_in_both_languages_and_all_scenarios() -> None:
    dialogues = load_dialogues()
    assert len(dialogues) == 24 and sum(len(one.turns) for one in dialogues) >= 120
    assert Counter(one.language for one in dialogues) == {"zh": 12, "en": 12}
    assert {(one.scenario, one.language) for one in dialogues if one.held_out} == {
        (scenario, language) for scenario in SCENARIOS for language in ("zh", "en")
    }
    assert len({one.id for one in dialogues}) == 24


def test_every_tool_and_every_kind_of_trouble_is_there() -> None:
    turns = [turn for one in load_dialogues() for turn in one.turns]
    tools = {tool for turn in turns for tool in turn.tool}
    assert tools == {
        "recommend",
        "search",
        "refine",
        "explain",
        "feedback",
        "profile",
        "report",
        "chat",
        "refuse",
    }
    assert sum(bool(turn.trap) for turn in turns) >= 6 and sum(bool(turn.holds) for turn in turns) >= 15


def test_every_dialogue_speaks_of_users_that_the_samples_have() -> None:
    for one in load_dialogues():
        assert one.user in {event.user for event in load_sample(one.scenario, one.language).events}


def _dialogue(*turns: Turn) -> Dialogue:
    return Dialogue(id="x", scenario="video", language="en", user="video-lin", held_out=False, turns=turns)


def test_a_dialogue_is_held_and_measured() -> None:
    found = evaluate_chat(
        None,
        dialogues=[
            _dialogue(
                Turn(say="no horror", tool=("recommend",), holds={"genre": {"$ne": "horror"}}),
                Turn(say="why the second one", tool=("explain",), args={"do": "why", "items": [2]}),
                Turn(say="thanks", tool=("chat",)),
            )
        ],
        embedder=EMBEDDER,
    )  # fmt: skip
    assert found["figures"]["tool_accuracy"]["mean"] == found["figures"]["argument_accuracy"]["mean"] == 1.0
    assert found["figures"]["turns_tuned"]["mean"] == 3 and "turns_held_out" not in found["figures"]
    for key in ("invalid_calls", "invented_items", "filter_violations", "injections_followed"):
        assert found["figures"][key] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert mistakes(found["turns"], with_held_out=True) == []


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        (Turn(say="recommend something", tool=("search",)), "tool"),
        (
            Turn(say="no horror", tool=("recommend",), args={"rules": [["genre", "$nin", ["comedy"]]]}),
            "no rule",
        ),
        (Turn(say="recommend something", tool=("recommend",), args={"words": ["submarine"]}), "words"),
        (Turn(say="like The Long Sleep", tool=("refine",), args={"do": "less"}), "do is"),
        (Turn(say="what is The Hunter about", tool=("explain",), args={"items": ["Northward"]}), "items"),
        (Turn(say="show my interests", tool=("profile",), args={"interest": 1}), "interest"),
    ],
)
def test_the_judge_sees_what_is_wrong(turn: Turn, problem: str) -> None:
    (found,) = hold(_dialogue(turn), None, EMBEDDER)
    assert not found.arguments_right
    assert found.tool_right == (problem != "tool")
    assert problem == "tool" or any(problem in one for one in found.problems)


class _Liar(ChatAgent):
    """An agent that lists what breaks the conditions, invents a title, and calls what does not exist."""

    def stream(self, text: str) -> Iterator[ChatEvent]:
        for event in super().stream(text):
            call: dict[str, Any] = (
                {**event.call, "items": ["nothing"]} if event.kind == "tool" else event.call
            )
            said = f"{event.text}《没有的电影》" if event.kind in ("text", "done") else event.text
            yield ChatEvent(event.kind, said, call, event.items, event.outcome, event.seconds)


def test_the_judge_sees_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tanqu.evaluation.chat.experiment.ChatAgent", _Liar)
    (found,) = hold(
        _dialogue(Turn(say="only horror", tool=("recommend",), holds={"genre": {"$ne": "horror"}})),
        None,
        EMBEDDER,
    )
    assert found.invalid == 1 and found.invented == 1 and found.violations >= 1


def test_shares_come_with_intervals_and_counts_are_totals() -> None:
    turns = [
        TurnResult(
            f"d{at % 4}", at % 3 == 0, "x", ("chat",), tool_right=at % 5 != 0, invalid=at % 2, first=1.0
        )
        for at in range(40)
    ]
    found = figures(turns)
    assert (
        found["tool_accuracy"]["low"]
        <= found["tool_accuracy"]["mean"]
        == 0.8
        <= found["tool_accuracy"]["high"]
    )
    assert found["invalid_calls"]["mean"] == 20
    assert found["turns_tuned"]["mean"] + found["turns_held_out"]["mean"] == 40
    assert found["seconds_first"]["mean"] == 1.0 and found["seconds_list"]["mean"] == 0.0


def test_mistakes_in_the_part_kept_unread_stay_unread(tmp_path: Path) -> None:
    turn = {"dialogue": "a", "say": "b", "tool": "c", "problems": [], "right": False, "held_out": True}
    assert mistakes([turn], with_held_out=False) == []
    assert len(mistakes([turn], with_held_out=True)) == 1
