"""Items and events out of people's files: JSONL or CSV, plain or `.gz`, in UTF-8.

A line that cannot be used becomes a `Problem` that says where it is, what is wrong and what to do; the good
lines are kept, unless `strict` asks for all or nothing. Nothing that a file holds can raise anything but
InputError.
"""

import csv
import difflib
import gzip
import hashlib
import json
import re
import reprlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Generic, TypeVar, cast, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..models.errors import InputError
from ..models.records import MAX_TEXT, Action, Event, Item

MAX_LINE = 4 << 20
"""Bytes of a line at most: a text of 100,000 characters fits, however it is escaped."""
MAX_PROBLEMS = 1_000
"""How many problems of a file are kept; the rest is only counted."""

_SHOWN = 5
_ATTRIBUTE = "attributes."
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother, _BRIEF.maxlong = 2, 60, 60, 60
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,15})\.[0-9]{1,15}")

R = TypeVar("R", Item, Event)
Values = dict[str, object]
"""The fields of one line, not yet validated."""


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


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with a line, before it is known where the line is."""

    field: str
    message: str
    advice: str


Build = Callable[[Values], R]


def read_items(path: str | Path, strict: bool = False) -> Loaded[Item]:
    """The items of a file with the fields id, title, text, tags, kind and attributes.

    In CSV, tags are separated by `|`, and a column `attributes.price` gives an attribute; its numbers are
    read as numbers. With `strict`, one problem refuses the whole file.

    Raises:
        InputError: the file cannot be read, no line of it can be used, or `strict` and a problem.
    """
    return _load(Path(path), strict, Item, Item.model_validate)


def read_events(path: str | Path, strict: bool = False) -> Loaded[Event]:
    """The events of a file with the fields id, user, item or query, action, value and time.

    An event without an id gets one from what it says (`event_id`), so that reading a file twice gives the
    same ids. With `strict`, one problem refuses the whole file.

    Raises:
        InputError: the file cannot be read, no line of it can be used, or `strict` and a problem.
    """
    return _load(Path(path), strict, Event, EventBuilder())


def event_id(
    user: str,
    action: str,
    *,
    item: str | None = None,
    query: str | None = None,
    value: float | None = None,
    time: datetime | None = None,
    occurrence: int = 0,
) -> str:
    """The id of an event that came without one: 20 hexadecimal digits, the same for the same event.

    `occurrence` numbers events of one source that are alike in everything, from 0. A time without a zone
    counts as UTC.
    """
    moment = None if time is None else (time if time.tzinfo else time.replace(tzinfo=UTC))
    when = None if moment is None else moment.astimezone(UTC).isoformat()
    number = None if value is None else float(value)
    told = json.dumps([user, item, query, action, number, when, occurrence])
    return hashlib.sha256(told.encode()).hexdigest()[:20]


class EventBuilder:
    """Makes the events of one source, and ids for those that have none, numbering the ones that are alike.

    Raises pydantic's ValidationError for values that are no event, as `Event.model_validate` does.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, values: Mapping[str, object]) -> Event:
        """The event of these values; the same values again make another event."""
        if values.get("id") not in (None, ""):
            return Event.model_validate(values)
        event = Event.model_validate({**values, "id": "-"})
        first = self._id(event, 0)
        again = self._seen[first]
        self._seen[first] += 1
        return event.model_copy(update={"id": self._id(event, again) if again else first})

    @staticmethod
    def _id(event: Event, occurrence: int) -> str:
        return event_id(
            event.user,
            event.action,
            item=event.item,
            query=event.query,
            value=event.value,
            time=event.time,
            occurrence=occurrence,
        )


def _load(path: Path, strict: bool, model: type[R], build: Build[R]) -> Loaded[R]:
    kept: dict[str, R] = {}
    problems: list[Problem] = []
    used = skipped = cut = 0
    for line, values in _rows(path, model):
        made = values if isinstance(values, _Fault) else _built(values, model, build)
        if isinstance(made, _Fault):
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


# From lines to fields


def _rows(path: Path, model: type[Item | Event]) -> Iterator[tuple[int, Values | _Fault]]:
    """The lines of a file with their numbers, as fields or as what is wrong with them."""
    kind = _kind(path)
    number = 0
    try:
        with _opened(path) as file:
            lines = _lines(file)
            for number, values in _csv_rows(path, lines, model) if kind == ".csv" else _json_rows(lines):
                yield number, values
    except (OSError, EOFError, zlib.error) as error:
        advice = "make the file again; what stands before this line could be read"
        yield number + 1, _Fault("", f"the file cannot be read on ({error})", advice)


def _kind(path: Path) -> str:
    """The format by the name: `.jsonl` or `.csv`; raises InputError for anything else."""
    name = path.name.lower().removesuffix(".gz")
    found = next((kind for kind in (".jsonl", ".ndjson", ".csv") if name.endswith(kind)), None)
    try:
        is_there, is_file = path.exists(), path.is_file()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise InputError(msg) from error
    if not is_there:
        msg = f"the file {path} is not there: check the path"
    elif not is_file:
        msg = f"{path} is not a file: give a .jsonl or .csv file"
    elif not found:
        msg = (
            f"{path} has no known format: its name must end in .jsonl (an object per line) or .csv, then .gz"
        )
    else:
        return ".csv" if found == ".csv" else ".jsonl"
    raise InputError(msg)


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines without a byte order mark; what is over the limit is cut and one byte too long."""
    first = True
    while line := file.readline(MAX_LINE + 1):
        rest = line
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 1)
        if first and line.startswith((b"\xff\xfe", b"\xfe\xff")):
            msg = f"{file.name} is in UTF-16: save it as UTF-8"
            raise InputError(msg)
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False


def _json_rows(lines: Iterable[bytes]) -> Iterator[tuple[int, Values | _Fault]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _json_values(line)


def _json_values(line: bytes) -> Values | _Fault:
    if len(line) > MAX_LINE:
        return _Fault("", f"it is longer than {MAX_LINE:,} bytes", "shorten its texts")
    if b"\x00" in line:
        return _NUL
    try:
        text = line.decode("utf-8")
        values = json.loads(text, parse_constant=_no_constant, parse_int=_bounded)
        if "\\u" in text:
            json.dumps(values, ensure_ascii=False).encode()  # half a character, as in "\ud83d", ends here
    except UnicodeDecodeError:
        return _NOT_UTF8
    except UnicodeEncodeError:
        return _Fault("", "it holds half a character (a lone \\ud8.. escape)", "write the character whole")
    except (ValueError, RecursionError) as error:
        return _Fault("", f"it is not JSON ({error})", "write one JSON object on this line")
    if not isinstance(values, dict):
        return _Fault("", "it is not a JSON object", 'write {"name": value, ...} on this line')
    return _without_nulls(values)


_NUL = _Fault("", "it holds a NUL character", "remove it")
_NOT_UTF8 = _Fault(
    "", "it is not in UTF-8", "save the file as UTF-8 (Chinese files from Excel are often in GB18030)"
)


def _no_constant(name: str) -> float:
    msg = f"{name} is not a number that JSON knows"
    raise ValueError(msg)


def _bounded(digits: str) -> int:
    if len(digits) > 18:
        msg = f"the number {digits[:18]}... is too large"
        raise ValueError(msg)
    return int(digits)


def _without_nulls(values: Values) -> Values:
    """Drop fields and attributes that are null: they say as much as an absent one."""
    found = {name: value for name, value in values.items() if value is not None}
    attributes = found.get("attributes")
    if isinstance(attributes, dict):
        found["attributes"] = {name: value for name, value in attributes.items() if value is not None}
    return found


def _csv_rows(
    path: Path, lines: Iterable[bytes], model: type[Item | Event]
) -> Iterator[tuple[int, Values | _Fault]]:
    # What is not UTF-8 becomes lone surrogates, so that a bad cell does not hide where its line ends.
    reader = csv.reader((line.decode("utf-8", "surrogateescape") for line in lines), strict=True)
    columns: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            advice = 'close every quote, write a quote within quotes twice ("")'
            yield number, _Fault("", f"it is not CSV ({error})", advice)
            continue
        if columns is None:
            columns = _columns(path, cells, model)
        elif any(cells):
            yield number, _csv_values(columns, cells)


def _columns(path: Path, cells: list[str], model: type[Item | Event]) -> list[str]:
    """The column names of the header; raises InputError where they cannot be understood."""
    columns = [cell.strip() for cell in cells]
    known = [name for name in model.model_fields if name != "attributes"]
    required = ["id", "title"] if model is Item else ["user", "action"]
    extra = f" and {_ATTRIBUTE}NAME" if model is Item else ""
    for index, name in enumerate(columns):
        is_attribute = model is Item and name.startswith(_ATTRIBUTE) and len(name) > len(_ATTRIBUTE)
        if name not in known and not is_attribute:
            wrong = f"the column {_shown(name)} is not known"
        elif name in columns[:index]:
            wrong = f"the column {name!r} is there twice"
        else:
            continue
        msg = f"{path}, line 1: {wrong}: the columns are {', '.join(known)}{extra}"
        raise InputError(msg)
    if missing := [name for name in required if name not in columns]:
        msg = f"{path}, line 1: the column {missing[0]!r} is missing: the first line must name the columns"
        raise InputError(msg)
    return columns


def _csv_values(columns: list[str], cells: list[str]) -> Values | _Fault:
    if len(cells) != len(columns):
        message = f"it has {len(cells)} fields, the first line has {len(columns)}"
        return _Fault("", message, "put texts with commas into quotes")
    if any("\x00" in cell for cell in cells):
        return _NUL
    if any("\udc80" <= char <= "\udcff" for cell in cells if not cell.isascii() for char in cell):
        return _NOT_UTF8
    values: Values = {}
    attributes: Values = {}
    for name, cell in zip(columns, cells, strict=True):
        if not cell.strip():
            continue
        if name.startswith(_ATTRIBUTE):
            attributes[name.removeprefix(_ATTRIBUTE)] = _attribute(cell)
        else:
            values[name] = _tags(cell) if name == "tags" else cell
    return values | ({"attributes": attributes} if attributes else {})


def _tags(cell: str) -> list[str]:
    """The tags of a cell: `a|b`, or a JSON list of texts."""
    if cell.lstrip().startswith("["):
        try:
            listed = json.loads(cell)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list) and all(isinstance(tag, str) for tag in listed):
            return listed
    return [tag.strip() for tag in cell.split("|") if tag.strip()]


def _attribute(cell: str) -> object:
    """A number where a cell is plainly one (not `007`), several texts where it has `|`, else the text."""
    text = cell.strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return tuple(_tags(text)) if "|" in text else text


# From fields to records


def _built(values: Values, model: type[Item | Event], build: Build[R]) -> R | _Fault:
    try:
        return build(values)
    except ValidationError as error:
        return _explained(error.errors(include_url=False)[0], model)
    except (ValueError, OverflowError) as error:
        return _Fault("", f"a value of it is out of range ({error})", "correct it")


def _explained(first: ErrorDetails, model: type[Item | Event]) -> _Fault:
    """What pydantic objects to, in the words of the file."""
    place = [str(step) for step in first["loc"]]
    field = _named(".".join(place[:2]) if place[:1] == ["attributes"] else "".join(place[:1]))
    shown = _shown(first["input"])
    if first["type"] == "missing":
        return _Fault(field, "is missing", "add it to this line")
    if first["type"] == "extra_forbidden":
        return _Fault(field, "is not a known field", _unknown_advice(field, model))
    if field == "action":
        return _Fault(field, f"is {shown}", f"use one of {', '.join(get_args(Action))}")
    if field.startswith(_ATTRIBUTE):
        return _Fault(
            field, f"is {shown}", "give a text, a number below 1e12, true, false, or a list of texts"
        )
    message = first["msg"].removeprefix("Value error, ")
    if not field:
        return _Fault(field, message, "add one of them")
    return _Fault(field, f"is {shown} ({message})", "correct it")


def _unknown_advice(field: str, model: type[Item | Event]) -> str:
    close = difflib.get_close_matches(field.lower(), model.model_fields, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    where = ", or put it under 'attributes'" if model is Item else ""
    return f"the fields are {', '.join(model.model_fields)}; remove it{where}"


def _shown(value: object) -> str:
    """A value in a message: on one line, printable, not long."""
    return _BRIEF.repr(value)


def _named(field: str) -> str:
    """A field's name as a message can show it; it may be anything when it is unknown."""
    return field if field.isprintable() and len(field) <= 60 else _shown(field)


def _is_cut(values: Mapping[str, object]) -> bool:
    texts = (values.get(name) for name in ("title", "text", "query"))
    return any(isinstance(text, str) and len(text) > MAX_TEXT for text in texts)
