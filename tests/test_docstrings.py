"""Public functions say what goes in: `Args:` where there are three parameters, or an array among them.

Returns and raises are checked by ruff (DOC201, DOC501).
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("agent", "evaluation", "models", "prompts", "vectorstore")
    for path in (ROOT / folder).rglob("*.py")
)
ARRAYS = ("NDArray", "Vectors", "Values", "csr_array")


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            not node.name.startswith("_") or node.name == "__init__"
        ):
            yield node


def needs_args(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if any(one.annotation and ast.unparse(one.annotation) == "typer.Context" for one in function.args.args):
        return False  # a command: each option has its help, which tests/agent/cli/test_main.py demands
    given = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    own = [one for one in given if one.arg not in ("self", "cls")]
    annotations = [ast.unparse(one.annotation) for one in own if one.annotation]
    return len(own) >= 3 or any(array in text for text in annotations for array in ARRAYS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_function_of_many_parameters_or_of_an_array_documents_them(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    without = [
        f"line {function.lineno}: {function.name}"
        for function in public_functions(tree.body)
        if needs_args(function) and "Args:" not in (ast.get_docstring(function) or "")
    ]
    assert not without
