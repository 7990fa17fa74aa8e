"""Every sentence of ours in both languages, and how texts, numbers and titles are shown.

In: a language, the key of a sentence, its values; records where a sentence is about one. Out: text.
A new sentence is a key in `en.toml` and in `zh.toml`. May import: models.
"""

from .catalogue import Messages, messages_for, note_text
from .counterfactuals import counterfactual_lines, counterfactual_text
from .formatting import UNITS, Clipped, clip, clipped, number, percent, quoted, shown, thousandths, unbroken

__all__ = [
    "UNITS",
    "Clipped",
    "Messages",
    "clip",
    "clipped",
    "counterfactual_lines",
    "counterfactual_text",
    "messages_for",
    "note_text",
    "number",
    "percent",
    "quoted",
    "shown",
    "thousandths",
    "unbroken",
]
