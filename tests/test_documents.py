"""The documents keep their word: their code runs, their commands exist, their links lead somewhere."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tanqu.agent.cli import main as cli
from tanqu.agent.ingest.rows import EventBuilder
from tanqu.agent.recommender import Recommender
from tanqu.agent.run import Run
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Item
from tanqu.vectorstore.filters import compile_where

ROOT = Path(__file__).parent.parent
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(tanqu [^`]*)`")
# How a person writes that something of their own goes here.
PLACEHOLDER = re.compile(r"[A-Z]{3,}|\.\.\.")


def blocks(kind: str) -> list[tuple[str, str]]:
    """All blocks of a kind as (document, text)."""
    return [
        (name, text)
        for name, all_ in DOCUMENTS.items()
        for found, text in BLOCK.findall(all_)
        if found == kind
    ]


def commands() -> Iterator[str]:
    """Every `tanqu ...` that the documents name, in a block or within a sentence; `a|b` are two."""
    for _, text in blocks("bash"):
        yield from (line for line in text.splitlines() if line.startswith("tanqu "))
    for text in DOCUMENTS.values():
        for found in INLINE.findall(BLOCK.sub("", text)):
            yield from spelled_out(" ".join(found.split()))


def spelled_out(command: str) -> list[str]:
    """`tanqu models list|fetch` is two commands."""
    either = next((word for word in command.split(" ") if "|" in word), None)
    return [command.replace(either, one) for one in either.split("|")] if either else [command]


NAMED = sorted({one for one in commands() if not PLACEHOLDER.search(one)})

Main = Callable[[list[str]], tuple[int, str]]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Main:
    """Runs a command in this process; the exit code, and what it said."""

    def run(words: list[str]) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, said.out + said.err

    return run


# --- commands ---------------------------------------------------------------------------------------


def test_the_documents_name_the_main_commands() -> None:
    words = {word for one in NAMED for word in one.split()}
    assert {"demo", "index", "ingest", "profile", "recommend", "report", "chat", "doctor", "models"} <= words


@pytest.mark.parametrize("command", NAMED)
def test_a_command_exists_with_its_options(main: Main, command: str) -> None:
    code, said = main([*shlex.split(command), "--help"])
    assert code == 0, said


@pytest.mark.parametrize(
    "command", ["tanqu frobnicate", "tanqu recommend u --nonsense", "tanqu --nonsense doctor"]
)
def test_a_command_that_does_not_exist_would_be_found(main: Main, command: str) -> None:
    assert main([*shlex.split(command), "--help"])[0] == 2


def test_every_target_of_make_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {target for text in DOCUMENTS.values() for target in re.findall(r"\bmake ([a-z-]+)\b", text)}
    lines = [text for _, text in blocks("bash")]
    assert {"demo", "test"} <= set(re.findall(r"^make ([a-z-]+)", "\n".join(lines), re.MULTILINE))
    used = {target for target in targets if f"make {target}`" in "".join(DOCUMENTS.values())}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in used | {"demo", "test"})


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the page on one's own data, in a folder of their own, and no model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TANQU_MODEL", "none")
    monkeypatch.setattr("tanqu.agent.recommender.SentenceEmbedder", HashEmbedder)
    items, events = (text for name, text in blocks("json") if name == "docs/your-data.md")
    more = "".join(json.dumps({"id": f"more{at}", "title": f"Camping stove {at}"}) + "\n" for at in range(9))
    Path("items.jsonl").write_text(items + more, encoding="utf-8")
    Path("events.jsonl").write_text(events, encoding="utf-8")


def follow(main: Main, document: str) -> dict[str, str]:
    """Run the first script of a page; what each of its commands said."""
    said: dict[str, str] = {}
    for line in next(text for name, text in blocks("bash") if name == document).splitlines():
        code, said[line] = main(shlex.split(line))
        assert code == 0 and "skipped" not in said[line], f"{line}: {said[line]}"
    return said


@pytest.mark.usefixtures("own_data")
def test_ones_own_data_goes_the_way_that_is_described(main: Main) -> None:
    follow(main, "docs/your-data.md")
    assert Path("anna.html").is_file()
    assert main(["tanqu", "--home", "shop", "ingest", "events.jsonl"])[1].startswith("0 events added")


@pytest.mark.usefixtures("own_data")
def test_a_profile_is_changed_in_the_way_that_is_described(main: Main) -> None:
    follow(main, "docs/your-data.md")
    said = follow(main, "docs/profile.md")
    [renamed] = [text for line, text in said.items() if "rename" in line]
    assert "Evenings by the tent" in renamed and Path("anna.json").is_file()
    assert main(["tanqu", "--home", "shop", "profile", "anna"])[0] == 1  # forgotten


@pytest.mark.usefixtures("own_data")
def test_reports_are_made_in_the_way_that_is_described(main: Main) -> None:
    follow(main, "docs/your-data.md")
    said = follow(main, "docs/reports.md")
    assert Path("anna.html").is_file() and Path("reports/index.html").is_file()
    assert "counterfactuals" in Run.load("run.json").seconds
    assert "Camping stove" in Path("again.html").read_text(encoding="utf-8")
    assert any("ahead of" in text for line, text in said.items() if "--not" in line)


@pytest.mark.usefixtures("own_data")
def test_something_new_is_asked_for_in_the_way_that_is_described(main: Main) -> None:
    follow(main, "docs/your-data.md")
    follow(main, "docs/exploration.md")
    assert Path("anna.html").is_file()


def test_the_page_on_the_profile_names_methods_that_there_are() -> None:
    methods = re.findall(r"\| `(\w+)\(", DOCUMENTS["docs/profile.md"])
    assert len(methods) == 10 and all(callable(getattr(Recommender, one)) for one in methods)


def test_what_is_given_as_an_item_or_an_event_is_one() -> None:
    lines = [json.loads(line) for _, text in blocks("json") for line in text.splitlines()]
    items = [Item.model_validate(one) for one in lines if "title" in one]
    events = [EventBuilder()(one) for one in lines if "title" not in one]
    assert items and events


def test_every_operator_of_a_filter_is_known() -> None:
    text = DOCUMENTS["docs/your-data.md"]
    operators = re.findall(r"\$[a-z]+", text.split("Filters know")[1].split("\n\n")[0])
    assert {"$eq", "$lte", "$in", "$and"} <= set(operators)
    item = Item(id="1", title="t", attributes={"price": 5})
    for one in operators:
        values: dict[str, object] = {"$and": [{"price": 5}], "$or": [{"price": 5}]}
        where = {one: values[one]} if one in values else {"price": {one: [5] if one.endswith("in") else 5}}
        assert compile_where(where)(item) in (True, False)


# --- code -------------------------------------------------------------------------------------------


@pytest.mark.gguf
@pytest.mark.parametrize(("document", "code"), blocks("python"), ids=[name for name, _ in blocks("python")])
def test_the_code_runs_as_it_stands(
    document: str, code: str, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The small model stands in for the default one.
    names: dict[str, object] = {}
    exec(code.replace("open_model()", f"open_model({str(tiny_path)!r}, keep_prefixes=False)"), names)
    run = names.get("run")
    if run is not None:
        assert isinstance(run, Run) and run.recommendations and Path("report.html").is_file()


def test_the_founding_example_ranks_the_book_first(tmp_path: Path) -> None:
    code = (ROOT / "examples" / "founding_example.py").read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "example"}
    exec(code, names)
    history, items = names["HISTORY"], names["ITEMS"]
    assert isinstance(history, list) and isinstance(items, list)
    with Recommender.open(settings=Settings(home=tmp_path), embedder=HashEmbedder()) as recommender:
        run = recommender.rank(history, items, n=1)
    assert [pick.item.title for pick in run.recommendations] == ["《深度学习算法与应用》"]


# --- links ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_file_that_is_named_is_there(document: str) -> None:
    folders = "agent|docs|evaluation|examples|models|prompts|tests|vectorstore"
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", DOCUMENTS[document])
    ours = [name for name in named if not PLACEHOLDER.search(name) and "xx." not in name]
    assert [name for name in ours if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_link_within_the_project_leads_somewhere(document: str) -> None:
    text = BLOCK.sub("", DOCUMENTS[document])
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (ROOT / document).parent.joinpath(target).exists(), target
