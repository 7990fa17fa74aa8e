"""`tanqu bench`: the engine against llama-cpp-python's own `Llama`, and against bare `llama_decode`.

All on this machine, in one run, with the model given. `Llama` gets its settings at their best: threads set,
its prefix match on, prompts as tokens. The bare loop is what nothing on this library can beat. Each side
is measured in turn, five times, and the medians are compared; a ratio above 1 says that ours is faster.
"""

import gc
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp

from ...models.engine import LlamaModel
from ...models.engine_settings import EngineSettings, physical_cores
from .engine import generation_rows, grammar_rows, many_rows, score_rows, warm_prefix_rows
from .processes import disk_prefix_rows, memory_rows
from .sides import AT_MOST, TARGETS, Row, Sides
from .tasks import task_rows

Progress = Callable[[int, int], object]


def run_bench(path: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Every row of the benchmark; minutes. The JSON is `{"machine", "model", "rows": {key: row}}`."""
    rows: dict[str, Row] = {}
    parts: list[Callable[[Sides], dict[str, Row]]] = [
        generation_rows, many_rows, score_rows, grammar_rows, warm_prefix_rows, task_rows,
    ]  # fmt: skip
    outside = (disk_prefix_rows, memory_rows)
    threads = physical_cores()
    settings = EngineSettings()
    with tempfile.TemporaryDirectory() as folder, LlamaModel(path, settings) as model:
        theirs = llama_cpp.Llama(
            str(path), n_ctx=settings.context, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        sides = Sides(model, theirs, threads)
        for done, part in enumerate(parts):
            rows |= part(sides)
            _tell(progress, done + 1, len(parts) + len(outside))
        name = model.name
        del sides
        theirs.close()
        gc.collect()
        for done, measure in enumerate(outside, len(parts) + 1):
            rows |= measure(path, Path(folder))
            _tell(progress, done, len(parts) + len(outside))
    machine = f"{platform.machine()}, {threads} cores, {platform.system()}"
    return {"machine": machine, "model": name, "rows": {key: rows[key] for key in TARGETS if key in rows}}


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def table(result: dict[str, Any]) -> str:
    """The rows as a person reads them."""
    lines = [
        f"{result['model']} on {result['machine']}",
        f"{'row':20} {'ours':>9} {'theirs':>9} {'ratio':>8}  target",
    ]
    for key, one in result["rows"].items():
        sign = "<=" if key in AT_MOST else ">="
        verdict = "met" if one["meets"] else "SHORT"
        lines.append(
            f"{key:20} {one['ours']:9.4f} {one['theirs']:9.4f} {one['ratio']:8.2f}  {sign} {one['target']:g} {verdict}"
        )
    return "\n".join(lines)
