"""Room."""

from .chat_words import ChatWords
from .counterfactuals import told, what_if
from .notes import worded
from .quoting import quoted
from .words import (
    UNITS,
    Clipped,
    Words,
    clip,
    clipped,
    json_text,
    markdown,
    number,
    percent,
    shown,
    thousandths,
    unbroken,
    words_of,
)

__all__ = [
    "ChatWords",
    "Clipped",
    "UNITS",
    "Words",
    "clip",
    "clipped",
    "json_text",
    "markdown",
    "number",
    "percent",
    "quoted",
    "shown",
    "thousandths",
    "told",
    "unbroken",
    "what_if",
    "worded",
    "words_of",
]
