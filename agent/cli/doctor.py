"""What is in force on this machine, and what it costs."""

import importlib.metadata
import platform
from pathlib import Path

import llama_cpp

from ...models.embedder import SentenceEmbedder
from ...models.engine import footprint
from ...models.engine_settings import EngineSettings, physical_cores
from ...models.errors import TanquError
from ...models.weights import find, weights_folder
from ..ranking import weights_in_force
from ..settings import Settings

_PACKAGES = ("tanqu", "llama-cpp-python", "llguidance", "chromadb", "langchain", "pydantic", "numpy")


def examine(settings: Settings) -> dict[str, object]:
    """Versions, hardware, model, embedder and home, each checked as far as that is cheap."""
    engine = settings.engine
    offloads = bool(llama_cpp.llama_supports_gpu_offload())
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "gpu_offload": offloads,
        "engine": {
            "threads": engine.threads or physical_cores(),
            "context": engine.context,
            "batch": engine.batch,
            "sequences": engine.rows,
            "kv_type": engine.kv_type,
            "flash_attention": engine.flash_attention,
            "gpu_layers": _gpu_layers(engine) if offloads else 0,
            "lora": str(engine.lora) if engine.lora else "none",
            "memory_map": engine.memory_map,
        },
        "model": _model(settings.model, engine),
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


def _gpu_layers(engine: EngineSettings) -> int | str:
    return "all" if engine.gpu_layers in (None, -1) else engine.gpu_layers or 0


def _model(name: str, engine: EngineSettings) -> dict[str, object]:
    """Where the model is, and what it costs with these settings, in bytes."""
    if name == "none":
        return {"name": name, "here": True}
    try:
        path: Path = find(name)
    except TanquError as error:
        return {"name": name, "here": False, "advice": str(error)}
    found = {"name": name, "here": True, "path": str(path)}
    try:
        needs = footprint(path, engine)
    except TanquError as error:  # of an architecture that llama.cpp does not know, or without its adapter
        return {**found, "advice": str(error)}
    return {**found, "context": needs.context, "bytes": needs.bytes}


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
    """The findings as indented lines; what is under `bytes` as KB and MB."""
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            inner = {name: _amount(one) for name, one in value.items()} if key == "bytes" else value
            lines += [f"{indent}{key}", told(inner, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(lines)


def _amount(size: int | None) -> str:
    if size is None:
        return "unknown: the file does not say"
    return f"{size / (1 << 20):,.0f} MB" if size >= 1 << 20 else f"{size / 1024:,.0f} KB"
