"""The ledger writes down what a run used, and hands the model through."""

from collections.abc import Sequence

import pytest

from tanqu.agent.run_trace import Ledger
from tanqu.models.errors import ModelError, PromptTooLongError
from tanqu.models.language_model import Message, Prompt, ScriptedModel, Segment
from tanqu.models.records import Call

PROMPT = Prompt((Message("user", (Segment("x" * 400),)),), owner="u1")


def test_every_call_is_written_down_with_its_stage_and_tokens() -> None:
    ledger = Ledger(ScriptedModel(replies=["one", "two!"], scorer=lambda _prompt, text: -len(text)))
    texts = [one.text for one in ledger.generate("profile", [PROMPT, PROMPT])]
    scores = [one.mean for one in ledger.score("ranking", PROMPT, ["a", "bcd", "ef"])]
    assert texts == ["one", "two!"] and scores == [-1.0, -3.0, -2.0]
    read = ScriptedModel().count(PROMPT)
    kinds = [
        (call.stage, call.kind, call.sequences, call.prompt_tokens, call.output_tokens)
        for call in ledger.calls
    ]
    assert kinds == [("profile", "generate", 2, 2 * read, 7), ("ranking", "score", 3, read, 0)]
    assert all(isinstance(call, Call) for call in ledger.calls)


def test_what_was_scored_after_the_same_prompt_is_not_asked_for_again() -> None:
    ledger = Ledger(ScriptedModel(scorer=lambda prompt, text: -len(text) - len(prompt.owner)))
    first = ledger.score("ranking", PROMPT, ["a", "bcd", "a"])
    again = ledger.score("ranking", PROMPT, ["bcd", "new", "a"])
    assert [one.mean for one in first] == [-3.0, -5.0, -3.0]
    assert [one.mean for one in again] == [-5.0, -5.0, -3.0]
    assert [call.sequences for call in ledger.calls] == [2, 1]
    other = Prompt(PROMPT.messages, owner="somebody")
    assert [one.mean for one in ledger.score("ranking", other, ["a"])] == [-9.0]
    assert len(ledger.calls) == 3


def test_what_a_stage_does_by_others_is_entered_as_its_own() -> None:
    ledger = Ledger(ScriptedModel(scorer=lambda _prompt, text: -len(text)))
    ledger.score("ranking", PROMPT, ["a"])
    with ledger.within("whole") as inner:
        inner.score("ranking", PROMPT, ["a", "b"])
        inner.note("lost")
        with inner.stage("signals"):
            pass
    assert [(call.stage, call.sequences) for call in ledger.calls] == [("ranking", 1), ("whole", 1)]
    assert ledger.notes == ["lost"] and ledger.seconds == {}


def test_a_call_that_fails_is_not_written_down_and_its_error_passes() -> None:
    ledger = Ledger(ScriptedModel())
    with pytest.raises(ModelError):
        ledger.generate("profile", [PROMPT])
    assert ledger.calls == []


def test_without_a_model_no_stage_may_ask_for_one() -> None:
    ledger = Ledger(None)
    with pytest.raises(RuntimeError, match="there is none"):
        ledger.generate("profile", [PROMPT])
    with pytest.raises(RuntimeError, match="there is none"):
        ledger.score("ranking", PROMPT, ["a"])


def test_a_note_is_kept_once_and_in_order() -> None:
    ledger = Ledger(None)
    for text in ("b", "a", "b"):
        ledger.note(text)
    assert ledger.notes == ["b", "a"]


def test_the_times_of_a_stage_add_up_even_if_it_fails() -> None:
    ledger = Ledger(None)
    with ledger.stage("one"):
        pass
    first = ledger.seconds["one"]
    with pytest.raises(ValueError, match="stop"), ledger.stage("one"):
        raise ValueError("stop")
    assert 0 < first < ledger.seconds["one"] < 5


def test_of_a_prompt_that_does_not_fit_the_first_lines_are_cut_and_a_note_says_so() -> None:
    def render(lines: Sequence[str]) -> Prompt:
        return Prompt((Message("user", tuple(Segment(f"{line:40}") for line in ["Ask.", *lines])),))

    lines = [f"event {at}" for at in range(6)]
    context = ScriptedModel().count(render(lines[3:])) + 10
    ledger = Ledger(ScriptedModel(context_tokens=context))
    assert ledger.fit("ranking", render, lines[:2], 10).text == render(lines[:2]).text
    assert ledger.notes == []
    assert ledger.fit("ranking", render, lines, 10).text == render(lines[3:]).text
    assert ledger.notes == ["ranking: the first 3 of 6 lines of the prompt did not fit the model's context"]
    with pytest.raises(PromptTooLongError):
        ledger.fit("ranking", render, lines, context)
