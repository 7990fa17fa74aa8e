"""The file that `--json` names: looked at before the hours of measuring, and written after them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..models.errors import InputError


def checked(path: Path | None) -> Path | None:
    """The path; raises InputError if no file can be there."""
    if path is not None and not path.parent.is_dir():
        msg = f"there is no folder {path.parent}: make it, or name another file with --json"
        raise InputError(msg)
    if path is not None and path.is_dir():
        msg = f"{path} is a folder: name a file in it with --json"
        raise InputError(msg)
    return path


JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the figures to this file too.", callback=checked)
]


def write_json(path: Path | None, found: Mapping[str, Any]) -> None:
    """Write what was found, if a file was named; raises InputError if it cannot be written."""
    if path is None:
        return
    try:
        path.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): name another file with --json"
        raise InputError(msg) from error


__all__ = ["JsonFile", "checked", "write_json"]
