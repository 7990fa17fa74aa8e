"""Prompt templates: one per task and language (`interest.zh.j2`, `interest.en.j2`), and what fills them.

In: the name of a template, a language, and values. Out: a `Prompt` whose values are data, never control tokens.
May import: models.
"""

from .templates import Prompts, item_line, render

__all__ = ["Prompts", "item_line", "render"]
