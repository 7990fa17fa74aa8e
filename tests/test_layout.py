import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("agent", "evaluation", "models", "prompts", "vectorstore")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
BELOW = {
    "models": set(),
    "prompts": {"models"},
    "vectorstore": {"models"},
    "agent": {"models", "prompts", "vectorstore"},
    "evaluation": {"models", "prompts", "vectorstore", "agent"},
}
# The benchmark runs the other side, too.
BENCHMARK = {f"evaluation/bench{part}.py" for part in ("", "_engine", "_sides", "_tasks")}
# The command line is where everything is put together.
COMPOSITION = {("agent/cli.py", "evaluation")}


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_bare_folder_is_imported(path: Path) -> None:
    bare = [name for level, name in imports(path) if level == 0 and name.split(".")[0] in FOLDERS]
    assert not bare, "import it relatively: a bare folder would be a second copy of every class"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_dependencies_point_one_way(path: Path) -> None:
    folder = path.parent.name
    reached = {name.split(".")[0] for level, name in imports(path) if level == 2}
    allowed = BELOW[folder] | {other for name, other in COMPOSITION if name == f"{folder}/{path.name}"}
    assert reached <= allowed


@pytest.mark.parametrize(
    ("package", "places"),
    [
        ("chromadb", {"vectorstore"}),
        ("llama_cpp", {"models", "agent/doctor.py", *BENCHMARK}),
        ("langchain", {"models/chat_model.py", "agent"}),
    ],
)
def test_a_foreign_package_is_met_in_one_place(package: str, places: set[str]) -> None:
    users = {
        f"{path.parent.name}/{path.name}"
        for path in SOURCES
        if any(level == 0 and name.split(".")[0] == package for level, name in imports(path))
    }
    assert all(user in places or user.split("/")[0] in places for user in users)


def test_folders_are_flat() -> None:
    nested = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_dir() and path.name != "__pycache__"
    ]
    assert not nested, "a nested folder would be missing from the wheel"
