"""What callers see of a model: results, limits, fitting a history, and the scripted model."""

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tanqu.models.errors import CancelledError, ModelError, PromptTooLongError
from tanqu.models.language_model import (
    Constraint,
    Generated,
    LanguageModel,
    Limits,
    Message,
    Prompt,
    Scored,
    Segment,
    Token,
    fitted,
    generate,
)
from tanqu.models.scripted_model import ScriptedModel


def _prompt(*lines: str, owner: str = "") -> Prompt:
    return Prompt((Message("user", tuple(Segment(f"{line}\n", data=True) for line in lines)),), owner)


class Answer(BaseModel):
    word: str


def test_the_probability_of_a_span_is_the_mean_over_its_free_tokens() -> None:
    tokens = (
        Token('{"', 0, 2, 0.0), Token("深", 2, 3, math.log(0.5)), Token("度", 3, 4, math.log(0.125)),
        Token('"}', 4, 6, math.log(0.9)),
    )  # fmt: skip
    made = Generated('{"深度"}', tokens, "stop")
    assert made.probability(2, 4) == pytest.approx(0.25)
    assert made.probability(0, 2) == 1.0
    assert made.probability() == pytest.approx((0.5 * 0.125 * 0.9) ** (1 / 3))


def test_a_score_has_a_mean_and_a_total() -> None:
    assert Scored((-1.0, -3.0)).mean == -2.0
    assert Scored((-1.0, -3.0)).total == -4.0
    assert Scored(()).mean == Scored(()).total == 0.0


def test_a_constraint_is_one_thing() -> None:
    for wrong in ({}, {"schema": Answer, "regex": "a"}):
        with pytest.raises(ModelError, match="exactly one"):
            Constraint(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_a_prompt_is_readable() -> None:
    prompt = Prompt(
        (Message("system", (Segment("Be brief."),)), Message("user", (Segment("你好", data=True),)))
    )
    assert prompt.text == "[system]\nBe brief.\n[user]\n你好"


# Fitting a history


@given(lines=st.lists(st.text("abc ", max_size=30), max_size=40), size=st.integers(1, 200))
def test_the_oldest_lines_are_cut_until_the_prompt_fits(lines: list[str], size: int) -> None:
    model = ScriptedModel(context_tokens=size)
    try:
        prompt, cut = fitted(model, lambda kept: _prompt("Ask.", *kept), lines, 5)
    except PromptTooLongError:
        assert model.count(_prompt("Ask.")) > size - 5
        return
    assert prompt == _prompt("Ask.", *lines[cut:])
    assert model.count(prompt) <= size - 5
    assert cut == 0 or model.count(_prompt("Ask.", *lines[cut - 1 :])) > size - 5


def test_what_does_not_fit_without_history_is_an_error() -> None:
    with pytest.raises(PromptTooLongError, match="even without history"):
        fitted(ScriptedModel(context_tokens=10), lambda kept: _prompt("x" * 100, *kept), ["a"], 5)


# The scripted model


def test_a_script_answers_in_order_then_by_its_function() -> None:
    model = ScriptedModel(replies=["one"], reply=lambda prompt: prompt.text[-2:])
    model.enqueue(lambda _prompt: "two")
    answers = [generate(model, _prompt(word))[0].text for word in ("a", "b", "cd")]
    assert answers == ["one", "two", "d\n"]
    assert [prompt.text for prompt in model.history] == ["[user]\na\n", "[user]\nb\n", "[user]\ncd\n"]


def test_a_script_that_ran_out_says_so() -> None:
    with pytest.raises(ModelError, match="no reply left for prompt 1"):
        generate(ScriptedModel(), _prompt("?"))


def test_a_script_cannot_say_what_a_grammar_would_not_let_through() -> None:
    with pytest.raises(ValidationError):
        generate(ScriptedModel(replies=["not JSON"]), _prompt("?"), constraint=Constraint(schema=Answer))


def test_a_script_streams_scores_and_forgets() -> None:
    heard: list[str] = []
    model = ScriptedModel(replies=["hello"], scorer=lambda _prompt, text: -float(len(text)))
    generate(model, _prompt("?", owner="ann"), on_text=heard.append)
    scored, _ = model.score(_prompt("?", owner="bob"), ["a", "bcd"])
    assert heard == ["hello"]
    assert [one.mean for one in scored] == [-1.0, -3.0]
    model.forget("ann")
    assert [prompt.owner for prompt in model.history] == ["bob"]


def test_a_script_leaves_when_it_is_told_to() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        generate(ScriptedModel(replies=["x"]), _prompt("?"), limits=Limits(cancel=cancel))
    with pytest.raises(CancelledError):
        ScriptedModel().score(_prompt("?"), ["a"], limits=Limits(cancel=cancel))


def test_a_script_is_a_language_model() -> None:
    model: LanguageModel = ScriptedModel()
    assert model.count(_prompt("")) >= 1
    assert model.fingerprint == ScriptedModel().fingerprint != ScriptedModel(name="other").fingerprint
