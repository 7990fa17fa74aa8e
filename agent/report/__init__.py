"""Reports of a run: a page (HTML), Markdown, and JSON from which both can be written again.

In: a `Run` and a path. Out: one file per run that loads nothing from outside, and an index of many.
The numbers and sentences are prepared as `Page` records; the Jinja templates only lay them out.
May import: models, and of the agent messages and explanation.
"""

from .writing import environment, load_run, page_name, write_index, write_report

__all__ = ["environment", "load_run", "page_name", "write_index", "write_report"]
