"""Log-likelihoods of many continuations of one prompt; tokens of a common prefix are decoded once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..language_model import Scored
from .context import Batch, Context, Logits, log_sum_exp
from .queue import Job


@dataclass(slots=True)
class _Node:
    """A token that some continuations have at the same place after the same start."""

    token: int
    depth: int
    children: dict[int, "_Node"] = field(default_factory=dict)
    sequences: list[int] = field(default_factory=list)
    logprob: float = 0.0


class Trie:
    """Continuations as a tree of tokens. A leaf is never decoded: its probability stands in its parent."""

    def __init__(self) -> None:
        """An empty tree; use `build`."""
        self._root = _Node(-1, -1)
        self._paths: list[list[_Node]] = []
        self._inner = 0

    @classmethod
    def build(cls, continuations: Sequence[Sequence[int]], *, sequences: int, cells: int) -> "Trie":
        """A tree of as many continuations, from the first on, as fit (at least one).

        Args:
            continuations: token ids of each.
            sequences: how many continuations the context has sequences for.
            cells: how many tokens its KV cache has room for.

        Returns:
            The tree; `count` says how many continuations it holds.
        """
        trie = cls()
        for tokens in continuations[:sequences]:
            if trie.count and trie._inner + len(tokens) > cells:
                break
            trie._add(tokens)
        return trie

    @property
    def count(self) -> int:
        """How many continuations it holds."""
        return len(self._paths)

    @property
    def size(self) -> int:
        """How many tokens have to be decoded."""
        return self._inner

    def _add(self, tokens: Sequence[int]) -> None:
        sequence = self.count + 1
        node, path = self._root, []
        for depth, token in enumerate(tokens):
            if node is not self._root:
                self._inner += not node.sequences
                node.sequences.append(sequence)
            node = node.children.setdefault(token, _Node(token, depth))
            path.append(node)
        self._paths.append(path)

    def score(self, context: Context, job: Job, row: Logits, position: int, scratch: Logits) -> list[Scored]:
        """Decode the tree after the prompt in sequence 0.

        Args:
            context: sequences 1 to `count` are used, and left for the caller to free.
            job: is asked between decodes whether to stop.
            row: logits after the prompt, (vocabulary,) float32.
            position: the prompt's length in tokens.
            scratch: (vocabulary,) float32, overwritten.

        Returns:
            One score per continuation, in order.
        """
        for sequence in range(1, self.count + 1):
            context.copy(0, sequence)
        self._take(self._root, row, scratch)
        inner = self._by_depth()
        step = context.settings.rows
        for start in range(0, len(inner), step):
            job.check()
            part = inner[start : start + step]
            batch = Batch.empty()
            for node in part:
                batch.add(node.token, position + node.depth, tuple(node.sequences), wanted=True)
            for node, after in zip(part, context.decode(batch), strict=True):
                self._take(node, after, scratch)
        return [Scored(tuple(node.logprob for node in path)) for path in self._paths]

    @staticmethod
    def _take(node: _Node, row: Logits, scratch: Logits) -> None:
        """Read the children's log-probabilities off the logits after `node`."""
        total = log_sum_exp(row, scratch)
        for token, child in node.children.items():
            child.logprob = float(row[token]) - total

    def _by_depth(self) -> list[_Node]:
        """The nodes to decode, shallow ones first: sequences that share a node must not have parted yet."""
        level, inner_nodes = list(self._root.children.values()), []
        while level:
            inner = [node for node in level if node.sequences]
            inner_nodes += inner
            level = [child for node in inner for child in node.children.values()]
        return inner_nodes
