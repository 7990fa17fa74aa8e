"""Text of unknown origin as one visible line, and which language it is in."""

import unicodedata
from collections.abc import Sequence

from .records import Language

MAX_FIELD = 400
"""Characters of one field that a prompt shows at most."""


def clean(text: str, limit: int = MAX_FIELD) -> str:
    """One line of visible text: no control, zero-width, bidi or private-use characters; capped."""
    head = text[: limit * 4]
    spaced = "".join(" " if char.isspace() or ord(char) < 32 else char for char in head)
    visible = "".join(char for char in spaced if unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs"))
    line = " ".join(visible.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def fold(text: str) -> str:
    """One spelling for comparison: NFKC, lower case, straight quotes, no control characters."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("‘", "'")
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") else char for char in plain)


def language_of(texts: Sequence[str]) -> Language:
    """Chinese if at least every fifth letter of the texts is, else English."""
    letters = [char for text in texts for char in text[:200] if char.isalpha()]
    chinese = sum("\u4e00" <= char <= "\u9fff" for char in letters)
    return "zh" if letters and chinese >= len(letters) / 5 else "en"
