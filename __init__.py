"""Tanqu 探趣: an explainable recommender on a local language model; the data never leaves the machine.

Everything a user needs is imported from here. Names are loaded when they are first used, so that
`import tanqu` and `tanqu --help` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .agent.chat import ChatAgent, as_retriever, as_tools, call_limits
    from .agent.recommender import Recommender
    from .agent.run import Run
    from .agent.settings import Settings, load_settings
    from .models.engine import open_model
    from .models.engine_settings import EngineSettings
    from .models.errors import TanquError
    from .models.langchain import ChatTanqu
    from .models.records import Event, Item, Profile

    __version__: str

_PLACES = {
    "ChatAgent": "agent.chat",
    "ChatTanqu": "models.langchain",
    "EngineSettings": "models.engine_settings",
    "Event": "models.records",
    "Item": "models.records",
    "Profile": "models.records",
    "Recommender": "agent.recommender",
    "Run": "agent.run",
    "Settings": "agent.settings",
    "TanquError": "models.errors",
    "as_retriever": "agent.chat",
    "as_tools": "agent.chat",
    "call_limits": "agent.chat",
    "load_settings": "agent.settings",
    "open_model": "models.engine",
}

__all__ = [
    "ChatAgent",
    "ChatTanqu",
    "EngineSettings",
    "Event",
    "Item",
    "Profile",
    "Recommender",
    "Run",
    "Settings",
    "TanquError",
    "__version__",
    "as_retriever",
    "as_tools",
    "call_limits",
    "load_settings",
    "open_model",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        found: object = version("tanqu")
    elif name in _PLACES:
        found = getattr(import_module(f".{_PLACES[name]}", __name__), name)
    else:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
