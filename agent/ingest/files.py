"""Items and events out of people's files: JSONL or CSV, plain or `.gz`, in UTF-8.

A line that cannot be used becomes a `Problem` that says where it is, what is wrong and what to do; the good
lines are kept, unless `strict` asks for all or nothing. Nothing that a file holds can raise anything but
InputError.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ...models.errors import InputError
from ...models.records import MAX_TEXT, Action, Event, Item
from .rows import ATTRIBUTE, EventBuilder, Fault, Values, brief, rows

MAX_PROBLEMS = 1_000
"""How many problems of a file are kept; the rest is only counted."""

_SHOWN = 5

R = TypeVar("R", Item, Event)


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that was not used: where, which field, what is wrong, and what to do about it."""

    file: str
    line: int
    field: str
    message: str
    advice: str

    def __str__(self) -> str:
        field = f"'{self.field}' " if self.field else ""
        return f"{self.file}, line {self.line}: {field}{self.message}: {self.advice}"


@dataclass(frozen=True, slots=True)
class Loaded(Generic[R]):
    """What a file gave: records by order of first appearance, ids unique.

    `skipped` counts the lines that were not used, of which `problems` describes the first 1,000;
    `duplicates` counts the lines whose id was there before (the last one is kept).
    """

    records: tuple[R, ...]
    problems: tuple[Problem, ...] = ()
    skipped: int = 0
    duplicates: int = 0
    notes: tuple[str, ...] = ()


Build = Callable[[Values], R]


def read_items(path: str | Path, strict: bool = False) -> Loaded[Item]:
    """The items of a file with the fields id, title, text, tags, kind and attributes.

    In CSV, tags are separated by `|`, and a column `attributes.price` gives an attribute; its numbers are
    read as numbers. With `strict`, one problem refuses the whole file.

    Returns:
        The items in order, and the problems of the lines that were left out.

    Raises:
        InputError: the file cannot be read, no line of it can be used, or `strict` and a problem.
    """
    return _load(Path(path), strict, Item, Item.model_validate)


def read_events(path: str | Path, strict: bool = False) -> Loaded[Event]:
    """The events of a file with the fields id, user, item or query, action, value and time.

    An event without an id gets one from its content (`event_id`), so that reading a file twice gives the
    same ids. With `strict`, one problem refuses the whole file.

    Returns:
        The events in order, and the problems of the lines that were left out.

    Raises:
        InputError: the file cannot be read, no line of it can be used, or `strict` and a problem.
    """
    return _load(Path(path), strict, Event, EventBuilder())


def _load(path: Path, strict: bool, model: type[R], build: Build[R]) -> Loaded[R]:
    kept: dict[str, R] = {}
    problems: list[Problem] = []
    used = skipped = cut = 0
    for line, values in rows(path, model):
        made = values if isinstance(values, Fault) else _built(values, model, build)
        if isinstance(made, Fault):
            skipped += 1
            if len(problems) < MAX_PROBLEMS:
                problems.append(Problem(path.name, line, made.field, made.message, made.advice))
            continue
        used += 1
        cut += _is_cut(cast(Values, values))
        kept[made.id] = made
    if not kept or (strict and problems):
        raise InputError(_refusal(path, problems, skipped, strict))
    notes = (f"texts over {MAX_TEXT:,} characters were cut in {cut} lines",) if cut else ()
    return Loaded(tuple(kept.values()), tuple(problems), skipped, used - len(kept), notes)


def _refusal(path: Path, problems: list[Problem], skipped: int, strict: bool) -> str:
    if not problems:
        return f"{path} holds no lines: give one item or event per line"
    why = "nothing was kept, as --strict asks" if strict else "no line of it can be used"
    shown = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
    more = f"\n  and {skipped - _SHOWN} more" if skipped > _SHOWN else ""
    return f"{path}: {why}; {skipped} lines have problems:{shown}{more}"


# From fields to records


def _built(values: Values, model: type[Item | Event], build: Build[R]) -> R | Fault:
    try:
        return build(values)
    except ValidationError as error:
        return _explained(error.errors(include_url=False)[0], model)
    except (ValueError, OverflowError) as error:
        return Fault("", f"a value of it is out of range ({error})", "correct it")


def _explained(first: ErrorDetails, model: type[Item | Event]) -> Fault:
    """What pydantic objects to, in the words of the file."""
    place = [str(step) for step in first["loc"]]
    field = _named(".".join(place[:2]) if place[:1] == ["attributes"] else "".join(place[:1]))
    shown = brief(first["input"])
    if first["type"] == "missing":
        return Fault(field, "is missing", "add it to this line")
    if first["type"] == "extra_forbidden":
        return Fault(field, "is not a known field", _unknown_advice(field, model))
    if field == "action":
        return Fault(field, f"is {shown}", f"use one of {', '.join(get_args(Action))}")
    if field.startswith(ATTRIBUTE):
        return Fault(
            field, f"is {shown}", "give a text, a number below 1e12, true, false, or a list of texts"
        )
    message = first["msg"].removeprefix("Value error, ")
    if not field:
        return Fault(field, message, "add one of them")
    return Fault(field, f"is {shown} ({message})", "correct it")


def _unknown_advice(field: str, model: type[Item | Event]) -> str:
    close = difflib.get_close_matches(field.lower(), model.model_fields, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    where = ", or put it under 'attributes'" if model is Item else ""
    return f"the fields are {', '.join(model.model_fields)}; remove it{where}"


def _named(field: str) -> str:
    """A field's name as a message can show it; it may be anything when it is unknown."""
    return field if field.isprintable() and len(field) <= 60 else brief(field)


def _is_cut(values: Mapping[str, object]) -> bool:
    texts = (values.get(name) for name in ("title", "text", "query"))
    return any(isinstance(text, str) and len(text) > MAX_TEXT for text in texts)
