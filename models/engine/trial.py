"""A child process that opens a model and decodes: if the native code dies, the caller's process does not.

`python -m tanqu.models.engine.trial FILE SETTINGS` prints "decoded" after the first decode and then, unless
layers are on a GPU, the seconds of processor time that a typical request takes. `model_check` starts it.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..engine_settings import EngineSettings
from .context import Batch, Context
from .llama import Weights

TOKENS, SEQUENCES = 64, 8
READS, STEPS = 8, 4
"""A typical request: 512 prompt tokens read in decodes of 64, and 4 tokens written in each of 8 sequences."""
_REPEATS = 3
_ENOUGH = 2.0  # seconds after which a measurement is not repeated


def main(arguments: list[str]) -> None:
    """Open the file, decode once, and measure."""
    _no_core_file()
    settings = EngineSettings(**json.loads(arguments[1]))
    weights = Weights(Path(arguments[0]), settings)
    context = Context(weights, settings)
    context.decode(_tokens(1))
    print("decoded", flush=True)  # noqa: T201 - the parent reads it
    if not weights.gpu_layers:
        print(request_seconds(context))  # noqa: T201
    weights.close()


def request_seconds(context: Context) -> float:
    """Seconds of this thread's processor time for a typical request; other processes count little."""
    reading = min(_seconds(context, _tokens(TOKENS)) for _ in _repeats())
    step = min(_seconds(context, _step(SEQUENCES)) for _ in _repeats())
    return READS * reading + STEPS * step


def _repeats() -> Iterator[int]:
    started = time.thread_time()
    for number in range(_REPEATS):
        if number and time.thread_time() - started > _ENOUGH:
            return
        yield number


def _seconds(context: Context, batch: Batch) -> float:
    context.clear()
    started = time.thread_time()
    context.decode(batch)
    return time.thread_time() - started


def _tokens(count: int) -> Batch:
    """The first tokens of the vocabulary as one sequence."""
    return Batch(list(range(count)), list(range(count)), [(0,)] * count, [False] * (count - 1) + [True])


def _step(sequences: int) -> Batch:
    """One token for each of several sequences."""
    return Batch(
        list(range(sequences)), [0] * sequences, [(at,) for at in range(sequences)], [True] * sequences
    )


def _no_core_file() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(sys.argv[1:])
