"""A `Run` that can write its own report."""

from pathlib import Path

from ..models import records
from .report import load_run, write_report


class Run(records.Run):
    """One request, whole, with the reports of it. Needs no model and no database."""

    def save_html(self, path: str | Path) -> Path:
        """Write the report as one closed page; raises InputError if the path cannot be written."""
        return write_report(self, Path(path).with_suffix(".html"))

    def save_markdown(self, path: str | Path) -> Path:
        """Write the report as Markdown."""
        return write_report(self, Path(path).with_suffix(".md"))

    def save_json(self, path: str | Path) -> Path:
        """Write everything as JSON; `load` reads it back."""
        return write_report(self, Path(path).with_suffix(".json"))

    @classmethod
    def load(cls, path: str | Path) -> "Run":
        """Read a run that `save_json` wrote; raises NotFoundError or InputError."""
        return cls.model_validate(load_run(path).model_dump())
