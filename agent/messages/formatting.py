"""How texts, titles and numbers are shown: visible characters, widths, quotation marks, decimals, shares."""

import re
import unicodedata
from dataclasses import dataclass

from ...models.records import Item, Language
from ...models.text import clean

_TITLE_SHOWN = 80
_IN_BRACKETS = frozenset(
    {"book", "film", "movie", "series", "documentary", "short", "article", "album", "song"}
)
_INNER = str.maketrans({"“": "‘", "”": "’", '"': "'"})


def quoted(title: str, item: Item | None, language: Language) -> str:
    """A title or the words of a search as a sentence shows them.

    Args:
        title: the title or the words; cut to 80 characters.
        item: the item of the title, None for words.
        language: Chinese puts 《》 around the titles of works, otherwise there are quotation marks.

    Returns:
        The text with its marks; inner quotation marks become single.
    """
    name = clean(title, _TITLE_SHOWN)
    if language == "zh" and name.startswith("《") and name.endswith("》") and name.count("《") == 1:
        return name
    if language == "zh" and item is not None and item.kind.casefold() in _IN_BRACKETS and "《" not in name:
        return f"《{name}》"
    return f"“{name.translate(_INNER)}”"


UNITS = 1000
"""Scores are shown in thousandths; in these units the parts are whole numbers."""

TITLE_COLUMNS = 140
"""How wide a title is shown at most, in columns (a Chinese character takes two)."""

_JOINERS = "\u200c\u200d"  # parts of Persian words and of composed emoji, not tricks


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
