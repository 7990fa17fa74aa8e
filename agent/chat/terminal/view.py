"""How answers are shown: a table on a terminal, plain lines in a pipe. Both print once and never redraw."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ....models.records import Item
from ....models.text import clean
from ...messages import Messages
from ..agent import ChatAgent
from ..commands import TAKES_INTEREST, TAKES_ITEMS, TERMINAL_COMMANDS, TOOL_COMMANDS
from ..tool_calls import ListedItem, Outcome


class Suggestions(Completer):
    """Commands after "/", items after those that take one, interests after those that take one."""

    def __init__(self, agent: ChatAgent) -> None:
        """Complete for one conversation."""
        self._agent = agent

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What may stand at the cursor."""
        before = document.text_before_cursor
        if not before.startswith("/"):
            return
        command, space, rest = before.partition(" ")
        if not space:
            for name in (*TOOL_COMMANDS, *TERMINAL_COMMANDS):
                if name.startswith(command):
                    yield Completion(name, start_position=-len(command))
            return
        word = rest.split(" ")[-1]
        for text, shown in self._arguments(command):
            if text.startswith(word) or word in shown:
                yield Completion(text, start_position=-len(word), display=shown)

    def _arguments(self, command: str) -> list[tuple[str, str]]:
        tools = self._agent.toolbox
        if command in TAKES_ITEMS:
            titles = (clean(item.title, 60) for item in tools.shown)
            return [(str(place), f"{place} {title}") for place, title in enumerate(titles, 1)]
        if command in TAKES_INTEREST and tools.profile:
            return [(interest.keyword, interest.keyword) for interest in tools.profile.interests]
        if command == "/report":
            return [(form, form) for form in ("html", "md", "json")]
        return [("zh", "zh"), ("en", "en")] if command == "/lang" else []


def session(agent: ChatAgent) -> "PromptSession[str]":
    """Lines from the terminal: history that only its owner can read, completion, Alt-Enter for a new line."""
    path = agent.history_file
    path.touch(mode=0o600)
    bindings = KeyBindings()

    @bindings.add("escape", "enter")
    def _break(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return PromptSession(
        history=FileHistory(str(path)),
        completer=Suggestions(agent),
        complete_while_typing=False,
        enable_history_search=True,
        key_bindings=bindings,
        prompt_continuation="  ",
    )


_REASON = 300


class View(Protocol):
    """Where a conversation is shown."""

    def line(self, text: str) -> None:
        """A whole line, or several."""

    def piece(self, text: str) -> None:
        """A part of an answer, as it comes; the next line begins where `line` or `items` is called."""

    def end(self) -> None:
        """End the line that pieces have begun, if one is open."""

    def items(self, shown: Sequence[ListedItem], words: Messages) -> None:
        """A numbered list."""

    def working(self, text: str) -> "Callable[[], None]":
        """Show that work is in progress; the returned function ends it."""


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

    def items(self, shown: Sequence[ListedItem], words: Messages) -> None:
        """One line for each item, and one for its reason."""
        self.end()
        for place, listed in enumerate(shown, 1):
            self._write(f"{place}. {title_line(listed, words)}")
            if listed.reason:
                self._write(f"   {clean(listed.reason, _REASON)}")

    def working(self, text: str) -> Callable[[], None]:
        """Say nothing: a pipe needs no waiting."""
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

    def items(self, shown: Sequence[ListedItem], words: Messages) -> None:
        """A table: number, title with what is known and the reason under it, score."""
        self.end()
        table = Table(show_header=True, expand=False, padding=(0, 1), show_edge=False)
        number, title, score = words.table("columns")
        table.add_column(number, justify="right", style="bold")
        table.add_column(title, overflow="fold", ratio=1)
        table.add_column(score, justify="right")
        for place, listed in enumerate(shown, 1):
            cell = Text(title_line(listed, words), style="bold")
            if listed.reason:
                cell.append(f"\n{clean(listed.reason, _REASON)}", style="not bold dim")
            table.add_row(str(place), cell, "" if listed.score is None else f"{listed.score:.2f}")
        self._console.print(table)

    def working(self, text: str) -> Callable[[], None]:
        """A spinner with a text, until the returned function is called."""
        status = self._console.status(escape(text), spinner="dots")
        status.start()
        return status.stop

    def end(self) -> None:
        """Go to the next line."""
        if self._in_line:
            self._console.print()
            self._in_line = False


@contextmanager
def waiting(view: View, text: str) -> Iterator[Callable[[], None]]:
    """Show that work is in progress within the block, or until the yielded function is called."""
    done = view.working(text)
    try:
        yield done
    finally:
        done()


def title_line(listed: ListedItem, words: Messages) -> str:
    """The title with year or price, the interest that it matches, and whether the user has consumed it."""
    marks = [_facts(listed.item)]
    if listed.interest:
        marks.append(f"[{clean(listed.interest, 40)}]")
    if listed.new_for_you:
        led = {name: clean(getattr(listed.new_for_you, name), 40) for name in ("interest", "topic")}
        marks.append(f"[{words.say('new_for_you', **led)}]")
    if listed.seen:
        marks.append(f"[{words.say('already_seen')}]")
    return "  ".join([clean(listed.item.title, 120), *(mark for mark in marks if mark)])


def _facts(item: Item) -> str:
    known = item.attributes
    parts = [str(known[name]) for name in ("year", "published") if name in known]
    if "price" in known:
        parts.append(f"{known['price']} {known.get('currency', '')}".strip())
    return f"({', '.join(parts)})" if parts else ""


def show_notes(view: View, outcome: Outcome) -> None:
    """Show the conditions that a tool could not check, and its notes."""
    for text in (*outcome.missed, *outcome.notes):
        view.line(f"· {text}")


def write_line(text: str) -> None:
    """A line on stdout, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
