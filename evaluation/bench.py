"""`tanqu bench`: the engine against llama-cpp-python's own `Llama`, and against bare `llama_decode`.

All on this machine, in one run, with the model given. `Llama` gets its settings at their best: threads set,
its prefix match on, prompts as tokens. The bare loop is what nothing on this library can beat. Each side
is measured in turn, five times, and the medians are compared; a ratio above 1 says that ours is faster.
"""

import gc
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from ..models.engine import LlamaModel
from ..models.engine_settings import EngineSettings, physical_cores
from ..models.llama import Batch, Context, log_sum_exp
from ..models.llm import Constraint, Limits, Message, Prompt, Segment, generate
from .measuring import peak_mb, timed

REPEATS = 5
TARGETS: dict[str, float] = {
    "generate_vs_llama": 1.6,
    "generate_vs_limit": 0.90,
    "score_vs_separate": 3.0,
    "score_vs_limit": 0.90,
    "many_vs_serial": 2.0,
    "many_vs_limit": 0.90,
    "grammar_overhead": 1.05,
    "warm_prefix": 20.0,
    "disk_prefix": 10.0,
    "profile_vs_prompt": 5.0,
    "rank_vs_listing": 2.0,
    "recommend_vs_naive": 3.0,
    "peak_rss_mb": 1500.0,
}
AT_MOST = frozenset({"grammar_overhead", "peak_rss_mb"})

_TEXT = """
river lantern copper orchard winter signal garden mountain paper harbour velvet engine island silver bridge
thunder marble window desert forest needle candle mirror anchor meadow pocket ladder basket
"""
_WORDS = _TEXT.split()
_CONTINUATION = 13
_PREFIX = 250

Progress = Callable[[int, int], object]
Row = dict[str, Any]  # Any: numbers and a truth value, as they go into the JSON


@dataclass(frozen=True)
class Sides:
    """Our model, theirs on the same file, and how many threads both have."""

    ours: LlamaModel
    theirs: llama_cpp.Llama
    threads: int

    def ids(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt, the same for both."""
        return self.ours.encode(prompt)


def row(key: str, ours: Sequence[float], theirs: Sequence[float], tokens: int) -> Row:
    """Medians of seconds (per token where the two wrote different numbers), and whether the target is met."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = mine / other if key in AT_MOST else other / mine
    target = TARGETS[key]
    meets = ratio <= target if key in AT_MOST else ratio >= target
    return {
        "ours": mine, "theirs": other, "ratio": round(ratio, 3), "tokens": tokens,
        "target": target, "meets": bool(meets),
    }  # fmt: skip


def in_turn(ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Both sides by turns after a warm-up, so that a drift of the machine meets both."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(REPEATS)]
    return [one for one, _ in pairs], [other for _, other in pairs]


def said(text: str, answer: str = "") -> Prompt:
    """A conversation of one question; `answer` opens the reply."""
    messages = [Message("system", (Segment("You are a helpful writer."),)), Message("user", (Segment(text),))]
    if answer:
        messages.append(Message("assistant", (Segment(answer),)))
    return Prompt(tuple(messages))


def run_bench(path: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Every row of the benchmark; minutes. The JSON is `{"machine", "model", "rows": {key: row}}`."""
    from .bench_tasks import task_rows

    rows: dict[str, Row] = {}
    parts: list[Callable[[Sides], dict[str, Row]]] = [
        _generation, _many, _scores, _grammar, _warm_prefix, task_rows,
    ]  # fmt: skip
    outside = (_disk_prefix, _memory)
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


# --- one text ---------------------------------------------------------------------------------------------


def _generation(sides: Sides) -> dict[str, Row]:
    prompt = said("Write a long story about a lighthouse keeper, a storm and a letter. Begin at once.")
    ids, count = sides.ids(prompt), 100

    def ours() -> float:
        return timed(lambda: generate(sides.ours, prompt, limits=Limits(max_tokens=count)))

    def theirs() -> float:
        return timed(lambda: _complete(sides.theirs, ids, count))

    mine, llama = in_turn(ours, theirs)
    bare = _bare(sides, [ids], count)
    return {
        "generate_vs_llama": row("generate_vs_llama", mine, llama, count),
        "generate_vs_limit": row("generate_vs_limit", mine, bare, count),
    }


def _complete(llama: llama_cpp.Llama, ids: list[int], count: int) -> str:
    """Greedy text of `Llama`, which skips what it has just read of the prompt."""
    answer: Any = llama.create_completion(ids, max_tokens=count, temperature=0.0, repeat_penalty=1.0)
    return str(answer["choices"][0]["text"])


def _bare(sides: Sides, prompts: list[list[int]], count: int) -> list[float]:
    """Seconds of `count` steps of bare decoding, one token per sequence and step, prompts read before."""
    context = Context(sides.ours.weights, sides.ours.settings)
    try:
        return [_bare_steps(context, prompts, count) for _ in range(REPEATS + 1)][1:]
    finally:
        context.close()


def _bare_steps(context: Context, prompts: list[list[int]], count: int) -> float:
    context.clear()
    for sequence, ids in enumerate(prompts):
        batch = Batch.empty()
        for position, token in enumerate(ids):
            batch.add(token, position, (sequence,), wanted=position == len(ids) - 1)
        context.decode(batch)
    tokens = [100 + sequence for sequence in range(len(prompts))]
    started = time.perf_counter()
    for step in range(count):
        batch = Batch.empty()
        for sequence, token in enumerate(tokens):
            batch.add(token, len(prompts[sequence]) + step, (sequence,), wanted=True)
        tokens = [int(one.argmax()) for one in context.decode(batch)]
    return time.perf_counter() - started


# --- several texts ----------------------------------------------------------------------------------------


def _many(sides: Sides) -> dict[str, Row]:
    """Five texts of 30 tokens: the grammar lets none of them end early."""
    question = "Explain to a reader in one long sentence why this book fits: The Keeper of the Light."
    prompts = [said(question, f"Reason {word}:") for word in ("A", "B", "C", "D", "E")]
    ids = [sides.ids(prompt) for prompt in prompts]
    count = 30
    written: list[int] = []

    def ours() -> float:
        started = time.perf_counter()
        results, _ = sides.ours.generate_many(prompts, limits=Limits(max_tokens=count))
        written.append(sum(len(one.tokens) for one in results))
        return (time.perf_counter() - started) / written[-1]

    def theirs() -> float:
        started = time.perf_counter()
        texts = [_complete(sides.theirs, one, count) for one in ids]
        tokens = sum(len(sides.theirs.tokenize(text.encode(), add_bos=False)) for text in texts)
        return (time.perf_counter() - started) / tokens

    mine, serial = in_turn(ours, theirs)
    bare = [seconds / (count * len(ids)) for seconds in _bare(sides, ids, count)]
    return {
        "many_vs_serial": row("many_vs_serial", mine, serial, written[-1]),
        "many_vs_limit": row("many_vs_limit", mine, bare, written[-1]),
    }


# --- scores -----------------------------------------------------------------------------------------------


def _scores(sides: Sides) -> dict[str, Row]:
    prompt = _of_length(sides, _PREFIX)
    ids = sides.ids(prompt)
    texts = _continuations(sides, 20)
    tokens = [sides.ours.weights.tokenize(text, special=False) for text in texts]
    theirs = llama_cpp.Llama(
        str(sides.ours.path), n_ctx=512, n_threads=sides.threads, n_threads_batch=sides.threads,
        logits_all=True, verbose=False,
    )  # fmt: skip
    theirs.eval(ids)
    scratch = np.empty(sides.ours.weights.size, np.float32)

    def ours() -> float:
        return timed(lambda: sides.ours.score(prompt, texts))

    def separate() -> float:
        return timed(lambda: [_score_alone(theirs, len(ids), one, scratch) for one in tokens])

    mine, other = in_turn(ours, separate)
    theirs.close()
    bare = _bare_scores(sides, ids, tokens)
    total = sum(len(one) for one in tokens)
    return {
        "score_vs_separate": row("score_vs_separate", mine, other, total),
        "score_vs_limit": row("score_vs_limit", mine, bare, total),
    }


def _score_alone(llama: llama_cpp.Llama, prefix: int, tokens: list[int], scratch: Any) -> float:
    """One candidate after the prefix that `Llama` still holds."""
    llama.n_tokens = prefix
    llama.eval(tokens)
    rows = llama.scores[prefix - 1 : prefix - 1 + len(tokens)]
    return sum(float(one[token]) - log_sum_exp(one, scratch) for one, token in zip(rows, tokens, strict=True))


def _bare_scores(sides: Sides, ids: list[int], texts: list[list[int]]) -> list[float]:
    """One `llama_decode` of all the tokens, each with its row, after a prefix that is there."""
    total = sum(len(one) for one in texts)
    settings = EngineSettings(batch=512, rows=256)
    context = Context(sides.ours.weights, settings)
    found = []
    try:
        for _ in range(REPEATS + 1):
            context.clear()
            context.decode(_as_batch(ids, 0, 0, wanted=False))
            batch = Batch.empty()
            for sequence, tokens in enumerate(texts, 1):
                context.copy(0, sequence)
                for at, token in enumerate(tokens):
                    # The limit of rows is the limit of sequences; a few rows less only help the bare side.
                    batch.add(token, len(ids) + at, (sequence,), wanted=sum(batch.wanted) < settings.rows)
            found.append(timed(lambda batch=batch: context.decode(batch)))  # type: ignore[misc]
    finally:
        context.close()
    if total > settings.batch:
        raise AssertionError(total)
    return found[1:]


def _as_batch(ids: Sequence[int], sequence: int, start: int, *, wanted: bool) -> Batch:
    batch = Batch.empty()
    for at, token in enumerate(ids):
        batch.add(token, start + at, (sequence,), wanted=wanted and at == len(ids) - 1)
    return batch


def _of_length(sides: Sides, length: int, mark: str = "") -> Prompt:
    """A prompt of about `length` tokens."""
    words = [_WORDS[at * 7 % len(_WORDS)] for at in range(length)]
    while len(sides.ids(said(f"{mark} {' '.join(words)}", "-"))) > length:
        words.pop()
    return said(f"{mark} {' '.join(words)}", "-")


def _continuations(sides: Sides, count: int) -> list[str]:
    """Texts of 13 tokens with different beginnings."""
    found = []
    for start in range(count):
        text = ""
        for step in range(_CONTINUATION * 2):
            longer = f"{text} {_WORDS[(start * 5 + step * 3 + step * start) % len(_WORDS)]}"
            if len(sides.ours.weights.tokenize(longer, special=False)) > _CONTINUATION:
                break
            text = longer
        found.append(f"{text}")
    return found


# --- grammar and prefixes ---------------------------------------------------------------------------------


def _grammar(sides: Sides) -> dict[str, Row]:
    """Seconds per token under a schema of one long string, and free, for texts of 60 tokens."""
    prompt = said("Write a long story about a lighthouse keeper as JSON with the key story.")
    schema = json.dumps(
        {
            "type": "object",
            "properties": {"story": {"type": "string", "minLength": 400, "maxLength": 800}},
            "required": ["story"],
            "additionalProperties": False,
        }
    )
    limits, written = Limits(max_tokens=60), []

    def per_token(constraint: Constraint | None) -> float:
        started = time.perf_counter()
        result, _ = generate(sides.ours, prompt, constraint=constraint, limits=limits)
        seconds = time.perf_counter() - started
        written.append(min(len(result.tokens), limits.max_tokens))  # what closes a cut text costs nothing
        return seconds / written[-1]

    bound, free = in_turn(lambda: per_token(Constraint(schema=schema)), lambda: per_token(None))
    return {"grammar_overhead": row("grammar_overhead", bound, free, written[-1])}


def _warm_prefix(sides: Sides) -> dict[str, Row]:
    """Time to the first token of a 500-token prompt: the first time, and again."""
    cold: list[float] = []
    warm: list[float] = []
    for at in range(REPEATS):
        prompt = _of_length(sides, 500, mark=f"Case {at} {_WORDS[at]}.")
        for found in (cold, warm):
            found.append(timed(lambda: generate(sides.ours, prompt, limits=Limits(max_tokens=1))))  # noqa: B023
    return {"warm_prefix": row("warm_prefix", warm, cold, 500)}


_CHILD = """
import json, sys, time
from pathlib import Path
from tanqu.evaluation.bench import first_tokens, whole_use
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
    """Seconds to the first token of kept 500-token prefixes, each asked for once, by what the disk had."""
    settings = EngineSettings()
    found: dict[str, list[float]] = {"disk": [], "read": []}
    with LlamaModel(path, settings, folder) as model:
        sides = Sides(model, None, 0)  # type: ignore[arg-type]  # only our side is asked
        for at in range(REPEATS):
            prompt = _kept(_of_length(sides, 500, mark=f"Kept {at} {_WORDS[at]}."))
            before = model.cache_hits["disk"]
            seconds = timed(lambda prompt=prompt: generate(model, prompt, limits=Limits(max_tokens=1)))  # type: ignore[misc]
            found["disk" if model.cache_hits["disk"] > before else "read"].append(seconds)
    return found


def _kept(prompt: Prompt) -> Prompt:
    system, user, answer = prompt.messages
    return Prompt((system, Message(user.role, user.segments, keep=len(user.segments)), answer))


def _disk_prefix(path: Path, folder: Path) -> dict[str, Row]:
    """The same prompts in two processes, one after the other: the second finds them on disk."""
    first, second = _child("first_tokens", path, folder), _child("first_tokens", path, folder)
    if not second["disk"] or not first["read"]:
        return {"disk_prefix": row("disk_prefix", first["read"] + second["read"], first["read"], 500)}
    return {"disk_prefix": row("disk_prefix", second["disk"], first["read"], 500)}


def whole_use(path: Path, _folder: Path) -> float:
    """Peak memory in MB of a process that opens the model and uses all of the engine."""
    with LlamaModel(path, EngineSettings()) as model:
        sides = Sides(model, None, 0)  # type: ignore[arg-type]  # only our side is asked
        generate(model, _of_length(sides, 3000), limits=Limits(max_tokens=40))
        model.score(_of_length(sides, _PREFIX), _continuations(sides, 40))
        prompts = [said(f"Tell of the {word}.") for word in _WORDS[:20]]
        model.generate_many(
            prompts, constraint=Constraint(regex="[a-z ]{20,60}"), limits=Limits(max_tokens=20)
        )
    return peak_mb()


def _memory(path: Path, folder: Path) -> dict[str, Row]:
    peak = float(_child("whole_use", path, folder))
    target = TARGETS["peak_rss_mb"]
    value = round(peak, 1)
    return {
        "peak_rss_mb": {
            "ours": value, "theirs": target, "ratio": value, "tokens": 4096, "target": target,
            "meets": peak <= target,
        }
    }  # fmt: skip


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
