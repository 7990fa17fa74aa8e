"""Conditions on items as a conversation keeps them: each with the words it was read from.

Later rules replace earlier ones about the same, so that a filter is always what the user said last.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...models.records import Language, Record
from .quantities import Operator
from .vocabulary import fold, sayings

Reason = Literal["no_field", "currency", "no_value", "no_title"]


class Rule(Record):
    """One condition. It holds when any of `fields` passes; for `$nin`, when all of them do."""

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
        side = (
            "upper"
            if self.operator in ("$lt", "$lte")
            else "lower"
            if self.operator in ("$gt", "$gte")
            else ""
        )
        return self.fields, side or self.operator


@dataclass(frozen=True, slots=True)
class Missed:
    """Words that look like a condition which this catalogue cannot check, and why."""

    said: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Understood:
    """What was read from a message.

    `wishes` are the words that are left, to be searched by meaning; `like` are items that the result
    should resemble, `named` the other items named by title; `count` is how many were asked for; `lifted`
    are fields whose limits no longer hold.
    """

    rules: tuple[Rule, ...] = ()
    wishes: str = ""
    like: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    count: int | None = None
    lifted: tuple[str, ...] = ()
    unseen: bool = False
    missed: tuple[Missed, ...] = ()

    @property
    def where(self) -> dict[str, object]:
        """The filter of all rules together; empty if there is none."""
        return where_of(self.rules)


def where_of(rules: Sequence[Rule]) -> dict[str, object]:
    """The filter under which all the rules hold."""
    parts = [rule.where for rule in rules]
    return {} if not parts else parts[0] if len(parts) == 1 else {"$and": parts}


def merge(old: Sequence[Rule], new: Sequence[Rule], lifted: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules of a conversation after a message: later ones replace earlier ones about the same.

    What is kept out adds up; asking for what was kept out lets it in again.
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
    words = sayings()["kinds"]
    return any(kind in words and re.fullmatch(words[kind], fold(value)) for kind in kinds)


def _whole(value: float | str) -> float | str:
    return int(value) if isinstance(value, float) and value.is_integer() else value


_SIGNS = {"$lt": "<", "$lte": "≤", "$gt": ">", "$gte": "≥", "$eq": "="}
_NAMES: dict[Language, dict[str, str]] = {
    "zh": {
        "price": "价格", "minutes": "时长(分钟)", "year": "年份", "published": "日期", "followers": "粉丝",
        "rating": "评分", "pages": "页数", "kind": "类型", "genre": "类别", "category": "类别",
        "section": "栏目", "tags": "标签", "brand": "品牌", "director": "导演", "author": "作者",
        "city": "城市", "source": "来源",
    },
    "en": {"tags": "topic", "published": "date"},
}  # fmt: skip


_KINDS = {
    "book": "图书", "film": "电影", "series": "剧集", "documentary": "纪录片", "short": "短片", "article": "文章",
    "person": "人", "post": "动态", "product": "商品", "game": "游戏", "song": "歌曲",
}  # fmt: skip


def describe(rule: Rule, language: Language) -> str:
    """A rule as its owner reads it: "price ≤ 200", "类别 ≠ 恐怖"."""
    names = " / ".join(_NAMES[language].get(name, name) for name in rule.fields)
    if isinstance(rule.value, tuple):
        known = _KINDS if language == "zh" and rule.fields == ("kind",) else {}
        listed = (", " if language == "en" else "、").join(known.get(one, one) for one in rule.value)
        return f"{names} {'≠' if rule.operator == '$nin' else '='} {listed}"
    value = f"{rule.value:,g}" if isinstance(rule.value, float) and "year" not in rule.fields else rule.value
    return f"{names} {_SIGNS[rule.operator]} {_whole(value)}"
