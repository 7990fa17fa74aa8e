"""Reports of a run: a page to read and print, Markdown, and JSON from which both can be made again.

A report is one file with no reference outside itself. It holds a history, so it is written for its
owner alone (mode 0600), and whole or not at all.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from pydantic import ValidationError

from ...models.errors import InputError, NotFoundError
from ...models.files import safe_name, unwritable, write_text
from ...models.records import Language, Run
from ..messages import clip, messages_for, number, percent, shown, thousandths
from .page import CitedEvents
from .view import view

_MARKDOWN = re.compile(r"[\\`*_{}\[\]#|~!@$^]|(?<=\])\(|://|(?<![a-z])www\.", re.IGNORECASE)
_LEADING = re.compile(
    r"^(?:\d{1,9}(?=[.)](?:\s|$))|(?=[-+=](?!\d)))"
)  # would begin a list, a rule or a heading
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# What could end a script element, or turn the text around it when the file is shown.
_JSON = re.compile(
    "[<>&\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def markdown(value: object) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no link, not even a bare address."""
    escaped = _MARKDOWN.sub(lambda found: _backslash(found[0]), str(value))
    return _LEADING.sub(lambda found: f"{found[0]}\\", escaped).translate(_HTML)


def _backslash(text: str) -> str:
    return f"\\{text}" if len(text) == 1 else text.replace(":", "\\:").replace(".", "\\.")


def json_text(document: str) -> str:
    """The same JSON with every character escaped that HTML or a terminal might act upon."""
    return _JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


class _Verbatim(str):
    """Text that a Markdown template prints as it is: a line of a code block."""

    __slots__ = ()


@cache
def environment(*, html: bool, package: str = "tanqu.agent.report") -> Environment:
    """The Jinja environment of the reports.

    Args:
        html: whether to escape for HTML; otherwise every printed variable is escaped for Markdown.
        package: where templates are looked up first, before the report's own.

    Returns:
        The environment, cached per arguments.
    """
    built = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("tanqu.agent.report", "")]),
        autoescape=html,  # noqa: S701 - where it is off, `finalize` escapes for Markdown
        finalize=None if html else _as_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    built.filters.update(percent=percent, thousandths=thousandths, number=number)
    built.globals.update(cited=_numbers, code=_Verbatim)
    return built


def _as_markdown(value: object) -> object:
    return value if isinstance(value, _Verbatim) else markdown(value)


def _numbers(cited: CitedEvents) -> str:
    """The numbers of the events, and the ids of those that the report does not hold."""
    return ", ".join((*(str(event.number) for event in cited.events), *cited.missing))


def to_html(run: Run) -> str:
    """The run as one closed page in the language of its profile; raises InputError on a broken score."""
    template = environment(html=True).get_template("report.html.j2")
    return template.render(page=view(run), words=messages_for(run.profile.language, "report"))


def to_markdown(run: Run) -> str:
    """The run as Markdown, every text of it escaped; raises InputError on a broken score."""
    template = environment(html=False).get_template("report.md.j2")
    return template.render(page=view(run), words=messages_for(run.profile.language, "report"))


def to_json(run: Run) -> str:
    """The whole run as JSON that is safe inside HTML and on a terminal; `load_run` reads it back."""
    return json_text(run.model_dump_json(indent=2)) + "\n"


_WRITERS = {".html": to_html, ".md": to_markdown, ".json": to_json}


def write_report(run: Run, path: Path | str) -> Path:
    """Write the report of a run in the format of the path's suffix (.html, .md, .json).

    Returns:
        The path.

    Raises:
        InputError: another suffix, or a path that cannot be written.
    """
    target = Path(path)
    writer = _WRITERS.get(target.suffix.lower())
    if writer is None:
        msg = f"no report is called {target.name!r}: end the name in {', '.join(_WRITERS)}"
        raise InputError(msg)
    write_text(target, writer(run))
    return target


def load_run(path: Path | str) -> Run:
    """Read a run that `write_report` wrote as JSON.

    Returns:
        The run.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read, or is no run.
    """
    try:
        return Run.model_validate_json(Path(path).read_bytes())
    except FileNotFoundError as error:
        msg = f"there is no file {path}: write one with `tanqu report USER -o run.json`"
        raise NotFoundError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): check the name and its permissions"
        raise InputError(msg) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the file"
        msg = (
            f"{path} is no run of this version ({where}: {first['msg']}): write it again with `tanqu report`"
        )
        raise InputError(msg) from error


@dataclass(frozen=True, slots=True)
class _IndexRow:
    """A user's line in the index."""

    file: str
    user: str
    interests: tuple[str, ...]
    picks: tuple[str, ...]
    notes: int


def write_index(runs: Iterable[Run], folder: Path | str, language: Language = "en") -> Path:
    """Write a page per run and an index of them.

    Args:
        runs: any number of runs, read one at a time; of two of the same user the last is kept.
        folder: where the pages go; created if it is missing.
        language: the language of the index.

    Returns:
        The path of `index.html`.

    Raises:
        InputError: the folder or a file in it cannot be written.
    """
    home = _made_folder(Path(folder))
    rows = {row.file: row for row in (_write_page(run, home) for run in runs)}
    template = environment(html=True).get_template("report_index.html.j2")
    index = home / "index.html"
    write_text(index, template.render(rows=tuple(rows.values()), words=messages_for(language, "report")))
    return index


def _made_folder(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def _write_page(run: Run, home: Path) -> _IndexRow:
    file = page_name(run.user)
    write_report(run, home / file)
    interests = tuple(clip(shown(one.keyword), 30) for one in run.profile.positive[:5])
    picks = tuple(clip(shown(pick.item.title), 40) for pick in run.recommendations[:3])
    return _IndexRow(file, clip(shown(run.user), 48), interests, picks, len(run.notes))


def page_name(user: str) -> str:
    """The file name of a user's page."""
    return f"{safe_name(user)}.html"
