"""The chat: a conversation in which code selects tool calls, and tools execute them over the recommender.

In: a recommender, a user, and their messages in English or Chinese. Out: answers as events, lists with reasons,
and the same tools for LangChain agents; the conversation is on disk before an answer begins. Conditions are
parsed by rules, actions selected by rules, examples and the model. May import: everything below the command
line; it alone imports LangGraph.
"""

from .agent import ChatAgent, ChatEvent, Reply
from .condition_parser import parse_conditions
from .langchain import as_retriever, as_tools, call_limits
from .tool_calls import CALL, ListedItem

__all__ = [
    "CALL",
    "ChatAgent",
    "ChatEvent",
    "ListedItem",
    "Reply",
    "as_retriever",
    "as_tools",
    "call_limits",
    "parse_conditions",
]
