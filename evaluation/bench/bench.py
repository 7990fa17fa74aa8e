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
    """Run the whole benchmark; it takes minutes.

    Returns:
        `{"machine", "model", "rows": {key: row}}`, rows as `sides.row` makes them.
    """
    rows: dict[str, Row] = {}
    parts: list[Callable[[Sides], dict[str, Row]]] = [
        generation_rows, many_rows, score_rows, grammar_rows, warm_prefix_rows, task_rows,
    ]  # fmt: skip
    outside = (disk_prefix_rows, memory_rows)
    total, report = len(parts) + len(outside), progress or (lambda _done, _total: None)
    threads = physical_cores()
    settings = EngineSettings()
    with tempfile.TemporaryDirectory() as folder, LlamaModel(path, settings) as model:
        theirs = llama_cpp.Llama(
            str(path), n_ctx=settings.context, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        sides = Sides(model, theirs, threads)
        report(0, total)
        for done, part in enumerate(parts, 1):
            rows |= part(sides)
            report(done, total)
        name = model.name
        del sides
        theirs.close()
        gc.collect()
        for done, measure in enumerate(outside, len(parts) + 1):
            rows |= measure(path, Path(folder))
            report(done, total)
    machine = f"{platform.machine()}, {threads} cores, {platform.system()}"
    return {"machine": machine, "model": name, "rows": {key: rows[key] for key in TARGETS if key in rows}}


def table(results: dict[str, Any]) -> str:
    """The rows as a table of text."""
    lines = [
        f"{results['model']} on {results['machine']}",
        f"{'row':20} {'ours':>9} {'theirs':>9} {'ratio':>8}  target",
    ]
    for key, row in results["rows"].items():
        sign = "<=" if key in AT_MOST else ">="
        verdict = "met" if row["meets"] else "SHORT"
        lines.append(
            f"{key:20} {row['ours']:9.4f} {row['theirs']:9.4f} {row['ratio']:8.2f}  {sign} {row['target']:g} {verdict}"
        )
    return "\n".join(lines)
