"""The whole tasks of the benchmark: both sides do all of it, each round for somebody new."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from tanqu.evaluation.bench.sides import REPEATS, Row, Sides
from tanqu.evaluation.bench.tasks import task_rows
from tanqu.models.language_model import Prompt
from tanqu.models.scripted_model import ScriptedModel

Measured = tuple[dict[str, Row], ScriptedModel, "Noted"]
KEYS = ["profile_vs_prompt", "rank_vs_listing", "recommend_vs_naive"]


@dataclass
class Noted:
    """Stands where `Llama` does, and keeps what it was asked."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    def create_chat_completion(self, **question: Any) -> dict[str, Any]:
        self.asked.append(question)
        return {}

    def told(self, start: str) -> list[str]:
        """What the user's turn said in the questions whose system prompt starts like this."""
        return [
            one["messages"][1]["content"]
            for one in self.asked
            if one["messages"][0]["content"].startswith(start)
        ]


def _answer(prompt: Prompt) -> str:
    """A name for a group of events, or the end of a sentence."""
    return (
        '{"keyword": "kitchen things", "theme": "home"}'
        if "name" in prompt.text[:40]
        else "suits the kitchen"
    )


@pytest.fixture(scope="module")
def measured() -> Measured:
    ours, theirs = ScriptedModel(reply=_answer), Noted()
    sides = Sides(ours, theirs, 1)  # type: ignore[arg-type]  # both stand in for what takes minutes
    return task_rows(sides), ours, theirs


def test_every_task_is_a_row_with_the_tokens_that_ours_took(measured: Measured) -> None:
    rows, _, _ = measured
    assert list(rows) == KEYS
    assert all(row["ours"] > 0 and row["theirs"] > 0 and row["tokens"] > 0 for row in rows.values())
    assert (
        rows["recommend_vs_naive"]["tokens"]
        > rows["profile_vs_prompt"]["tokens"] + rows["rank_vs_listing"]["tokens"]
    )


def test_the_other_side_does_the_same_steps_in_every_round(measured: Measured) -> None:
    _, _, theirs = measured
    assert len(theirs.told("You extract")) == REPEATS
    assert len(theirs.told("You rank")) == 2 * REPEATS  # in the recommendation, and with a warm history
    assert len(theirs.told("You tell")) == 5 * REPEATS


def test_both_sides_see_thirty_events_and_twenty_candidates(measured: Measured) -> None:
    _, _, theirs = measured
    listed = theirs.told("You rank")[0]
    assert len(re.findall(r"^\d+\. ", listed, re.M)) == 30
    assert len(re.findall(r"^\[\d+\] ", listed, re.M)) == 20


def test_the_history_of_the_other_side_stays_and_its_candidates_come_in_another_order(
    measured: Measured,
) -> None:
    _, _, theirs = measured
    first, again = theirs.told("You rank")[:2]
    cut = first.index("Candidates:")
    assert first[:cut] == again[:cut] and first[cut:] != again[cut:]
    assert sorted(re.findall(r"\] (.*)", first)) == sorted(re.findall(r"\] (.*)", again))


def test_every_round_is_for_somebody_new_who_is_forgotten_after_it(measured: Measured) -> None:
    _, ours, _ = measured
    assert ours.forgotten == [f"bench-{number}" for number in range(REPEATS)]
