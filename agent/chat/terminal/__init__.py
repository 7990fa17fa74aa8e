"""The chat in the terminal: lines in, answers as they come. May import: the chat."""

from .loop import talk

__all__ = ["talk"]
