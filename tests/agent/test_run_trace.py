"""The trace writes down what a run used, and hands the model through."""

from collections.abc import Sequence

import pytest

from tanqu.agent.run_trace import RunTrace
from tanqu.models.errors import ModelError, PromptTooLongError
from tanqu.models.language_model import Message, Prompt, Segment
from tanqu.models.records import Call
from tanqu.models.scripted_model import ScriptedModel

PROMPT = Prompt((Message("user", (Segment("x" * 400),)),), owner="u1")


def test_every_call_is_written_down_with_its_stage_and_tokens() -> None:
    trace = RunTrace(ScriptedModel(replies=["one", "two!"], scorer=lambda _prompt, text: -len(text)))
    texts = [one.text for one in trace.generate("profile", [PROMPT, PROMPT])]
    scores = [one.mean for one in trace.score("ranking", PROMPT, ["a", "bcd", "ef"])]
    assert texts == ["one", "two!"] and scores == [-1.0, -3.0, -2.0]
    read = ScriptedModel().count(PROMPT)
    kinds = [
        (call.stage, call.kind, call.sequences, call.prompt_tokens, call.output_tokens)
        for call in trace.calls
    ]
    assert kinds == [("profile", "generate", 2, 2 * read, 7), ("ranking", "score", 3, read, 0)]
    assert all(isinstance(call, Call) for call in trace.calls)


def test_what_was_scored_after_the_same_prompt_is_not_asked_for_again() -> None:
    trace = RunTrace(ScriptedModel(scorer=lambda prompt, text: -len(text) - len(prompt.owner)))
    first = trace.score("ranking", PROMPT, ["a", "bcd", "a"])
    again = trace.score("ranking", PROMPT, ["bcd", "new", "a"])
    assert [one.mean for one in first] == [-3.0, -5.0, -3.0]
    assert [one.mean for one in again] == [-5.0, -5.0, -3.0]
    assert [call.sequences for call in trace.calls] == [2, 1]
    other = Prompt(PROMPT.messages, owner="somebody")
    assert [one.mean for one in trace.score("ranking", other, ["a"])] == [-9.0]
    assert len(trace.calls) == 3


def test_what_a_stage_does_by_others_is_entered_as_its_own() -> None:
    trace = RunTrace(ScriptedModel(scorer=lambda _prompt, text: -len(text)))
    trace.score("ranking", PROMPT, ["a"])
    with trace.within("whole") as inner:
        inner.score("ranking", PROMPT, ["a", "b"])
        inner.note("popular")
        with inner.stage("signals"):
            pass
    assert [(call.stage, call.sequences) for call in trace.calls] == [("ranking", 1), ("whole", 1)]
    assert (
        trace.notes == ["no events and no request: these are the most popular items"] and trace.seconds == {}
    )


def test_a_call_that_fails_is_not_written_down_and_its_error_passes() -> None:
    trace = RunTrace(ScriptedModel())
    with pytest.raises(ModelError):
        trace.generate("profile", [PROMPT])
    assert trace.calls == []


def test_without_a_model_no_stage_may_ask_for_one() -> None:
    trace = RunTrace(None)
    with pytest.raises(RuntimeError, match="there is none"):
        trace.generate("profile", [PROMPT])
    with pytest.raises(RuntimeError, match="there is none"):
        trace.score("ranking", PROMPT, ["a"])


def test_a_note_is_kept_once_and_in_order() -> None:
    trace = RunTrace(None)
    for key in ("popular", "no_model_reasons", "popular"):
        trace.note(key)
    assert trace.notes == [
        "no events and no request: these are the most popular items",
        "no model: the reasons are written by a template",
    ]


def test_the_times_of_a_stage_add_up_even_if_it_fails() -> None:
    trace = RunTrace(None)
    with trace.stage("one"):
        pass
    first = trace.seconds["one"]
    with pytest.raises(ValueError, match="stop"), trace.stage("one"):
        raise ValueError("stop")
    assert 0 < first < trace.seconds["one"] < 5


def test_of_a_prompt_that_does_not_fit_the_first_lines_are_cut_and_a_note_says_so() -> None:
    def render(lines: Sequence[str]) -> Prompt:
        return Prompt((Message("user", tuple(Segment(f"{line:40}") for line in ["Ask.", *lines])),))

    lines = [f"event {at}" for at in range(6)]
    context = ScriptedModel().count(render(lines[3:])) + 10
    trace = RunTrace(ScriptedModel(context_tokens=context))
    assert trace.fit("ranking", render, lines[:2], 10).text == render(lines[:2]).text
    assert trace.notes == []
    assert trace.fit("ranking", render, lines, 10).text == render(lines[3:]).text
    assert trace.notes == ["ranking: the first 3 of 6 lines of the prompt did not fit the model's context"]
    with pytest.raises(PromptTooLongError):
        trace.fit("ranking", render, lines, context)
