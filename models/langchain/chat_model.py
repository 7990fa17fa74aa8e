"""`ChatTanqu`: any `LanguageModel` as a LangChain chat model, for people who have their own agent.

Tool calls and structured outputs are bound by a grammar: they are well-formed whatever the model's size.
Every message is data to the engine, so that no text of a user or a tool can become a control token.
"""

import json
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, Field

from ..language_model import (
    Constraint,
    Generated,
    LanguageModel,
    Limits,
    Message,
    Prompt,
    Role,
    Segment,
    Usage,
    generate,
)
from .tool_calls import ToolChoice, choose, constraint_of

_END = object()


class ChatTanqu(BaseChatModel):
    """A LangChain chat model over the engine: streaming, tools, structured output, usage.

    Safe to call from several threads; calls are served one after another by the engine.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    engine: Any = Field(exclude=True, repr=False)  # a LanguageModel: pydantic cannot check a protocol
    model_name: str = ""
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    stop: list[str] | None = None
    owner: str = ""

    def __init__(self, engine: LanguageModel, **options: Any) -> None:
        """Speak with `engine`; `options` are the fields above (and LangChain's own, such as callbacks)."""
        super().__init__(engine=engine, **({"model_name": engine.name} | options))

    @property
    def _llm_type(self) -> str:
        return "tanqu"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """What tells one model from another in a trace or a cache."""
        return {
            "model_name": self.model_name,
            "fingerprint": self._engine.fingerprint,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    @property
    def _engine(self) -> LanguageModel:
        engine: LanguageModel = self.engine
        return engine

    def _resolve_model_profile(self) -> ModelProfile | None:
        return {
            "max_input_tokens": self._engine.context_tokens,
            "max_output_tokens": self.max_tokens,
            "tool_calling": True,
            "structured_output": True,
        }

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools it may or must call.

        Args:
            tools: functions, pydantic classes, LangChain tools, or OpenAI's dicts.
            tool_choice: "auto" (or None), "none", "any", "required" or True, a name, or OpenAI's dict.
            kwargs: passed on with each call (`response_format` among them).

        Returns:
            A runnable from messages to a message with tool calls.
        """
        bound = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=bound, tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Literal["function_calling", "json_schema", "json_mode"] = "json_schema",
        include_raw: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """The model with its output bound to a schema: a pydantic class, a TypedDict, or a JSON schema.

        Args:
            schema: what the output must look like.
            method: all are bound by the same grammar; "function_calling" wraps the output in a tool call.
            include_raw: return the message and a parsing error beside the parsed output.
            kwargs: `strict` is ignored: a grammar always is.

        Returns:
            A runnable from messages to a record of the schema.

        Raises:
            ValueError: another argument was given.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        kwargs.pop("strict", None)
        if kwargs:
            msg = f"unsupported arguments {sorted(kwargs)}"
            raise ValueError(msg)
        bound = self.bind(
            response_format={
                "type": "json_schema",
                "json_schema": {"schema": convert_to_json_schema(schema)},
            },
            ls_structured_output_format={"kwargs": {"method": method}, "schema": schema},
        )
        is_class = isinstance(schema, type) and issubclass(schema, BaseModel)
        parser: Any = PydanticOutputParser(pydantic_object=schema) if is_class else JsonOutputParser()
        if not include_raw:
            plain: Runnable[LanguageModelInput, dict[str, Any] | BaseModel] = bound | parser
            return plain
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
        ).with_fallbacks([RunnablePassthrough.assign(parsed=lambda _: None)], exception_key="parsing_error")
        return RunnableMap(raw=bound) | parsed

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = self._asked(messages, stop, kwargs)
        written, usage = generate(
            self._engine, asked.prompt, constraint=asked.constraint, limits=asked.limits
        )
        message = AIMessage(
            content=asked.content(written),
            tool_calls=asked.calls(written),
            usage_metadata=_usage(usage),
            response_metadata=self._metadata(written, usage),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """Text as it is written. A tool call comes in one piece: half an argument is of no use."""
        asked = self._asked(messages, stop, kwargs)
        with _Writing(self._engine, asked) as writing:
            for text in writing:
                if asked.choice is None:
                    yield _reported(AIMessageChunk(content=text), run_manager)
            written, usage = writing.result
        last = AIMessageChunk(
            content=asked.content(written) if asked.choice else "",
            tool_call_chunks=[
                tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=at)
                for at, call in enumerate(asked.calls(written))
            ],
            usage_metadata=_usage(usage),
            response_metadata=self._metadata(written, usage),
            chunk_position="last",
        )
        yield _reported(last, run_manager)

    def _asked(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> "_Asked":
        choice = choose(options.get("tools") or (), options.get("tool_choice"))
        form = options.get("response_format")
        constraint = constraint_of(form) if form and choice is None else None
        if choice is not None:
            constraint = Constraint(schema=choice.schema)
        limits = Limits(
            max_tokens=options.get("max_tokens", self.max_tokens),
            temperature=options.get("temperature", self.temperature),
            seed=options.get("seed", self.seed),
            stop=tuple(stop or self.stop or ()),
            priority=0,
            cancel=threading.Event(),
        )
        return _Asked(_prompt(messages, choice, self.owner), choice, constraint, limits)

    def _metadata(self, written: Generated, usage: Usage) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "finish_reason": written.finish,
            "seconds": usage.seconds,
        }


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call, ready for the engine."""

    prompt: Prompt
    choice: ToolChoice | None
    constraint: Constraint | None
    limits: Limits

    def content(self, written: Generated) -> str:
        """The text of the reply; empty for a tool call. A reply that was cut off is given as it is."""
        reply = self._reply(written)
        return written.text if reply is None else str(reply.get("answer", ""))

    def calls(self, written: Generated) -> list[ToolCall]:
        """The tool call of the reply, if it is one."""
        reply = self._reply(written)
        if reply is None or "tool" not in reply:
            return []
        return [ToolCall(name=reply["tool"], args=reply["args"], id=f"call_{uuid.uuid4().hex}")]

    def _reply(self, written: Generated) -> dict[str, Any] | None:
        """The reply as JSON; None without tools, or where the limit cut it off."""
        if self.choice is None:
            return None
        try:
            reply = json.loads(written.text)
        except json.JSONDecodeError:
            return None
        return reply if isinstance(reply, dict) else None


class _Writing:
    """Text of the engine as it comes: written on a thread of its own, which ends with the block."""

    def __init__(self, engine: LanguageModel, asked: _Asked) -> None:
        self.result: tuple[Generated, Usage]
        self._engine, self._asked = engine, asked
        self._pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()  # texts, then an error or _END
        self._thread = threading.Thread(target=self._write, name="tanqu-chat", daemon=True)

    def __enter__(self) -> "_Writing":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop the engine if the reader left before the end."""
        if self._asked.limits.cancel is not None:
            self._asked.limits.cancel.set()
        self._thread.join()

    def __iter__(self) -> Iterator[str]:
        while True:
            piece = self._pieces.get()
            if piece is _END:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def _write(self) -> None:
        asked = self._asked
        try:
            self.result = generate(
                self._engine,
                asked.prompt,
                constraint=asked.constraint,
                limits=asked.limits,
                on_text=self._pieces.put,
            )
            self._pieces.put(_END)
        except BaseException as error:  # whatever it is, the reader gets it
            self._pieces.put(error)


def _reported(chunk: AIMessageChunk, run_manager: CallbackManagerForLLMRun | None) -> ChatGenerationChunk:
    generation = ChatGenerationChunk(message=chunk)
    if run_manager:
        run_manager.on_llm_new_token(str(chunk.content), chunk=generation)
    return generation


def _usage(usage: Usage) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.prompt_tokens + usage.output_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
    )


def _prompt(messages: Sequence[BaseMessage], choice: ToolChoice | None, owner: str) -> Prompt:
    """The conversation as turns, system first; turns of one role that follow each other become one."""
    system = [_text(message) for message in messages if isinstance(message, SystemMessage)]
    turns: list[tuple[Role, str]] = []
    if choice is not None:
        system.append(choice.instructions)
    if system:
        turns.append(("system", "\n".join(system)))
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        role: Role = "assistant" if isinstance(message, AIMessage) else "user"
        text = _turn(message, with_tools=choice is not None)
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n{text}")
        else:
            turns.append((role, text))
    written = [Message(role, (Segment(text, data=True),)) for role, text in turns]
    if not written or written[-1].role != "assistant":
        written.append(Message("assistant", ()))
    return Prompt(tuple(written), owner)


def _turn(message: BaseMessage, *, with_tools: bool) -> str:
    """A message as the model reads it; its own former calls in the form in which it has to write them."""
    if isinstance(message, ToolMessage):
        return f"Result of {message.name or 'the tool'}: {_text(message)}"
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = [{"tool": call["name"], "args": call["args"]} for call in message.tool_calls]
        return "\n".join(json.dumps(call, ensure_ascii=False) for call in calls)
    if isinstance(message, AIMessage) and with_tools:
        return json.dumps({"answer": _text(message)}, ensure_ascii=False)
    return _text(message)


def _text(message: BaseMessage) -> str:
    """The text of a message; if its content is blocks, of its text blocks."""
    return message.text if isinstance(message.content, list) else str(message.content)


__all__ = ["ChatTanqu"]
