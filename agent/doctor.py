"""What is in force on this machine, and what it costs."""

import importlib.metadata
import platform
from pathlib import Path

import llama_cpp

from ..models.embedder import SentenceEmbedder
from ..models.errors import TanquError
from ..models.llama import EngineSettings, physical_cores
from ..models.weights import find, weights_folder
from .ranking import weights_in_force
from .settings import Settings

_PACKAGES = ("tanqu", "llama-cpp-python", "llguidance", "chromadb", "langchain", "pydantic", "numpy")


def examine(settings: Settings) -> dict[str, object]:
    """Versions, hardware, model, embedder and home, each checked as far as that is cheap."""
    engine = EngineSettings()
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": engine.threads or physical_cores(),
        "gpu_offload": bool(llama_cpp.llama_supports_gpu_offload()),
        "engine": {
            "context": engine.context,
            "batch": engine.batch,
            "sequences": engine.rows,
            "kv_type": engine.kv_type,
            "flash_attention": engine.flash_attention,
            "memory_map": engine.memory_map,
        },
        "model": _model(settings.model),
        "weights_folder": str(weights_folder()),
        "embedder": _embedder(),
        "signal_weights": _signal_weights(settings),
        "home": str(settings.home),
        "home_exists": settings.home.is_dir(),
        "language": settings.language,
        "scenario": settings.scenario,
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing: run `pip install tanqu`"


def _model(name: str) -> dict[str, object]:
    if name == "none":
        return {"name": name, "here": True}
    try:
        path: Path = find(name)
    except TanquError as error:
        return {"name": name, "here": False, "advice": str(error)}
    return {"name": name, "here": True, "path": str(path), "bytes": path.stat().st_size}


def _embedder() -> dict[str, object]:
    try:
        embedder = SentenceEmbedder()
        return {"name": embedder.name, "dimensions": embedder.dimensions, "fingerprint": embedder.fingerprint}
    except TanquError as error:
        return {"advice": str(error)}


def _signal_weights(settings: Settings) -> dict[str, object]:
    """Which weights rank, and where they are from."""
    try:
        weights, path = weights_in_force(settings)
    except TanquError as error:
        return {"advice": str(error)}
    return {
        "from": str(path) if path else "Tanqu's own",
        "provenance": weights.provenance,
        "alpha": weights.alpha,
        **weights.weights,
    }


def told(found: dict[str, object], indent: str = "") -> str:
    """The findings as indented lines."""
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}", told(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(lines)
