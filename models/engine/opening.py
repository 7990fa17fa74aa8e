"""Opening a language model by name, and forgetting what any of them kept of a user."""

from pathlib import Path

import platformdirs

from ..engine_settings import EngineSettings
from ..weights import DEFAULT, find
from .llama_model import LlamaModel
from .prefix_cache import PrefixCache


def open_model(
    name: str | Path = DEFAULT, settings: EngineSettings | None = None, *, keep_prefixes: bool = True
) -> LlamaModel:
    """Open a model by listed name, Hub id or path. Takes seconds; close it when done.

    With `keep_prefixes`, prompts that were read once are kept on disk (0600) in the user's cache folder.

    Raises:
        WeightsError: it is not here (the message names the command that fetches it) or is damaged.
    """
    return LlamaModel(find(name), settings, _prefixes() if keep_prefixes else None)


def forget_prefixes(owner: str) -> None:
    """Remove what any model kept on disk of a user's prompts; no model is needed.

    Raises:
        ModelError: a file cannot be removed.
    """
    PrefixCache("", 0, _prefixes(), 0).forget(owner)


def _prefixes() -> Path:
    return platformdirs.user_cache_path("tanqu") / "prefixes"


__all__ = ["forget_prefixes", "open_model"]
