"""The chat in the terminal: reads lines, answers them as they are generated, and runs slash commands."""

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from ....models.engine import open_model
from ....models.errors import InputError, TanquError
from ....models.files import write_text
from ....models.records import Language, Record
from ....models.text import clean
from ...recommender import Recommender
from ..agent import ChatAgent
from ..interruptible_model import Stopped
from ..tool_calls import ChatState
from .view import PlainView, RichView, View, session, show_notes, waiting, write_line

Read = Callable[[str], str]
"""Returns the next line; raises EOFError at the end of the input, KeyboardInterrupt on Ctrl-C."""

PROMPT = "› "
_LANGUAGES: dict[str, Language] = {"zh": "zh", "en": "en"}
_LEAVE = ("/exit", "/quit", "exit", "quit")


class SavedChat(Record):
    """A conversation as `/save` writes it."""

    format: str = "tanqu-chat-1"
    user: str
    lines: tuple[tuple[str, str], ...]
    state: ChatState


def talk(
    recommender: Recommender,
    user: str,
    read: Read | None = None,
    write: Callable[[str], None] | None = None,
) -> int:
    """Chat until the input ends or /exit.

    Args:
        recommender: the home to chat over.
        user: the user's id.
        read: returns the next line, in place of the terminal.
        write: is called with each line of output, in place of the terminal.

    Returns:
        The exit code: 0 at a normal end; without a terminal, 1 if a line could not be answered; 130 after
        Ctrl-C twice (without a terminal: once).
    """
    terminal = read is not None or (sys.stdin.isatty() and sys.stdout.isatty())
    view: View = PlainView(write or write_line) if write or not terminal else RichView()
    with ChatAgent(recommender, user) as agent:
        terminal_reader = read or (session(agent).prompt if terminal else _read_line)
        return Terminal(agent, view, terminal_reader, interactive=terminal).run()


class Terminal:
    """One conversation at a keyboard, or at a pipe."""

    def __init__(self, agent: ChatAgent, view: View, read: Read, *, interactive: bool = True) -> None:
        """Connect an agent to its input and output.

        Args:
            agent: answers the lines.
            view: shows the answers.
            read: returns the next line.
            interactive: whether a person types: Ctrl-C must then be pressed twice to leave.
        """
        self._agent = agent
        self._view = view
        self._read = read
        self._interactive = interactive
        self._seconds = 0.0
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _rest: self._say("help"),
            "/explore": self._explore,
            "/model": self._model,
            "/stats": lambda _rest: self._stats(),
            "/save": self._save,
            "/load": self._load,
            "/clear": lambda _rest: self._clear(),
            "/lang": self._language,
        }

    def run(self) -> int:
        """Greet, then answer line after line until the end; returns the exit code, as `talk` does."""
        self.greet()
        failed, interrupted = False, False
        while True:
            try:
                line = self._read(PROMPT).strip()
                interrupted = False
                if line in _LEAVE:
                    break
                if line:
                    self.answer(line)
            except EOFError:
                break
            except KeyboardInterrupt:
                if interrupted or not self._interactive:
                    return 130
                interrupted = True
                self._say("again_to_leave")
            except Stopped:
                self._say("stopped")
            except TanquError as error:
                failed = True
                self._say("error", text=clean(str(error), 1000))
        if self._interactive:
            self._say("bye")
        return 1 if failed and not self._interactive else 0

    def greet(self) -> None:
        """Show the user's id, the profile in two lines, and three messages to try."""
        agent, words = self._agent, self._agent.toolbox.words
        self._say("hello", user=clean(agent.user, 60))
        if agent.recommender.model is None:
            self._say("no_model")
        with waiting(self._view, words.say("thinking")):
            profile = agent.toolbox.profile
        if profile is None or not profile.interests:
            self._say("profile_none")
        else:
            names = [f"{interest.keyword} {interest.weight:.0%}" for interest in profile.positive[:5]]
            self._say("profile_first", interests=" · ".join(names))
            self._view.line(profile.summary)
        if agent.resumed:
            self._say("resumed")
        tries = words.table("tries_of")[agent.recommender.settings.scenario]
        self._view.line(f"{words.say('tries')} " + "  |  ".join(tries))

    def answer(self, line: str) -> None:
        """Answer a line; Ctrl-C stops the answer and keeps the line.

        Raises:
            TanquError: it could not be answered.
        """
        command, _, rest = line.partition(" ")
        if command in self._commands:
            self._commands[command](rest.strip())
        elif command == "/filter" and not rest.strip():
            self._view.line(self._agent.toolbox.conditions() or "—")
        else:
            with _stopping(self._agent):
                self._converse(line)

    def _converse(self, line: str) -> None:
        words = self._agent.toolbox.words
        with waiting(self._view, words.say("thinking")) as done:
            for event in self._agent.stream(line):
                if event.kind != "tool":
                    done()
                if event.kind == "text":
                    self._view.piece(event.text)
                elif event.kind == "items":
                    self._view.items(event.items, words)
                elif event.kind == "done":
                    self._view.end()
                    self._seconds = event.seconds
                    if event.outcome:
                        show_notes(self._view, event.outcome)

    def _say(self, key: str, **values: object) -> None:
        self._view.line(self._agent.toolbox.words.say(key, **values).strip())

    # --- commands of the terminal --------------------------------------------------------------------

    def _model(self, name: str) -> None:
        """Show the model, or continue with another one."""
        if name:
            with waiting(self._view, self._agent.toolbox.words.say("thinking")):
                self._agent.set_model(open_model(name, self._agent.recommender.settings.engine), owned=True)
            self._say("model_changed", name=clean(name, 80))
            return
        model = self._agent.recommender.model
        self._say("model_is", name=model.name) if model else self._say("no_model_now")

    def _stats(self) -> None:
        usage = self._agent.usage
        self._say(
            "stats",
            calls=usage.calls,
            prompt=usage.prompt_tokens,
            cached=usage.cached_tokens,
            output=usage.output_tokens,
            seconds=f"{usage.seconds:.1f}",
            last=f"{self._seconds:.1f}",
        )

    def _save(self, name: str) -> None:
        """Write the conversation to a file that only its owner can read."""
        path = self._path(name, "/save")
        agent = self._agent
        saved = SavedChat(user=agent.user, lines=tuple(agent.transcript()), state=agent.toolbox.state)
        write_text(path, saved.model_dump_json(indent=2))
        self._say("saved", file=path)

    def _load(self, name: str) -> None:
        """Continue a conversation that `/save` wrote."""
        path = self._path(name, "/load")
        try:
            saved = SavedChat.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            msg = f"{path} is no conversation that /save wrote: {clean(str(error), 200)}"
            raise InputError(msg) from error
        if saved.user != self._agent.user:
            msg = f"{path} is a conversation of user {clean(saved.user, 60)!r}: talk as that user to load it"
            raise InputError(msg)
        self._agent.load(saved.lines, saved.state)
        self._say("loaded", count=len(saved.lines))

    def _path(self, name: str, command: str) -> Path:
        if not name:
            raise InputError(self._agent.toolbox.words.say("need_file", command=command))
        return Path(name).expanduser()

    def _explore(self, share: str) -> None:
        """Show or set the share of each list that is from new topics: 0.3, or 30%."""
        if share:
            try:
                number = float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
                self._agent.explore = number
            except (ValueError, InputError) as error:
                raise InputError(
                    self._agent.toolbox.words.say("bad_share", share=clean(share, 20))
                ) from error
        self._say("explore_is", share=f"{self._agent.explore:.0%}")

    def _clear(self) -> None:
        self._agent.clear()
        self._say("cleared")

    def _language(self, name: str) -> None:
        if name and name not in _LANGUAGES:
            raise InputError(self._agent.toolbox.words.say("bad_language"))
        if name:
            self._agent.set_language(_LANGUAGES[name])
        self._say("language_is")


@contextlib.contextmanager
def _stopping(agent: ChatAgent) -> Iterator[None]:
    """Within the block, Ctrl-C stops the answer; a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        agent.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _read_line(_prompt: str) -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


__all__ = ["Read", "SavedChat", "Terminal", "talk"]
