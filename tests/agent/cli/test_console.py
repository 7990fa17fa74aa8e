"""What goes to stderr: notes without anything that steers the terminal, and progress as plain lines in a log."""

import time

import pytest

from tanqu.agent.cli import console
from tanqu.agent.cli.options import user_id
from tanqu.models.errors import InputError

Capture = pytest.CaptureFixture[str]


def test_a_line_to_the_person_stays_one_line(capsys: Capture) -> None:
    console.say("x" * 300 + " [bold]y[/bold] :smile: \x1b[31m")
    out, err = capsys.readouterr()
    assert out == "" and err == "x" * 300 + " [bold]y[/bold] :smile: �[31m\n"


def test_an_id_is_taken_as_typed_or_refused(capsys: Capture) -> None:
    assert user_id("小明") == "小明"
    for bad in ("", "a\nb", "\udcff", "x" * 201):
        with pytest.raises(InputError, match="user id") as caught:
            user_id(bad)
        assert len(str(caught.value)) < 250


def test_a_quick_download_in_a_log_is_its_first_and_its_last_line(capsys: Capture) -> None:
    with console.downloading() as show:
        for done in range(0, 101):
            show(done << 20, 100 << 20, "model")
        show(5 << 20, 0, "unknown size")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["model: 0 of 100 MB", "model: 100 of 100 MB", "unknown size: 5 MB"]


# --- progress in a log --------------------------------------------------------------------------------


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def lines_of(steps: list[tuple[float, int, int]], capsys: Capture) -> list[str]:
    """What is printed where the state (done, of how many) is reported after so many seconds."""
    clock = Clock()
    lines = console.PlainLines("indexing", lambda done, total: f"{done} of {total}", clock=clock)
    for seconds, done, total in steps:
        clock.seconds = 100.0 + seconds
        lines.show("indexing", done, total)
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_there_is_a_line_at_the_start_for_each_tenth_and_at_the_end(capsys: Capture) -> None:
    lines = lines_of([(2.0 * done, done, 40) for done in range(41)], capsys)
    assert lines[0] == "indexing: 0 of 40" and len(lines) == 11
    assert lines[1] == "indexing: 4 of 40, 8 s so far, about 72 s left"
    assert lines[-1] == "indexing: 40 of 40, 80 s so far"


def test_slow_work_has_a_line_every_ten_seconds(capsys: Capture) -> None:
    lines = lines_of([(4.0 * done, done, 1000) for done in range(20)], capsys)
    assert [line.split()[1] for line in lines] == ["0", "3", "6", "9", "12", "15", "18"]


def test_quick_work_has_a_line_at_its_start_and_at_its_end(capsys: Capture) -> None:
    assert lines_of([(done / 1000, done, 40) for done in range(41)], capsys) == [
        "indexing: 0 of 40", "indexing: 40 of 40",
    ]  # fmt: skip


def test_work_that_reports_nothing_for_long_is_still_seen_in_the_log(capsys: Capture) -> None:
    with console.counting("reading", every=0.05) as count:
        time.sleep(0.3)
        count(0, 7)
        time.sleep(0.3)
    out, err = capsys.readouterr()
    assert out == "" and err.count("reading: started") >= 2 and err.count("reading: 0 of 7") >= 3


def test_work_that_is_done_at_once_leaves_no_line(capsys: Capture) -> None:
    with console.counting("recommending"):
        pass
    assert capsys.readouterr().err == ""


def test_the_next_work_has_its_own_lines(capsys: Capture) -> None:
    with console.counting("indexing") as count:
        count(2, 2)
        count.then("enriching")(0, 3)
    assert capsys.readouterr().err.splitlines() == ["indexing: 2 of 2", "enriching: 0 of 3"]
