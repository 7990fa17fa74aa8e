"""Line editing: history, completion, multi-line input."""

from collections.abc import Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from ....models.text import clean
from ..agent import ChatAgent
from ..commands import TAKES_INTEREST, TAKES_ITEMS, TERMINAL_COMMANDS, TOOL_COMMANDS


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


__all__ = ["Suggestions", "session"]
