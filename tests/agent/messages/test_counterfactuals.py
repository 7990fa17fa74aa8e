"""What is said of a pick without a thing: from which place to which, on the list or not, and by what."""

from datetime import UTC, datetime

import pytest

from tanqu.agent.messages.counterfactuals import counterfactual_lines, counterfactual_text
from tanqu.models.records import (
    Action,
    Candidate,
    Counterfactual,
    Explanation,
    HistoryEvent,
    Item,
    Language,
    Profile,
    Ranked,
    Recommendation,
    Run,
)

TITLES: dict[Language, str] = {"en": "Alien", "zh": "《异形》"}


def statement(
    after: int, *, picked: bool = True, by_model: bool = True, share_of: str | None = None
) -> Counterfactual:
    return Counterfactual(
        event="e1", rank_before=2, rank_after=after, score_before=2.0, score_after=1.0,
        by_model=by_model, picked=picked, share_of=share_of,
    )  # fmt: skip


def run_with(
    *stated: Counterfactual, language: Language = "en", by_model: bool = True, action: Action = "view"
) -> Run:
    """A run of one pick among twenty candidates, with these statements."""
    items = [Item(id=f"i{at}", title=f"item {at}") for at in range(20)]
    pick = Recommendation(
        rank=1,
        item=items[1],
        score=2.0,
        signals={"interest": 2.0},
        interest=None,
        explanation=Explanation(text="because.", evidence=("e1",), grounded=True, written_by="template"),
        rank_without_model=3 if by_model else None,
        counterfactual=stated,
    )
    return Run(
        user="u",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        profile=Profile(user="u", language=language),
        recommendations=(pick,),
        candidates=tuple(
            Ranked(candidate=Candidate(item=item, channels={}), rank=rank, score=0.0, signals={}, raw={})
            for rank, item in enumerate(items, 1)
        ),
        history=(HistoryEvent(id="e1", action=action, text=TITLES[language]),),
    )


def said(run: Run) -> list[str]:
    return list(counterfactual_lines(run, run.recommendations[0]))


@pytest.mark.parametrize(
    ("after", "picked", "share_of", "english", "chinese"),
    [
        (14, False, None, "others would be on the list in its place: it falls from rank 2 to 14 of 20.",
         "这条推荐会让位给别的内容：从第 2 位降到第 14 位（共 20 个候选）。"),
        (3, False, "space", "others of “space” would be on the list in its place: it falls from rank 2 to 3 of 20.",
         "这条推荐会让位给同属“space”的其他内容：从第 2 位降到第 3 位（共 20 个候选）。"),
        (3, True, None, "this would be on the list all the same: it falls from rank 2 to 3 of 20.",
         "这条推荐仍会入选：从第 2 位降到第 3 位（共 20 个候选）。"),
        (2, True, None, "this would be on the list all the same: it stays at rank 2 of 20.",
         "这条推荐仍会入选：名次仍是第 2 位（共 20 个候选）。"),
        (2, False, "space", "others of “space” would be on the list in its place: it stays at rank 2 of 20.",
         "这条推荐会让位给同属“space”的其他内容：名次仍是第 2 位（共 20 个候选）。"),
        (1, True, None, "this would be on the list all the same: it rises from rank 2 to 1 of 20.",
         "这条推荐仍会入选：从第 2 位升到第 1 位（共 20 个候选）。"),
    ],
)  # fmt: skip
def test_a_sentence_says_whether_it_stays_on_the_list_what_takes_its_place_and_its_rank(
    after: int, picked: bool, share_of: str | None, english: str, chinese: str
) -> None:
    one = statement(after, picked=picked, share_of=share_of)
    assert said(run_with(one))[0] == f"Without “Alien” {english}"
    assert said(run_with(one, language="zh"))[0] == f"去掉《异形》，{chinese}"


def test_a_search_is_called_one() -> None:
    assert said(run_with(statement(3), action="search"))[0].startswith("Without the search for “Alien” this")
    assert said(run_with(statement(3), language="zh", action="search"))[0].startswith(
        "去掉《异形》这次搜索，"
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_whether_the_models_part_was_recomputed_is_stated_once(language: Language) -> None:
    marks = []
    for by_model, counts in ((True, True), (True, False), (False, False)):
        one = statement(3, by_model=counts)
        lines = said(run_with(one, one, language=language, by_model=by_model))
        assert len(lines) == 3 and lines[0] == lines[1]
        marks.append(lines[2])
    assert len(set(marks)) == 3


@pytest.mark.parametrize("language", ["en", "zh"])
def test_where_that_differs_each_sentence_says_it(language: Language) -> None:
    mixed = run_with(statement(3), statement(3, by_model=False), language=language)
    found = counterfactual_text(mixed, mixed.recommendations[0])
    assert found.method == ""
    marks = [said(run_with(statement(3, by_model=one), language=language))[1] for one in (True, False)]
    for (_, text), mark in zip(found.lines, marks, strict=True):
        assert text.endswith(mark)


def test_nothing_is_said_where_nothing_was_asked() -> None:
    assert said(run_with()) == []


def test_an_event_that_the_run_does_not_hold_is_called_by_its_id() -> None:
    run = run_with(statement(3)).model_copy(update={"history": ()})
    assert said(run)[0].startswith("Without “e1” this")
