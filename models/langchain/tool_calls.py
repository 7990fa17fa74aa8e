"""Tool calls as a grammar: which texts a chat model may write, and what each of them means.

A reply is `{"tool": name, "args": {...}}` for one of the bound tools, or `{"answer": text}` where the
model may also just answer. The grammar allows nothing else, so that a call is always well-formed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from ..language_model import Constraint

MAX_STRING = 1000
"""Characters of a string that a schema does not bound, and of an answer."""

MAX_DEPTH = 24
"""How deep a schema may nest: one that refers to itself has no end."""

Tool = Mapping[str, Any]
"""A tool in OpenAI's format; Any because it is JSON."""

_KEPT = frozenset(
    {
        "type", "properties", "required", "items", "prefixItems", "enum", "const", "anyOf", "oneOf", "allOf",
        "minItems", "maxItems", "minLength", "maxLength", "pattern", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "additionalProperties", "format", "multipleOf",
    }
)  # fmt: skip

_BOUNDED = frozenset({"enum", "const", "pattern", "format", "maxLength"})


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tools may be called, and whether the model may answer without one."""

    tools: tuple[Tool, ...]
    may_answer: bool

    @property
    def schema(self) -> str:
        """The JSON schema of the replies that are allowed."""
        forms: list[dict[str, Any]] = [  # Any: JSON schemas
            _closed({"tool": {"const": _name(tool)}, "args": _arguments(tool)}) for tool in self.tools
        ]
        if self.may_answer:
            forms.append(_closed({"answer": {"type": "string", "maxLength": MAX_STRING}}))
        return json.dumps(forms[0] if len(forms) == 1 else {"anyOf": forms}, ensure_ascii=False)

    @property
    def instructions(self) -> str:
        """The part of the system prompt that describes the tools and the reply format."""
        lines = ["Reply with JSON only. You may call one of these tools:"]
        lines += [f"- {_name(tool)}: {_description(tool)}" for tool in self.tools]
        lines.append('To call a tool, write {"tool": its name, "args": its arguments}.')
        if self.may_answer:
            lines.append('To answer without a tool, write {"answer": your words}.')
        return "\n".join(lines)


def choose(tools: Sequence[Tool], tool_choice: object) -> ToolChoice | None:
    """What a `tool_choice` allows; None for no tools at all.

    It may be None or "auto", "none", "any", "required" or True, a tool's name, or OpenAI's
    `{"type": "function", "function": {"name": ...}}`.

    Returns:
        The tools that may be called, and whether the model may answer without one.

    Raises:
        ModelError: it names a tool that is not bound.
    """
    if not tools or tool_choice == "none" or tool_choice is False:
        return None
    if tool_choice in (None, "auto"):
        return ToolChoice(tuple(tools), may_answer=True)
    if tool_choice in ("any", "required") or tool_choice is True:
        return ToolChoice(tuple(tools), may_answer=False)
    name = tool_choice
    if isinstance(tool_choice, Mapping):
        name = tool_choice.get("function", tool_choice).get("name")
    chosen = tuple(tool for tool in tools if _name(tool) == name)
    if not chosen:
        known = ", ".join(_name(tool) for tool in tools)
        msg = f"tool_choice {tool_choice!r} names no bound tool: use auto, none, any, or one of {known}"
        raise ModelError(msg)
    return ToolChoice(chosen, may_answer=False)


def constraint_of(response_format: Mapping[str, Any]) -> Constraint:
    """The constraint of a `response_format` in OpenAI's form, or of our `{"type": "regex", "regex": ...}`.

    Returns:
        A schema or a regular expression over the whole output.

    Raises:
        ModelError: it is of another type than "json_schema", "json_object" and "regex".
    """
    kind = response_format.get("type")
    if kind == "regex":
        return Constraint(regex=str(response_format["regex"]))
    if kind == "json_object":
        return Constraint(schema=json.dumps({"type": "object"}))
    if kind != "json_schema":
        msg = f"response_format {kind!r} is not known: use json_schema, json_object or regex"
        raise ModelError(msg)
    schema = simplified(response_format["json_schema"]["schema"])
    return Constraint(schema=json.dumps(schema, ensure_ascii=False))


def simplified(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without references and without what grammars do not need: titles, defaults, examples.

    Objects get no fields but those they name; unbounded strings are bounded.

    Returns:
        A JSON schema that a grammar can be made of.

    Raises:
        ModelError: it nests too deep, or refers to itself.
    """
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    plain = _plain(dict(schema), definitions, 0)
    return plain if isinstance(plain, dict) else {}


def _plain(schema: Any, definitions: Mapping[str, Any], depth: int) -> Any:  # Any: JSON
    if isinstance(schema, list):
        return [_plain(part, definitions, depth + 1) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if depth > MAX_DEPTH:
        msg = f"the schema nests deeper than {MAX_DEPTH} levels, or refers to itself: write it flatter"
        raise ModelError(msg)
    if "$ref" in schema:
        target = definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _plain({**target, **rest}, definitions, depth + 1)
    kept = _kept(schema, definitions, depth)
    if kept.get("type") == "string" and not kept.keys() & _BOUNDED:
        kept["maxLength"] = MAX_STRING
    if "properties" in kept:
        kept.setdefault("additionalProperties", False)
    return kept


def _kept(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """The keywords that a grammar needs; the names of properties are no keywords."""
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _plain(part, definitions, depth + 1) for name, part in value.items()}
        elif key in ("enum", "const", "required"):
            kept[key] = value
        elif key in _KEPT:
            kept[key] = _plain(value, definitions, depth + 1)
    return kept


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _name(tool: Tool) -> str:
    return str(tool["function"]["name"])


def _arguments(tool: Tool) -> dict[str, Any]:
    schema = simplified(tool["function"].get("parameters") or {})
    return schema if schema.get("properties") else _closed({})


def _description(tool: Tool) -> str:
    """A tool's description, and its arguments with theirs."""
    function = tool["function"]
    parameters = (function.get("parameters") or {}).get("properties", {})
    arguments = "; ".join(
        f"{name} ({schema.get('description') or schema.get('type', 'value')})"
        for name, schema in parameters.items()
    )
    return " ".join(f"{function.get('description', '')} Arguments: {arguments or 'none'}.".split())


__all__ = ["MAX_STRING", "ToolChoice", "choose", "constraint_of", "simplified"]
