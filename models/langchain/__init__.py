"""`ChatTanqu`: a local model as a LangChain chat model with tools, structured output and streaming.

In: a `LanguageModel`, LangChain messages, tools, a schema. Out: messages and tool calls that a grammar keeps
well-formed. Messages are data to the engine, never control tokens. May import: models.
"""

from .chat_model import ChatTanqu

__all__ = ["ChatTanqu"]
