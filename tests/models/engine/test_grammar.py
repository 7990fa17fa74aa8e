"""Grammars: whatever a model would say, the text is what the schema wants.

The logits here are random, so that every corner of a grammar is visited, and the vocabulary is a real one.
Run as a program, this file checks many random schemas: a crash of native code is then a failing test.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import from_json

from tanqu.models.engine.context import Batch, Context, Logits
from tanqu.models.engine.decoding import Writer
from tanqu.models.engine.grammar import Grammars
from tanqu.models.engine.llama import Weights
from tanqu.models.engine.queue import Job
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import GrammarError
from tanqu.models.language_model import Constraint, Generated, Limits
from tanqu.models.weights.registry import TEST, find

HOSTILE = [
    '"',
    "\\",
    '\\"',
    "\\u0000",
    "\n",
    "\x00",
    "\x1f\x7f",
    "😀",
    "深度",
    "<|im_end|>",
    "}]",
    "",
    "\u202e",
]

# Any: a schema is JSON.
Schema = dict[str, Any]


class RandomContext:
    """A model that says anything."""

    def __init__(self, size: int, seed: int) -> None:
        self.settings = EngineSettings()
        self.batch = self.settings.batch
        self._size = size
        self._rng = np.random.default_rng(seed)

    def row(self) -> Logits:
        return self._rng.normal(size=self._size).astype(np.float32)

    def decode(self, batch: Batch) -> Logits:
        return np.stack([self.row() for wanted in batch.wanted if wanted])


def _write(weights: Weights, grammars: Grammars, constraint: Constraint, limit: int, seed: int) -> Generated:
    context = RandomContext(weights.size, seed)
    job = Job(0, 0, lambda _job: None)
    limits = Limits(max_tokens=limit)
    writer = Writer(weights, cast(Context, context), job, limits, None, np.empty(weights.size, np.float32))
    writer.add(0, 0, [], 0, limit, grammars.start(constraint), context.row())
    return writer.run()[0]


# Random schemas, and what they mean


def _strings() -> st.SearchStrategy[str]:
    return st.sampled_from(HOSTILE) | st.text(max_size=8)


def _leaves() -> st.SearchStrategy[Schema]:
    whole = st.integers(-50, 50)
    return st.one_of(
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": "string"}, {"type": "number"}]),
        st.builds(
            lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
            whole,
            st.integers(0, 99),
        ),
        st.builds(
            lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
            st.integers(0, 4),
            st.integers(0, 9),
        ),
        st.lists(_strings(), min_size=1, max_size=4, unique=True).map(lambda values: {"enum": values}),
        st.one_of(_strings(), whole, st.booleans()).map(lambda value: {"const": value}),
        st.just({"type": "string", "pattern": "^[a-c深]{1,3}$"}),
    )


def _nested(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    def as_object(fields: dict[str, Schema], wanted: list[bool]) -> Schema:
        required = [name for name, want in zip(fields, wanted, strict=False) if want]
        return {"type": "object", "properties": fields, "required": required, "additionalProperties": False}

    return st.one_of(
        st.builds(
            as_object, st.dictionaries(_strings(), inner, max_size=3), st.lists(st.booleans(), min_size=3)
        ),
        st.builds(
            lambda items, least, more: {
                "type": "array",
                "items": items,
                "minItems": least,
                "maxItems": least + more,
            },
            inner,
            st.integers(0, 2),
            st.integers(0, 3),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
    )


SCHEMAS = st.recursive(_leaves(), _nested, max_leaves=6)


def _fits(schema: Schema, value: object) -> bool:
    """Whether a value is what the schema wants; for the schemas above."""
    if "anyOf" in schema:
        return any(_fits(part, value) for part in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        wanted = schema["enum"] if "enum" in schema else [schema["const"]]
        return any(type(one) is type(value) and one == value for one in wanted)
    checks: dict[str, Callable[[], bool]] = {
        "null": lambda: value is None,
        "boolean": lambda: isinstance(value, bool),
        "number": lambda: isinstance(value, int | float) and not isinstance(value, bool),
        "integer": lambda: type(value) is int and schema["minimum"] <= value <= schema["maximum"],
        "string": lambda: isinstance(value, str) and _fits_text(schema, value),
        "array": lambda: isinstance(value, list) and _fits_array(schema, value),
        "object": lambda: isinstance(value, dict) and _fits_object(schema, value),
    }
    return checks[schema["type"]]()


def _fits_text(schema: Schema, value: str) -> bool:
    if "pattern" in schema:
        return 1 <= len(value) <= 3 and set(value) <= set("abc深")
    return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10_000))


def _fits_array(schema: Schema, value: list[object]) -> bool:
    right_size = schema["minItems"] <= len(value) <= schema["maxItems"]
    return right_size and all(_fits(schema["items"], item) for item in value)


def _fits_object(schema: Schema, value: dict[str, object]) -> bool:
    fields = schema["properties"]
    return set(schema["required"]) <= set(value) <= set(fields) and all(
        _fits(fields[name], part) for name, part in value.items()
    )


def _spelt(weights: Weights, text: str) -> bool:
    pieces = [weights.piece(token) for token in weights.tokenize(text, special=False)]
    return b"".join(pieces).decode(errors="replace") == text


def check_random_schemas(weights: Weights, examples: int) -> None:
    """Write texts for so many schemas; raises AssertionError with the smallest one that goes wrong."""
    grammars = Grammars(weights)

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(schema=SCHEMAS, limit=st.integers(1, 60), seed=st.integers(0, 2**32))
    def check(schema: Schema, limit: int, seed: int) -> None:
        # A vocabulary may lack the bytes of a rare character: then no text can hold it.
        assume(_spelt(weights, json.dumps(schema, ensure_ascii=False)))
        made = _write(weights, grammars, Constraint(schema=json.dumps(schema)), limit, seed)
        assert _fits(schema, from_json(made.text)), made.text

    check()


@pytest.mark.gguf
def test_texts_for_500_random_schemas_are_valid(tiny_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(tiny_path), "500"],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


# Single properties


@pytest.fixture(scope="module")
def weights() -> Iterator[Weights]:
    try:
        made = Weights(find(TEST), EngineSettings(), vocabulary_only=True)
    except Exception as error:
        pytest.fail(f"run `make test`, which fetches the test weights: {error}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def grammars(weights: Weights) -> Grammars:
    return Grammars(weights)


class Inner(BaseModel):
    properties: int  # a field may be named like a keyword of JSON schema
    note: str


class Outer(BaseModel):
    inner: Inner
    more: list[Inner] = []


def _takes(grammars: Grammars, weights: Weights, constraint: Constraint, text: str) -> bool:
    matcher = grammars.start(constraint)
    try:
        matcher.accept(weights.tokenize(text, special=False))
    except GrammarError:
        return False
    return matcher.complete


@pytest.mark.gguf
def test_a_pydantic_model_allows_no_field_that_it_does_not_name(grammars: Grammars, weights: Weights) -> None:
    constraint = Constraint(schema=Outer)
    assert _takes(grammars, weights, constraint, '{"inner":{"properties":1,"note":"x"},"more":[]}')
    assert not _takes(grammars, weights, constraint, '{"inner":{"properties":1,"note":"x","z":1},"more":[]}')
    assert not _takes(grammars, weights, constraint, '{"inner":{"properties":1,"note":"x"},"more":[],"z":1}')


@pytest.mark.gguf
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_taken_as_json_writes_it(grammars: Grammars, weights: Weights, value: str) -> None:
    schema = json.dumps({"enum": [value, "another"]})
    made = _write(weights, grammars, Constraint(schema=schema), 50, 1)
    assert json.loads(made.text) in (value, "another")
    assert _takes(
        grammars, weights, Constraint(schema=schema), json.dumps(value, ensure_ascii=False)
    ) or not (value.isprintable())


@pytest.mark.gguf
def test_no_control_token_and_no_control_character_is_ever_allowed(
    grammars: Grammars, weights: Weights
) -> None:
    matcher = grammars.start(Constraint(schema='{"type":"string"}'))
    matcher.accept(weights.tokenize('"', special=False))
    allowed = np.flatnonzero(matcher.allowed())
    assert len(allowed) > weights.size / 2
    assert not any(weights.is_marker(int(token)) for token in allowed)
    assert not any(byte < 32 for token in allowed for byte in weights.piece(int(token)))


@pytest.mark.gguf
@pytest.mark.parametrize(
    "regex", ["(ab)*c", "(ab|ba){3}x?", "[0-9]+(\\.[0-9]+)?", "(深度|机器)学习", "a{40}", "(x|yyy)*z"]
)
@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_text_under_a_regex_is_led_to_its_end(
    grammars: Grammars, weights: Weights, regex: str, limit: int
) -> None:
    for seed in range(3):
        made = _write(weights, grammars, Constraint(regex=regex), limit, seed)
        assert re.fullmatch(regex, made.text), made.text


@pytest.mark.gguf
def test_a_grammar_without_an_end_is_an_error(grammars: Grammars, weights: Weights) -> None:
    endless = json.dumps({"$ref": "#/$defs/a", "$defs": {"a": {
        "type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}}})  # fmt: skip
    with pytest.raises(GrammarError):
        _write(weights, grammars, Constraint(schema=endless), 5, 1)


@pytest.mark.gguf
def test_a_copy_goes_its_own_way(grammars: Grammars, weights: Weights) -> None:
    matcher = grammars.start(Constraint(regex="left|right"))
    other = matcher.copy()
    matcher.accept(weights.tokenize("left", special=False))
    assert matcher.finished
    assert not other.finished
    with pytest.raises(GrammarError, match="leads nowhere"):
        other.accept(weights.tokenize("up", special=False))


@pytest.mark.gguf
def test_forced_text_is_written_without_the_model(grammars: Grammars, weights: Weights) -> None:
    matcher = grammars.start(Constraint(schema=Outer))
    forced = b"".join(weights.piece(token) for token in matcher.forced())
    assert b'{"inner":{"properties'.startswith(forced)
    assert len(forced) > 8


if __name__ == "__main__":
    check_random_schemas(Weights(Path(sys.argv[1]), EngineSettings(), vocabulary_only=True), int(sys.argv[2]))
