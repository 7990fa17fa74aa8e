"""The command line: every command, what it prints where, and what it says to bad input."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from tanqu.agent.cli import main as cli
from tanqu.agent.recommender import Recommender
from tanqu.agent.report.writing import load_run
from tanqu.agent.run import Run
from tanqu.agent.settings import Settings
from tanqu.evaluation.data.samples import demo_user, load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Profile, Record

TANQU = Path(sys.executable).with_name("tanqu")
USER = demo_user("shop")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # whatever the command prints
        return json.loads(self.out)


Tanqu = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def tanqu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> Tanqu:
    """Runs `tanqu` in this process, in `home` and without a language model, with the embedder for tests."""
    monkeypatch.setattr("tanqu.agent.recommender.SentenceEmbedder", HashEmbedder)

    def run(*words: str | Path, plain: bool = False) -> Done:
        before = [] if plain else ["--home", str(home), "--model", "none"]
        monkeypatch.setattr(sys, "argv", ["tanqu", *before, *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int) and "Traceback" not in out + err
        return Done(left.value.code, out, err)

    return run


def write(path: Path, records: list[Any]) -> Path:
    """Records (or what may be none) as JSON lines."""
    lines = (one.model_dump_json() if isinstance(one, Record) else json.dumps(one) for one in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def shop(home: Path) -> None:
    """The English shop of the sample in `home`."""
    sample = load_sample("shop", "en")
    with Recommender.open(settings=Settings(home=home), embedder=HashEmbedder()) as recommender:
        recommender.add_items(sample.items)
        recommender.record(sample.events)


# --- the commands -----------------------------------------------------------------------------------


def commands() -> dict[str, click.Command]:
    """Every command by its words."""
    found: dict[str, click.Command] = {}

    def walk(words: str, group: Any) -> None:  # typer brings its own click
        for name, one in group.commands.items():
            if hasattr(one, "commands"):
                walk(f"{words}{name} ", one)
            else:
                found[f"{words}{name}"] = one

    walk("", typer.main.get_command(cli.app))
    return found


ISSUE = [
    "demo", "models list", "models fetch", "models path", "data movielens-100k", "index", "ingest", "profile",
    "recommend", "chat", "report", "doctor",
]  # fmt: skip


def test_every_command_is_there_and_says_what_it_does(tanqu: Tanqu) -> None:
    assert set(ISSUE) <= set(commands())
    for words, command in commands().items():
        done = tanqu(*words.split(), "--help", plain=True)
        assert done.code == 0 and done.err == ""
        assert command.help and command.help.split("\n")[0].split(".")[0][:30] in done.out


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        f"{words} {option.name}"
        for words, command in commands().items()
        for option in command.params
        if not getattr(option, "help", None) and option.name not in ("strict", "help")
    ]
    assert silent == []


def test_the_version_and_the_help(tanqu: Tanqu) -> None:
    assert tanqu("--version", plain=True).out.strip().count(".") == 2
    for word in ("-h", "--help"):
        assert "recommend" in tanqu(word, plain=True).out
    assert "recommend" in tanqu(plain=True).out


def test_a_file_of_items_becomes_a_catalogue(tanqu: Tanqu, tmp_path: Path) -> None:
    items = write(tmp_path / "items.jsonl", list(load_sample("shop", "zh").items))
    count = len(load_sample("shop", "zh").items)
    first = tanqu("index", items, "--json")
    assert (first.code, first.json["added"], first.json["items"], first.json["skipped"]) == (
        0,
        count,
        count,
        0,
    )
    second = tanqu("index", items)
    assert second.code == 0 and f"{count} unchanged; the catalogue has {count}" in second.out


def test_a_file_of_events_is_remembered_once(tanqu: Tanqu, tmp_path: Path) -> None:
    events = write(tmp_path / "events.jsonl", list(load_sample("shop", "zh").events))
    count = len(load_sample("shop", "zh").events)
    first = tanqu("ingest", events, "--json")
    assert (first.code, first.json["added"]) == (0, count)
    assert first.json["unknown_items"] > 0 and "are not in the catalogue" in first.err
    second = tanqu("ingest", events, "--json")
    assert (second.json["added"], second.json["unchanged"]) == (0, count)


@pytest.mark.parametrize("name", ["items.csv", "items.csv.gz", "items.jsonl", "items.jsonl.gz"])
def test_files_may_be_csv_or_jsonl_packed_and_marked(tanqu: Tanqu, tmp_path: Path, name: str) -> None:
    text = (
        "id,title,tags,attributes.price\n1,茶壶,tea|pot,25\n"
        if "csv" in name
        else '{"id":"1","title":"茶壶"}\n'
    )
    data = b"\xef\xbb\xbf" + text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert tanqu("index", path, "--json").json["added"] == 1


def test_a_bad_line_is_told_and_the_good_ones_are_kept(tanqu: Tanqu, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id":"1","title":"a"}\nnot json\n{"id":"1","title":"b"}\n{"id":"2","titel":"c"}\n')
    done = tanqu("index", path, "--json")
    assert (done.code, done.json["added"], done.json["skipped"], done.json["duplicates"]) == (0, 1, 2, 1)
    assert "items.jsonl, line 2" in done.err and "items.jsonl, line 4" in done.err and "titl" in done.err
    assert "the last one of each is kept" in done.err
    strict = tanqu("index", path, "--strict", "--json")
    assert strict.code == 1 and strict.out == "" and "nothing was kept" in strict.err


def test_many_bad_lines_are_counted(tanqu: Tanqu, tmp_path: Path) -> None:
    path = write(tmp_path / "items.jsonl", [{"id": "1", "title": "a"}, *([1] * 50)])
    done = tanqu("index", path)
    assert "50 lines in all" in done.err and done.err.count("\n") < 15


@pytest.mark.usefixtures("shop")
def test_a_profile_is_shown_and_printed_as_json(tanqu: Tanqu) -> None:
    shown, printed = tanqu("profile", USER), tanqu("profile", USER, "--json")
    found = Profile.model_validate_json(printed.out)
    assert shown.code == printed.code == 0 and found.user == USER and found.interests
    assert found.interests[0].keyword in shown.out and f"{found.interests[0].weight:.0%}" in shown.out


@pytest.mark.usefixtures("shop")
def test_recommendations_are_shown_and_printed_as_a_run(tanqu: Tanqu) -> None:
    shown, printed = tanqu("recommend", USER, "-n", "3"), tanqu("recommend", USER, "-n", "3", "--json")
    run = Run.model_validate_json(printed.out)
    assert shown.code == printed.code == 0 and len(run.recommendations) == 3
    for pick in run.recommendations:
        assert f"{pick.rank}. {pick.item.title}" in shown.out
    assert "no model" in shown.err and "note:" not in shown.out


@pytest.mark.usefixtures("shop")
def test_a_request_and_a_filter_are_taken(tanqu: Tanqu) -> None:
    where = '{"price": {"$lte": 60}}'
    run = Run.model_validate_json(
        tanqu("recommend", USER, "--request", "a tent", "--where", where, "--json").out
    )
    assert run.request == "a tent" and run.recommendations
    assert all(float(str(pick.item.attributes["price"])) <= 60 for pick in run.recommendations)


@pytest.mark.usefixtures("shop")
def test_somebody_new_gets_an_answer_to_a_request(tanqu: Tanqu) -> None:
    done = tanqu("recommend", "nobody", "--request", "tent", "--json")
    assert done.code == 0 and len(done.json["recommendations"]) == 5


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("name", ["r.html", "r.md", "r.json", "R.HTML"])
def test_a_report_is_written_and_its_path_printed(tanqu: Tanqu, tmp_path: Path, name: str) -> None:
    done = tanqu("report", USER, "-o", tmp_path / name, "-n", "2", "--request", "tent")
    assert done.code == 0 and Path(done.out.strip()).read_text(encoding="utf-8").count("tent") > 0


def test_enriching_needs_a_model_and_says_so(tanqu: Tanqu, tmp_path: Path) -> None:
    done = tanqu("index", "--enrich")
    assert done.code == 1 and done.err.startswith("error: ") and "--model" in done.err


@pytest.mark.gguf
def test_a_catalogue_is_enriched_with_and_without_a_file(
    tanqu: Tanqu, tmp_path: Path, tiny_path: Path
) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text('{"id": "a", "title": "Cork yoga mat"}\n', encoding="utf-8")
    first = tanqu("--model", tiny_path, "index", items, "--enrich")
    assert first.code == 0 and "keywords of the model" in first.out
    again = tanqu("--model", tiny_path, "index", "--enrich", "--json").json
    assert again["added"] == 0 and again["items"] == 1 and again["enriched"] in (0, 1)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("options", [[], ["--quick"]])
def test_a_report_says_where_picks_would_stand_without_something(
    tanqu: Tanqu, tmp_path: Path, options: list[str]
) -> None:
    assert tanqu("report", USER, "-o", tmp_path / "run.json", *options).code == 0
    assert all(pick.counterfactual for pick in load_run(tmp_path / "run.json").recommendations)


@pytest.mark.usefixtures("shop")
def test_a_report_is_written_again_from_its_json(tanqu: Tanqu, tmp_path: Path) -> None:
    tanqu("report", USER, "-o", tmp_path / "run.json")
    again = tanqu(
        "--home",
        tmp_path / "nothing",
        "report",
        "--from",
        tmp_path / "run.json",
        "-o",
        tmp_path / "r.html",
        plain=True,
    )
    assert again.code == 0 and (tmp_path / "r.html").read_text(encoding="utf-8").count("Without “") > 0
    assert not (tmp_path / "nothing").exists()


@pytest.mark.usefixtures("shop")
def test_recommendations_say_it_if_asked(tanqu: Tanqu) -> None:
    assert "Without “" in tanqu("recommend", USER, "--what-if").out
    assert "Without “" not in tanqu("recommend", USER).out


@pytest.mark.usefixtures("shop")
def test_a_report_on_everybody_is_a_folder_with_an_index(tanqu: Tanqu, tmp_path: Path) -> None:
    done = tanqu("report", "--all", "-o", tmp_path / "all", "-n", "1")
    users = {event.user for event in load_sample("shop", "en").events}
    assert done.code == 0 and Path(done.out.strip()).name == "index.html"
    assert len(list((tmp_path / "all").glob("*.html"))) == len(users) + 1


@pytest.mark.usefixtures("shop")
def test_the_language_and_the_scenario_can_be_chosen(tanqu: Tanqu, home: Path) -> None:
    done = tanqu("--lang", "zh", "--scenario", "video", "recommend", USER, "--json")
    assert (done.json["profile"]["language"], done.json["scenario"]) == ("zh", "video")


def test_a_home_remembers_the_scenario_it_was_indexed_for(tanqu: Tanqu, tmp_path: Path) -> None:
    items = write(tmp_path / "items.jsonl", [{"id": str(at), "title": f"news {at}"} for at in range(6)])
    assert "scenario news" in tanqu("--scenario", "news", "index", items).err
    assert tanqu("recommend", "u", "--request", "news", "--json").json["scenario"] == "news"


@pytest.mark.usefixtures("shop")
def test_a_home_of_another_embedder_is_usable_after_a_rebuild(
    tanqu: Tanqu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tanqu.agent.recommender.SentenceEmbedder", lambda: HashEmbedder(32))
    refused = tanqu("recommend", USER)
    assert refused.code == 1 and "tanqu index --rebuild" in refused.err
    rebuilt = tanqu("index", "--rebuild", "--json")
    assert rebuilt.code == 0 and rebuilt.json["items"] == len(load_sample("shop", "en").items)
    assert tanqu("recommend", USER).code == 0


def test_the_home_may_come_from_the_environment(
    tanqu: Tanqu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TANQU_HOME", str(tmp_path / "elsewhere"))
    items = write(tmp_path / "items.jsonl", [{"id": "1", "title": "a"}])
    assert tanqu("index", items, plain=True).code == 0
    assert (tmp_path / "elsewhere" / "tanqu.db").is_file()


@pytest.mark.usefixtures("shop")
def test_a_model_of_the_settings_may_be_missing_and_that_is_said(
    tanqu: Tanqu, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANQU_MODEL", "/nowhere/model.gguf")
    done = tanqu("--home", home, "recommend", USER, "--json", plain=True)
    assert done.code == 0 and "going on without a language model" in done.err
    assert done.json["fingerprints"]["model"] == "none"


def test_the_models_are_listed(tanqu: Tanqu) -> None:
    rows = tanqu("models", "list", "--json").json
    assert {"qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b", "smollm2-135m"} <= {row["name"] for row in rows}
    assert all({"name", "title", "licence", "bytes", "here"} == set(row) for row in rows)
    shown = tanqu("models", "list")
    assert all(row["name"] in shown.out for row in rows)


@pytest.mark.gguf
def test_the_path_of_a_fetched_model_is_printed(tanqu: Tanqu, tiny_path: Path) -> None:
    assert tanqu("models", "path", "smollm2-135m").out.strip() == str(tiny_path)
    assert tanqu("models", "path", tiny_path).out.strip() == str(tiny_path)


def test_the_doctor_says_what_is_in_force(tanqu: Tanqu, home: Path) -> None:
    found = tanqu("--lang", "zh", "doctor", "--json")
    assert found.code == 0 and (found.json["home"], found.json["language"]) == (str(home), "zh")
    assert "llama-cpp-python" in tanqu("doctor").out
    assert not home.exists()


def test_weights_are_fitted_kept_and_taken_back(tanqu: Tanqu, tmp_path: Path, home: Path) -> None:
    items = [{"id": f"{topic}{at}", "title": f"{topic} {at}"} for topic in "abcdef" for at in range(8)]
    rows = [
        {"user": f"u{user}", "item": f"{'abcdef'[user % 6]}{(user + at) % 8}", "action": "purchase"}
        | {"time": f"2026-01-0{at + 1}T00:00:00Z"}
        for user in range(30)
        for at in range(5)
    ]
    tanqu("index", write(tmp_path / "items.jsonl", items))
    few = tanqu("ingest", write(tmp_path / "few.jsonl", rows[:50])), tanqu("tune")
    assert few[1].code == 1 and "10 users can be measured and tuning needs 20" in few[1].err
    tanqu("ingest", write(tmp_path / "all.jsonl", rows))
    bad = write(home / "ranking.toml", [])  # weights of zero: any taste is a gain
    bad.write_text("[weights]\nhistory = 0\nlexical = 0\n")
    dry = tanqu("tune", "--dry-run", "--json")
    assert dry.json["low"] > 0 and "nothing was written" in dry.err
    assert bad.read_text().startswith("[weights]")
    done = tanqu("tune")
    assert "N@10 on users the weights were not fitted to" in done.out and str(bad) in done.err
    assert "30 users, 120 events" in tanqu("doctor", "--json").json["signal_weights"]["provenance"]
    kept = bad.read_text()
    again = tanqu("tune", "--json")
    assert not again.json["low"] > 0 and "stay as they are" in again.err and bad.read_text() == kept
    assert "own weights hold again" in tanqu("tune", "--reset").err and not bad.exists()
    assert "in force already" in tanqu("tune", "--reset").err


def test_weights_that_would_not_hold_are_not_fitted(tanqu: Tanqu, home: Path, tmp_path: Path) -> None:
    tanqu("index", write(tmp_path / "items.jsonl", [{"id": "a", "title": "b"}]))
    (home / "mine.toml").write_text("alpha = 0.1\n")
    (home / "settings.toml").write_text('signal_weights = "mine.toml"\n')
    done = tanqu("tune")
    assert done.code == 1 and "mine.toml" in done.err and "--dry-run" in done.err


@pytest.mark.usefixtures("shop")
def test_a_chat_reads_lines_from_a_pipe(
    tanqu: Tanqu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    said.write_text("/recommend\n/why 1\n/exit\n", encoding="utf-8")
    with said.open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        done = tanqu("chat", USER)
    assert done.code == 0 and "1. " in done.out


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "words", [["profile", USER], ["recommend", USER], ["why", USER, load_sample("shop", "en").items[0].id]]
)
def test_json_is_all_that_stands_on_stdout(tanqu: Tanqu, words: list[str]) -> None:
    done = tanqu(*words, "--json")
    assert done.code == 0 and isinstance(done.json, dict)


# --- bad input --------------------------------------------------------------------------------------


def hostile(folder: Path) -> dict[str, Path]:
    """Files that are not what they should be."""
    contents: dict[str, bytes] = {
        "text.jsonl": b"not json\n",
        "binary.jsonl": b"\x00\x01\xff",
        "zero.jsonl": b"",
        "utf16.jsonl": '{"id":"1","title":"茶"}'.encode("utf-16"),
        "gb.csv": "id,title\n1,茶壶\n".encode("gb18030"),
        "bad.jsonl.gz": b"\x1f\x8b\x08\x00" + os.urandom(64),
        "items.xlsx": b"PK\x03\x04",
        "zero.gguf": b"",
        "random.gguf": os.urandom(4096),
        "cut.gguf": b"GGUF\x03\x00\x00\x00" + os.urandom(4096),
        "page.json": b"{}",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jsonl").mkdir()
    return {path.name: path for path in folder.iterdir()}


DEEP = "[" * 100_000
LONG = '{"a": ' + "9" * 5000 + "}"


def test_a_fetch_without_a_name_fetches_the_default_model(
    tanqu: Tanqu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TANQU_MODELS", str(tmp_path / "file" / "models"))  # so that it ends at once
    done = tanqu("models", "fetch")
    assert done.code == 1 and "qwen2.5-coder-1.5b" in done.err


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["recommend", USER, "--where", '{"price":'], "--where"),
        (["recommend", USER, "--where", "[1]"], "not a JSON object"),
        (["recommend", USER, "--where", DEEP], "--where"),
        (["recommend", USER, "--where", LONG], "--where"),
        (["recommend", USER, "--where", '{"price": {"$near": 1}}'], "$near"),
        (["recommend", USER, "--where", '{"price": {"$lte": NaN}}'], ""),
        (["recommend", USER, "-n", "-3"], "-3"),
        (["recommend", USER, "-n", "0"], "1 to 100"),
        (["recommend", USER, "-n", "101"], "1 to 100"),
        (["recommend", "nobody"], "'nobody'"),
        (["recommend", "nobody", "--request", " "], "'nobody'"),
        (["recommend", "a\tb", "--request", "x"], "user id"),
        (["recommend", "\udcff"], "user id"),
        (["recommend", "x" * 300, "--request", "x"], "user id"),
        (["profile", "nobody"], "'nobody'"),
        (["profile", "\udcff"], "user id"),
        (["profile", USER, "dance"], "dance"),
        (["report", "nobody", "-o", "r.html"], "'nobody'"),
        (["report", USER, "-o", "r.pdf"], "r.pdf"),
        (["report", USER, "-o", "r"], ".html"),
        (["report", "-o", "r.html"], "--all"),
        (["report", USER, "--all", "-o", "r"], "--all"),
        (["report", USER, "-o", "{page.json}/r.html"], "page.json"),
        (["index"], "--rebuild"),
        (["index", "gone.jsonl"], "gone.jsonl"),
        (["index", "{folder.jsonl}"], "folder.jsonl"),
        (["index", "{text.jsonl}"], "line 1"),
        (["index", "{binary.jsonl}"], "line 1"),
        (["index", "{zero.jsonl}"], "zero.jsonl"),
        (["index", "{utf16.jsonl}"], "UTF-8"),
        (["index", "{gb.csv}"], "UTF-8"),
        (["index", "{bad.jsonl.gz}"], "bad.jsonl.gz"),
        (["index", "{items.xlsx}"], "items.xlsx"),
        (["ingest", "{text.jsonl}"], "line 1"),
        (["ingest", "{zero.jsonl}"], "zero.jsonl"),
        (["--model", "{zero.gguf}", "recommend", USER], "zero.gguf"),
        (["--model", "{random.gguf}", "recommend", USER], "random.gguf"),
        (["--model", "{cut.gguf}", "recommend", USER], "cut.gguf"),
        (["--model", "gone.gguf", "recommend", USER], "gone.gguf"),
        (["--model", "nonsense", "profile", USER], "nonsense"),
        (["--model", "", "profile", USER], "model"),
        (["--home", "/proc/nope", "recommend", USER], "/proc/nope"),
        (["--home", "{page.json}", "recommend", USER], "page.json"),
        (["--lang", "fr", "recommend", USER], "zh or en"),
        (["--scenario", "games", "recommend", USER], "social"),
        (["models", "path", "nonsense"], "nonsense"),
        (["models", "fetch", "nonsense"], "nonsense"),
        (["demo", "--data", "nonsense"], "movielens or sample"),
        (["demo", "--data", "sample", "--lang", "fr"], "zh or en"),
        (["--scenario", "games", "demo", "--data", "sample"], "social"),
        (["chat", "\udcff"], "user id"),
        (["profile", "\udcff", "forget", "--all"], "user id"),
        (["profile", "a\tb", "export"], "user id"),
        (["report", "\x1b", "-o", "r.html"], "user id"),
        (["report", USER, "-o", "no/such/r.html"], "no/such/r.html"),
        (["report", "", "-o", "r.html"], "user id"),
        (["why", USER, "nonsense"], "nonsense"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_exit_code_1(
    tanqu: Tanqu, tmp_path: Path, words: list[str], said: str
) -> None:
    files = hostile(tmp_path)
    filled = [
        next(
            (word.replace(f"{{{name}}}", str(path)) for name, path in files.items() if f"{{{name}}}" in word),
            word,
        )
        for word in words
    ]
    done = tanqu(*filled)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ") and said in done.err and len(done.err) < 2000
    lines = done.err.rstrip("\n").split("\n")
    assert all(line.startswith("  ") for line in lines[1:])  # what stands in a file is listed below


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["recommend"],
        ["recommend", "u", "-n", "abc"],
        ["recommend", "u", "--nonsense"],
        ["models", "x"],
    ],
)
def test_what_cannot_be_parsed_is_exit_code_2(tanqu: Tanqu, words: list[str]) -> None:
    done = tanqu(*words)
    assert (done.code, done.out) == (2, "") and done.err


def test_an_empty_catalogue_is_an_error(tanqu: Tanqu) -> None:
    done = tanqu("recommend", "u1", "--request", "x")
    assert done.code == 1 and "empty" in done.err and "tanqu index" in done.err


@pytest.mark.usefixtures("shop")
def test_nothing_is_lost_by_a_bad_file(tanqu: Tanqu, tmp_path: Path) -> None:
    before = tanqu("recommend", USER, "--json").json["recommendations"]
    files = hostile(tmp_path)
    for name in ("text.jsonl", "binary.jsonl", "bad.jsonl.gz"):
        assert tanqu("index", files[name]).code == tanqu("ingest", files[name]).code == 1
    assert tanqu("recommend", USER, "--json").json["recommendations"] == before


@pytest.mark.parametrize("content", ["scenario = 'games'", "= nonsense", "colour = 1"])
def test_wrong_settings_are_named(tanqu: Tanqu, home: Path, content: str) -> None:
    home.mkdir()
    (home / "settings.toml").write_text(content)
    done = tanqu("doctor")
    assert done.code == 1 and "settings.toml" in done.err and done.err.count("\n") == 1


def test_what_an_error_quotes_cannot_steer_the_terminal(tanqu: Tanqu) -> None:
    done = tanqu("index", "a\x1b[31m\u202eb\x9b.jsonl")
    assert done.code == 1 and not set("\x1b\u202e\x9b") & set(done.err)


def test_a_long_message_stays_on_one_line(tanqu: Tanqu, tmp_path: Path) -> None:
    done = tanqu("index", tmp_path / ("x" * 200 + ":smile:.jsonl"))
    assert done.err.count("\n") == 1 and ":smile:" in done.err


# --- the real entry ---------------------------------------------------------------------------------


def entry(*words: str | Path, **more: str) -> "subprocess.Popen[str]":
    """The installed command in a process of its own."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([TANQU, *words], text=True, env=os.environ | more, **pipes)


@pytest.fixture(scope="module")
def real_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the embedder that people have."""
    home = tmp_path_factory.mktemp("real")
    with Recommender.open(settings=Settings(home=home)) as recommender:
        recommender.add_items({"id": str(at), "title": f"茶壶{at} 🙂"} for at in range(6))
    return home


def test_the_installed_command_prints_chinese_whatever_the_locale(real_home: Path) -> None:
    words = ("--home", real_home, "--model", "none", "recommend", "u", "--request", "茶壶")
    with entry(*words, PYTHONIOENCODING="ascii") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in err and "\\u8336" in out


def test_the_installed_command_survives_a_broken_model(tmp_path: Path) -> None:
    words = ("--home", tmp_path / "home", "--model", hostile(tmp_path)["cut.gguf"], "recommend", "u1")
    with entry(*words) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "") and err.startswith("error: ") and err.count("\n") == 1


def test_ctrl_c_ends_with_130_and_what_was_stored_stays(tmp_path: Path, home: Path) -> None:
    items = write(tmp_path / "items.jsonl", [{"id": str(at), "title": f"thing {at}"} for at in range(20_000)])
    until = time.monotonic() + 30
    with entry("--home", home, "index", items) as process:
        while not (home / "tanqu.db").exists():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "") and "Traceback" not in err
    with Recommender.open(settings=Settings(home=home), embedder=HashEmbedder(), rebuild=True) as recommender:
        assert len(recommender.catalogue) in (0, 20_000)


def test_a_reader_that_leaves_is_no_error() -> None:
    with entry("models", "list", "--json") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(60) in (0, 1) and "Traceback" not in err
