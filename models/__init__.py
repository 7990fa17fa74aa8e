"""The nouns (records) and the engines (language model, embedder), and which weight files there are."""

from pathlib import Path

import platformdirs

from .engine import EngineSettings, LlamaModel
from .weights import DEFAULT, find


def open_model(
    name: str | Path = DEFAULT, settings: EngineSettings | None = None, *, keep_prefixes: bool = True
) -> LlamaModel:
    """Open a model by listed name, Hub id or path. Takes seconds; close it when done.

    With `keep_prefixes`, prompts that were read once are kept on disk (0600) in the user's cache folder.

    Raises:
        WeightsError: it is not here (the message names the command that fetches it) or is damaged.
    """
    folder = platformdirs.user_cache_path("tanqu") / "prefixes" if keep_prefixes else None
    return LlamaModel(find(name), settings, folder)


__all__ = ["EngineSettings", "LlamaModel", "open_model"]
