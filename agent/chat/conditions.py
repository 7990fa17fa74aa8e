"""Conditions on items as a conversation keeps them, each with the words that it was parsed from.

A later rule replaces an earlier one about the same, so that the filter is always the user's latest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...models.records import Record
from ...models.text import fold
from ..messages import Messages
from .quantities import Operator
from .vocabulary import phrase_tables

Reason = Literal["no_field", "currency", "no_value", "no_title"]


class Rule(Record):
    """One condition: it holds when any of `fields` passes; for `$nin`, when all of them do.

    `said` are the words of the message.
    """

    fields: tuple[str, ...]
    operator: Operator
    value: float | str | tuple[str, ...]
    said: str = ""

    @property
    def where(self) -> dict[str, object]:
        """The rule in the dialect of filters."""
        value = list(self.value) if isinstance(self.value, tuple) else _whole(self.value)
        tests: list[dict[str, object]] = [{name: {self.operator: value}} for name in self.fields]
        if len(tests) == 1:
            return tests[0]
        return {"$and" if self.operator == "$nin" else "$or": tests}

    @property
    def key(self) -> tuple[tuple[str, ...], str]:
        """Rules of one key replace each other: a new upper limit takes the place of the old one."""
        sides = {"$lt": "upper", "$lte": "upper", "$gt": "lower", "$gte": "lower"}
        return self.fields, sides.get(self.operator, self.operator)


@dataclass(frozen=True, slots=True)
class UncheckedCondition:
    """Words that look like a condition which this catalogue cannot check, and why."""

    said: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class ParsedConditions:
    """The conditions of a message.

    Attributes:
        rules: the filter.
        wishes: the words that are left, to be searched by meaning.
        like: items that the result should resemble.
        named: other items named by title.
        count: how many items are asked for.
        lifted: fields whose limits no longer hold.
        unseen: whether only unseen items are asked for.
        missed: words that look like a condition which cannot be checked.
    """

    rules: tuple[Rule, ...] = ()
    wishes: str = ""
    like: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    count: int | None = None
    lifted: tuple[str, ...] = ()
    unseen: bool = False
    missed: tuple[UncheckedCondition, ...] = ()


def merge(old: Sequence[Rule], new: Sequence[Rule], lifted: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules of a conversation after a message: later ones replace earlier ones about the same.

    Args:
        old: the rules before.
        new: the rules of the message. Exclusions add up; a value that is asked for is no longer excluded.
        lifted: fields whose earlier rules no longer hold.

    Returns:
        The rules in force, without duplicates, oldest first.
    """
    kept = [rule for rule in old if not set(rule.fields) & set(lifted)]
    for rule in new:
        if rule.operator == "$nin":
            kept = [*(one for one in kept if one != rule), rule]  # said again, it is the latest
            continue
        exact = rule.operator in ("$eq", "$in")
        kept = [one for one in kept if one.key != rule.key and not (exact and _about_number(one, rule))]
        if rule.operator == "$in":
            kept = [rest for one in kept if (rest := _without(one, rule)) is not None]
        kept.append(rule)
    return tuple(dict.fromkeys(kept))


def _about_number(one: Rule, rule: Rule) -> bool:
    return one.fields == rule.fields and not isinstance(one.value, tuple)


def _without(one: Rule, wanted: Rule) -> Rule | None:
    """An exclusion minus what is now wanted; None if nothing is left of it."""
    if one.operator != "$nin" or not isinstance(one.value, tuple) or not isinstance(wanted.value, tuple):
        return one
    rest = tuple(
        value for value in one.value if value not in wanted.value and not _is_kind(value, wanted.value)
    )
    return one.model_copy(update={"value": rest}) if rest else None


def _is_kind(value: str, kinds: tuple[str, ...]) -> bool:
    """Whether a value is a word for one of the kinds: who asks for books has 图书 again."""
    words = phrase_tables()["kinds"]
    return any(kind in words and re.fullmatch(words[kind], fold(value)) for kind in kinds)


def _whole(value: float | str) -> float | str:
    return int(value) if isinstance(value, float) and value.is_integer() else value


_SIGNS = {"$lt": "<", "$lte": "≤", "$gt": ">", "$gte": "≥", "$eq": "="}


def describe(rule: Rule, words: Messages) -> str:
    """A rule in the user's language: "price ≤ 200", "类别 ≠ 恐怖"."""
    fields = words.table("condition_fields")
    names = " / ".join(fields.get(name, name) for name in rule.fields)
    if isinstance(rule.value, tuple):
        kinds = words.table("kinds") if rule.fields == ("kind",) else {}
        listed = words["joined"].join(kinds.get(value, value) for value in rule.value)
        return f"{names} {'≠' if rule.operator == '$nin' else '='} {listed}"
    value = f"{rule.value:,g}" if isinstance(rule.value, float) and "year" not in rule.fields else rule.value
    return f"{names} {_SIGNS[rule.operator]} {_whole(value)}"


__all__ = ["ParsedConditions", "Reason", "Rule", "UncheckedCondition", "describe", "merge"]
