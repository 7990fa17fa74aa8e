"""How an answer looks: a table on a terminal, plain lines in a pipe. Both print once and never redraw."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ....models.records import Item
from ....models.text import clean
from ...messages import Messages
from ..calls import Outcome, Shown

_REASON = 300


class View(Protocol):
    """Where a conversation is shown."""

    def line(self, text: str) -> None:
        """A whole line, or several."""

    def piece(self, text: str) -> None:
        """A part of an answer, as it comes; the next line begins where `line` or `items` is called."""

    def end(self) -> None:
        """End the line that pieces have begun, if one is open."""

    def items(self, shown: Sequence[Shown], words: Messages) -> None:
        """A numbered list."""

    def working(self, text: str) -> "Callable[[], None]":
        """Say that something is being done; the function that comes back ends that."""


class PlainView:
    """Lines without colours, for pipes and tests."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Write whole lines with `write`."""
        self._write = write
        self._open = ""

    def line(self, text: str) -> None:
        """Write a line."""
        self.end()
        self._write(text)

    def piece(self, text: str) -> None:
        """Collect pieces until the line is whole."""
        self._open += text

    def items(self, shown: Sequence[Shown], words: Messages) -> None:
        """One line for each item, and one for its reason."""
        self.end()
        for place, one in enumerate(shown, 1):
            self._write(f"{place}. {title_line(one, words)}")
            if one.reason:
                self._write(f"   {clean(one.reason, _REASON)}")

    def working(self, text: str) -> Callable[[], None]:
        """Say nothing: a pipe needs no patience."""
        return lambda: None

    def end(self) -> None:
        """Write the open line."""
        if self._open:
            self._write(self._open)
            self._open = ""


class RichView:
    """A terminal: colours unless NO_COLOR is set, a table for lists, a spinner while something is done."""

    def __init__(self, console: Console | None = None) -> None:
        """Print to stdout, or to `console`."""
        self._console = console or Console(highlight=False)
        self._in_line = False

    def line(self, text: str) -> None:
        """Print a line."""
        self.end()
        self._console.print(Text(text))

    def piece(self, text: str) -> None:
        """Print a part of a line at once."""
        self._console.print(Text(text), end="", soft_wrap=True)
        self._in_line = True

    def items(self, shown: Sequence[Shown], words: Messages) -> None:
        """A table: number, title with what is known and the reason under it, score."""
        self.end()
        table = Table(show_header=True, expand=False, padding=(0, 1), show_edge=False)
        number, title, score = words.table("columns")
        table.add_column(number, justify="right", style="bold")
        table.add_column(title, overflow="fold", ratio=1)
        table.add_column(score, justify="right")
        for place, one in enumerate(shown, 1):
            cell = Text(title_line(one, words), style="bold")
            if one.reason:
                cell.append(f"\n{clean(one.reason, _REASON)}", style="not bold dim")
            table.add_row(str(place), cell, "" if one.score is None else f"{one.score:.2f}")
        self._console.print(table)

    def working(self, text: str) -> Callable[[], None]:
        """A spinner with a word, until it is told to end."""
        status = self._console.status(escape(text), spinner="dots")
        status.start()
        return status.stop

    def end(self) -> None:
        """Go to the next line."""
        if self._in_line:
            self._console.print()
            self._in_line = False


@contextmanager
def patience(view: View, text: str) -> Iterator[Callable[[], None]]:
    """A sign of work within the block, or until the function is called."""
    done = view.working(text)
    try:
        yield done
    finally:
        done()


def title_line(one: Shown, words: Messages) -> str:
    """The title with year or price, and the interest it matches or that it is known."""
    marks = [_facts(one.item)]
    if one.interest:
        marks.append(f"[{clean(one.interest, 40)}]")
    if one.new_for_you:
        led = {name: clean(getattr(one.new_for_you, name), 40) for name in ("interest", "topic")}
        marks.append(f"[{words.say('new_for_you', **led)}]")
    if one.seen:
        marks.append(f"[{words.say('already_seen')}]")
    return "  ".join([clean(one.item.title, 120), *(mark for mark in marks if mark)])


def _facts(item: Item) -> str:
    known = item.attributes
    parts = [str(known[name]) for name in ("year", "published") if name in known]
    if "price" in known:
        parts.append(f"{known['price']} {known.get('currency', '')}".strip())
    return f"({', '.join(parts)})" if parts else ""


def tell(view: View, outcome: Outcome) -> None:
    """What a tool could not hold, and its notes."""
    for text in (*outcome.missed, *outcome.notes):
        view.line(f"· {text}")


def write_line(text: str) -> None:
    """A line on stdout, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


__all__ = ["PlainView", "RichView", "View", "patience", "tell", "title_line", "write_line"]
