"""The lines of a JSONL or CSV file, plain or `.gz`, in UTF-8: each as fields, or as what is wrong with it.

`build_events` makes events of rows: each gets a user, an id and a time, the same ones however often it comes.
"""

import csv
import gzip
import hashlib
import json
import re
import reprlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from ...models.errors import InputError
from ...models.records import Event, Item


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
    """The id of an event that came without one, the same for the same event.

    Args:
        user: the id of the user.
        action: what the user did.
        item: the id of the item, if there is one.
        query: the words of a search, if there are any.
        value: stars, seconds or a count, by the action.
        time: when it happened; without a zone it counts as UTC.
        occurrence: numbers the events of one source that are alike in everything, from 0.

    Returns:
        20 hexadecimal digits.
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


def build_events(rows: Iterable[Event | Mapping[str, object]]) -> list[Event]:
    """The events of these rows, in order; raises pydantic's ValidationError for a row that is none."""
    build = EventBuilder()
    return [row if isinstance(row, Event) else build(row) for row in rows]


MAX_LINE = 4 << 20
"""Bytes of a line at most: a text of 100,000 characters fits, however it is escaped."""

ATTRIBUTE = "attributes."
"""What columns of attributes begin with."""

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother, _BRIEF.maxlong = 2, 60, 60, 60
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,15})\.[0-9]{1,15}")

Values = dict[str, object]
"""The fields of one line, not yet validated."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line, before it is known where the line is."""

    field: str
    message: str
    advice: str


def brief(value: object) -> str:
    """A value in a message: on one line, printable, not long."""
    return _BRIEF.repr(value)


def rows(path: Path, model: type[Item | Event]) -> Iterator[tuple[int, Values | Fault]]:
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
        yield number + 1, Fault("", f"the file cannot be read on ({error})", advice)


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


def _json_rows(lines: Iterable[bytes]) -> Iterator[tuple[int, Values | Fault]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _json_values(line)


def _json_values(line: bytes) -> Values | Fault:
    if len(line) > MAX_LINE:
        return Fault("", f"it is longer than {MAX_LINE:,} bytes", "shorten its texts")
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
        return Fault("", "it holds half a character (a lone \\ud8.. escape)", "write the character whole")
    except (ValueError, RecursionError) as error:
        return Fault("", f"it is not JSON ({error})", "write one JSON object on this line")
    if not isinstance(values, dict):
        return Fault("", "it is not a JSON object", 'write {"name": value, ...} on this line')
    return _without_nulls(values)


_NUL = Fault("", "it holds a NUL character", "remove it")
_NOT_UTF8 = Fault(
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
) -> Iterator[tuple[int, Values | Fault]]:
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
            yield number, Fault("", f"it is not CSV ({error})", advice)
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
    extra = f" and {ATTRIBUTE}NAME" if model is Item else ""
    for index, name in enumerate(columns):
        is_attribute = model is Item and name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE)
        if name not in known and not is_attribute:
            wrong = f"the column {brief(name)} is not known"
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


def _csv_values(columns: list[str], cells: list[str]) -> Values | Fault:
    if len(cells) != len(columns):
        message = f"it has {len(cells)} fields, the first line has {len(columns)}"
        return Fault("", message, "put texts with commas into quotes")
    if any("\x00" in cell for cell in cells):
        return _NUL
    if any("\udc80" <= char <= "\udcff" for cell in cells if not cell.isascii() for char in cell):
        return _NOT_UTF8
    values: Values = {}
    attributes: Values = {}
    for name, cell in zip(columns, cells, strict=True):
        if not cell.strip():
            continue
        if name.startswith(ATTRIBUTE):
            attributes[name.removeprefix(ATTRIBUTE)] = _attribute(cell)
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
