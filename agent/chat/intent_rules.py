"""Messages with only one possible meaning: the rules of intent_rules.toml, and small talk."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from .condition_parser import ParsedConditions
from .references import References

_ENDS = " 。.!！?？~～,，"


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """What was parsed from a message before an action is selected.

    Attributes:
        text: the folded message.
        references: the items that it refers to.
        conditions: the conditions on items that it sets.
        interest: the keyword of the interest that it names.
        topic: the message with that name replaced by "this topic"; empty if it names none.
    """

    text: str
    references: References
    conditions: ParsedConditions
    interest: str | None
    topic: str

    @property
    def has_items(self) -> bool:
        """Whether it refers to items, existing or not."""
        return bool(self.references.items or self.references.wrong or self.conditions.like)


@cache
def _tables() -> tuple[list[dict[str, Any]], dict[str, str]]:  # Any: patterns and words
    """The rules of intent_rules.toml, compiled, and its patterns of small talk."""
    tables = tomllib.loads(files(__package__).joinpath("intent_rules.toml").read_text(encoding="utf-8"))
    rules = [
        rule | {"pattern": re.compile(rule["pattern"]), "without": re.compile(rule.get("without", r"(?!)"))}
        for rule in tables["rule"]
    ]
    return rules, tables["small_talk"]


def matching_rule(message: ParsedMessage, *, spoken_of: bool) -> str | None:
    """The action of the first rule that matches a message; `spoken_of` says whether "it" means an item."""
    rules, _ = _tables()
    return next((str(rule["action"]) for rule in rules if _matches(rule, message, spoken_of)), None)


def _matches(rule: Mapping[str, Any], message: ParsedMessage, spoken_of: bool) -> bool:
    needs = rule.get("needs", "")
    met = {
        "": True,
        "whole": True,
        "spoken": spoken_of and not message.references.items,
        "items": message.has_items,
        "none": not message.has_items,
        "two": len(message.references.items) > 1,
        "like": bool(message.conditions.like),
        "interest": message.interest is not None,
        "interest_alone": message.interest is not None and not message.has_items,
    }[needs]
    if not met:
        return False
    if needs in ("whole", "spoken"):
        return rule["pattern"].fullmatch(message.text.strip(_ENDS)) is not None
    return bool(rule["pattern"].search(message.text)) and not rule["without"].search(message.text)


def small_talk(text: str, *, can_write: bool) -> str:
    """The key of the message that answers small talk; "small_talk" leaves it to the model, if `can_write`."""
    _, patterns = _tables()
    key = next((key for key, pattern in patterns.items() if re.search(pattern, text)), None)
    return key or ("small_talk" if can_write else "unclear")


__all__ = ["ParsedMessage", "matching_rule", "small_talk"]
