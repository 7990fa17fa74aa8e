"""The recommender for LangChain and LangGraph: tools, a retriever, and the graph behind the chat.

Tools return text for the model and an artifact (plain JSON) for code. Their schemas are built at the time
of the call, so that a grammar allows exactly the ids and interests that exist then.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware, ToolCallLimitMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, SystemMessage, ToolCall
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.checkpoint.base import BaseCheckpointSaver
from pydantic import ConfigDict, Field, ValidationError

from ...models.errors import InputError, NotFoundError
from ...models.records import Language, Record
from ..recommender import Recommender
from . import tool_calls as calls
from .conversation_store import chat_language
from .tool_selection import ToolSelector
from .toolbox import Toolbox

_LISTED_IDS = 100
_RUN_LIMIT = 4


class LiveTool(StructuredTool):
    """A tool whose schema, whenever it is read, lists the items and interests that exist at that moment."""

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
    """The seven tools of the chat for an agent of your own.

    Args:
        recommender: carries out the calls.
        user: the user for whom they are carried out.
        language: of the answers; by default the settings', else the history's.
        toolbox: whose numbered list and conditions the tools share; by default one of their own.

    Returns:
        One tool per call type, in the order of `TOOLS`. An error that the caller can correct comes back as the
        text of the tool.
    """
    tools = toolbox or Toolbox(recommender, user, language or chat_language(recommender, user))
    return [_tool(kind, tools, direct=False) for kind in calls.TOOLS]


def _tool(kind: type[Record], toolbox: Toolbox, *, direct: bool) -> BaseTool:
    """A tool of the chat; a direct one ends the turn and raises its errors."""

    def execute(**arguments: Any) -> tuple[str, dict[str, Any]]:  # Any: checked by the record
        outcome = toolbox.execute(calls.CALL.validate_python({"tool": name, **arguments}))
        return outcome.content, artifact(outcome)

    def execute_for_model(**arguments: Any) -> tuple[str, dict[str, Any]]:  # Any: as above
        try:
            return execute(**arguments)
        except ValidationError as error:
            raise ToolException(_complaint(error)) from error
        except (InputError, NotFoundError) as error:
            raise ToolException(str(error)) from error

    name = str(kind.model_fields["tool"].default)
    return LiveTool(
        name=name,
        description=(kind.__doc__ or name).strip(),
        args_schema=_schema(kind),
        func=execute if direct else execute_for_model,
        response_format="content_and_artifact",
        return_direct=direct,
        handle_tool_error=not direct,
        toolbox=toolbox,
        kind=kind,
    )


def live_schema(kind: type[Record], toolbox: Toolbox) -> dict[str, Any]:
    """The JSON schema of a call's arguments, with the ids and interests that exist now as enumerations.

    Returns:
        The schema without the name of the tool.
    """
    schema = _schema(kind)
    properties = schema["properties"]
    ids = list(toolbox.state.shown) or toolbox.recommender.catalogue.ids(_LISTED_IDS)
    if "items" in properties and ids:
        properties["items"]["items"] = {"enum": ids}
        properties["items"]["maxItems"] = len(ids)
    if "item" in properties and ids:
        properties["item"] = {"enum": [*ids, None], "description": "the id of the item"}
    profile = toolbox.profile
    if "interest" in properties:
        names = [interest.keyword for interest in profile.interests] if profile else []
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
    """An outcome as plain JSON; items are reduced to id and title, since the catalogue has the rest."""
    plain: dict[str, Any] = json.loads(outcome.model_dump_json(exclude={"shown"}))
    fields = {"reason", "interest", "score", "seen"}
    plain["shown"] = [
        {"id": listed.item.id, "title": listed.item.title} | listed.model_dump(mode="json", include=fields)
        for listed in outcome.shown
    ]
    return plain


def as_retriever(
    recommender: Recommender, user: str, k: int = 5, where: Mapping[str, object] | None = None
) -> BaseRetriever:
    """A LangChain retriever over the recommendations for a query.

    Args:
        recommender: makes the recommendations.
        user: the user for whom they are made.
        k: how many documents a query returns, 1 to 100.
        where: a filter that every document passes, such as {"price": {"$lte": 50}}.

    Returns:
        The retriever; its documents carry the item's content, and id, score and reason as metadata.
    """
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


# --- the graph behind the chat ---------------------------------------------------------------------


class ToolSelectionMiddleware(AgentMiddleware[Any, Any]):
    """Replaces the model's free generation: the selector selects the call, and messages of ours answer the rest.

    The model writes only small talk for which there is no message, without tools and constrained to plain
    words, so that it can name nothing.
    """

    def __init__(self, selector: ToolSelector, toolbox: Toolbox) -> None:
        """Select with `selector` and answer with the messages of `toolbox`."""
        super().__init__()
        self._selector = selector
        self._toolbox = toolbox

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | AIMessage:
        """Answer the last message of the user."""
        last = request.messages[-1]
        choice = self._selector.select(str(last.additional_kwargs.get("request", last.text)))
        call = choice.call.model_dump(mode="json") if choice.call else None
        request.runtime.stream_writer({"action": choice.action, "by": choice.decided_by, "call": call})
        if choice.call is not None:
            arguments = choice.call.model_dump(mode="json", exclude={"tool"})
            tool_call = ToolCall(name=choice.call.tool, args=arguments, id=f"call_{uuid.uuid4().hex}")
            return AIMessage("", tool_calls=[tool_call])
        if choice.reply == "small_talk":
            return handler(self._small_talk(request))
        return AIMessage(self._toolbox.words.say(choice.reply, **choice.values))

    def _small_talk(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        words = self._toolbox.words
        return request.override(
            system_message=SystemMessage(words.say("persona")),
            messages=[request.messages[-1]],
            tools=[],
            model_settings={"response_format": {"type": "regex", "regex": words.say("small_talk_pattern")}},
        )


def build_graph(
    toolbox: Toolbox, selector: ToolSelector, model: BaseChatModel, saver: BaseCheckpointSaver[Any]
) -> Any:  # Any: a compiled graph has four type parameters of its own
    """The LangGraph agent of a conversation.

    Args:
        toolbox: executes the tool calls.
        selector: selects the tool call for each message.
        model: writes small talk.
        saver: stores the conversation.

    Returns:
        The compiled graph.
    """
    return create_agent(
        model,
        [_tool(kind, toolbox, direct=True) for kind in calls.TOOLS],
        middleware=[ToolSelectionMiddleware(selector, toolbox), *call_limits()],
        checkpointer=saver,
    )


def call_limits() -> list[AgentMiddleware[Any, Any]]:
    """Middleware that ends the turn of an agent that keeps calling: after four model calls or four tool calls."""
    return [
        ModelCallLimitMiddleware(run_limit=_RUN_LIMIT, exit_behavior="end"),
        ToolCallLimitMiddleware(run_limit=_RUN_LIMIT, exit_behavior="end"),
    ]


__all__ = [
    "LiveTool",
    "TanquRetriever",
    "ToolSelectionMiddleware",
    "artifact",
    "as_retriever",
    "as_tools",
    "build_graph",
    "call_limits",
    "live_schema",
]
