"""Files that only their owner can read, written whole or not at all."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from .errors import InputError


def write_text(path: Path, text: str) -> None:
    """Replace `path` in one step by a file that only its owner can read; raises InputError if it cannot be."""
    temporary = None
    try:
        # mkstemp makes the file 0600; in the same folder, so that the rename stays within one disk.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tanqu-", suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> InputError:
    """The error that a file which cannot be written raises."""
    return InputError(
        f"{path} cannot be written ({error.strerror}): choose a folder that exists and is yours"
    )


def safe_name(user: str) -> str:
    """A file name for a user id: its plain characters, and 12 hex digits of a hash that tells ids apart."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", user)[:40].strip("-")
    return f"{plain or 'user'}-{hashlib.sha256(user.encode()).hexdigest()[:12]}"
