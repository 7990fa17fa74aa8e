"""Every sentence of Tanqu in both languages: `en.toml` and `zh.toml`, a table for each room; the notes of a run."""

import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, cast

from ...models.records import HistoryEvent, Item, Language
from ...models.text import clean
from .formatting import number, quoted, shown

_TITLE = 120  # characters of a title that are shown


@dataclass(frozen=True)
class Messages:
    """The sentences of one room in one language.

    Values are printed as they are: clean what comes from outside.
    """

    language: Language
    sentences: Mapping[str, object]

    def __getitem__(self, key: str) -> str:
        """The word or sentence of that name; raises KeyError."""
        return str(self.sentences[key])

    def say(self, key: str, **values: object) -> str:
        """The sentence with its places filled, in the singular where there is one and `count` is 1; raises KeyError."""
        one = f"{key}_one"
        return self[one if values.get("count") == 1 and one in self.sentences else key].format(**values)

    def count(self, key: str, n: int, **values: object) -> str:
        """The sentence for `n` things: `key_none` and `key_one` where the language has them."""
        special = {0: f"{key}_none", 1: f"{key}_one"}.get(n, key)
        spelled = self.numeral(n)
        places = {"n": f"{n:,}", "numeral": spelled, "Numeral": spelled.capitalize(), **values}
        return self.say(special if special in self.sentences else key, **places)

    def numeral(self, n: int) -> str:
        """A small number as a word."""
        numerals = cast(list[str], self.sentences["numerals"])
        return numerals[n] if n < len(numerals) else self.gap("0") + f"{n:,}" + self.gap("0")

    def gap(self, char: str) -> str:
        """The space that Chinese puts between its own characters and `char`, if that is a foreign one."""
        return " " if self.language != "en" and unicodedata.east_asian_width(char) not in "WF" else ""

    def name(self, group: str, key: str) -> str:
        """The name of `key` within a group; the key itself, in words, where it has none."""
        return self.lookup(group, key) or shown(key.replace("_", " ")) or "–"

    def lookup(self, group: str, key: str) -> str:
        """The name of `key` within a group; empty where it has none."""
        return cast(dict[str, str], self.sentences[group]).get(key, "")

    def part(self, signal: str, value: float) -> str:
        """The name of a signal as a part of a score; a negative signal has another where its part is positive."""
        return (self.lookup("signals_for", signal) if value > 0 else "") or self.name("signals", signal)

    def quoted(self, text: str) -> str:
        """The text in quotation marks, unless it brings its own (《…》 around a Chinese title)."""
        return text if text.startswith(tuple("《“「『")) else self["quote_open"] + text + self["quote_close"]

    def date(self, time: datetime) -> str:
        """The day, in UTC."""
        day = time.astimezone(UTC)
        months = cast(list[str], self.sentences["months"])
        return self.say("date", year=day.year, month=months[day.month - 1], day=day.day)

    def moment(self, time: datetime) -> str:
        """The day and the minute, in UTC."""
        return f"{self.date(time)} {time.astimezone(UTC):%H:%M} {self['utc']}"

    def value(self, event: HistoryEvent) -> str:
        """An event's value with its unit: stars, seconds or pieces; empty where it has none."""
        if event.value is None or f"{event.action}_value" not in self.sentences:
            return ""
        if event.action == "purchase" and event.value.is_integer():
            return self.count("purchase_value", int(event.value), value=number(event.value))
        return self.say(f"{event.action}_value", value=number(event.value))

    def table(self, key: str) -> Mapping[str, Any]:  # Any: words, or lists of words
        """A table of words, such as the names of fields."""
        found: Mapping[str, Any] = cast(Mapping[str, Any], self.sentences[key])
        return found

    def title(self, item: Item) -> str:
        """An item's title as the language quotes it: 《》 only for works, and nothing in English."""
        return clean(item.title, _TITLE) if self.language == "en" else quoted(item.title, item, self.language)

    def listed(self, parts: Sequence[str]) -> str:
        """The parts as one enumeration: "a, b and c"."""
        head, last = list(parts[:-1]), parts[-1] if parts else ""
        return self["joined"].join(head) + (self["and"] if head else "") + last


@cache
def messages_for(language: Language, *rooms: str) -> Messages:
    """The sentences of these tables of `en.toml` or `zh.toml`; of equal keys, those of the last."""
    merged = {key: value for room in rooms for key, value in _tables(language)[room].items()}
    return Messages(language, merged)


@cache
def _tables(language: Language) -> dict[str, dict[str, object]]:
    text = files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


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
