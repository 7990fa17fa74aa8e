"""The file of `--json`: a place where none can be is told at once, and what is written is read back."""

import json
from pathlib import Path

import pytest

from tanqu.evaluation.results import check_json_path, write_json
from tanqu.models.errors import InputError


def test_a_place_for_a_file_passes_and_so_does_none(tmp_path: Path) -> None:
    assert check_json_path(tmp_path / "f.json") == tmp_path / "f.json" and check_json_path(None) is None


def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder .*nowhere: make it, or name another file with --json"):
        check_json_path(tmp_path / "nowhere" / "f.json")
    with pytest.raises(InputError, match="is a folder: name a file in it"):
        check_json_path(tmp_path)


def test_what_is_written_is_read_back_and_chinese_stays_readable(tmp_path: Path) -> None:
    found = {"figures": {"覆盖": {"mean": 0.5}}}
    write_json(tmp_path / "f.json", found)
    text = (tmp_path / "f.json").read_text(encoding="utf-8")
    assert json.loads(text) == found and "覆盖" in text and text.endswith("}\n")
    write_json(None, found)
    assert [one.name for one in tmp_path.iterdir()] == ["f.json"]


def test_a_file_that_cannot_be_written_after_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written .*: name another file with --json"):
        write_json(tmp_path / "gone" / "f.json", {})
