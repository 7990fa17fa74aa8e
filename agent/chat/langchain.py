"""The recommender for LangChain and LangGraph: tools, a retriever, and the agent behind the chat.

Tools return text for the model and an artifact (plain JSON) for code. Their schemas are made at the
moment of the call, so that the ids and interests which a grammar allows are those that exist then.
"""

import json
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware, ToolCallLimitMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import ConfigDict, Field, ValidationError

from ...models.errors import InputError, NotFoundError
from ...models.records import Language, Record
from ..recommender import Recommender
from . import calls
from .language import chat_language
from .toolbox import Toolbox
from .understanding import Chooser

MAX_MESSAGES = 400
"""Messages of a conversation that are kept."""

_KEPT_CHECKPOINTS = 8
_LISTED_IDS = 100
_RUN_LIMIT = 4


class LiveTool(StructuredTool):
    """A tool whose schema, at each look, names the items and interests that exist at that moment."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    toolbox: Any = Field(exclude=True)  # a Toolbox: pydantic would copy it
    kind: Any = Field(exclude=True)  # the record class of the tool's calls

    @property
    def tool_call_schema(self) -> dict[str, Any]:  # Any: a JSON schema
        """The arguments as a JSON schema."""
        return live_schema(self.kind, self.toolbox) | {"description": self.description}


def as_tools(
    recommender: Recommender, user: str, language: Language | None = None, toolbox: Toolbox | None = None
) -> list[BaseTool]:
    """The seven tools of the chat for an agent of one's own, for one user.

    They share a numbered list and conditions among themselves, as a conversation does. Errors that the
    caller can mend come back as the tool's text.
    """
    tools = toolbox or Toolbox(recommender, user, language or chat_language(recommender, user))
    return [_tool(kind, tools, direct=False) for kind in calls.TOOLS]


def _tool(kind: type[Record], toolbox: Toolbox, *, direct: bool) -> BaseTool:
    """A tool of the chat; a direct one ends the turn, and lets errors through to the person."""

    def carry_out(**arguments: Any) -> tuple[str, dict[str, Any]]:  # Any: checked by the record
        outcome = toolbox.carry_out(calls.CALL.validate_python({"tool": name, **arguments}))
        return outcome.content, artifact(outcome)

    def carry_out_for_a_model(**arguments: Any) -> tuple[str, dict[str, Any]]:  # Any: as above
        try:
            return carry_out(**arguments)
        except ValidationError as error:
            raise ToolException(_complaint(error)) from error
        except (InputError, NotFoundError) as error:
            raise ToolException(str(error)) from error

    name = str(kind.model_fields["tool"].default)
    return LiveTool(
        name=name,
        description=(kind.__doc__ or name).strip(),
        args_schema=_schema(kind),
        func=carry_out if direct else carry_out_for_a_model,
        response_format="content_and_artifact",
        return_direct=direct,
        handle_tool_error=not direct,
        toolbox=toolbox,
        kind=kind,
    )


def live_schema(kind: type[Record], toolbox: Toolbox) -> dict[str, Any]:
    """The JSON schema of a call's arguments, with the ids and interests that exist now as enumerations."""
    schema = _schema(kind)
    properties = schema["properties"]
    ids = list(toolbox.state.shown) or toolbox.recommender.catalogue.ids()[:_LISTED_IDS]
    if "items" in properties and ids:
        properties["items"]["items"] = {"enum": ids}
        properties["items"]["maxItems"] = len(ids)
    if "item" in properties and ids:
        properties["item"] = {"enum": [*ids, None], "description": "the id of the item"}
    profile = toolbox.profile
    if "interest" in properties:
        names = [one.keyword for one in profile.interests] if profile else []
        properties["interest"] = {"enum": [*names, None], "description": "the keyword of the interest"}
    return schema


def _schema(kind: type[Record]) -> dict[str, Any]:
    """The arguments of a call without the name of its tool."""
    schema = kind.model_json_schema()
    schema["properties"].pop("tool")
    return schema


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"the arguments are wrong: {where}: {first['msg']}"


def artifact(outcome: calls.Outcome) -> dict[str, Any]:
    """An outcome as plain JSON; items by their ids, since the catalogue has the rest."""
    plain: dict[str, Any] = json.loads(outcome.model_dump_json(exclude={"shown"}))
    plain["shown"] = [
        {
            "id": one.item.id, "title": one.item.title, "reason": one.reason, "interest": one.interest,
            "score": one.score, "seen": one.seen,
        }
        for one in outcome.shown
    ]  # fmt: skip
    return plain


def as_retriever(
    recommender: Recommender, user: str, k: int = 5, where: Mapping[str, object] | None = None
) -> BaseRetriever:
    """A LangChain retriever whose documents are the `k` best recommendations for a query."""
    return TanquRetriever(recommender=recommender, user=user, k=k, where=dict(where) if where else None)


class TanquRetriever(BaseRetriever):
    """Recommendations for one user as documents: content, and in the metadata id, score and reason."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    recommender: Any = Field(exclude=True)  # a Recommender: pydantic would copy it
    user: str
    k: int = 5
    where: dict[str, Any] | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        run = self.recommender.recommend(self.user, n=self.k, request=query, where=self.where)
        return [
            Document(
                id=pick.item.id,
                page_content=pick.item.content,
                metadata={
                    "id": pick.item.id,
                    "title": pick.item.title,
                    "score": pick.score,
                    "reason": pick.explanation.text,
                    "interest": pick.interest,
                    "evidence": list(pick.explanation.evidence),
                    **{name: _plain(value) for name, value in pick.item.attributes.items()},
                },
            )
            for pick in run.recommendations
        ]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


# --- the agent behind the chat ---------------------------------------------------------------------


class Choosing(AgentMiddleware[Any, Any]):
    """Stands in the place of the model's free choice: the chooser picks the call, code words the rest.

    Only small talk that no sentence of ours answers is written by the model, without tools and bound to
    plain words, so that it can name nothing.
    """

    def __init__(self, chooser: Chooser, toolbox: Toolbox) -> None:
        """Choose with `chooser` and speak with the words of `toolbox`."""
        super().__init__()
        self._chooser = chooser
        self._toolbox = toolbox

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | AIMessage:
        """Answer the last message of the user."""
        last = request.messages[-1]
        said = str(last.additional_kwargs.get("wish", last.text))
        choice = self._chooser.choose(said)
        call = choice.call.model_dump(mode="json") if choice.call else None
        request.runtime.stream_writer({"action": choice.action, "by": choice.by, "call": call})
        if choice.call is not None:
            arguments = choice.call.model_dump(mode="json", exclude={"tool"})
            asked = ToolCall(name=choice.call.tool, args=arguments, id=f"call_{uuid.uuid4().hex}")
            return AIMessage("", tool_calls=[asked])
        if choice.reply == "small_talk":
            return handler(self._plainly(request))
        return AIMessage(self._toolbox.words.say(choice.reply, **choice.values))

    def _plainly(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        words = self._toolbox.words
        return request.override(
            system_message=SystemMessage(words.say("persona")),
            messages=[request.messages[-1]],
            tools=[],
            model_settings={"response_format": {"type": "regex", "regex": words.say("small_talk_pattern")}},
        )


def build(
    toolbox: Toolbox, chooser: Chooser, model: BaseChatModel, saver: BaseCheckpointSaver[Any]
) -> Any:  # Any: a compiled graph has four type parameters of its own
    """The agent of a conversation; call limits end it should it ever run in circles."""
    return create_agent(
        model,
        [_tool(kind, toolbox, direct=True) for kind in calls.TOOLS],
        middleware=[Choosing(chooser, toolbox), *call_limits()],
        checkpointer=saver,
    )


def call_limits() -> list[AgentMiddleware[Any, Any]]:
    """What ends a turn of an agent that keeps calling: four calls of the model, or four of tools."""
    return [
        ModelCallLimitMiddleware(run_limit=_RUN_LIMIT, exit_behavior="end"),
        ToolCallLimitMiddleware(run_limit=_RUN_LIMIT, exit_behavior="end"),
    ]


def open_saver(folder: Path) -> SqliteSaver:
    """The conversations in a folder, in a SQLite file that only its owner can read."""
    path = folder / "conversations.db"
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, check_same_thread=False, timeout=15)
    # None: nothing but plain data and LangChain's own messages is ever read back.
    saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    saver.setup()
    return saver


def prune(saver: SqliteSaver, thread: str) -> None:
    """Drop all but the newest checkpoints of a conversation; each holds the whole of it."""
    keep = "SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? ORDER BY checkpoint_id DESC LIMIT ?"
    with saver.cursor() as cursor:
        for table in ("checkpoints", "writes"):
            cursor.execute(
                f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id NOT IN ({keep})",  # noqa: S608  # two fixed names
                (thread, thread, _KEPT_CHECKPOINTS),
            )


def surplus(messages: Sequence[Any]) -> list[RemoveMessage]:
    """What removes the oldest messages beyond the number that is kept."""
    return [RemoveMessage(id=str(one.id)) for one in messages[: max(0, len(messages) - MAX_MESSAGES)]]


def remembered(lines: Iterable[tuple[str, str]], state: calls.ChatState) -> list[AnyMessage]:
    """An earlier conversation as messages, with the state in which it ended."""
    told: list[AnyMessage] = [HumanMessage(text) if who == "user" else AIMessage(text) for who, text in lines]
    end = {"state": state.model_dump(mode="json")}
    return [*told, ToolMessage("", tool_call_id="remembered", artifact=end)]


__all__ = [
    "Choosing", "HumanMessage", "LiveTool", "TanquRetriever", "artifact", "as_retriever", "as_tools", "build",
    "call_limits",
    "live_schema", "open_saver", "prune", "remembered", "surplus",
]  # fmt: skip
