"""The benchmark's rows for the engine: generation, scoring, constrained decoding, and prefix reuse.

The other engine is `Llama` with its prefix match; the limit is the bare `llama_decode` loop.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from ...models.engine import Batch, Context, log_sum_exp
from ...models.engine_settings import EngineSettings
from ...models.language_model import Constraint, Limits, generate
from .measuring import timed
from .sides import PREFIX, REPEATS, WORDS, Row, Sides, continuations, conversation, in_turn, of_length, row


def generation_rows(sides: Sides) -> dict[str, Row]:
    """Greedy generation of 100 tokens."""
    prompt = conversation(
        "Write a long story about a lighthouse keeper, a storm and a letter. Begin at once."
    )
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
    """Greedy generation of `Llama`, which reuses the prefix in its KV cache."""
    answer: Any = llama.create_completion(ids, max_tokens=count, temperature=0.0, repeat_penalty=1.0)
    return str(answer["choices"][0]["text"])


def _bare(sides: Sides, prompts: list[list[int]], count: int) -> list[float]:
    """Seconds of `count` steps of bare decoding, one token per sequence and step, after the prefill."""
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


def many_rows(sides: Sides) -> dict[str, Row]:
    """Five texts of 30 tokens: the grammar lets none of them end early."""
    question = "Explain to a reader in one long sentence why this book fits: The Keeper of the Light."
    prompts = [conversation(question, f"Reason {word}:") for word in ("A", "B", "C", "D", "E")]
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


def score_rows(sides: Sides) -> dict[str, Row]:
    """Scoring of 20 candidates of 13 tokens after a prefix of 250 tokens that both engines hold."""
    prompt = of_length(sides, PREFIX)
    ids = sides.ids(prompt)
    texts = continuations(sides, 20)
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
    """The log-likelihood of one candidate after the prefix that `Llama` holds."""
    llama.n_tokens = prefix
    llama.eval(tokens)
    rows = llama.scores[prefix - 1 : prefix - 1 + len(tokens)]
    return sum(float(one[token]) - log_sum_exp(one, scratch) for one, token in zip(rows, tokens, strict=True))


def _bare_scores(sides: Sides, ids: list[int], texts: list[list[int]]) -> list[float]:
    """Seconds of one `llama_decode` of all candidates' tokens with their logits, after the prefill."""
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


def grammar_rows(sides: Sides) -> dict[str, Row]:
    """Seconds per token under a schema of one long string, and free, for texts of 60 tokens."""
    prompt = conversation("Write a long story about a lighthouse keeper as JSON with the key story.")
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


def warm_prefix_rows(sides: Sides) -> dict[str, Row]:
    """Time to first token of a 500-token prompt, cold and with the prefix in the KV cache."""
    cold: list[float] = []
    warm: list[float] = []
    for at in range(REPEATS):
        prompt = of_length(sides, 500, mark=f"Case {at} {WORDS[at]}.")
        for found in (cold, warm):
            found.append(timed(lambda: generate(sides.ours, prompt, limits=Limits(max_tokens=1))))  # noqa: B023
    return {"warm_prefix": row("warm_prefix", warm, cold, 500)}
