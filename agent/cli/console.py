"""How the command line shows things: results on stdout, everything else on stderr."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ...models.records import Profile, Recommendation, Run
from ...models.text import clean
from ..messages import what_if
from ..request import valid_user

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

_WORDS = {
    "en": {
        "interests": "Interests", "theme": "Theme", "weight": "Weight", "confidence": "Sure",
        "rests": "Rests on", "picks": "For you", "because": "Nearest interest", "none": "No interests yet.",
        "negative": "avoids", "recent": "recent", "lasting": "lasting", "template": "–", "empty": "Nothing passed.",
        "muted": "muted", "pinned": "pinned", "owner": "yours",
        "new": "New for you", "bridge": "from {interest} to {topic}",
    },
    "zh": {
        "interests": "兴趣", "theme": "主题", "weight": "比重", "confidence": "把握",
        "rests": "依据", "picks": "为你推荐", "because": "最接近的兴趣", "none": "还没有兴趣。",
        "negative": "回避", "recent": "近期", "lasting": "长期", "template": "–", "empty": "没有符合条件的条目。",
        "muted": "已屏蔽", "pinned": "已置顶", "owner": "自定",
        "new": "新鲜尝试", "bridge": "从{interest}到{topic}",
    },
}  # fmt: skip
_EVIDENCE_SHOWN = 3
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def user_id(text: str) -> str:
    """A user's id as it was typed; raises InputError if nobody can have it."""
    return valid_user(text)


def say(text: str) -> None:
    """A line for the person at the terminal, not for a pipe."""
    err.print(_visible(text), markup=False, emoji=False, soft_wrap=True)


def _visible(text: str) -> str:
    """Without what steers a terminal or turns its text around: an error may quote anything."""
    return "".join(char if char == "\n" or not _STEERING.match(char) else "�" for char in text)


def show_profile(profile: Profile, titles: dict[str, str]) -> None:
    """Interests as a table; `titles` says what each event was about."""
    words = _WORDS[profile.language]
    if not profile.interests:
        out.print(words["none"])
        return
    title = Text(f"{words['interests']} · {clean(profile.user)}")  # a str would be read as markup
    table = Table(title=title, title_justify="left", expand=False)
    table.add_column("", justify="right")  # the number by which the owner may call it
    for name in ("interests", "theme"):
        table.add_column(words[name], overflow="fold")
    for name in ("weight", "confidence"):
        table.add_column(words[name], justify="right")
    table.add_column(words["rests"], overflow="fold", ratio=1)
    for number, one in enumerate(profile.interests, 1):
        about = [titles.get(event, event) for event in dict.fromkeys(one.evidence)]
        shown = list(dict.fromkeys(about))
        more = f" +{len(shown) - _EVIDENCE_SHOWN}" if len(shown) > _EVIDENCE_SHOWN else ""
        marks = [words["negative"]] if one.polarity == "negative" else []
        marks += [words[mark] for mark in ("muted", "pinned") if getattr(one, mark)]
        sign = f"({', '.join(marks)}) " if marks else ""
        table.add_row(
            str(number),
            Text(f"{sign}{one.keyword}"),
            Text(one.theme),
            f"{one.weight:.0%}",
            f"{one.confidence:.2f}" if one.named_by == "model" else words[one.named_by],
            Text(", ".join(shown[:_EVIDENCE_SHOWN]) + more),
        )
    out.print(table)
    out.print(Text(profile.summary))


def show_picks(run: Run) -> None:
    """Recommendations, each with its interest and its reason; those that are new for the user apart."""
    words = _WORDS[run.profile.language]
    asked = f" · “{clean(run.request)}”" if run.request else ""
    out.print(Text(f"\n{words['picks']} · {clean(run.user)}{asked}"))
    if not run.recommendations:
        out.print(words["empty"])
    new = False
    for pick in run.recommendations:
        if pick.new_for_you and not new:
            out.print(Text(f"\n{words['new']}"))
        new = pick.new_for_you is not None
        _show_pick(run, pick, words)
    for mark in dict.fromkeys(what_if(run, pick).mark for pick in run.recommendations):
        out.print(Text(mark, style="dim"), end="\n" if mark else "")
    for note in run.notes:
        say(f"note: {note}")


def _show_pick(run: Run, pick: Recommendation, words: dict[str, str]) -> None:
    head = Text(f"{pick.rank}. {clean(pick.item.title, 120)}", style="bold")
    year = pick.item.attributes.get("year")
    head.append(f" ({clean(str(year), 20)})" if year else "", style="not bold")
    if pick.new_for_you:
        led = words["bridge"].format(interest=pick.new_for_you.interest, topic=pick.new_for_you.topic)
        head.append(f"  {led}", style="dim not bold")
    elif pick.interest:
        head.append(f"  {words['because']}: {pick.interest}", style="dim not bold")
    out.print(head)
    out.print(Padding(Text(pick.explanation.text), (0, 0, 0, 3)))
    for _, line in what_if(run, pick).lines:
        out.print(Padding(Text(line, style="dim"), (0, 0, 0, 3)))


@contextmanager
def downloading() -> Iterator["Download"]:
    """A progress bar for bytes on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=False, disable=not sys.stderr.isatty()) as bar:
        yield Download(bar)


class Download:
    """Shows one thing after another as it arrives; on a pipe, a line for each tenth."""

    def __init__(self, bar: Progress) -> None:
        """Nothing is shown yet."""
        self._bar = bar
        self._task: dict[str, int] = {}
        self._tenth = -1

    def __call__(self, done: int, total: int, what: str, /) -> None:
        """`done` of `total` bytes (0 if unknown) of `what`."""
        if self._bar.disable:
            tenth = 10 * done // total if total else 0
            if tenth != self._tenth:
                self._tenth = tenth
                say(f"  {what}: {done >> 20} of {total >> 20} MB")
            return
        if what not in self._task:
            self._task[what] = self._bar.add_task(what, total=total or None)
        self._bar.update(self._bar.task_ids[self._task[what]], completed=done, total=total or None)


@contextmanager
def counting(what: str) -> Iterator["Count"]:
    """A progress bar for things on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=err, disable=not sys.stderr.isatty()) as bar:
        yield Count(bar, what)


class Count:
    """Shows how many of how many are done."""

    def __init__(self, bar: Progress, what: str) -> None:
        """Show `what` from the first call on."""
        self._bar, self._what = bar, what
        self._task: TaskID | None = None

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total`."""
        if self._task is None:
            self._task = self._bar.add_task(self._what, total=total)
        self._bar.update(self._task, completed=done, total=total)

    def then(self, what: str) -> "Count":
        """Another line of the same display, for what is counted next."""
        return Count(self._bar, what)
