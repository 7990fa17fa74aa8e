import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]  # ships no types
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from playwright.sync_api import Page as Tab

from tanqu.agent.report.writing import load_run, write_index, write_report
from tanqu.models.records import Bridge, Run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LANGUAGES = ("en", "zh")
WIDTHS = (390, 1280)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="no Chromium here: apt-get install chromium fonts-noto-cjk, or the like",
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    options = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pages in each language: a usual run, one with a new pick, one with hostile texts, an index."""
    folder = tmp_path_factory.mktemp("reports")
    for language in LANGUAGES:
        run = load_run(Path(__file__).with_name(f"run_{language}.json"))
        write_report(run, folder / f"{language}.html")
        write_report(hostile(run), folder / f"{language}-hostile.html")
        write_report(with_new(run, "天文摄影"), folder / f"{language}-new.html")
        write_index([run, hostile(run)], folder / f"index-{language}", run.profile.language)
    return folder


def with_new(run: Run, topic: str) -> Run:
    """The run whose last pick is new for the user."""
    bridge = Bridge(interest=run.profile.interests[0].keyword, topic=topic)
    last = run.recommendations[-1].model_copy(update={"new_for_you": bridge, "interest": None})
    return run.model_copy(update={"recommendations": (*run.recommendations[:-1], last)})


def hostile(run: Run) -> Run:
    """The run with titles and reasons that try to get out of their place, by markup or by length."""
    texts = [
        "x" * 10_000,
        "长" * 10_000,
        "<script>console.log(1)</script><img src=x onerror=console.log(2)>",
        "\u202eשלום עולם " * 40,
        "https://example.com/" + "a" * 300,
    ]
    picks = tuple(
        pick.model_copy(
            update={
                "item": pick.item.model_copy(
                    update={"title": text, "text": text, "tags": (text,) * 30, "attributes": {text: text}}
                ),
                "explanation": pick.explanation.model_copy(update={"text": text}),
                "signals": pick.signals | {text: 0.0},
            }
        )
        for pick, text in zip(run.recommendations, texts, strict=True)
    )
    interests = tuple(
        one.model_copy(update={"keyword": text, "theme": text})
        for one, text in zip(run.profile.interests, texts, strict=False)
    )
    changed = {
        "user": "u" * 200,
        "request": texts[0],
        "recommendations": picks,
        "profile": run.profile.model_copy(update={"interests": interests, "summary": texts[1]}),
        "notes": tuple(texts),
        "where": dict.fromkeys(texts, texts[0]),
        "fingerprints": dict.fromkeys(run.fingerprints, texts[0]),
        "history": tuple(event.model_copy(update={"text": texts[0]}) for event in run.history),
    }
    return with_new(run.model_copy(update=changed), texts[0])


@dataclass
class Watched:
    """An open page, and everything it said or asked for."""

    tab: Tab
    said: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)

    def open_all(self) -> None:
        self.tab.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")

    def overflow(self) -> int:
        """How many pixels the page is wider than the window."""
        return int(
            self.tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )


def visit(context: BrowserContext, path: Path) -> Watched:
    watched = Watched(context.new_page())
    watched.tab.on("console", lambda message: watched.said.append(message.text))
    watched.tab.on("pageerror", lambda error: watched.said.append(str(error)))
    watched.tab.on("request", lambda request: watched.asked_for.append(request.url))
    watched.tab.goto(path.as_uri())
    return watched


def context_of(
    browser: Browser, width: int = 1280, **settings: Any
) -> BrowserContext:  # Any: Playwright's own
    """A window without a network; `settings` are Playwright's own, of many types."""
    return browser.new_context(viewport={"width": width, "height": 900}, offline=True, **settings)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "name", ["en", "zh", "en-new", "zh-new", "en-hostile", "zh-hostile", "index-en/index", "index-zh/index"]
)
def test_a_page_is_quiet_closed_and_no_wider_than_the_window(
    browser: Browser, reports: Path, name: str, width: int
) -> None:
    path = reports / f"{name}.html"
    with context_of(browser, width) as context:
        page = visit(context, path)
        assert page.overflow() == 0
        page.open_all()
        assert page.overflow() == 0
        assert page.said == []
        assert page.asked_for == [path.as_uri(), "data:,"][: len(page.asked_for)]


@pytest.mark.parametrize("name", ["en", "zh", "en-hostile"])
def test_a_page_prints_whole_on_a4(browser: Browser, reports: Path, name: str) -> None:
    with context_of(browser, 680) as context:  # what A4 leaves between the margins
        page = visit(context, reports / f"{name}.html")
        page.tab.emulate_media(media="print")
        assert page.overflow() == 0
        hidden = page.tab.eval_on_selector_all(
            ".interest .citations li, .more .events li",
            "all => all.filter(one => !one.checkVisibility()).length",
        )
        assert hidden == 0
        pages = page.tab.pdf(prefer_css_page_size=True).count(b"/Type /Page\n")
        assert 3 <= pages <= 40
        assert page.said == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["en", "zh", "en-new", "index-en/index"])
def test_axe_finds_nothing(browser: Browser, reports: Path, name: str, scheme: Scheme) -> None:
    with context_of(browser, 390 if scheme == "dark" else 1280, color_scheme=scheme) as context:
        page = visit(context, reports / f"{name}.html")
        page.open_all()
        page.tab.evaluate(AXE_SCRIPT)
        found = page.tab.evaluate("axe.run({resultTypes: ['violations']})")
        told = [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found["violations"]]
        assert told == []
        assert found["testEngine"]["name"] == "axe-core" and len(found["passes"]) > 20


@pytest.mark.parametrize("language", LANGUAGES)
def test_dark_and_light_differ(browser: Browser, reports: Path, language: str) -> None:
    colours = []
    for scheme in SCHEMES:
        with context_of(browser, color_scheme=scheme) as context:
            page = visit(context, reports / f"{language}.html")
            colours.append(page.tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(251, 249, 245)", "rgb(21, 24, 27)"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_citation_leads_to_its_event(browser: Browser, reports: Path, language: str) -> None:
    with context_of(browser, 390) as context:
        page = visit(context, reports / f"{language}.html")
        links = page.tab.locator(".pick sup a")
        assert links.count() >= 5
        for at in range(links.count()):
            links.nth(at).click()
            target = page.tab.locator("li:target")
            assert f"#{target.get_attribute('id')}" == links.nth(at).get_attribute("href")
            box = target.bounding_box()
            assert box and box["y"] >= 0 and box["y"] + box["height"] <= 900
            assert (target.locator(".no").text_content() or "") == links.nth(at).text_content()


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_interest_opens_to_its_events_by_keyboard(browser: Browser, reports: Path, language: str) -> None:
    with context_of(browser) as context:
        page = visit(context, reports / f"{language}.html")
        first = page.tab.locator("details.interest").first
        events = first.locator(".citations li")
        assert not events.first.is_visible()
        first.locator("summary").focus()
        page.tab.keyboard.press("Enter")
        assert events.first.is_visible() and events.count() == 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_event_within_a_closed_list_opens_when_it_is_linked_to(
    browser: Browser, reports: Path, language: str
) -> None:
    with context_of(browser) as context:
        page = visit(context, reports / f"{language}.html")
        inside = page.tab.locator(".more li").first
        assert not inside.is_visible()
        page.open_all()
        page.tab.eval_on_selector(".more", "one => { one.open = false }")
        page.tab.locator(f".interest a[href='#{inside.get_attribute('id')}']").first.click()
        assert inside.is_visible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_key_offers_to_skip_to_the_picks(browser: Browser, reports: Path, language: str) -> None:
    with context_of(browser) as context:
        page = visit(context, reports / f"{language}.html")
        page.tab.keyboard.press("Tab")
        focused = page.tab.locator(":focus")
        assert focused.get_attribute("class") == "skip"
        assert (focused.bounding_box() or {"x": -1.0})["x"] >= 0
        page.tab.keyboard.press("Enter")
        assert page.tab.locator("section:target").get_attribute("id") == "picks"


def test_the_index_leads_to_the_pages(browser: Browser, reports: Path) -> None:
    with context_of(browser) as context:
        page = visit(context, reports / "index-en" / "index.html")
        page.tab.locator("tbody a").first.click()
        assert page.tab.locator("h1").text_content() == "Five picks for Alice"
        assert page.said == []
