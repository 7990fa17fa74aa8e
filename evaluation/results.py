"""How measurements are given out: figures as lines of text, and the file that `--json` names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..models.errors import InputError

Figure = dict[str, float]
"""A value as `mean`, with the bounds `low` and `high` of its 95 percent interval."""


def check_json_path(path: Path | None) -> Path | None:
    """The path, checked before the hours of measuring; raises InputError if no file can be there."""
    if path is not None and not path.parent.is_dir():
        msg = f"there is no folder {path.parent}: make it, or name another file with --json"
        raise InputError(msg)
    if path is not None and path.is_dir():
        msg = f"{path} is a folder: name a file in it with --json"
        raise InputError(msg)
    return path


JsonFile = Annotated[
    Path | None,
    typer.Option("--json", help="Write the figures to this file too.", callback=check_json_path),
]


def write_json(path: Path | None, results: Mapping[str, Any]) -> None:
    """Write results to a file, if one was named; raises InputError if it cannot be written."""
    if path is None:
        return
    try:
        path.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): name another file with --json"
        raise InputError(msg) from error


def figures_text(figures: Mapping[str, Figure]) -> str:
    """One line per figure: its name, its value, and its 95 percent interval."""
    return "\n".join(
        f"{name:30} {figure['mean']:8.3f}   [{figure['low']:.3f}, {figure['high']:.3f}]"
        for name, figure in figures.items()
    )


__all__ = ["Figure", "JsonFile", "check_json_path", "figures_text", "write_json"]
