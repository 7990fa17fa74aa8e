"""The rooms of the package, who may import whom, and that the wheel carries all of it."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("agent", "evaluation", "models", "prompts", "vectorstore")

# Each room, with the rooms that it may import; what is not named here is a room of its own that anybody may import.
# `models` stands for records, errors, text, files, embedder, language_model and engine_settings.
MAY_IMPORT: dict[str, set[str]] = {
    "models": set(),
    "models.weights": {"models"},
    "models.engine": {"models", "models.weights"},
    "models.langchain": {"models"},
    "prompts": {"models"},
    "vectorstore": {"models"},
    "agent.settings": {"models"},
    "agent.messages": {"models"},
    "agent.run_trace": {"models", "agent.messages"},
    "agent.store": {"models", "vectorstore", "agent.settings"},
    "agent.ingest": {"models", "prompts", "vectorstore", "agent.settings", "agent.store"},
}
BELOW_PROFILE = {
    "models",
    "prompts",
    "vectorstore",
    "agent.messages",
    "agent.run_trace",
    "agent.settings",
    "agent.store",
}
MAY_IMPORT |= {
    "agent.profile": BELOW_PROFILE,
    "agent.ranking": BELOW_PROFILE | {"agent.profile"},
    "agent.explanation": BELOW_PROFILE | {"agent.profile", "agent.ranking"},
    "agent.report": {"models", "agent.messages", "agent.explanation"},
    "agent.run": {"models", "agent.report"},
    "agent.request": {"models", "agent.ingest"},
}
BELOW_PIPELINE = BELOW_PROFILE | {
    "agent.profile", "agent.ranking", "agent.explanation", "agent.run", "agent.request",
}  # fmt: skip
MAY_IMPORT |= {
    "agent": set(),
    "agent.run_assembly": BELOW_PIPELINE,
    "agent.pipeline": BELOW_PIPELINE | {"agent.run_assembly"},
    "agent.erasure": BELOW_PROFILE | {"agent.profile", "agent.ranking", "models.engine"},
    "agent.recommender": BELOW_PIPELINE | {"agent.pipeline", "agent.erasure", "agent.ingest", "agent.report"},
    "agent.chat": BELOW_PIPELINE | {"agent.recommender", "agent.report", "models.engine", "models.langchain"},
}
# The command line and the measurements stand above everything and may import all of it.
MAY_IMPORT |= dict.fromkeys(("agent.cli", "evaluation"), set(MAY_IMPORT) | {"agent.cli", "evaluation"})


@dataclass(frozen=True)
class Import:
    """One import: of which module, of which name, and whether it stands at the top of the file."""

    line: int
    module: tuple[str, ...]
    name: str
    at_top: bool


def sources() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def room_of(module: tuple[str, ...]) -> str:
    """The longest beginning of a module that is a room."""
    for length in (2, 1):
        if ".".join(module[:length]) in MAY_IMPORT:
            return ".".join(module[:length])
    return ".".join(module)


def own_imports(path: Path) -> Iterator[Import]:
    """The relative imports of a file, with their targets resolved at any depth."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = package[: len(package) - node.level + 1]
            module = (*start, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                inner = ROOT.joinpath(*module, alias.name)
                is_module = inner.with_suffix(".py").is_file() or inner.is_dir()
                yield Import(
                    node.lineno, (*module, alias.name) if is_module else module, alias.name, node in tree.body
                )


def foreign_imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return found | {
        str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level
    }


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_module_imports_only_rooms_below_its_own(path: Path) -> None:
    room = room_of(module_of(path))
    assert room in MAY_IMPORT, "a new room: say in MAY_IMPORT what it may import"
    wrong = {
        f"line {found.line}: {'.'.join(found.module)}"
        for found in own_imports(path)
        if room_of(found.module) not in MAY_IMPORT[room] | {room}
    }
    assert not wrong


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_room_is_entered_by_its_door(path: Path) -> None:
    room = room_of(module_of(path))
    past = {
        f"line {found.line}: {'.'.join(found.module)}"
        for found in own_imports(path)
        if (other := room_of(found.module)) != room
        and (ROOT.joinpath(*other.split(".")) / "__init__.py").is_file()
        and other not in ("models", "evaluation", "agent.cli")
        and ".".join(found.module) != other
        and found.module[:3] != ("agent", "chat", "terminal")
    }
    assert not past, f"import it from the room's package ({past})"


def below_commands() -> list[Path]:
    """Commands import what they need when they run, so that --help is fast; nothing else may."""
    return [path for path in sources() if room_of(module_of(path)) not in ("agent.cli", "evaluation")]


@pytest.mark.parametrize("path", below_commands(), ids=name_of)
def test_no_import_hides_in_a_function_but_those_of_commands(path: Path) -> None:
    hidden = {
        f"line {found.line}: {'.'.join(found.module)}" for found in own_imports(path) if not found.at_top
    }
    assert not hidden


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_no_bare_folder_is_imported(path: Path) -> None:
    bare = {name for name in foreign_imports(path) if name.split(".")[0] in FOLDERS}
    assert not bare, "import it relatively: a bare folder would be a second copy of every class"


def test_the_rooms_have_no_cycle() -> None:
    graph = {
        room: others - {room}
        for room, others in MAY_IMPORT.items()
        if room not in ("agent.cli", "evaluation")
    }
    assert list(TopologicalSorter(graph).static_order())


def test_no_two_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for path in sources():
        module = ".".join(module_of(path))
        graph[module] = {".".join(found.module) for found in own_imports(path) if found.at_top} - {module}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    ("package", "places"),
    [
        ("chromadb", ("vectorstore",)),
        (
            "llama_cpp",
            ("models/engine", "models/language_model.py", "agent/cli/doctor.py", "evaluation/bench"),
        ),
        ("langchain", ("models/langchain", "agent/chat")),
        ("langgraph", ("agent/chat",)),
    ],
)
def test_a_foreign_package_is_met_in_one_place(package: str, places: tuple[str, ...]) -> None:
    users = [
        name_of(path)
        for path in sources()
        if any(name.split(".")[0].startswith(package) for name in foreign_imports(path))
    ]
    assert [user for user in users if not user.startswith(places)] == []


def test_every_package_is_named_for_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = project["tool"]["setuptools"]["packages"]
    there = {"tanqu"} | {
        ".".join(("tanqu", *path.parent.relative_to(ROOT).parts))
        for path in sources()
        if path.name == "__init__.py"
    }
    assert sorted(named) == sorted(there)
    without = {path.parent for path in sources()} - {
        path.parent for path in sources() if path.name == "__init__.py"
    }
    assert not without, "a folder without __init__.py would be missing from the wheel"


def test_the_flat_part_of_the_agent_stays_small() -> None:
    assert len(list((ROOT / "agent").glob("*.py"))) <= 14


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_file_can_be_read_in_a_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize(
    "room", [room for room in MAY_IMPORT if (ROOT.joinpath(*room.split(".")) / "__init__.py").is_file()]
)
def test_a_door_says_what_comes_in_and_what_goes_out(room: str) -> None:
    text = (ROOT.joinpath(*room.split(".")) / "__init__.py").read_text(encoding="utf-8")
    doc = ast.get_docstring(ast.parse(text)) or ""
    assert all(part in doc for part in ("In: ", "Out: ", "May import: ")), doc
