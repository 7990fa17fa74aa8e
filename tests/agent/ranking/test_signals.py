"""Every signal has a weight, a name and a hint in both languages, and a row in the documentation."""

import re
from pathlib import Path
from typing import get_args

import pytest

from tanqu.agent.messages import messages_for
from tanqu.agent.ranking import load_weights
from tanqu.agent.ranking.signals import SIGNALS
from tanqu.models.records import Language

DOCUMENT = Path(__file__).parents[3] / "docs" / "tuning.md"


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_has_a_weight_and_is_named_and_explained_in_every_language(signal: str) -> None:
    assert signal in load_weights().weights
    for language in get_args(Language):
        messages = messages_for(language, "report")
        assert messages.lookup("signals", signal) and messages.lookup("signal_hints", signal)


def test_the_documentation_lists_the_signals_in_their_order_with_the_weights_in_force() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (-?[\d.]+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    weights = load_weights().weights
    assert [(name, float(weight)) for name, weight in rows] == [(name, weights[name]) for name in SIGNALS]


def test_every_signal_has_a_short_name_in_a_chinese_chat() -> None:
    assert set(SIGNALS) <= set(messages_for("zh", "chat").table("signal_names"))
