"""What a run notes about itself, worded in the reader's language."""

from collections.abc import Sequence
from typing import Any

from ...models.records import Language
from .catalogue import messages_for

_NAMED = ("stage", "kind")


def worded(language: Language, key: str, **values: object) -> str:
    """The note of that key with its places filled; several values become one enumeration.

    Stages, kinds of words and errors are named in the language. Raises KeyError if there is no such note.
    """
    table = dict(messages_for(language, "notes").sentences)
    return str(table[key]).format(**{place: _filled(place, value, table) for place, value in values.items()})


def _filled(place: str, value: object, table: dict[str, Any]) -> object:
    if isinstance(value, Exception):
        return _reason(value, table.get("errors", {}))
    return table.get("names", {}).get(value, value) if place in _NAMED else _listed(value, table["comma"])


def _reason(error: Exception, names: dict[str, str]) -> str:
    """What an error is called by its class or the nearest class above; its own words where none has a name."""
    said = (error.strerror if isinstance(error, OSError) else "") or str(error)
    found = (names[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in names)
    return next(found, "{error}").replace("{error}", said)


def _listed(value: object, comma: str) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return comma.join(map(str, value))
    return value
