"""KV caches of prompt prefixes, in memory and on disk.

The key is a hash of the tokens and of everything that the KV cells depend on: weights, adapter, library,
cache type, and the steps in which the tokens were decoded. Files carry a checksum that is verified before
llama.cpp sees them, are readable by the account's owner alone, and lie in one folder per user so that a
user can be forgotten.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError

_MAGIC = b"TANQUKV2"
_SUFFIX, _PART = ".kv", ".part"
_ABANDONED = 3600.0  # seconds after which a half-written file was left by a crash
SHARED = "shared"
"""The folder of prefixes without data of a user."""


@dataclass(frozen=True, slots=True)
class CachedPrefix:
    """The KV cells of a prefix, and the user whose texts it holds."""

    owner: str
    state: bytearray


class PrefixCache:
    """An LRU cache of prefixes with a limit of bytes in memory and another on disk."""

    def __init__(self, kind: str, memory_bytes: int, folder: Path | None, disk_bytes: int) -> None:
        """Open the cache.

        Args:
            kind: the fingerprint of model and settings, part of every key.
            memory_bytes: limit in memory.
            folder: where files are kept; None keeps prefixes in memory only.
            disk_bytes: limit on disk.
        """
        self._kind = kind
        self._memory_bytes = memory_bytes
        self._disk_bytes = disk_bytes
        self._folder = folder
        self._entries: OrderedDict[str, CachedPrefix] = OrderedDict()
        self._held = 0
        self.hits = {"memory": 0, "disk": 0, "miss": 0}

    def get(self, tokens: Sequence[int], steps: Sequence[int], owner: str) -> bytearray | None:
        """The KV cells of exactly these tokens; a damaged or foreign file is removed.

        Args:
            tokens: token ids of the prefix.
            steps: lengths at which decoding it may be split, rising.
            owner: the user whose texts it holds, empty for none.

        Returns:
            The state as llama.cpp serialised it, or None where it is not kept.
        """
        key = self._key(tokens, steps, owner)
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            self.hits["memory"] += 1
            return entry.state
        state = self._read(self._path(key, owner), key) if self._folder else None
        self.hits["miss" if state is None else "disk"] += 1
        if state is not None:
            self._hold(key, CachedPrefix(owner, state))
        return state

    def put(self, tokens: Sequence[int], steps: Sequence[int], owner: str, state: bytearray) -> None:
        """Keep the KV cells of a prefix, in memory and on disk.

        Args:
            tokens: token ids of the prefix.
            steps: lengths at which decoding it may be split, rising.
            owner: the user whose texts it holds, empty for none.
            state: the cells as llama.cpp serialised them.
        """
        key = self._key(tokens, steps, owner)
        self._hold(key, CachedPrefix(owner, state))
        if self._folder:
            self._write(self._path(key, owner), key, state)
            self._trim(self._folder)

    def forget(self, owner: str) -> None:
        """Drop every prefix that holds texts of `owner`; raises ModelError if a file cannot be removed."""
        for key in [key for key, entry in self._entries.items() if entry.owner == owner]:
            self._held -= len(self._entries.pop(key).state)
        if self._folder:
            self._remove(self._owner_folder(owner))

    def takes(self, size: int) -> bool:
        """Whether a state of so many bytes fits the limits."""
        return size <= (max(self._memory_bytes, self._disk_bytes) if self._folder else self._memory_bytes)

    @property
    def held_bytes(self) -> int:
        """Bytes held in memory now."""
        return self._held

    @staticmethod
    def _remove(folder: Path) -> None:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            msg = f"the cached prompts of this user cannot be removed ({error}): delete {folder}"
            raise ModelError(msg) from error

    def _key(self, tokens: Sequence[int], steps: Sequence[int], owner: str) -> str:
        digest = hashlib.sha256(f"{self._kind}|{owner}|{list(steps)}|".encode(errors="replace"))
        digest.update(array("i", tokens).tobytes())
        return digest.hexdigest()

    def _hold(self, key: str, entry: CachedPrefix) -> None:
        old = self._entries.pop(key, None)
        self._held -= len(old.state) if old else 0
        if len(entry.state) > self._memory_bytes:
            return
        self._entries[key] = entry
        self._held += len(entry.state)
        while self._held > self._memory_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._held -= len(dropped.state)

    def _owner_folder(self, owner: str) -> Path:
        # The folder's name gives no name away: it is a hash.
        name = hashlib.sha256(owner.encode(errors="replace")).hexdigest()[:16] if owner else SHARED
        return (self._folder or Path()) / name

    def _path(self, key: str, owner: str) -> Path:
        return self._owner_folder(owner) / f"{key}{_SUFFIX}"

    def _read(self, path: Path, key: str) -> bytearray | None:
        head = len(_MAGIC) + hashlib.sha256().digest_size
        try:
            with path.open("rb") as file:
                start = file.read(head)
                state = bytearray(max(0, path.stat().st_size - head))
                whole = file.readinto(state) == len(state)
            os.utime(path)  # the time of use is the order of removal
        except OSError:
            return None
        if not whole or start != _MAGIC + _checksum(key, state):
            path.unlink(missing_ok=True)
            return None
        return state

    def _write(self, path: Path, key: str, state: bytearray) -> None:
        """Write through a temporary name; a full disk costs the cache, not the answer."""
        part: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=_PART, delete=False) as file:
                part = Path(file.name)  # a temporary file is 0600
                file.write(_MAGIC + _checksum(key, state))
                file.write(state)
            part.replace(path)
        except OSError:
            if part is not None:
                part.unlink(missing_ok=True)

    def _trim(self, folder: Path) -> None:
        """Remove the least recently used files until the rest fit, and what a crash left half-written."""
        files = []
        for path in folder.glob("*/*"):
            with contextlib.suppress(OSError):  # another process may remove files too
                status = path.stat()
                if path.suffix == _SUFFIX:
                    files.append((status.st_mtime, status.st_size, path))
                elif path.suffix == _PART and status.st_mtime < time.time() - _ABANDONED:
                    path.unlink()
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._disk_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def _checksum(key: str, state: bytearray) -> bytes:
    """Of the cells and of what they are the cells of."""
    digest = hashlib.sha256(key.encode())
    digest.update(state)
    return digest.digest()
