"""The two engines of the benchmark, how they take turns, and the prompts of both."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp

from ...models.engine import LlamaModel
from ...models.language_model import Message, Prompt, Segment

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
WORDS = _TEXT.split()
_CONTINUATION = 13
PREFIX = 250


Row = dict[str, Any]  # Any: numbers and a truth value, as they go into the JSON


@dataclass(frozen=True)
class Sides:
    """Our engine and llama-cpp-python's on the same file, and the threads of both."""

    ours: LlamaModel
    theirs: llama_cpp.Llama
    threads: int

    def ids(self, prompt: Prompt) -> list[int]:
        """The token ids of a prompt, the same for both engines."""
        return self.ours.encode(prompt)


def row(key: str, ours: Sequence[float], theirs: Sequence[float], tokens: int) -> Row:
    """A row of the benchmark: medians, their ratio, and whether the target is met.

    Args:
        key: a key of `TARGETS`.
        ours: our seconds, one per round; per token where the engines wrote different numbers of tokens.
        theirs: the other engine's.
        tokens: tokens of one round.

    Returns:
        `ours`, `theirs`, `ratio` (above 1: ours is faster, or for `AT_MOST` slower), `tokens`, `target`, `meets`.
    """
    mine, other = statistics.median(ours), statistics.median(theirs)
    ratio = mine / other if key in AT_MOST else other / mine
    target = TARGETS[key]
    meets = ratio <= target if key in AT_MOST else ratio >= target
    return {
        "ours": mine, "theirs": other, "ratio": round(ratio, 3), "tokens": tokens,
        "target": target, "meets": bool(meets),
    }  # fmt: skip


def in_turn(ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[list[float], list[float]]:
    """The seconds of both by turns after a warm-up, so that a drift of the machine meets both."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(REPEATS)]
    return [mine for mine, _ in pairs], [other for _, other in pairs]


def conversation(text: str, answer: str = "") -> Prompt:
    """A conversation of one question; `answer` opens the reply."""
    messages = [Message("system", (Segment("You are a helpful writer."),)), Message("user", (Segment(text),))]
    if answer:
        messages.append(Message("assistant", (Segment(answer),)))
    return Prompt(tuple(messages))


def of_length(sides: Sides, length: int, mark: str = "") -> Prompt:
    """A prompt of about `length` tokens.

    Args:
        sides: tokenise it.
        length: tokens, at most.
        mark: begins the text, so that prompts share no prefix.

    Returns:
        The prompt with an opened answer.
    """
    words = [WORDS[at * 7 % len(WORDS)] for at in range(length)]
    while len(sides.ids(conversation(f"{mark} {' '.join(words)}", "-"))) > length:
        words.pop()
    return conversation(f"{mark} {' '.join(words)}", "-")


def continuations(sides: Sides, count: int) -> list[str]:
    """Texts of 13 tokens with different first words."""
    found = []
    for start in range(count):
        text = ""
        for step in range(_CONTINUATION * 2):
            longer = f"{text} {WORDS[(start * 5 + step * 3 + step * start) % len(WORDS)]}"
            if len(sides.ours.weights.tokenize(longer, special=False)) > _CONTINUATION:
                break
            text = longer
        found.append(f"{text}")
    return found
