"""Room."""

from .agent import ChatAgent, ChatEvent
from .calls import CALL, Shown
from .constraints import understand
from .langchain import as_retriever, as_tools, call_limits
from .vocabulary import fold

__all__ = [
    "CALL",
    "ChatAgent",
    "ChatEvent",
    "Shown",
    "as_retriever",
    "as_tools",
    "call_limits",
    "fold",
    "understand",
]
