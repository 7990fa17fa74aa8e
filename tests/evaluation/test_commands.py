"""The commands on data sets: what `mount` adds, and that they write what they say."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tanqu.agent.ingest.files import read_events, read_items
from tanqu.models.errors import InputError

Command = Callable[..., Result]


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MovieLens-100K as it lies after it was fetched, in small."""
    monkeypatch.setenv("TANQU_DATA", str(tmp_path / "kept"))
    folder = tmp_path / "kept" / "ml-100k"
    folder.mkdir(parents=True)
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (folder / "ml-100k.item").write_text(f"{header}1\tBlue Angel, The\t1930\tDrama\n", encoding="utf-8")
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (folder / "ml-100k.inter").write_text(
        f"{header}7\t1\t4\t881250949\n7\t1\t5\t881250950\n", encoding="utf-8"
    )
    (folder / "ml-100k.user").write_text("user_id:token\n7\n", encoding="utf-8")


@pytest.mark.usefixtures("films")
def test_movielens_becomes_files_that_index_and_ingest_read(mounted: Command, tmp_path: Path) -> None:
    done = mounted("data", "movielens-100k", "-o", tmp_path / "films")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "films")
    assert "1 films and 2 ratings: `tanqu index" in done.stderr
    [film] = read_items(tmp_path / "films" / "items.jsonl", True).records
    assert film.title == "The Blue Angel"
    assert [event.value for event in read_events(tmp_path / "films" / "events.jsonl", True).records] == [4, 5]


@pytest.mark.usefixtures("films")
def test_a_folder_that_cannot_be_made_says_what_to_do(mounted: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = mounted("data", "movielens-100k", "-o", tmp_path / "file" / "films")
    assert isinstance(done.exception, InputError) and "name another folder with -o" in str(done.exception)


def test_sizes_that_are_none_are_told_before_anything_is_made(mounted: Command, tmp_path: Path) -> None:
    done = mounted("bench", "--scale", "--items", "many", "--json", tmp_path / "rows.json")
    assert isinstance(done.exception, InputError) and "many" in str(done.exception)
    assert not (tmp_path / "rows.json").exists()


@pytest.mark.parametrize("words", [["bench"], ["evaluate", "ranking"], ["evaluate", "explanations"]])
def test_a_place_where_no_figures_can_be_is_told_at_once(mounted: Command, words: list[str]) -> None:
    done = mounted(*words, "--json", "nowhere/figures.json")
    assert isinstance(done.exception, InputError) and "there is no folder nowhere" in str(done.exception)


def test_every_measurement_has_a_line_of_help(mounted: Command) -> None:
    shown = mounted("evaluate", "--help").stdout
    for name in ("profile", "ranking", "explanations", "chat"):
        [line] = [one for one in shown.splitlines() if one.strip("│ ").startswith(f"{name} ")]
        assert "easure" in line
