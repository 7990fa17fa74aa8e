"""The chat in the terminal, and in a pipe.

In: a recommender, a user, and lines. Out: answers as they are generated, and an exit code. May import: the chat.
"""

from .loop import talk

__all__ = ["talk"]
