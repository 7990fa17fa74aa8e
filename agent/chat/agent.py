"""`ChatAgent`: a conversation with one user, for programs and for the terminal.

A turn goes through LangGraph: a tool call is selected (with the model's help where the examples do not
agree), the tool executes it, and every message is on disk before the next step begins.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langsmith import tracing_context

from ...models.embedder import Embedder
from ...models.langchain import ChatTanqu
from ...models.language_model import LanguageModel
from ...models.records import MAX_TEXT, Language
from ...models.scripted_model import ScriptedModel
from ..ranking import exploration_count
from ..recommender import Recommender
from .conversation_store import Conversation, chat_language, excess_messages, restored_messages
from .interruptible_model import InterruptibleModel, UsageTotals
from .langchain import build_graph
from .tool_calls import ChatState, ListedItem, Outcome
from .tool_selection import ToolSelector
from .toolbox import Toolbox

EventKind = Literal["tool", "text", "items", "done"]

_SMALL_TALK_TOKENS = 60


@dataclass(frozen=True, slots=True)
class ChatEvent:
    """A part of an answer as it is streamed.

    Attributes:
        kind: "tool" (a call was selected), "text" (a piece of the answer), "items" (the numbered list), and
            "done", always the last.
        text: the piece of text; of "done" the whole answer; of "tool" the tool's name.
        call: the arguments of the tool call, as JSON.
        items: the numbered list.
        outcome: what the tool returned.
        seconds: of "done", how long the answer took.
    """

    kind: EventKind
    text: str = ""
    call: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    items: tuple[ListedItem, ...] = ()
    outcome: Outcome | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: its text, its list, and the call that gave it (`tool` is empty where none was called)."""

    text: str
    items: tuple[ListedItem, ...] = ()
    tool: str = ""
    call: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    outcome: Outcome | None = None
    seconds: float = 0.0


class ChatAgent:
    """A conversation with one user, stored as it goes and continued at the next opening.

    Two agents of one user at once hold two conversations over one history and profile. Use an agent from one
    thread at a time; only `stop` may be called from another.
    """

    def __init__(
        self, recommender: Recommender, user: str, *, language: Language | None = None, fresh: bool = False
    ) -> None:
        """Open the user's conversation.

        Args:
            recommender: is never changed: the agent works on views of it, so several agents can share one.
            user: the user's id; it need not be known yet.
            language: of the answers, profile and reasons; by default the settings', else the history's.
            fresh: whether to delete the earlier conversation rather than continue it.
        """
        self.user = user
        self.language: Language = language or chat_language(recommender, user)
        self._shared = recommender
        self._explore = recommender.settings.explore
        self._conversation = Conversation(recommender.settings.home, user)
        self._model: InterruptibleModel | None = None
        self._to_close: list[Any] = []  # Any: models that can be closed, and recommenders
        self._streamed = False
        self._outcome: Outcome | None = None
        self.set_model(recommender.model)
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
    ) -> Self:
        """Open a home folder and the user's conversation in it; raises what `Recommender.open` raises.

        Args:
            home: the folder; None is that of the settings.
            user: the user's id.
            model: takes part in selecting calls, ranking and writing; None works without.
            embedder: by default the sentence encoder that comes along.
            language: of the answers; by default the settings', else the history's.

        Returns:
            The agent; `close` closes the recommender too, and leaves `model` open.
        """
        recommender = Recommender.open(home, model=model, embedder=embedder)
        agent = cls(recommender, user, language=language)
        agent._to_close.append(recommender)
        return agent

    # --- messages ------------------------------------------------------------------------------------

    def send(self, text: str) -> Reply:
        """Send a message and wait for the whole answer.

        Returns:
            The answer.

        Raises:
            TanquError: it could not be answered; the message is kept.
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
        """Send a message and get the answer as it comes.

        Yields:
            "tool", "text" and "items" events, and "done" at the end.

        Raises:
            TanquError: it could not be answered; the message is kept.
        """
        started = time.perf_counter()
        text = _storable(text)
        if self._model:
            self._model.resume()
        pieces: list[str] = []
        items: tuple[ListedItem, ...] = ()
        self._outcome = None
        for number, request in enumerate(self._selector.split(text)):
            # The message is stored once and whole; its second request runs without a message of its own.
            message = HumanMessage("" if number else text, additional_kwargs={"request": request})
            separator = [ChatEvent("text", "\n")] if number else []
            for event in chain(separator, self._run(message)):
                pieces += [event.text] if event.kind == "text" else []
                items = event.items or items
                yield event
        self._conversation.prune()
        seconds = time.perf_counter() - started
        yield ChatEvent("done", "".join(pieces), items=items, outcome=self._outcome, seconds=seconds)

    def stop(self) -> None:
        """End the running answer. Safe to call from a signal handler or another thread."""
        if self._model:
            self._model.stop()

    def transcript(self) -> list[tuple[str, str]]:
        """The conversation as (role, text) pairs, oldest first; the roles are "user" and "tanqu"."""
        return [
            ("user" if message.type == "human" else "tanqu", message.text)
            for message in self._messages()
            if message.text
        ]

    def clear(self) -> None:
        """Delete this conversation; the user's history and profile stay."""
        self._conversation.delete()
        self._toolbox.state = ChatState()

    def load(self, lines: Iterable[tuple[str, str]], state: ChatState) -> None:
        """Replace this conversation by an earlier one, given as `transcript` and `toolbox.state` returned it."""
        self.clear()
        with tracing_context(enabled=False):
            values = {"messages": restored_messages(lines, state)}
            self._graph.update_state(self._conversation.config, values)
        self._restore_state()

    # --- settings of the conversation ------------------------------------------------------------------

    def set_model(self, model: LanguageModel | None, *, owned: bool = False) -> None:
        """Continue with another model, or with None for none; an owned one is closed with the agent."""
        if owned:
            self._to_close.append(model)
        self._model = InterruptibleModel(model) if model else None
        self.set_language(self.language)

    def set_language(self, language: Language) -> None:
        """Continue in another language: answers, profile and reasons."""
        self.language = language
        self.recommender = self._view()
        self._toolbox = Toolbox(self.recommender, self.user, language)
        self._selector = ToolSelector(self._toolbox)
        # Without a model no message is left to it: the selector always answers by itself.
        writer = ChatTanqu(
            self._model or ScriptedModel(name="none"), max_tokens=_SMALL_TALK_TOKENS, owner=self.user
        )
        self._graph = build_graph(self._toolbox, self._selector, writer, self._conversation.saver)
        self._restore_state()

    @property
    def explore(self) -> float:
        """The share of each list that is from topics new for the user, 0 to 1."""
        return self._explore

    @explore.setter
    def explore(self, share: float) -> None:
        """Continue with another share; raises InputError if it is not between 0 and 1."""
        exploration_count(1, share)
        self._explore = share
        self.recommender = self._toolbox.recommender = self._view()

    # --- what the terminal shows -------------------------------------------------------------------

    @property
    def toolbox(self) -> Toolbox:
        """The tools of this conversation, for calling them directly."""
        return self._toolbox

    @property
    def usage(self) -> UsageTotals:
        """The model calls of this conversation since the model was set."""
        return self._model.usage if self._model else UsageTotals()

    @property
    def resumed(self) -> bool:
        """Whether the conversation has earlier messages."""
        return bool(self.transcript())

    @property
    def history_file(self) -> Path:
        """Where a terminal keeps the lines that this user typed."""
        return self._conversation.history_file

    def close(self) -> None:
        """Close the conversation, and whatever was opened for it."""
        self._conversation.close()
        for resource in reversed(self._to_close):
            resource.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # --- a turn --------------------------------------------------------------------------------------

    def _view(self) -> Recommender:
        """The recommender with this conversation's model, language and share of new topics."""
        update = {"language": self.language, "explore": self._explore}
        settings = self._shared.settings.model_copy(update=update)
        return self._shared.view(model=self._model, settings=settings)

    def _run(self, message: HumanMessage) -> Iterator[ChatEvent]:
        """Run the graph on one request."""
        given = {"messages": [*excess_messages(self._messages()), message]}
        modes = ["updates", "messages", "custom"]
        config = self._conversation.config
        stream = self._graph.stream(given, config, stream_mode=modes, durability="sync")
        for mode, piece in _untraced(stream):
            yield from self._events(mode, piece)

    def _events(self, mode: str, piece: Any) -> Iterator[ChatEvent]:  # Any: what LangGraph streams
        """The events of one streamed piece; in the mode "custom" it is a tool choice of the selector."""
        if mode == "custom":
            if piece.get("call"):
                yield ChatEvent("tool", str(piece["call"]["tool"]), call=piece["call"])
        elif mode == "messages":
            if isinstance(piece[0], AIMessageChunk) and piece[0].text:
                self._streamed = True
                yield ChatEvent("text", piece[0].text)
        else:
            for update in piece.values():
                for message in (update or {}).get("messages", []):
                    yield from self._message_events(message)

    def _message_events(self, message: object) -> Iterator[ChatEvent]:
        """The events of a finished message; one that was streamed has had its text already."""
        if isinstance(message, ToolMessage):
            outcome = self._toolbox.last if message.artifact else None
            self._outcome = outcome
            yield ChatEvent("text", outcome.text if outcome else message.text)
            if outcome and outcome.shown:
                yield ChatEvent("items", items=outcome.shown, outcome=outcome)
        elif isinstance(message, AIMessage) and not message.tool_calls:
            if not self._streamed:
                yield ChatEvent("text", message.text)
            self._streamed = False

    def _restore_state(self) -> None:
        """Set the toolbox to the state in which the stored conversation ended."""
        for message in reversed(self._messages()):
            artifact = getattr(message, "artifact", None)
            if artifact:
                self._toolbox.state = ChatState.model_validate(artifact["state"])
                return

    def _messages(self) -> list[Any]:  # Any: LangChain's messages
        return list(self._graph.get_state(self._conversation.config).values.get("messages", []))


def _storable(text: str) -> str:
    """The first 20,000 characters, without NULs and lone surrogates, which no database takes."""
    return text[:MAX_TEXT].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _untraced(pieces: Iterator[Any]) -> Iterator[Any]:  # Any: what LangGraph streams
    """The pieces, each computed with LangSmith's tracing off, whatever LANGSMITH_TRACING says.

    A conversation holds a user's words, and a tracer would send them off the machine.

    Yields:
        The pieces, in order.
    """
    while True:
        with tracing_context(enabled=False):
            try:
                piece = next(pieces)
            except StopIteration:
                return
        yield piece


__all__ = ["ChatAgent", "ChatEvent", "Reply"]
