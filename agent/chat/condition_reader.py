"""A message in the course of being parsed: what one step has read, the next ones do not see."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from ...models.records import Item
from ...models.text import fold
from .conditions import ParsedConditions, Reason, Rule, UncheckedCondition, merge
from .vocabulary import Vocabulary, bounded, phrase_tables

MAX_MESSAGE = 500
"""Characters of a message that are read."""

TAKEN = "\0"
"""Stands for characters that were read: fold leaves none, and no pattern takes it for a space."""


class Reader:
    """The text that is left to be read, and the conditions parsed so far."""

    def __init__(self, text: str, vocabulary: Vocabulary, shown: Sequence[Item], today: date | None) -> None:
        """Begin with a whole message.

        Args:
            text: the message; its first 500 characters are read.
            vocabulary: the fields and values of the catalogue.
            shown: the items that "cheaper" compares with.
            today: what "this year" refers to; None for the newest year of the catalogue.
        """
        self.text = fold(text[:MAX_MESSAGE])
        self.vocabulary = vocabulary
        self.shown = shown
        self.today = today
        self.parsed = ParsedConditions()
        self.cues: dict[str, str] = phrase_tables()["cues"]

    def take(self, start: int, end: int) -> str:
        """Mark a span as read and return its words."""
        words = self.text[start:end].replace(TAKEN, " ").strip()
        self.text = self.text[:start] + TAKEN * (end - start) + self.text[end:]
        return words

    def add(self, rule: Rule) -> None:
        """Add a condition; it replaces an earlier one about the same."""
        self.parsed = replace(self.parsed, rules=merge(self.parsed.rules, [rule]))

    def miss(self, words: str, reason: Reason) -> None:
        """Note words that look like a condition which cannot be checked."""
        missed = (*self.parsed.missed, UncheckedCondition(words, reason))
        self.parsed = replace(self.parsed, missed=missed)

    def cue(self, name: str) -> re.Match[str] | None:
        """The first occurrence of a cue of phrases.toml."""
        return bounded(self.cues[name]).search(self.text)


def plain_words(text: str) -> str:
    """What is left of a text, in one line."""
    return " ".join(text.replace(TAKEN, " ").split())


__all__ = ["MAX_MESSAGE", "TAKEN", "Reader", "plain_words"]
