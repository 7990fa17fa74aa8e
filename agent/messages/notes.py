"""The notes of a run: sentences about fallbacks and losses, in the language of the user."""

from collections.abc import Sequence
from typing import Any

from ...models.records import Language
from .catalogue import messages_for

_NAMED = ("stage", "kind")


def note_text(language: Language, key: str, **values: object) -> str:
    """The text of a note.

    Args:
        language: the language of the text.
        key: a key of the table [notes].
        values: what fills its places. Stages, kinds of words and errors are named in the language; a sequence
            becomes an enumeration.

    Returns:
        One sentence.

    Raises:
        KeyError: there is no such note.
    """
    table = dict(messages_for(language, "notes").sentences)
    return str(table[key]).format(**{place: _filled(place, value, table) for place, value in values.items()})


def _filled(place: str, value: object, table: dict[str, Any]) -> object:
    if isinstance(value, Exception):
        return _error_name(value, table.get("errors", {}))
    return table.get("names", {}).get(value, value) if place in _NAMED else _listed(value, table["comma"])


def _error_name(error: Exception, names: dict[str, str]) -> str:
    """The name of the error's class or of the nearest base class that has one, else the error's own message."""
    message = (error.strerror if isinstance(error, OSError) else "") or str(error)
    named = (names[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in names)
    return next(named, "{error}").replace("{error}", message)


def _listed(value: object, comma: str) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return comma.join(map(str, value))
    return value


__all__ = ["note_text"]
