"""The model's likelihood of a title given nothing is asked for once, and kept."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tanqu.agent.run_trace import RunTrace
from tanqu.agent.store.priors import PRIORS, Priors
from tanqu.models.scripted_model import ScriptedModel
from tanqu.prompts import Prompts
from tanqu.vectorstore.database import memory_database

PROMPTS = Prompts()


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    made = memory_database()
    yield made
    made.dispose()


def model(name: str = "one") -> ScriptedModel:
    return ScriptedModel(name=name, scorer=lambda _prompt, text: -float(len(text)))


def asked(trace: RunTrace) -> list[int]:
    return [call.sequences for call in trace.calls]


def test_values_come_in_the_order_of_the_titles(engine: sa.Engine) -> None:
    trace = RunTrace(model())
    found = Priors(engine).of([" abc", " a", " abc", " 深度"], "en", "shop", trace, PROMPTS)
    assert found.tolist() == [-4.0, -2.0, -4.0, -3.0]
    assert asked(trace) == [3] and trace.calls[0].stage == "prior"


def test_a_known_title_is_not_asked_for_again(engine: sa.Engine) -> None:
    Priors(engine).of([" a", " b"], "en", "shop", RunTrace(model()), PROMPTS)
    trace = RunTrace(model())
    assert Priors(engine).of([" b", " ccc", " a"], "en", "shop", trace, PROMPTS).tolist() == [
        -2.0,
        -4.0,
        -2.0,
    ]
    assert asked(trace) == [1]
    Priors(engine).of([" a", " b"], "en", "shop", trace, PROMPTS)
    assert asked(trace) == [1]


def test_another_model_language_or_scenario_is_asked_anew(engine: sa.Engine) -> None:
    priors, trace = Priors(engine), RunTrace(model())
    priors.of([" a"], "en", "shop", trace, PROMPTS)
    priors.of([" a"], "zh", "shop", trace, PROMPTS)
    priors.of([" a"], "en", "video", trace, PROMPTS)
    other = RunTrace(model("other"))
    priors.of([" a"], "en", "shop", other, PROMPTS)
    assert (asked(trace), asked(other)) == ([1, 1, 1], [1])


def test_the_model_sees_nobody(engine: sa.Engine) -> None:
    scripted = model()
    Priors(engine).of([" a"], "en", "shop", RunTrace(scripted), PROMPTS)
    [prompt] = scripted.history
    assert prompt.owner == "" and not any(
        segment.data for turn in prompt.messages for segment in turn.segments
    )


def test_the_database_holds_no_title(engine: sa.Engine) -> None:
    Priors(engine).of([" secret title"], "en", "shop", RunTrace(model()), PROMPTS)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(PRIORS)).all()
    assert len(rows) == 1 and "secret" not in repr(rows)


@pytest.mark.parametrize(
    "titles", [[], ["\x00"], ["\ud800"], ["🙂"], ["x" * 100_000], [f" {at}" for at in range(1200)]]
)
def test_any_titles_and_any_number_of_them(engine: sa.Engine, titles: list[str]) -> None:
    priors = Priors(engine)
    first = priors.of(titles, "en", "shop", RunTrace(model()), PROMPTS).tolist()
    assert first == [-float(len(title)) for title in titles]
    assert priors.of(titles, "en", "shop", RunTrace(model()), PROMPTS).tolist() == first
