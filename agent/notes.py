"""What a run notes about itself, worded in the reader's language."""

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..models.records import Language

_WORDS = Path(__file__).with_name("notes.toml")
_NAMED = ("stage", "kind")


def worded(language: Language, key: str, **values: object) -> str:
    """The note of that key with its places filled; several values become one enumeration.

    Stages and kinds of words are named in the language. Raises KeyError if there is no such note.
    """
    table = _tables()[language]
    names = table.get("names", {})
    filled = {
        place: names.get(value, value) if place in _NAMED else _listed(value, table["comma"])
        for place, value in values.items()
    }
    return str(table[key]).format(**filled)


def _listed(value: object, comma: str) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return comma.join(map(str, value))
    return value


@cache
def _tables() -> dict[str, dict[str, Any]]:  # Any: sentences, and a table of names
    return tomllib.loads(_WORDS.read_text(encoding="utf-8"))


__all__ = ["worded"]
