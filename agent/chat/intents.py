"""What a message can mean only one thing by: the rules of chat_intents.toml, and our own small talk."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from .constraints import Understood
from .references import References

_ENDS = " 。.!！?？~～,，"


@dataclass(frozen=True, slots=True)
class Reading:
    """What code found in a message before anything was decided.

    `topic` is the message with the name of an interest replaced by "this topic"; empty if it names none.
    """

    text: str
    refers: References
    asks: Understood
    interest: str | None
    topic: str


@cache
def _rules() -> list[dict[str, Any]]:  # Any: patterns and words
    """The rules of chat_intents.toml, compiled."""
    text = files(__package__).joinpath("chat_intents.toml").read_text(encoding="utf-8")
    rules: list[dict[str, Any]] = tomllib.loads(text)["rule"]
    return [
        rule | {"pattern": re.compile(rule["pattern"]), "without": re.compile(rule.get("without", r"(?!)"))}
        for rule in rules
    ]


def ruled(reading: Reading, *, spoken_of: bool) -> str | None:
    """The action of the first rule that a message meets; None if it meets none.

    `spoken_of` says whether an item was spoken of before.
    """
    has_items = bool(reading.refers.items or reading.refers.wrong or reading.asks.like)
    return next(
        (str(rule["action"]) for rule in _rules() if _matches(rule, reading, has_items, spoken_of)), None
    )


def _matches(rule: Mapping[str, Any], reading: Reading, has_items: bool, spoken_of: bool) -> bool:
    needs = rule.get("needs", "")
    met = {
        "": True,
        "whole": True,
        "spoken": spoken_of and not reading.refers.items,
        "items": has_items,
        "none": not has_items,
        "two": len(reading.refers.items) > 1,
        "like": bool(reading.asks.like),
        "interest": reading.interest is not None,
        "interest_alone": reading.interest is not None and not has_items,
    }[needs]
    if not met:
        return False
    if needs in ("whole", "spoken"):
        return rule["pattern"].fullmatch(reading.text.strip(_ENDS)) is not None
    return bool(rule["pattern"].search(reading.text)) and not rule["without"].search(reading.text)


_SMALL_TALK = {
    "about_me": (
        "(?:你|您)是谁|你叫|(?:你|您)(?:会|能)|你是(?:什么|真人|机器人|人)|怎么用|帮助"
        "|who are you|are you (?:a |an |really )?(?:robot|human|ai|bot)|your name|what can you|how does this|help"
    ),
    "thanks": "谢|辛苦|thank|cheers",
    "goodbye": "再见|拜拜|晚安|bye|good night|see you",
    "hi": (
        "(?:你|您)好|嗨|哈喽|在[吗不么]|^(?:yo|sup|hiya)(?![a-z])|早上好|早安|晚上好"
        "|hello|(?<![a-z])hi(?![a-z])|hey|good (?:morning|evening|afternoon|day)"
    ),
    "laugh": r"^(?:哈|呵|嘿|嘻)+|笑死|^h?(?:a?ha)+h?(?![a-z])|^(?:he){2,}|^lol",
    "ok": "^(?:好的?|嗯+|哦+|行|明白了?|知道了?|ok(?:ay)?|great|cool|got it|alright|yes|no)$",
}


def small_talk(action: str, reading: Reading, *, can_write: bool) -> str:
    """Which of our own sentences answers; "small_talk" leaves it to the model."""
    if action == "refuse":
        return "refuse"
    found = next((key for key, pattern in _SMALL_TALK.items() if re.search(pattern, reading.text)), None)
    return found or ("small_talk" if can_write else "unclear")


__all__ = ["Reading", "ruled", "small_talk"]
