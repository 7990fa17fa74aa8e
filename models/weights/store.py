"""The weights folder: its path, the hashes of its files, the lock of a file that is being written."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import filelock
import platformdirs
from pydantic import ValidationError

from ..errors import WeightsError
from ..records import Record

CHUNK = 1 << 20
"""Bytes that are read or written at once."""


class Progress(Protocol):
    """Receives how far a fetch is: bytes done, bytes in all (0 where unknown), and what is being done."""

    def __call__(self, done: int, total: int, what: str, /) -> None:
        """Show it; called about once per MiB."""
        ...


class _Sidecar(Record):
    """The hash of a file when it had this size and time."""

    size: int
    mtime_ns: int
    sha256: str


def weights_folder() -> Path:
    """The folder of fetched weights: TANQU_MODELS, or `tanqu/models` in the user's cache folder."""
    chosen = os.environ.get("TANQU_MODELS")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("tanqu", False) / "models"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file; computed again only when its size or time has changed.

    Returns:
        64 hexadecimal digits, which are also kept in the weights folder.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        status = path.stat()
        with suppress(OSError, ValidationError):
            known = _Sidecar.model_validate_json(_sidecar(path).read_bytes())
            if (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
                return known.sha256
        digest = digest_of(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise WeightsError(msg) from error
    remember(path, digest, status)
    return digest


@contextmanager
def writing(target: Path, size: int, show: Progress) -> Iterator[None]:
    """Hold the lock of a file that is to be written.

    Args:
        target: the file; its folder is created.
        size: its size in bytes for the message of a full disk, 0 where unknown.
        show: is called where another process holds the lock.

    Raises:
        WeightsError: the file system refused something within the block.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(f"{target}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            show(0, size, f"waiting for another process that fetches {target.name}")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        need = f" It needs {megabytes(size)}: free" if size else " Free"
        msg = f"{target.name} cannot be written to {target.parent}: {error.strerror or error}."
        msg += f"{need} some room, or choose another folder with TANQU_MODELS or TANQU_DATA"
        raise WeightsError(msg) from error


def digest_of(path: Path, tick: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file, read now; `tick` receives the bytes done."""
    hashed, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
            done += len(chunk)
            if tick:
                tick(done)
    return hashed.hexdigest()


def remember(path: Path, digest: str, status: os.stat_result) -> None:
    """Keep the hash of a file, so that it need not be read again.

    Args:
        path: the file.
        digest: its SHA-256 in hexadecimal.
        status: its size and time when it was hashed.
    """
    with suppress(OSError):  # a folder that cannot be written to costs the time of hashing, no more
        record = _Sidecar(size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=digest)
        weights_folder().mkdir(parents=True, exist_ok=True)
        _sidecar(path).write_text(record.model_dump_json(), encoding="utf-8")


def size_of(path: Path) -> int:
    """The bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def megabytes(size: int) -> str:
    """A size in megabytes, for messages."""
    return f"{size / 1e6:,.0f} MB"


def silent(done: int, total: int, what: str, /) -> None:
    """Show nothing: the default progress.

    Args:
        done: ignored.
        total: ignored.
        what: ignored.
    """


def _sidecar(path: Path) -> Path:
    """Where the hash of a file is kept: in the weights folder, also for a file from elsewhere."""
    place = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:8]
    return weights_folder() / f"{path.name}.{place}.json"
