"""The demo on the hand-made sample: it shows, writes, and does not do twice what is there."""

import json
import sys
from pathlib import Path

import pytest

from tanqu.agent.cli import main as cli
from tanqu.agent.run import Run
from tanqu.agent.settings import load_settings
from tanqu.evaluation.data.samples import SCENARIOS, demo_user, load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Language


class Demo:
    """Runs `tanqu ... demo` without a model and keeps what it said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setattr("tanqu.agent.recommender.SentenceEmbedder", HashEmbedder)

    def __call__(self, *words: str | Path) -> tuple[str, str]:
        """Stdout and stderr."""
        self._monkeypatch.setattr(sys, "argv", ["tanqu", "--model", "none", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = self._capsys.readouterr()
        assert left.value.code == 0, err
        return out, err


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Demo:
    return Demo(monkeypatch, capsys)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_shows_a_profile_and_five_picks_and_writes_three_files(
    demo: Demo, tmp_path: Path, language: Language
) -> None:
    out, err = demo("--scenario", "shop", "--lang", language, "demo", "--data", "sample", "-o", tmp_path)
    folder = tmp_path / f"shop-{language}"
    run = Run.load(folder / "run.json")
    sample = load_sample("shop", language)
    own = {event.id for event in sample.events if event.user == demo_user("shop")}
    assert run.user == demo_user("shop") and run.profile.language == language
    assert len(run.profile.interests) >= 3 and len(run.recommendations) == 5
    assert all(one.evidence and set(one.evidence) <= own for one in run.profile.interests)
    assert all(pick.explanation.text for pick in run.recommendations)
    for pick in run.recommendations:
        assert f"{pick.rank}. {pick.item.title}" in out
        for name in ("report.md", "report.html"):
            assert (folder / name).stat().st_size > 1000
    assert f"written: {folder / 'run.json'}" in err and "stages: " in err and "tokens: " in err


def test_a_second_demo_reuses_what_the_first_one_stored(demo: Demo, tmp_path: Path) -> None:
    words = ("--scenario", "news", "demo", "--data", "sample", "-o", tmp_path)
    assert "indexing" in demo(*words)[1]
    before = json.loads((tmp_path / "news-en" / "run.json").read_text(encoding="utf-8"))
    _, err = demo(*words)
    after = json.loads((tmp_path / "news-en" / "run.json").read_text(encoding="utf-8"))
    assert "indexing" not in err and "storing" not in err
    assert after["recommendations"] == before["recommendations"]
    assert load_settings(home=tmp_path / "news-en" / "home").scenario == "news"


def test_chinese_is_the_sample_in_all_scenarios_wherever_the_language_is_said(
    demo: Demo, tmp_path: Path
) -> None:
    out, _ = demo("demo", "--lang", "zh", "-o", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{one}-zh" for one in SCENARIOS}
    assert out.count(" 推荐\n") == len(SCENARIOS) == 4 and "Interests of" not in out


def test_an_interrupted_demo_is_taken_up_again(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(HashEmbedder):
        def embed(self, texts: object) -> None:  # type: ignore[override]  # it never returns
            raise KeyboardInterrupt

    words = ("--scenario", "video", "demo", "--data", "sample", "-o", tmp_path)
    monkeypatch.setattr("tanqu.agent.recommender.SentenceEmbedder", Stopped)
    with pytest.raises(AssertionError):
        demo(*words)
    monkeypatch.setattr("tanqu.agent.recommender.SentenceEmbedder", HashEmbedder)
    _, err = demo(*words)
    assert "storing" in err
    assert len(Run.load(tmp_path / "video-en" / "run.json").recommendations) == 5


def test_a_home_that_is_not_used_is_said(demo: Demo, tmp_path: Path) -> None:
    words = (
        "--home",
        tmp_path / "home",
        "--scenario",
        "news",
        "demo",
        "--data",
        "sample",
        "-o",
        tmp_path / "out",
    )
    _, err = demo(*words)
    assert "is not used" in err and not (tmp_path / "home").exists()
