"""The page of a ranking evaluation shows every figure of the JSON, in both languages, closed and quiet."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tanqu.evaluation.ranking.page import check_page, to_page, write_page
from tanqu.models.errors import InputError
from tanqu.models.records import Language

LANGUAGES: tuple[Language, ...] = ("en", "zh")


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": round(mean - 0.031, 4), "high": round(mean + 0.042, 4)}


def system(mean: float, **more: float) -> dict[str, Any]:
    names = ("ndcg@1", "ndcg@10", "hr@10", "hr@50", "mrr@10")
    return (
        {name: interval(mean + at / 100) for at, name in enumerate(names)}
        | {"seconds_per_user": 0.125}
        | more
    )


def report(**changes: Any) -> dict[str, Any]:
    """What `as_json` gives, in small."""
    return {
        "dataset": "films",
        "protocol": {
            "users": 1234, "items": 1682, "histories": 943, "candidates": 20, "negatives": 19, "seed": 7,
            "history": "all", "target": "each user's last item", "text_only": False, "model": "small (abc)",
            "weights": {"alpha": 0.6, "history": 0.8, "negative": -1.0},
        },
        "systems": {
            "tanqu": system(0.5),
            "random": system(0.1, p_against_tanqu=0.0001),
            "itemknn": system(0.61, p_against_tanqu=0.2345),
        },
        "signals": {"history": {"ndcg@10": interval(0.4)}, "co_engagement": {"ndcg@10": interval(0.45)}},
        "notes": {"the model did not take part": 3},
        "users": [],
    } | changes  # fmt: skip


class Text(HTMLParser):
    """What is read on a page, and the addresses that it refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_data(self, data: str) -> None:
        if data.strip() and self.tags[-1] != "style":
            self.texts.append(data.strip())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_main_figure_is_there_with_its_interval(language: Language) -> None:
    page = to_page(report(), language)
    for own in report()["systems"].values():
        for name in ("ndcg@1", "ndcg@10", "hr@10", "mrr@10"):
            mean, low, high = (f"{100 * own[name][one]:.1f}" for one in ("mean", "low", "high"))
            assert f"{mean} [{low}, {high}]" in page
    assert "0.2345" in page and "0.0001" in page and "0.125" in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_plot_has_its_numbers_in_a_table_the_best_first(language: Language) -> None:
    page = to_page(report(), language)
    tables = re.findall(r'<details class="numbers">.*?</details>', page, re.DOTALL)
    rows = [re.findall(r'<td class="n">([\d.]+)</td>', table) for table in tables]
    assert rows == [["62.0", "58.9", "66.2", "51.0", "47.9", "55.2", "11.0", "7.9", "15.2"],
                    ["45.0", "41.9", "49.2", "40.0", "36.9", "44.2"]]  # fmt: skip
    assert page.count('<circle class="dot') == 5 and page.count('class="dot ours"') == 1


def test_a_dot_stands_where_its_figure_is_on_the_scale() -> None:
    page = to_page(report(), "en")
    # The largest bound is 66.2: the scale ends at 80.
    assert f'cx="{round(100 * 0.62 / 0.8, 2)}%"' in page
    assert f'x1="{round(100 * 0.589 / 0.8, 2)}%" x2="{round(100 * 0.662 / 0.8, 2)}%"' in page
    assert ">80</text>" in page and ">100</text>" not in page


def test_the_whole_catalogue_has_other_figures() -> None:
    protocol = report()["protocol"] | {"negatives": None, "candidates": "whole catalogue"}
    page = to_page(report(protocol=protocol), "zh")
    assert "HR@50" in page and "NDCG@1<" not in page and "在整个目录里找" in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_protocol_weights_and_notes_are_there(language: Language) -> None:
    texts = Text(to_page(report(), language)).texts
    for value in ("1,234", "1,682", "943", "small (abc)", "0.6", "0.8", "−1"):
        assert value in texts
    assert any("the model did not take part" in text and "3" in text for text in texts)


def test_a_chinese_page_is_chinese() -> None:
    text = " ".join(Text(to_page(report(notes={}), "zh")).texts)
    english = set(re.findall(r"[A-Za-z]{3,}", text))
    assert english <= {"NDCG", "MRR", "films", "small", "abc", "alpha", "random", "itemknn", "trec", "eval"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_refers_to_nothing_outside_and_shows_hostile_names_as_text(language: Language) -> None:
    hostile = "<script>alert(1)</script>"
    page = to_page(
        report(dataset=hostile, systems={"tanqu": system(0.5), hostile: system(0.2)}, notes={hostile: 1}),
        language,
    )
    seen = Text(page)
    assert "script" not in seen.tags and hostile in seen.texts
    assert [one for one in seen.links if not one.startswith(("#", "data:"))] == []
    assert "default-src 'none'" in page


def test_a_page_is_written_for_its_owner_alone_and_an_unusable_path_is_told_before(tmp_path: Path) -> None:
    write_page(report(), tmp_path / "page.html", "en")
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o600
    check_page(tmp_path / "other.html")
    for path in (tmp_path / "page.pdf", tmp_path / "no" / "page.html"):
        with pytest.raises(InputError, match=re.escape(path.name if path.suffix == ".pdf" else "no")):
            check_page(path)


def test_nothing_measured_but_ours_is_a_page_too() -> None:
    page = to_page(report(systems={"tanqu": system(0.0)}, signals={}, notes={}), "en")
    assert 'id="signals"' not in page and "Nothing fell back" in page


# --- in a browser -----------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium, or the like")
@pytest.mark.parametrize(("language", "scheme", "width"), [("en", "light", 1280), ("zh", "dark", 390)])
def test_a_browser_finds_nothing_to_complain_of(
    tmp_path: Path, language: Language, scheme: Any, width: int
) -> None:
    from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
    from playwright.sync_api import sync_playwright

    write_page(report(), tmp_path / "page.html", language)
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto((tmp_path / "page.html").as_uri())
        tab.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert tab.evaluate(wider) == 0
        tab.evaluate(AXE_SCRIPT)
        found = tab.evaluate("axe.run({resultTypes: ['violations']})")
        assert [one["id"] for one in found["violations"]] == [] and len(found["passes"]) > 15
        browser.close()
    assert said == []
