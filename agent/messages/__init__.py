"""Every sentence of ours in both languages, and how texts, numbers and titles are shown.

In: a language, the key of a sentence, its values; records where a sentence is about one. Out: text.
A new sentence is a key in `en.toml` and in `zh.toml`. May import: models.
"""

from .catalogue import Messages, messages_for
from .counterfactuals import told, what_if
from .formatting import UNITS, Clipped, clip, clipped, number, percent, shown, thousandths, unbroken
from .notes import worded
from .quoting import quoted

__all__ = [
    "UNITS",
    "Clipped",
    "Messages",
    "clip",
    "clipped",
    "messages_for",
    "number",
    "percent",
    "quoted",
    "shown",
    "thousandths",
    "told",
    "unbroken",
    "what_if",
    "worded",
]
