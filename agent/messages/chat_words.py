"""The chat's own sentences, in both languages."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from ...models.records import Item, Language
from ...models.text import clean
from .quoting import quoted

TITLE = 120
"""Characters of a title that are shown."""


class ChatWords:
    """One language's sentences. Values are printed as they are: clean what comes from outside."""

    def __init__(self, language: Language) -> None:
        """Read them from the package."""
        self.language = language
        self._table = _tables()[language]

    def say(self, key: str, **values: object) -> str:
        """One sentence with its values, in the singular where there is one for a count of 1.

        A key that does not exist is a KeyError.
        """
        one = f"{key}_one"
        key = one if values.get("count") == 1 and one in self._table else key
        return str(self._table[key]).format(**values)

    def table(self, key: str) -> Mapping[str, Any]:  # Any: words, or lists of words
        """A table of words, such as the names of fields."""
        found: Mapping[str, Any] = self._table[key]
        return found

    def title(self, item: Item) -> str:
        """An item's title as the language quotes it: 《》 only for works, and nothing in English."""
        return clean(item.title, TITLE) if self.language == "en" else quoted(item.title, item, self.language)

    def listed(self, parts: Sequence[str]) -> str:
        """The parts as one enumeration: "a, b and c"."""
        head, last = list(parts[:-1]), parts[-1] if parts else ""
        return str(self._table["joined"]).join(head) + (str(self._table["and"]) if head else "") + last


@cache
def _tables() -> dict[str, dict[str, Any]]:  # Any: sentences, and tables of them
    text = files(__package__).joinpath("chat_words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
