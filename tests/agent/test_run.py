"""A run writes its own reports and is read back whole."""

import stat
from pathlib import Path

import pytest

from tanqu.agent.run import Run
from tanqu.models.errors import InputError, NotFoundError

HERE = Path(__file__).parent / "report"


@pytest.fixture(params=["en", "zh"])
def run(request: pytest.FixtureRequest) -> Run:
    return Run.load(HERE / f"run_{request.param}.json")


def test_a_run_survives_json(run: Run, tmp_path: Path) -> None:
    again = Run.load(run.save_json(tmp_path / "run.json"))
    assert again == run and type(again) is Run


@pytest.mark.parametrize(
    ("save", "suffix"), [(Run.save_html, ".html"), (Run.save_markdown, ".md"), (Run.save_json, ".json")]
)
def test_a_name_without_the_suffix_gets_it(run: Run, tmp_path: Path, save: object, suffix: str) -> None:
    assert callable(save)
    for name, written in (("r", f"r{suffix}"), (f"s{suffix}", f"s{suffix}"), ("v1.2", f"v1.2{suffix}")):
        path = save(run, tmp_path / name)
        assert path == tmp_path / written
        assert run.recommendations[0].item.title in path.read_text(encoding="utf-8")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_path_may_be_text(run: Run, tmp_path: Path) -> None:
    assert run.save_html(f"{tmp_path}/r.html").is_file()


@pytest.mark.parametrize("path", ["", "/", "{tmp}/file/r.html", "{tmp}/folder.html"])
def test_a_path_that_cannot_be_written_is_named(run: Run, tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError):
        run.save_html(path.format(tmp=tmp_path))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\x00", b'{"user": 1}', b"[" * 100_000])
def test_a_file_that_is_no_run_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.json"):
        Run.load(path)
    with pytest.raises(NotFoundError, match="gone"):
        Run.load(tmp_path / "gone.json")
    with pytest.raises(InputError):
        Run.load(tmp_path)
