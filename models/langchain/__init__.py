"""Room."""

from .chat_model import ChatTanqu

__all__ = ["ChatTanqu"]
