import re
import string
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from tanqu.agent.messages import messages_for
from tanqu.models.records import Language

PLURAL = re.compile(r"_(one|none)$")
# Names that code has in English already: fields, signals, stages and classes of errors.
ONLY_CHINESE = (
    "chat.fields.",
    "chat.condition_fields.",
    "chat.kinds.",
    "chat.signal_names.",
    "notes.names.",
    "notes.errors.",
)
NOT_SENTENCES = {"headline_before", "headline_after", "numerals", "months"}


def flat(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", str(value)


def sentences(language: Language) -> dict[str, str]:
    text = files("tanqu.agent.messages").joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return {key: text for key, text in flat(tomllib.loads(text)) if not key.startswith(ONLY_CHINESE)}


def places(text: str) -> set[str]:
    return {str(name).lower() for _, name, _, _ in string.Formatter().parse(text)} - {"none"}


def test_both_languages_have_the_same_sentences_with_the_same_places() -> None:
    english, chinese = sentences("en"), sentences("zh")
    assert {PLURAL.sub("", key) for key in english} == {PLURAL.sub("", key) for key in chinese}
    for key in english.keys() & chinese.keys():
        if key.rpartition(".")[2] not in NOT_SENTENCES:
            assert places(english[key]) == places(chinese[key]), key


def test_a_count_of_one_takes_the_singular_where_there_is_one() -> None:
    words = messages_for("en", "report")
    assert words.count("events_count", 1) == "1 event"
    assert words.count("events_count", 1200) == "1,200 events"
    assert messages_for("zh", "report").count("events_count", 1) == messages_for("zh", "report").say(
        "events_count", n="1"
    )


def test_a_room_speaks_over_what_another_has() -> None:
    page = messages_for("en", "report", "ranking_page")
    assert page["kicker"] == messages_for("en", "ranking_page")["kicker"]
    assert page["months"] == messages_for("en", "report")["months"]


def test_a_sentence_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        messages_for("en", "chat").say("no such sentence")
