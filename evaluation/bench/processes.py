"""The benchmark's rows that need a process of their own: a prefix from disk, and peak memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...models.engine import LlamaModel
from ...models.engine_settings import EngineSettings
from ...models.language_model import Constraint, Limits, Message, Prompt, generate
from .measuring import peak_mb, timed
from .sides import PREFIX, REPEATS, TARGETS, WORDS, Row, Sides, continuations, conversation, of_length, row

_CHILD = """
import json, sys, time
from pathlib import Path
from tanqu.evaluation.bench.processes import first_tokens, whole_use
print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))))
"""


def _child(name: str, path: Path, folder: Path) -> Any:  # whatever the function gives as JSON
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _CHILD, name, str(path), str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def first_tokens(path: Path, folder: Path) -> dict[str, list[float]]:
    """Time to first token of 500-token prefixes that are kept on disk, each prompted once.

    Returns:
        Seconds of the prompts whose prefix came from `disk`, and of those that were `read` (prefilled).
    """
    settings = EngineSettings()
    found: dict[str, list[float]] = {"disk": [], "read": []}
    with LlamaModel(path, settings, folder) as model:
        sides = Sides(model, None, 0)  # type: ignore[arg-type]  # only our side is asked
        for at in range(REPEATS):
            prompt = _kept(of_length(sides, 500, mark=f"Kept {at} {WORDS[at]}."))
            before = model.cache_hits["disk"]
            seconds = timed(lambda prompt=prompt: generate(model, prompt, limits=Limits(max_tokens=1)))  # type: ignore[misc]
            found["disk" if model.cache_hits["disk"] > before else "read"].append(seconds)
    return found


def _kept(prompt: Prompt) -> Prompt:
    system, user, answer = prompt.messages
    return Prompt((system, Message(user.role, user.segments, keep=len(user.segments)), answer))


def disk_prefix_rows(path: Path, folder: Path) -> dict[str, Row]:
    """The same prompts in two processes, one after the other: the second loads the KV state from disk."""
    first, second = _child("first_tokens", path, folder), _child("first_tokens", path, folder)
    if not second["disk"] or not first["read"]:
        return {"disk_prefix": row("disk_prefix", first["read"] + second["read"], first["read"], 500)}
    return {"disk_prefix": row("disk_prefix", second["disk"], first["read"], 500)}


def whole_use(path: Path, _folder: Path) -> float:
    """Peak memory in MB of a process that opens the model and uses all of the engine."""
    with LlamaModel(path, EngineSettings()) as model:
        sides = Sides(model, None, 0)  # type: ignore[arg-type]  # only our side is asked
        generate(model, of_length(sides, 3000), limits=Limits(max_tokens=40))
        model.score(of_length(sides, PREFIX), continuations(sides, 40))
        prompts = [conversation(f"Tell of the {word}.") for word in WORDS[:20]]
        model.generate_many(
            prompts, constraint=Constraint(regex="[a-z ]{20,60}"), limits=Limits(max_tokens=20)
        )
    return peak_mb()


def memory_rows(path: Path, folder: Path) -> dict[str, Row]:
    """Peak memory of a process that only uses the engine."""
    peak = float(_child("whole_use", path, folder))
    target = TARGETS["peak_rss_mb"]
    value = round(peak, 1)
    return {
        "peak_rss_mb": {
            "ours": value, "theirs": target, "ratio": value, "tokens": 4096, "target": target,
            "meets": peak <= target,
        }
    }  # fmt: skip
