"""Filters on items, in Chroma's dialect: `{"price": {"$lte": 50}}`, `{"genre": "sf"}`, `$and`, `$or`.

A field is `id`, `kind`, `tags`, or the name of an attribute. A field with several values (tags, a list
of genres) matches when any of them does; `$ne` and `$nin` are the opposite of `$eq` and `$in`, so they
hold when no value is equal, and when the field is missing. Numbers compare with numbers, words with words
(ISO dates order as words do), truth values only with truth values. `$contains` means a value of a
list, or a part of a word.
"""

import math
import operator
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..models.errors import InputError
from ..models.records import Item

Scalar = str | int | float | bool
Mask = NDArray[np.bool_]

_OWN = frozenset({"id", "kind", "tags"})  # an attribute of such a name is not seen
_MASKS = 8
"""Filters whose items are remembered: all channels of a request ask for the same ones."""

MAX_DEPTH = 16
"""How deep `$and` and `$or` may nest: deeper ones are a mistake or an attack."""

_ORDER: dict[str, Callable[[Any, Any], Any]] = {  # numbers, or words: looked at before the call
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = ("$eq", "$ne", "$in", "$nin", "$contains", *_ORDER)


@dataclass(frozen=True)
class _Test:
    """One comparison; never `$ne` or `$nin`, which are parsed as `_Not`."""

    field: str
    operator: str
    operand: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True)
class _Not:
    clause: "_Test"


@dataclass(frozen=True)
class _Group:
    """All of the clauses, or any of them."""

    every: bool
    clauses: tuple["_Clause", ...]


_Clause = _Test | _Not | _Group


def compile_where(where: Mapping[str, object] | None) -> Callable[[Item], bool]:
    """Turn a filter into a predicate on items.

    Returns:
        The predicate; None and {} let everything through.

    Raises:
        InputError: not a dict, an operator or a type of value that filters do not know.
    """
    clause = _parse(where)
    return lambda item: _holds(clause, item)


class Fields(Protocol):
    """What of an item filters see."""

    @property
    def id(self) -> str: ...  # noqa: D102 - see the class

    @property
    def kind(self) -> str: ...  # noqa: D102 - see the class

    @property
    def tags(self) -> Sequence[str]: ...  # noqa: D102 - see the class

    @property
    def attributes(self) -> Mapping[str, Any]: ...  # noqa: D102 - see the class; values as in Item


def _holds(clause: _Clause, item: Fields) -> bool:
    if isinstance(clause, _Group):
        found = (_holds(part, item) for part in clause.clauses)
        return all(found) if clause.every else any(found)
    if isinstance(clause, _Not):
        return not _holds(clause.clause, item)
    return any(_matches(clause, value, member) for value, member in _values(item, clause.field))


def _values(item: Fields, field: str) -> list[tuple[Scalar, bool]]:
    """The values of a field, each with whether it is one of a list."""
    if field == "tags":
        return [(tag, True) for tag in item.tags]
    own = {"id": item.id, "kind": item.kind}
    value = own[field] if field in own else item.attributes.get(field)
    if isinstance(value, tuple | list):
        return [(one, True) for one in value]
    return [] if value is None else [(value, False)]


def _matches(test: _Test, value: Scalar, member: bool) -> bool:
    """Whether one value of an item passes a comparison."""
    operand = test.operand
    if isinstance(operand, tuple):
        return any(_key(value) == _key(one) for one in operand)
    if test.operator in _ORDER:
        comparable = _is_number(value) if _is_number(operand) else isinstance(value, str)
        return comparable and bool(_ORDER[test.operator](value, operand))
    if test.operator == "$contains" and not member and isinstance(value, str):
        return isinstance(operand, str) and operand in value
    return _key(value) == _key(operand)


def _key(value: Scalar) -> tuple[bool, Scalar]:
    """Equal exactly for values that filters hold equal: 5 is 5.0, but not True nor "5"."""
    return isinstance(value, bool), value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parse(where: object, depth: int = 0) -> _Clause:
    """Read a filter; several fields in one dict must all hold."""
    if where is None:
        return _Group(True, ())
    if not isinstance(where, Mapping):
        msg = f'a filter is a dict such as {{"price": {{"$lte": 50}}}}, not {_shown(where)}'
        raise InputError(msg)
    if depth > MAX_DEPTH:
        msg = f"the filter nests deeper than {MAX_DEPTH} levels: write it flatter"
        raise InputError(msg)
    parts = [_parse_field(field, value, depth) for field, value in where.items()]
    return parts[0] if len(parts) == 1 else _Group(True, tuple(parts))


def _parse_field(field: object, value: object, depth: int) -> _Clause:
    if field in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            msg = f"{field} in a filter takes a list of filters, not {_shown(value)}"
            raise InputError(msg)
        return _Group(field == "$and", tuple(_parse(part, depth + 1) for part in value))
    if not isinstance(field, str) or not field or field.startswith("$"):
        msg = f"a filter names a field, $and or $or, not {_shown(field)}"
        raise InputError(msg)
    if not isinstance(value, Mapping):
        return _parse_test(field, "$eq", value)
    if not value:
        msg = f"the filter on {field!r} is empty: write a value or an operator such as $lte"
        raise InputError(msg)
    tests = tuple(_parse_test(field, name, operand) for name, operand in value.items())
    return tests[0] if len(tests) == 1 else _Group(True, tests)


def _parse_test(field: str, name: object, operand: object) -> _Clause:
    if name not in _OPERATORS:
        msg = f"the filter on {field!r} has the operator {_shown(name)}: use one of {', '.join(_OPERATORS)}"
        raise InputError(msg)
    if name in ("$in", "$nin"):
        if not isinstance(operand, list | tuple) or not all(map(_is_scalar, operand)):
            msg = f"{name} on {field!r} takes a list of words or numbers, not {_shown(operand)}"
            raise InputError(msg)
        test = _Test(field, "$in", tuple(operand))
    elif not _is_scalar(operand) or (name in _ORDER and isinstance(operand, bool)):
        msg = f"{name} on {field!r} takes a word or a finite number, not {_shown(operand)}"
        raise InputError(msg)
    else:
        test = _Test(field, "$eq" if name == "$ne" else str(name), cast(Scalar, operand))
    return _Not(test) if name in ("$ne", "$nin") else test


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _shown(value: object) -> str:
    """A value in an error message, short."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


class _Column:
    """One field of all items: its distinct values, and which places hold which."""

    def __init__(self) -> None:
        self._codes: dict[tuple[tuple[bool, Scalar], bool], int] = {}
        self._values: list[tuple[Scalar, bool]] = []
        self._pairs = array("q")  # place, code, place, code, ...
        self._read: NDArray[np.int64] | None = None  # the same as an array, until more is added

    def add(self, place: int, value: Scalar, member: bool) -> None:
        code = self._codes.setdefault((_key(value), member), len(self._values))
        if code == len(self._values):
            self._values.append((value, member))
        self._pairs.extend((place, code))
        self._read = None

    def mask(self, test: _Test, size: int) -> Mask:
        """Which of `size` places hold a value that passes."""
        if self._read is None:
            self._read = np.array(self._pairs, dtype=np.int64).reshape(-1, 2).T.copy()
        places, codes = self._read
        found = np.zeros(size, dtype=np.bool_)
        found[places[self._passing(test)[codes]]] = True
        return found

    def _passing(self, test: _Test) -> Mask:
        """Which of the distinct values pass; equality is looked up, as ids have many values."""
        if test.operator in ("$eq", "$in"):
            wanted = test.operand if isinstance(test.operand, tuple) else (test.operand,)
            passing = np.zeros(len(self._values), dtype=np.bool_)
            for value in wanted:
                for member in (False, True):
                    code = self._codes.get((_key(value), member))
                    if code is not None:
                        passing[code] = True
            return passing
        passed = (_matches(test, value, member) for value, member in self._values)
        return np.fromiter(passed, dtype=np.bool_, count=len(self._values))


class Columns:
    """Ids, rows and fields of all items, held in memory as columns, so that a filter costs milliseconds.

    An item has a *place* (its position here). A changed item takes a new place at the end; `alive`
    tells which places are current. Threads may read while one writes.
    """

    def __init__(self, entries: Iterable[tuple[int, Fields]] = ()) -> None:
        """Take (row, item) pairs in order."""
        self._guard = threading.RLock()
        self._ids: list[str] = []
        self._rows = array("q")
        self._alive = bytearray()
        self._places: dict[str, int] = {}
        self._columns: dict[str, _Column] = {}
        self._masks: dict[str, Mask] = {}  # of the last filters, until an item changes
        for row, item in entries:
            self.put(row, item)

    def __len__(self) -> int:
        """Number of current items."""
        return len(self._places)

    def put(self, row: int, item: Fields) -> None:
        """Add an item, or replace the one with its id."""
        with self._guard:
            self.drop(item.id)
            self._masks.clear()
            place = len(self._ids)
            self._ids.append(item.id)
            self._rows.append(row)
            self._alive.append(1)
            self._places[item.id] = place
            self._add("kind", place, item.kind)
            self._add("tags", place, item.tags)
            for name, value in item.attributes.items():
                if name not in _OWN:
                    self._add(name, place, value)

    def _add(self, field: str, place: int, value: object) -> None:
        """Note the value or values of a field; every item passes here, so nothing is made that is not kept."""
        column = self._columns.get(field)
        if column is None:
            column = self._columns[field] = _Column()
        if isinstance(value, tuple | list):
            for one in value:
                column.add(place, one, True)
        elif value is not None:
            column.add(place, cast(Scalar, value), False)

    def drop(self, id_: str) -> None:
        """Forget an item; an unknown id is none."""
        with self._guard:
            place = self._places.pop(id_, None)
            if place is not None:
                self._alive[place] = 0
                self._masks.clear()

    def places(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """The places of ids, unknown ones left out."""
        places = self.aligned(list(ids))
        return places[places >= 0]

    def ids(self, places: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The ids at places.

        Args:
            places: of shape (n,), in any order.

        Returns:
            n ids in the same order.
        """
        return [self._ids[place] for place in places]

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row numbers at places.

        Args:
            places: of shape (n,), in any order.

        Returns:
            Row numbers of shape (n,) in the same order.
        """
        with self._guard:
            return np.array(self._rows, dtype=np.int64)[places]

    def passes(self, id_: str, mask: Mask) -> bool:
        """Whether a mask of places lets an id through; an unknown id never passes."""
        place = self._places.get(id_, -1)
        return 0 <= place < len(mask) and bool(mask[place])

    def aligned(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The place of each id, -1 for unknown ones."""
        return np.fromiter((self._places.get(id_, -1) for id_ in ids), dtype=np.int64, count=len(ids))

    def allowed(self, where: Mapping[str, object] | None, exclude: Iterable[str] = ()) -> Mask:
        """Which places are current, pass the filter and are not excluded.

        Returns:
            A mask of shape (number of places,).

        Raises:
            InputError: the filter is malformed.
        """
        clause = _parse(where)
        key = repr(clause)  # clauses of 1 and of True are equal
        with self._guard:
            known = self._masks.get(key)
            if known is None:
                known = self._mask(clause) & np.frombuffer(bytes(self._alive), dtype=np.bool_)
                if len(self._masks) >= _MASKS:
                    self._masks.clear()
                self._masks[key] = known
            mask = known.copy()
            mask[self.places(exclude)] = False
            return mask

    def _mask(self, clause: _Clause) -> Mask:
        size = len(self._ids)
        if isinstance(clause, _Not):
            return ~self._mask(clause.clause)
        if isinstance(clause, _Group):
            mask = np.full(size, clause.every)
            for part in clause.clauses:
                mask = mask & self._mask(part) if clause.every else mask | self._mask(part)
            return mask
        if clause.field == "id":
            return self._id_mask(clause)
        column = self._columns.get(clause.field)
        return column.mask(clause, size) if column else np.zeros(size, dtype=np.bool_)

    def _id_mask(self, test: _Test) -> Mask:
        """A test on ids: equality by the index of places, anything else one by one."""
        if test.operator in ("$eq", "$in"):
            wanted = test.operand if isinstance(test.operand, tuple) else (test.operand,)
            mask = np.zeros(len(self._ids), dtype=np.bool_)
            mask[self.places(one for one in wanted if isinstance(one, str))] = True
            return mask
        passed = (_matches(test, id_, False) for id_ in self._ids)
        return np.fromiter(passed, dtype=np.bool_, count=len(self._ids))


__all__ = ["MAX_DEPTH", "Columns", "Fields", "Mask", "compile_where"]
