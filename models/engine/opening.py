"""Opening a language model by name, and removing the cached prompts of a user."""

from pathlib import Path

import platformdirs

from ..engine_settings import EngineSettings
from ..weights import DEFAULT, find
from .llama_model import LlamaModel
from .prefix_cache import PrefixCache


def open_model(
    name: str | Path = DEFAULT, settings: EngineSettings | None = None, *, keep_prefixes: bool = True
) -> LlamaModel:
    """Open a model. Takes seconds; close it when done.

    Args:
        name: a listed name, a Hub id `owner/repo:file.gguf`, or the path of a GGUF file.
        settings: how to run it; None is the defaults.
        keep_prefixes: whether KV caches of prompt prefixes are kept on disk (mode 0600) in the user's
            cache folder.

    Returns:
        The model, safe to use from any thread.

    Raises:
        WeightsError: it is not here (the message names the command that fetches it) or is damaged.
        ModelError: llama.cpp cannot run it with these settings or on this processor.
    """
    return LlamaModel(find(name), settings, _prefixes() if keep_prefixes else None)


def forget_prefixes(owner: str) -> None:
    """Remove a user's cached prompts of every model from disk; no model is needed.

    Raises:
        ModelError: a file cannot be removed.
    """
    PrefixCache("", 0, _prefixes(), 0).forget(owner)


def _prefixes() -> Path:
    return platformdirs.user_cache_path("tanqu") / "prefixes"


__all__ = ["forget_prefixes", "open_model"]
