"""What the terminal shows: results on stdout, everything else on stderr, nothing that steers it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tanqu.agent.cli import console
from tanqu.agent.run import Run
from tanqu.models.errors import InputError
from tanqu.models.records import Explanation, Interest, Item, Profile, Recommendation

HERE = Path(__file__).parents[1] / "report"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NASTY = ["[/bold]", "[red]x", "a\x9bb", "\u202egnp", ":smile:", "<|im_start|>", "🙂"]

Capture = pytest.CaptureFixture[str]


def interest(**values: object) -> Interest:
    plain = {"keyword": "tea", "theme": "drinks", "weight": 0.25, "confidence": 0.5, "evidence": ["e1", "e2"]}
    return Interest.model_validate(plain | values)


def flat(text: str) -> str:
    """Without the wrapping of lines and tables."""
    return re.sub(r"\s+", " ", text)


def test_a_profile_shows_names_shares_and_what_they_rest_on(capsys: Capture) -> None:
    negative = interest(keyword="war", polarity="negative")
    profile = Profile(user="u1", interests=(interest(), negative), summary="Tea, not war.")
    console.show_profile(profile, {"e1": "Green tea", "e2": "Green tea"})
    out, err = capsys.readouterr()
    for word in ("u1", "tea", "drinks", "25%", "0.50", "Green tea", "(avoids) war", "Tea, not war."):
        assert word in flat(out)
    assert err == "" and out.count("Green tea") == 2


def test_long_evidence_is_counted(capsys: Capture) -> None:
    events = [f"e{at}" for at in range(9)]
    console.show_profile(
        Profile(user="u", interests=(interest(evidence=events),)), {event: f"T{event}" for event in events}
    )
    assert "+6" in capsys.readouterr().out


@pytest.mark.parametrize(("language", "word"), [("en", "No interests yet."), ("zh", "还没有兴趣。")])
def test_an_empty_profile_says_so(capsys: Capture, language: str, word: str) -> None:
    console.show_profile(Profile.model_validate({"user": "u", "language": language}), {})
    assert word in capsys.readouterr().out


@pytest.mark.parametrize("name", ["en", "zh"])
def test_picks_show_rank_title_interest_and_reason_and_notes_go_to_stderr(capsys: Capture, name: str) -> None:
    run = Run.load(HERE / f"run_{name}.json")
    console.show_picks(run)
    out, err = capsys.readouterr()
    shown = re.sub(r"\s+", "", out)
    for pick in run.recommendations:
        for part in (f"{pick.rank}.{pick.item.title}", pick.explanation.text, pick.interest or ""):
            assert re.sub(r"\s+", "", part) in shown
    assert err.count("note: ") == len(run.notes)


def test_an_empty_list_says_so(capsys: Capture) -> None:
    run = Run(
        user="u",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        profile=Profile(user="u"),
        recommendations=(),
        candidates=(),
    )
    console.show_picks(run)
    assert "Nothing passed." in capsys.readouterr().out


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_is_shown_steers_the_terminal_or_is_markup(capsys: Capture, text: str) -> None:
    profile = Profile(user=text, interests=(interest(keyword="k[/b]", theme="[b]"),))
    pick = Recommendation(
        rank=1,
        item=Item(id="i", title=f"title {text}", attributes={"year": text}),
        score=0,
        signals={},
        interest="k[/b]",
        explanation=Explanation(text="[why]", evidence=(), grounded=True, written_by="template"),
    )
    run = Run(
        user=text,
        request=text,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        profile=profile,
        recommendations=(pick,),
        candidates=(),
        notes=(f"note {text}",),
    )
    console.show_profile(profile, {"e1": "[/x]"})
    console.show_picks(run)
    out, err = capsys.readouterr()
    assert not STEERING.search(out + err)
    assert "k[/b]" in out and "[why]" in out and "[/x]" in out
    visible = STEERING.sub("", text)
    assert f"title {visible}" in out and (visible in err or "�" in err)


def test_a_line_to_the_person_stays_one_line(capsys: Capture) -> None:
    console.say("x" * 300 + " [bold]y[/bold] :smile: \x1b[31m")
    out, err = capsys.readouterr()
    assert out == "" and err == "x" * 300 + " [bold]y[/bold] :smile: �[31m\n"


def test_an_id_is_taken_as_typed_or_refused(capsys: Capture) -> None:
    assert console.user_id("小明") == "小明"
    for bad in ("", "a\nb", "\udcff", "x" * 201):
        with pytest.raises(InputError, match="user id") as caught:
            console.user_id(bad)
        assert len(str(caught.value)) < 250


def test_a_download_on_a_pipe_is_a_line_for_each_tenth(capsys: Capture) -> None:
    with console.downloading() as show:
        for done in range(0, 101):
            show(done << 20, 100 << 20, "model")
        show(5, 0, "unknown size")
    out, err = capsys.readouterr()
    assert out == "" and err.count("model: ") == 11 and "100 of 100 MB" in err and "unknown size" in err


def test_counting_on_a_pipe_is_silent(capsys: Capture) -> None:
    with console.counting("indexing") as count:
        count(1, 2)
        count(2, 2)
    assert capsys.readouterr().out == ""
