"""What a list left out is told with what kept it away, in the report and for `why`."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.explanation.exclusions import passed_over, pushed_down
from tanqu.agent.ranking.selection import select
from tanqu.agent.report.writing import to_html, to_markdown
from tanqu.models.records import (
    Candidate,
    Explanation,
    HistoryEvent,
    Interest,
    Item,
    Language,
    Profile,
    Ranked,
    Recommendation,
    Run,
)


def ranked(rank: int, interest: str | None = None, title: str = "", disliked: float = 0.0) -> Ranked:
    return Ranked(
        candidate=Candidate(
            item=Item(id=f"i{rank}", title=title or f"title {rank}"), channels={}, interest=interest
        ),
        rank=rank,
        score=-float(rank),
        signals={"interest": -rank + disliked, "negative": -disliked},
        raw={"negative": disliked},
    )


def run_of(
    candidates: list[Ranked],
    n: int = 5,
    muted: str = "",
    language: Language = "en",
    known: str = "",
    **weights: float,
) -> Run:
    """The run that picks from these candidates; `known` is the title of something that was used."""
    profile = Profile(
        user="u",
        language=language,
        interests=tuple(
            Interest(
                keyword=name, theme="t", weight=weight, confidence=0, evidence=("e",), muted=name == muted
            )
            for name, weight in weights.items()
        ),
    )
    used = [Item(id="used", title=known)] if known else []
    why = Explanation(text="because.", evidence=(), grounded=True, written_by="template")
    return Run(
        user="u",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        profile=profile,
        recommendations=tuple(
            Recommendation(
                rank=place,
                item=one.candidate.item,
                score=one.score,
                signals=one.signals,
                interest=one.candidate.interest,
                explanation=why,
            )
            for place, one in enumerate(select(candidates, profile, used, n), 1)
        ),
        candidates=tuple(candidates),
        history=(HistoryEvent(id="e", action="view", text=known or "something"),),
    )


def reasons(run: Run) -> dict[int, str]:
    return {one.rank: reason for one, reason in passed_over(run)}


def test_an_interest_that_had_its_share_is_the_reason() -> None:
    tea = [ranked(at, "tea") for at in range(1, 6)]
    assert reasons(run_of([*tea, ranked(6, "chess")], n=4, tea=0.5, chess=0.5)) == {4: "share", 5: "share"}


def test_a_muted_interest_is_the_reason() -> None:
    run = run_of([ranked(1, "tea"), ranked(2, "chess")], n=1, muted="tea", tea=0.0, chess=1.0)
    assert reasons(run) == {1: "muted"}


def test_what_is_the_same_as_a_pick_or_as_something_known_says_so() -> None:
    candidates = [ranked(1, title="Tea"), ranked(2, title="TEA!"), ranked(3, title="Old"), ranked(4)]
    assert reasons(run_of(candidates, n=2, known="old")) == {2: "twin", 3: "known"}


def test_what_ranks_behind_the_last_pick_was_not_passed_over() -> None:
    assert reasons(run_of([ranked(at) for at in range(1, 9)], n=3)) == {}


@given(st.lists(st.sampled_from(["tea", "chess", "go"]), min_size=1, max_size=30), st.integers(1, 8))
def test_everything_before_the_last_pick_is_a_pick_or_has_a_reason(names: list[str], n: int) -> None:
    run = run_of([ranked(at, name) for at, name in enumerate(names, 1)], n, tea=0.5, chess=0.3, go=0.2)
    picked = {int(pick.item.id[1:]) for pick in run.recommendations}
    found = reasons(run)
    assert picked | set(found) == set(range(1, max(picked) + 1)) and not picked & set(found)
    assert set(found.values()) <= {"share"}


def test_what_was_turned_down_keeps_away_what_would_be_a_pick_without_it() -> None:
    run = run_of([ranked(1), ranked(2), ranked(3, disliked=2.5), ranked(4, disliked=0.1)], n=2)
    assert [(before, one.rank) for before, one in pushed_down(run)] == [(1, 3)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_report_says_what_was_left_out_and_why(language: Language) -> None:
    tea = [ranked(at, "tea") for at in range(1, 4)]
    candidates = [*tea, ranked(4, "chess"), ranked(5, "chess", disliked=5.5)]
    run = run_of(candidates, n=3, language=language, tea=0.5, chess=0.5)
    shares, pushed = {
        "en": ("the interest “tea” has its share of the list", "would be at 1"),
        "zh": ("兴趣“tea”在推荐里已经占满份额", "否则会排在第 1 位"),
    }[language]
    for text in (to_html(run), to_markdown(run)):
        assert text.count(shares) == 1
        assert text.count(pushed) == 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_report_names_what_its_owner_muted(language: Language) -> None:
    run = run_of(
        [ranked(1, "tea"), ranked(2, "chess")], n=1, language=language, muted="tea", tea=0.0, chess=1.0
    )
    said = {"en": "Muted, and so kept away: tea.", "zh": "已屏蔽、不会出现：tea。"}[language]
    assert said in to_html(run) and said in to_markdown(run)
