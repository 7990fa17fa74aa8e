"""How a profile and a run are printed: in both languages, within 80 columns, with nothing that steers the terminal."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.cells import cell_len

from tanqu.agent.cli.printout import print_interests, print_picks, print_profile
from tanqu.agent.report import write_report
from tanqu.agent.run import Run
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
    print_profile(profile, {"e1": "Green tea", "e2": "Green tea"})
    out, err = capsys.readouterr()
    for word in ("u1", "tea", "drinks", "25%", "fairly", "Green tea", "(avoids) war", "Tea, not war."):
        assert word in flat(out)
    assert err == "" and out.count("Green tea") == 2


def test_long_evidence_is_counted(capsys: Capture) -> None:
    events = [f"e{at}" for at in range(9)]
    print_profile(
        Profile(user="u", interests=(interest(evidence=events),)), {event: f"T{event}" for event in events}
    )
    assert "+6" in capsys.readouterr().out


@pytest.mark.parametrize(("language", "word"), [("en", "No interests yet."), ("zh", "还没有兴趣。")])
def test_an_empty_profile_says_so(capsys: Capture, language: str, word: str) -> None:
    print_profile(Profile.model_validate({"user": "u", "language": language}), {})
    assert word in capsys.readouterr().out


@pytest.mark.parametrize("name", ["en", "zh"])
def test_picks_show_rank_title_and_reason_and_notes_go_to_stderr(capsys: Capture, name: str) -> None:
    run = Run.load(HERE / f"run_{name}.json")
    print_picks(run)
    out, err = capsys.readouterr()
    shown = re.sub(r"\s+", "", out)
    for pick in run.recommendations:
        for part in (f"{pick.rank}.{pick.item.title}", pick.explanation.text):
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
    print_picks(run)
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
    print_profile(profile, {"e1": "[/x]"})
    print_interests(profile, {"e1": "[/x]"}, text)
    print_picks(run)
    out, err = capsys.readouterr()
    assert not STEERING.search(out + err)
    assert "k[/b]" in out and "[why]" in out and "[/x]" in out
    visible = STEERING.sub("", text)
    assert f"title {visible}" in out and (visible in err or "�" in err)


# --- the narrow form --------------------------------------------------------------------------------

LONG = {f"e{at}": f"The Long and Winding Title of Film Number {at}" for at in range(9)}


def narrow(language: str) -> Profile:
    liked = [
        interest(keyword=f"science fiction of the year {at}", evidence=list(LONG), weight=0.2)
        for at in range(5)
    ]
    avoided = [interest(keyword=word, polarity="negative") for word in ("war", "horror")]
    return Profile.model_validate({"user": "600", "language": language, "interests": (*liked, *avoided)})


@pytest.mark.parametrize(("language", "avoids"), [("en", "Avoids: war, horror"), ("zh", "回避：war、horror")])
def test_interests_are_a_narrow_table_with_two_titles_each_and_what_is_avoided_apart(
    capsys: Capture, language: str, avoids: str
) -> None:
    print_interests(narrow(language), LONG, "MovieLens viewer 600")
    head, *lines = capsys.readouterr().out.splitlines()
    assert "MovieLens viewer 600" in head and lines[-1] == avoids
    assert max(cell_len(line) for line in (head, *lines)) <= 80
    assert len(lines) <= 1 + 5 * 2 + 1, "no row has more than two lines"
    text = flat(" ".join(lines))
    assert text.count("20%") == 5 and text.count("+7") == 5 and "0.5" not in text


def test_who_has_only_dislikes_has_no_interests_but_what_they_avoid(capsys: Capture) -> None:
    negative = interest(keyword="war", polarity="negative")
    print_interests(Profile(user="u", interests=(negative,)), {}, "u")
    assert capsys.readouterr().out.splitlines()[1:] == ["No interests yet.", "Avoids: war"]


@pytest.mark.parametrize(("confidence", "word"), [(0.9, "well"), (0.45, "fairly"), (0.1, "roughly")])
def test_how_well_a_name_fits_is_a_word(capsys: Capture, confidence: float, word: str) -> None:
    print_profile(Profile(user="u", interests=(interest(confidence=confidence),)), {})
    out = capsys.readouterr().out
    assert word in out and f"{confidence:.2f}" not in out


def test_a_user_is_called_by_their_display_name_and_found_by_their_id(
    capsys: Capture, tmp_path: Path
) -> None:
    run = Run.load(HERE / "run_en.json").model_copy(
        update={"user": "600", "display_name": "MovieLens viewer 600"}
    )
    print_picks(run)
    assert "For MovieLens viewer 600" in capsys.readouterr().out
    again = Run.load(write_report(run, tmp_path / "run.json"))
    page = write_report(again, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "picks for MovieLens viewer 600" in page.split("</title>")[0]
    assert "profile 600" in page, "commands name the id"


def test_counterfactuals_are_printed_only_where_they_were_asked_for(capsys: Capture) -> None:
    run = Run.load(HERE / "run_en.json")
    print_picks(run)
    assert "Without “" not in capsys.readouterr().out
    print_picks(run, with_counterfactuals=True)
    assert "Without “" in capsys.readouterr().out
