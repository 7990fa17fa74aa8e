"""What a report says and how it is spelled: words per language, numbers, dates, and escaping."""

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import cast

from ...models.records import HistoryEvent

UNITS = 1000
"""Scores are shown in thousandths; in these units the parts are whole numbers."""

TITLE_COLUMNS = 140
"""How wide a title is shown at most, in columns (a Chinese character takes two)."""

_WORDS = Path(__file__).with_name("report_words.toml")
_JOINERS = "\u200c\u200d"  # parts of Persian words and of composed emoji, not tricks
_MARKDOWN = re.compile(r"[\\`*_{}\[\]#|~!@$^]|(?<=\])\(|://|(?<![a-z])www\.", re.IGNORECASE)
_LEADING = re.compile(
    r"^(?:\d{1,9}(?=[.)](?:\s|$))|(?=[-+=](?!\d)))"
)  # would begin a list, a rule or a heading
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# What could end a script element, or turn the text around it when the file is shown.
_JSON = re.compile(
    "[<>&\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


_ORDINAL = re.compile(r"第 [\d,]+(?: [位个])?|[\d,]+ [位个]")


def shown(text: str) -> str:
    """One line of visible text: white space becomes a space; control and direction marks are dropped."""
    if text.isprintable():  # the usual case, and a hundred times faster
        return " ".join(text.split())
    spaced = "".join(" " if char.isspace() else char for char in text)
    hidden = ("Cc", "Cf", "Co", "Cs")
    kept = (char for char in spaced if char in _JOINERS or unicodedata.category(char) not in hidden)
    return " ".join("".join(kept).split())


def clip(text: str, columns: int) -> str:
    """The text, or as much of it as fits into `columns` with an ellipsis; wide characters take two."""
    if len(text) * 2 <= columns:
        return text
    width = 0
    fits = 0  # how many characters leave room for the ellipsis
    for at, char in enumerate(text):
        width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if width < columns:
            fits = at + 1
        if width > columns:
            return text[:fits].rstrip() + "…"
    return text


@dataclass(frozen=True, slots=True)
class Clipped:
    """A text as it is shown, and the whole of it where that was too long."""

    short: str
    full: str | None


def clipped(text: str, columns: int = TITLE_COLUMNS) -> Clipped:
    """The visible text, cut to `columns`; an empty one becomes a dash."""
    whole = shown(text) or "–"
    short = clip(whole, columns)
    return Clipped(short, whole if short != whole else None)


def markdown(value: object) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no link, not even a bare address."""
    escaped = _MARKDOWN.sub(lambda found: _backslash(found[0]), str(value))
    return _LEADING.sub(lambda found: f"{found[0]}\\", escaped).translate(_HTML)


def _backslash(text: str) -> str:
    return f"\\{text}" if len(text) == 1 else text.replace(":", "\\:").replace(".", "\\.")


def json_text(document: str) -> str:
    """The same JSON with every character escaped that HTML or a terminal might act upon."""
    return _JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def unbroken(text: str) -> str:
    """The text with no line break within a Chinese ordinal or count (第 3 位, 45 个)."""
    return _ORDINAL.sub(lambda found: found[0].replace(" ", "\u00a0"), text)


def percent(share: float) -> str:
    """A share of 1 as whole percent; what is more than nothing is never shown as nothing."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def number(value: float) -> str:
    """A number with at most three decimals and thousands apart."""
    text = f"{value:,.3f}".rstrip("0").rstrip(".") if abs(value) < 1e9 else f"{value:.3g}"
    return text.replace("-", "−") if text != "-0" else "0"


def thousandths(units: int, *, sign: bool = False) -> str:
    """Thousandths as a decimal with three places; `sign` puts a plus before what is above nought."""
    before = "−" if units < 0 else "+" if sign and units > 0 else ""
    return f"{before}{abs(units) // UNITS:,}.{abs(units) % UNITS:03d}"


@dataclass(frozen=True)
class Words:
    """The words of one language."""

    table: dict[str, object]

    def __getitem__(self, key: str) -> str:
        """The word or sentence of that name; raises KeyError."""
        return str(self.table[key])

    def say(self, key: str, **values: object) -> str:
        """The sentence with its places filled."""
        return self[key].format(**values)

    def count(self, key: str, n: int, **values: object) -> str:
        """The sentence for `n` things: `key_none` and `key_one` where the language has them."""
        special = {0: f"{key}_none", 1: f"{key}_one"}.get(n, key)
        spelled = self.numeral(n)
        places = {"n": f"{n:,}", "numeral": spelled, "Numeral": spelled.capitalize(), **values}
        return self.say(special if special in self.table else key, **places)

    def numeral(self, n: int) -> str:
        """A small number as a word."""
        numerals = cast(list[str], self.table["numerals"])
        return numerals[n] if n < len(numerals) else self.gap("0") + f"{n:,}" + self.gap("0")

    def gap(self, char: str) -> str:
        """The space that Chinese puts between its own characters and `char`, if that is a foreign one."""
        return " " if self["lang"] != "en" and unicodedata.east_asian_width(char) not in "WF" else ""

    def name(self, group: str, key: str) -> str:
        """What `key` is called within a group; the key itself, in words, where it has no name here."""
        return self.lookup(group, key) or shown(key.replace("_", " ")) or "–"

    def lookup(self, group: str, key: str) -> str:
        """What `key` is called within a group, or nothing."""
        return cast(dict[str, str], self.table[group]).get(key, "")

    def part(self, signal: str, value: float) -> str:
        """What a signal is called as a part of a score: one that counts against by what it found, or did not."""
        return (self.lookup("signals_for", signal) if value > 0 else "") or self.name("signals", signal)

    def quoted(self, text: str) -> str:
        """The text in quotation marks, unless it brings its own (《…》 around a Chinese title)."""
        return text if text.startswith(tuple("《“「『")) else self["quote_open"] + text + self["quote_close"]

    def date(self, time: datetime) -> str:
        """The day, in UTC."""
        day = time.astimezone(UTC)
        months = cast(list[str], self.table["months"])
        return self.say("date", year=day.year, month=months[day.month - 1], day=day.day)

    def moment(self, time: datetime) -> str:
        """The day and the minute, in UTC."""
        return f"{self.date(time)} {time.astimezone(UTC):%H:%M} {self['utc']}"

    def value(self, event: HistoryEvent) -> str:
        """What an event's number means: stars, seconds or pieces; nothing where there is none."""
        if event.value is None or f"{event.action}_value" not in self.table:
            return ""
        if event.action == "purchase" and event.value.is_integer():
            return self.count("purchase_value", int(event.value), value=number(event.value))
        return self.say(f"{event.action}_value", value=number(event.value))


@cache
def words_of(language: str) -> Words:
    """The words of "zh" or "en"."""
    tables = tomllib.loads(_WORDS.read_text(encoding="utf-8"))
    return Words(cast(dict[str, object], tables[language]))


__all__ = [
    "Clipped",
    "Words",
    "clip",
    "clipped",
    "json_text",
    "markdown",
    "number",
    "percent",
    "shown",
    "thousandths",
    "unbroken",
    "words_of",
]
