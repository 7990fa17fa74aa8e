"""Grammars as masks over the vocabulary, by llguidance: what may come next, and what must.

A grammar that does not compile is a GrammarError. Strings come out right with quotes, backslashes, emoji
and Chinese; a control token can never be part of one.
"""

import ctypes
import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import llama_cpp as L
import llguidance
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from ..errors import GrammarError
from ..language_model import Constraint
from .context import Logits
from .llama import Weights

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_COMPACT: "JsonCompileOptions" = {
    "whitespace_flexible": False,
    "item_separator": ",",
    "key_separator": ":",
}
_CLOSING_STEPS = 512
_KEPT_SOURCES = 64
_HOLDS_SCHEMAS = {"items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties"}
_HOLDS_NAMED_SCHEMAS = {"properties", "$defs"}

Order = NDArray[np.int32]


class Grammars:
    """Compiles constraints for one vocabulary. Built once per model (about a second)."""

    def __init__(self, weights: Weights) -> None:
        """Read the vocabulary into llguidance."""
        self._weights = weights
        self._tokenizer = _tokenizer(weights)
        self._sources: dict[Constraint, str] = {}

    def start(self, constraint: Constraint) -> "Matcher":
        """A matcher at the start of a text; raises GrammarError if the constraint does not compile."""
        matcher = llguidance.LLMatcher(self._tokenizer, self._source(constraint), log_level=0)
        if matcher.is_error():
            msg = f"the grammar does not compile: {matcher.get_error()}"
            raise GrammarError(msg)
        return Matcher(matcher, self)

    def _source(self, constraint: Constraint) -> str:
        source = self._sources.get(constraint)
        if source is None:
            while len(self._sources) >= _KEPT_SOURCES:  # a dictionary keeps its order: the oldest goes
                del self._sources[next(iter(self._sources))]
            source = self._sources[constraint] = _source(constraint)
        return source

    @property
    def size(self) -> int:
        """How many tokens the vocabulary has."""
        return self._weights.size

    @cached_property
    def closing_order(self) -> Order:
        """For each token how late it should be tried when a text must end, (vocabulary,) int32."""
        return np.array([_lateness(self._weights.piece(token)) for token in range(self.size)], np.int32)


def _tokenizer(weights: Weights) -> llguidance.LLTokenizer:
    """The vocabulary as llguidance wants it: a byte 255 marks what no text may hold."""
    tokens = [
        (b"\xff" if weights.is_marker(token) else b"") + weights.spelling(token)
        for token in range(weights.size)
    ]
    make: Any = llguidance.LLTokenizer.from_llamacpp  # type: ignore[attr-defined]  # no stub
    tokenizer: llguidance.LLTokenizer = weights.vocabulary(
        lambda vocabulary: make(
            tokens=tokens,
            vocab_ptr=vocabulary,
            tokenize_fptr=ctypes.cast(L.llama_tokenize, ctypes.c_void_p).value,
            eos_token=weights.end,
            slices=None,
        )
    )
    return tokenizer


def _lateness(piece: bytes) -> int:
    """First what closes something, then digits, then the shortest text."""
    if not piece:
        return 1_000_000
    if all(byte in b'"]}' for byte in piece):
        return len(piece) - (200 if piece.startswith(b'"') else 100)
    return len(piece) * 4 - (3 if piece.isdigit() else 2 if piece.isascii() else 0)


def _source(constraint: Constraint) -> str:
    if constraint.regex is not None:
        return str(llguidance.LLMatcher.grammar_from_regex(constraint.regex))
    schema = constraint.schema
    try:
        text = schema if isinstance(schema, str) else _schema_text(schema)
        return str(llguidance.LLMatcher.grammar_from_json_schema(text, defaults=_COMPACT))
    except (ValueError, PydanticInvalidForJsonSchema) as error:
        msg = f"the schema cannot be turned into a grammar: {error}"
        raise GrammarError(msg) from error


def _schema_text(model: type[BaseModel] | None) -> str:
    """The JSON schema of a pydantic model; objects get no fields but those it names."""
    if model is None:
        msg = "a constraint needs a schema or a regex"
        raise GrammarError(msg)
    return json.dumps(_without_extras(model.model_json_schema()))


def _without_extras(schema: object) -> object:
    if isinstance(schema, list):
        return [_without_extras(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: _without_extras(part) if key in _HOLDS_SCHEMAS else part for key, part in schema.items()
    } | {
        key: {name: _without_extras(part) for name, part in schema[key].items()}
        for key in _HOLDS_NAMED_SCHEMAS & schema.keys()
    }
    if "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


class Matcher:
    """Follows one text through its grammar."""

    def __init__(self, matcher: llguidance.LLMatcher, grammars: Grammars) -> None:
        """Wrap a matcher of llguidance."""
        self._matcher = matcher
        self._grammars = grammars
        self._bits = np.zeros((grammars.size + 31) // 32, np.int32)

    def copy(self) -> "Matcher":
        """An independent matcher at the same place."""
        return Matcher(self._matcher.deep_copy(), self._grammars)

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing but its end may follow."""
        return bool(self._matcher.is_stopped())

    @property
    def complete(self) -> bool:
        """Whether the text may end here."""
        return bool(self._matcher.is_accepting())

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next, (vocabulary,) bool; raises GrammarError if none may."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        if not self._bits.any():
            msg = f"the grammar allows no token: {self._matcher.get_error() or 'its text has ended'}"
            raise GrammarError(msg)
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little", count=self._grammars.size)
        return bits.view(np.bool_)

    def accept(self, tokens: Sequence[int]) -> None:
        """Go on by tokens that are allowed; raises GrammarError if one is not."""
        if not self._matcher.consume_tokens(list(tokens)):
            msg = f"the grammar leads nowhere: {self._matcher.get_error()}"
            raise GrammarError(msg)

    def forced(self) -> list[int]:
        """The tokens that must come next, and go on by them; empty where there is a choice."""
        if self.finished:
            return []
        tokens = list(self._matcher.compute_ff_tokens())
        if tokens:
            self.accept(tokens)
        return tokens

    def close(self) -> list[int]:
        """Complete the text without the model, by a short path through the grammar.

        Among the allowed tokens those that close something come first, then digits, then the shortest;
        each time a token was taken, it is preferred less.

        Returns:
            The tokens of the path.

        Raises:
            GrammarError: 512 steps lead to no end.
        """
        order = self._grammars.closing_order
        written: list[int] = []
        taken: Counter[int] = Counter()
        for _ in range(_CLOSING_STEPS):
            if self.complete or self.finished:
                return written
            allowed = np.flatnonzero(self.allowed())
            late = order[allowed]
            for token, times in taken.items():
                late[allowed == token] += times
            token = int(allowed[np.argmin(late)])
            taken[token] += order[token] >= 0  # what closes something may be needed often
            self.accept([token])
            written.append(token)
        msg = f"no end of the text was found within {_CLOSING_STEPS} tokens: bound its repetitions"
        raise GrammarError(msg)


def constrained(row: Logits, allowed: NDArray[np.bool_], buffer: Logits) -> Logits:
    """The logits with minus infinity where a token is not allowed.

    Args:
        row: (vocabulary,) float32.
        allowed: (vocabulary,) bool.
        buffer: (vocabulary,) float32, overwritten.

    Returns:
        `buffer`.
    """
    buffer.fill(-np.inf)
    np.copyto(buffer, row, where=allowed)
    return buffer
