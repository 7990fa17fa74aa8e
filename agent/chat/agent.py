"""The agent one talks to: `ChatAgent` for programs, `talk` for people.

A turn goes through LangGraph: code chooses a call (with the model's help where examples do not agree),
a tool carries it out, and what was said is on disk before the next step begins.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from ...models.embedder import Embedder
from ...models.errors import CatalogueError
from ...models.language_model import LanguageModel
from ...models.records import MAX_TEXT, Language
from ...models.scripted_model import ScriptedModel
from ..ranking import exploration_count
from ..recommender import Recommender
from ..store import user_folder
from .calls import ChatState, Outcome, Shown
from .interruptible_model import Attended, Spent
from .language import chat_language
from .toolbox import Toolbox
from .understanding import Chooser

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite import SqliteSaver

Kind = Literal["tool", "text", "items", "done"]

_MOST_CHATS = 64


@dataclass(frozen=True, slots=True)
class ChatEvent:
    """A piece of an answer, as it comes.

    "tool" names the call (`call` has its arguments), "text" adds to what is said, "items" gives the list
    to show, "done" comes last with the whole text and what it cost.
    """

    kind: Kind
    text: str = ""
    call: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    items: tuple[Shown, ...] = ()
    outcome: Outcome | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: its text, its list, the call that gave it (`tool` is empty for a plain sentence)."""

    text: str
    items: tuple[Shown, ...] = ()
    tool: str = ""
    call: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    outcome: Outcome | None = None
    seconds: float = 0.0


class ChatAgent:
    """A conversation of one user, stored as it goes and taken up again where it was left.

    Two at once of the same user are two conversations over one memory. One thread at a time.
    """

    def __init__(
        self, recommender: Recommender, user: str, *, language: Language | None = None, fresh: bool = False
    ) -> None:
        """Talk over a recommender; `fresh` forgets the earlier conversation instead of going on with it.

        Until `close`, the recommender's model is attended: `stop` ends whatever it is doing.
        """
        from .langchain import open_saver

        self._home = recommender
        self.recommender = recommender  # replaced by a view with this conversation's model and settings
        self.user = user
        self._settings = recommender.settings
        self._explore = recommender.settings.explore
        self._model = recommender.model
        self._folder = user_folder(self._settings.home, user)
        self._thread, self._lock = _claim(self._folder, user)
        self._saver: SqliteSaver = open_saver(self._folder)
        self._engine: Attended | None = None
        self._to_close: list[Any] = []  # Any: models that can be closed, and recommenders
        self.language: Language = language or chat_language(recommender, user)
        self.use(self._model)
        if fresh:
            self.clear()

    @classmethod
    def open(
        cls,
        home: str | Path | None,
        user: str,
        *,
        model: LanguageModel | None = None,
        embedder: Embedder | None = None,
        language: Language | None = None,
    ) -> "ChatAgent":
        """Open a home folder and talk; raises what `Recommender.open` raises."""
        recommender = Recommender.open(home, model=model, embedder=embedder)
        agent = cls(recommender, user, language=language)
        agent._to_close.append(recommender)
        return agent

    # --- talking -----------------------------------------------------------------------------------

    def send(self, text: str) -> Reply:
        """Say something and wait for the whole answer.

        Raises:
            TanquError: it could not be answered; what was said is kept.
        """
        call: dict[str, Any] = {}
        for event in self.stream(text):
            if event.kind == "tool":
                call = event.call
            if event.kind == "done":
                tool = str(call.get("tool", ""))
                return Reply(event.text, event.items, tool, call, event.outcome, event.seconds)
        return Reply("")

    def stream(self, text: str) -> Iterator[ChatEvent]:
        """Say something and get the answer as it comes.

        Raises:
            TanquError: it could not be answered; what was said is kept.
        """
        from .langchain import HumanMessage, prune

        started = time.perf_counter()
        text = _storable(text)
        if self._engine:
            self._engine.go_on()
        said: list[str] = []
        shown: tuple[Shown, ...] = ()
        self._outcome = None
        wishes = self._chooser.parts(text)
        for number, wish in enumerate(wishes):
            # What was said is kept once and whole; the second wish is carried out without being said again.
            message = HumanMessage("" if number else text, additional_kwargs={"wish": wish})
            between = [ChatEvent("text", "\n")] if number else []
            for event in chain(between, self._run(message)):
                said += [event.text] if event.kind == "text" else []
                shown = event.items or shown
                yield event
        prune(self._saver, self._thread)
        seconds = time.perf_counter() - started
        yield ChatEvent("done", "".join(said), items=shown, outcome=self._outcome, seconds=seconds)

    def _run(self, message: Any) -> Iterator[ChatEvent]:  # Any: a HumanMessage
        """One turn of the graph."""
        from .langchain import surplus

        asked = {"messages": [*surplus(self._messages()), message]}
        modes = ["updates", "messages", "custom"]
        for mode, piece in self._graph.stream(asked, self._config, stream_mode=modes, durability="sync"):
            yield from self._events(mode, piece)

    def _events(self, mode: str, piece: Any) -> Iterator[ChatEvent]:  # Any: what LangGraph streams
        """What a piece of the graph's stream tells the listener."""
        from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

        if mode == "custom":
            if piece.get("call"):
                yield ChatEvent("tool", str(piece["call"]["tool"]), call=piece["call"])
            return
        if mode == "messages":
            if isinstance(piece[0], AIMessageChunk) and piece[0].text:
                self._streamed = True
                yield ChatEvent("text", piece[0].text)
            return
        for update in piece.values():
            for message in (update or {}).get("messages", []):
                if isinstance(message, ToolMessage):
                    yield from self._told(message)
                elif isinstance(message, AIMessage) and not message.tool_calls:
                    if not self._streamed:
                        yield ChatEvent("text", message.text)
                    self._streamed = False

    def _told(self, message: Any) -> Iterator[ChatEvent]:  # Any: a ToolMessage
        """The text and the list of a tool."""
        outcome = self._toolbox.last if message.artifact else None
        self._outcome = outcome
        yield ChatEvent("text", outcome.text if outcome else message.text)
        if outcome and outcome.shown:
            yield ChatEvent("items", items=outcome.shown, outcome=outcome)

    _streamed = False
    _outcome: Outcome | None = None

    # --- the conversation ----------------------------------------------------------------------------

    @property
    def toolbox(self) -> Toolbox:
        """What carries out the calls, for commands that make them directly."""
        return self._toolbox

    @property
    def spent(self) -> Spent:
        """What the model did in this conversation since it was opened."""
        return self._engine.spent if self._engine else Spent()

    @property
    def resumed(self) -> bool:
        """Whether something was said before this conversation was opened."""
        return bool(self.transcript())

    def transcript(self) -> list[tuple[str, str]]:
        """Who ("user" or "tanqu") said what, oldest first."""
        lines = []
        for message in self._messages():
            if message.text:
                lines.append(("user" if message.type == "human" else "tanqu", message.text))
        return lines

    def clear(self) -> None:
        """Forget this conversation; what the user did and likes stays remembered."""
        self._saver.delete_thread(self._thread)
        self._toolbox.state = ChatState()

    def stop(self) -> None:
        """End the answer that is being given. Safe to call from a signal handler or another thread."""
        if self._engine:
            self._engine.stop()

    @property
    def history_file(self) -> Path:
        """Where a terminal keeps the lines that this user typed."""
        return self._folder / "typed.history"

    def use(self, model: LanguageModel | None, *, owned: bool = False) -> None:
        """Go on with another model; an owned one is closed with the conversation."""
        if owned:
            self._to_close.append(model)
        self._engine = Attended(model) if model else None
        self.speak(self.language)

    def speak(self, language: Language) -> None:
        """Go on in a language."""
        from ...models.langchain import ChatTanqu
        from .langchain import build

        self.language = language
        recommender = self.recommender = self._view()
        self._toolbox = Toolbox(recommender, self.user, language)
        chooser = self._chooser = Chooser(self._toolbox, language, self._engine, recommender.prompts)
        # Without a model nothing asks it: the chooser leaves no sentence to it.
        engine = self._engine or ScriptedModel(name="none")
        spoken = ChatTanqu(engine, max_tokens=60, owner=self.user)
        self._graph = build(self._toolbox, chooser, spoken, self._saver)
        self._take_up()

    @property
    def explore(self) -> float:
        """The share of each list that is new for the user, 0 to 1."""
        return self._explore

    @explore.setter
    def explore(self, share: float) -> None:
        """Go on with another share; raises InputError if it is none."""
        exploration_count(1, share)
        self._explore = share
        self.recommender = self._toolbox.recommender = self._view()

    def _view(self) -> Recommender:
        """The recommender with the model, the language and the share of new topics of this conversation."""
        update = {"language": self.language, "explore": self._explore}
        return self._home.view(model=self._engine, settings=self._settings.model_copy(update=update))

    def restore(self, lines: Iterable[tuple[str, str]], state: ChatState) -> None:
        """Put an earlier conversation in the place of this one."""
        from .langchain import remembered

        self.clear()
        self._graph.update_state(self._config, {"messages": remembered(lines, state)})
        self._take_up()

    def close(self) -> None:
        """Let go of the conversation, and of the recommender if it was opened here."""
        self._saver.conn.close()
        self._lock.release()
        for one in reversed(self._to_close):
            one.close()

    def __enter__(self) -> "ChatAgent":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @property
    def _config(self) -> dict[str, Any]:  # Any: LangGraph's own configuration
        return {"configurable": {"thread_id": self._thread}, "recursion_limit": 12}

    def _take_up(self) -> None:
        """Take the list and the conditions from where the conversation was left."""
        for message in reversed(self._messages()):
            found = getattr(message, "artifact", None)
            if found:
                self._toolbox.state = ChatState.model_validate(found["state"])
                return

    def _messages(self) -> list[Any]:  # Any: LangChain's messages
        return list(self._graph.get_state(self._config).values.get("messages", []))


def _storable(text: str) -> str:
    """The first 20,000 characters, without NULs and halves of characters, which no database takes."""
    return text[:MAX_TEXT].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _claim(folder: Path, user: str) -> tuple[str, FileLock]:
    """The user's first conversation that no living process holds, and the lock on it."""
    for number in range(_MOST_CHATS):
        lock = FileLock(folder / f"chat-{number}.lock", mode=0o600)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return f"{folder.name}/{number}", lock
    msg = f"user {user!r} has {_MOST_CHATS} chats open: close one of them"
    raise CatalogueError(msg)


__all__ = ["ChatAgent", "ChatEvent", "Reply"]
