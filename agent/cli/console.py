"""What the command line says: results on stdout; notes and progress on stderr.

Progress of a long command is a bar on a terminal. Elsewhere (a log, a pipe) it is plain lines: one at the start, one
for each tenth or every ten seconds, and the last.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

Clock = Callable[[], float]

EVERY = 10.0
"""Seconds after which the plain form says where it is, whether or not anything was done since."""

_BETWEEN = 1.0  # seconds between two lines for tenths: a quick job is a line at its start and one at its end
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def say(text: str) -> None:
    """Print a line on stderr, for the person at the terminal; what would steer the terminal is replaced."""
    err.print(_visible(text), markup=False, emoji=False, soft_wrap=True)


def _visible(text: str) -> str:
    """The text without control and direction marks: an error may quote anything."""
    return "".join(char if char == "\n" or not _STEERING.match(char) else "�" for char in text)


class _Display(Protocol):
    def show(self, label: str, done: int, total: int) -> None: ...


class Counter:
    """Reports how many of how many are done."""

    def __init__(self, display: _Display, label: str) -> None:
        """`label` names the work; nothing is shown before the first call."""
        self._display, self._label = display, label

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total`; call it with 0 at the start."""
        self._display.show(self._label, done, total)

    def then(self, label: str) -> "Counter":
        """A counter for the next work on the same display."""
        return Counter(self._display, label)


class Download:
    """Reports how many bytes of one file after another have arrived."""

    def __init__(self, display: _Display) -> None:
        """Nothing is shown before the first call."""
        self._display = display

    def __call__(self, done: int, total: int, what: str, /) -> None:
        """Show the state of a file.

        Args:
            done: bytes that are here.
            total: bytes in all, 0 if unknown.
            what: the name of the file.
        """
        self._display.show(what, done, total)


@contextmanager
def counting(label: str, every: float = EVERY) -> Iterator[Counter]:
    """A display of counted work, such as items to index.

    Args:
        label: names the work in a word or two.
        every: seconds between two plain lines where nothing else calls for one.

    Yields:
        What reports the progress.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _display(label, columns, _count_text, every) as display:
        yield Counter(display, label)


@contextmanager
def downloading(every: float = EVERY) -> Iterator[Download]:
    """A display of bytes that arrive; `every` is in seconds, as for `counting`."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with _display("download", columns, _bytes_text, every) as display:
        yield Download(display)


@contextmanager
def _display(
    label: str, columns: tuple[ProgressColumn, ...], amount: Callable[[int, int], str], every: float
) -> Iterator[_Display]:
    if err.is_terminal:
        with Progress(*columns, console=err) as bar:
            yield _Bars(bar)
        return
    lines = PlainLines(label, amount, every=every)
    with lines.ticking():
        yield lines


class _Bars:
    """A bar for each label."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def show(self, label: str, done: int, total: int) -> None:
        if label not in self._tasks:
            self._tasks[label] = self._bar.add_task(label, total=total or None)
        self._bar.update(self._tasks[label], completed=done, total=total or None)


class PlainLines:
    """Progress as lines of text."""

    def __init__(
        self,
        label: str,
        amount: Callable[[int, int], str],
        *,
        every: float = EVERY,
        clock: Clock = time.monotonic,
    ) -> None:
        """Prepare; nothing is printed.

        Args:
            label: names the work until `show` does.
            amount: words `done` and `total`.
            every: seconds after which a line is due.
            clock: seconds that only grow.
        """
        self._amount, self._every, self._clock = amount, every, clock
        self._lock = threading.Lock()
        self._label, self._done, self._total, self._tenth = label, 0, 0, -1
        self._shown = False
        self._started = self._last = clock()

    def show(self, label: str, done: int, total: int) -> None:
        """Take in the state, and print a line if one is due.

        Args:
            label: names the work; another one than before starts the clock again.
            done: how much is done.
            total: of how much, 0 if unknown.
        """
        with self._lock:
            if label != self._label or not self._shown:
                self._label, self._started, self._tenth, self._shown = label, self._clock(), -1, True
            self._done, self._total = done, total
            tenth = 10 * done // total if total else 0
            waited = self._clock() - self._last
            new_tenth = tenth > self._tenth and (waited >= _BETWEEN or tenth == 10)
            if self._tenth < 0 or waited >= self._every or new_tenth:
                self._tenth = tenth
                self._print()

    def tick(self) -> None:
        """Print a line if none was printed for `every` seconds."""
        with self._lock:
            if self._clock() - self._last >= self._every:
                self._print()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Call `tick` from a thread as long as the block runs."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(self._every / 4):
                self.tick()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _print(self) -> None:
        self._last = self._clock()
        seconds = self._last - self._started
        parts = [self._amount(self._done, self._total)] if self._done or self._total else []
        parts += [f"{seconds:.0f} s so far"] if seconds >= 1 else []
        if self._total and 0 < self._done < self._total and seconds >= 1:
            parts.append(f"about {seconds * (self._total - self._done) / self._done:.0f} s left")
        say(f"{self._label}: {', '.join(parts) or 'started'}")


def _count_text(done: int, total: int) -> str:
    return f"{done:,} of {total:,}" if total else f"{done:,}"


def _bytes_text(done: int, total: int) -> str:
    return f"{done >> 20:,} of {total >> 20:,} MB" if total else f"{done >> 20:,} MB"


__all__ = ["EVERY", "Counter", "Download", "PlainLines", "counting", "downloading", "err", "out", "say"]
