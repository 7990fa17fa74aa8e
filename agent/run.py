"""A `Run` that can write its own report."""

from pathlib import Path

from ..models import records
from ..models.errors import InputError
from .report import load_run, write_report


class Run(records.Run):
    """One request, whole, with the reports of it. Needs no model and no database."""

    def save_html(self, path: str | Path) -> Path:
        """Write the report as one closed page (a name without `.html` gets it) and return its path."""
        return write_report(self, _ending(path, ".html"))

    def save_markdown(self, path: str | Path) -> Path:
        """Write the report as Markdown."""
        return write_report(self, _ending(path, ".md"))

    def save_json(self, path: str | Path) -> Path:
        """Write everything as JSON; `load` reads it back."""
        return write_report(self, _ending(path, ".json"))

    @classmethod
    def load(cls, path: str | Path) -> "Run":
        """Read a run that `save_json` wrote; raises NotFoundError or InputError."""
        return cls.model_validate(load_run(path).model_dump())


def _ending(path: str | Path, suffix: str) -> Path:
    """The path with this suffix after its name, if it has not got it; a dot in a name is no suffix."""
    target = Path(path)
    if not target.name:
        msg = f"{str(path)!r} names no file: give a name ending in {suffix}"
        raise InputError(msg)
    return target if target.suffix.lower() == suffix else target.with_name(target.name + suffix)
