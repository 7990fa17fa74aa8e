"""`tanqu doctor`: versions, settings in force, the model and what it costs on this machine."""

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import llama_cpp

from ...models.embedder import SentenceEmbedder
from ...models.engine import ModelChecker, footprint
from ...models.engine_settings import EngineSettings, physical_cores
from ...models.errors import TanquError
from ...models.weights import find, weights_folder
from ..messages import Messages, messages_for
from ..ranking import weights_in_force
from ..settings import Settings

_PACKAGES = ("tanqu", "llama-cpp-python", "llguidance", "chromadb", "langchain", "pydantic", "numpy")


def examine(settings: Settings, checker: ModelChecker | None = None) -> dict[str, object]:
    """Versions, hardware, model, embedder and home, each checked as far as that is cheap.

    Args:
        settings: what is in force.
        checker: knows the results of earlier trials of the engine; nothing is tried now.

    Returns:
        The findings by name, some of them tables; JSON can hold them.
    """
    messages = _messages(settings.language)
    engine = settings.engine
    offloads = bool(llama_cpp.llama_supports_gpu_offload())
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name, messages) for name in _PACKAGES},
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
        "model": _model(settings.model, engine, checker or ModelChecker(), messages),
        "weights_folder": str(weights_folder()),
        "embedder": _embedder(),
        "signal_weights": _signal_weights(settings),
        "home": str(settings.home),
        "home_exists": settings.home.is_dir(),
        "language": settings.language,
        "scenario": settings.scenario,
    }


def _messages(language: Literal["auto", "zh", "en"]) -> Messages:
    return messages_for("en" if language == "auto" else language, "doctor")


def _version(name: str, messages: Messages) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return messages["package_missing"]


def _gpu_layers(engine: EngineSettings) -> int | str:
    return "all" if engine.gpu_layers in (None, -1) else engine.gpu_layers or 0


def _model(name: str, engine: EngineSettings, checker: ModelChecker, messages: Messages) -> dict[str, object]:
    """Where the model is, and what it costs with these settings, in bytes."""
    if name == "none":
        return {"name": name, "here": True}
    try:
        path: Path = find(name)
    except TanquError as error:
        return {"name": name, "here": False, "advice": str(error)}
    model = {
        "name": name,
        "here": True,
        "path": str(path),
        "extra_buffers": _extra_buffers(path, engine, checker, messages),
    }
    try:
        needs = footprint(path, engine)
    except TanquError as error:  # of an architecture that llama.cpp does not know, or without its adapter
        return {**model, "advice": str(error)}
    return {**model, "context": needs.context, "bytes": needs.bytes}


def _extra_buffers(path: Path, engine: EngineSettings, checker: ModelChecker, messages: Messages) -> str:
    """Whether weights are repacked for this processor, and why."""
    check = checker.kept(path, engine)
    if engine.extra_buffers is not None:
        return messages["buffers_by_user"]
    if check is None:
        return messages["buffers_undecided"]
    if check.crashed_with:
        return messages.say("buffers_crashed", signal=check.crashed_with)
    if check.seconds_with is None or check.seconds_without is None:
        return messages["buffers_not_measured"]
    used, unused = f"{check.seconds_with:.1f}", f"{check.seconds_without:.1f}"
    key = "buffers_measured_on" if check.extra_buffers else "buffers_measured_off"
    return messages.say(key, used=used, unused=unused)


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


def as_lines(findings: Mapping[str, object], language: Literal["auto", "zh", "en"], indent: str = "") -> str:
    """The findings as indented lines; what is under `bytes` in KB and MB.

    Args:
        findings: what `examine` returned, or a table in it.
        language: of the words for a size that is not known.
        indent: blanks before each line.

    Returns:
        One line per finding, tables indented by two blanks.
    """
    lines = []
    for key, value in findings.items():
        if isinstance(value, dict):
            inner = {name: _size(size, language) for name, size in value.items()} if key == "bytes" else value
            lines += [f"{indent}{key}", as_lines(inner, language, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(lines)


def _size(size: int | None, language: Literal["auto", "zh", "en"]) -> str:
    if size is None:
        return _messages(language)["size_unknown"]
    return f"{size / (1 << 20):,.0f} MB" if size >= 1 << 20 else f"{size / 1024:,.0f} KB"
