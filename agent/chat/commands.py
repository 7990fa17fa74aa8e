"""Slash commands: each is one call and can mean nothing else. `/why 2`, `/filter -1`, `/mute 科幻`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...models.errors import InputError
from ...models.text import clean, fold
from . import tool_calls as calls
from .toolbox import Toolbox

TOOL_COMMANDS = (
    "/recommend", "/search", "/why", "/whynot", "/about", "/compare", "/like", "/dislike", "/seen", "/skip",
    "/more", "/less", "/other", "/filter", "/profile", "/mute", "/pin", "/forget", "/undo", "/report",
)  # fmt: skip
TERMINAL_COMMANDS = (
    "/explore", "/model", "/stats", "/save", "/load", "/clear", "/lang", "/help", "/exit",
)  # fmt: skip
TAKES_ITEMS = frozenset(
    {"/why", "/whynot", "/about", "/compare", "/like", "/dislike", "/seen", "/skip", "/more", "/less"}
)
TAKES_INTEREST = frozenset({"/mute", "/pin", "/forget"})

_DO: Mapping[str, str] = {"/skip": "not_interested", "/whynot": "why_not"}
_CLEAR = ("clear", "none", "清空", "清除", "无")


@dataclass(frozen=True, slots=True)
class _Line:
    command: str
    rest: str
    toolbox: Toolbox

    @property
    def do(self) -> str:
        return _DO.get(self.command, self.command[1:])


def parse_command(text: str, toolbox: Toolbox) -> calls.Call:
    """The call of a line that begins with "/".

    Returns:
        The call, with items and interests that exist.

    Raises:
        InputError: there is no such command, or it lacks what it needs.
    """
    command, _, rest = text.strip().partition(" ")
    line = _Line(command.lower(), rest.strip(), toolbox)
    if line.command in TAKES_ITEMS:
        return _about_items(line)
    if line.command in TAKES_INTEREST:
        return calls.ProfileCall.model_validate({"do": line.do, "interest": _interest(line)})
    maker = _MAKERS.get(line.command)
    if maker is None:
        raise InputError(toolbox.words.say("unknown_command", command=clean(command, 40)))
    return maker(line)


def _about_items(line: _Line) -> calls.Call:
    items = _items(line)
    if line.command in ("/more", "/less"):
        return calls.Refine.model_validate({"do": line.do, "item": items[0]})
    if line.command == "/compare" and len(items) < 2:
        raise InputError(line.toolbox.words.say("which_two"))
    kind = calls.Explain if line.command in ("/why", "/whynot", "/about", "/compare") else calls.Feedback
    return kind.model_validate({"do": line.do, "items": items})


def _items(line: _Line) -> tuple[str, ...]:
    """The items that the numbers after a command stand for; a title or an id works too."""
    tools, words = line.toolbox, line.toolbox.words
    parts = line.rest.replace(",", " ").replace("，", " ").split()
    if not parts:
        if line.command in ("/more", "/less") and tools.state.spoken_of:
            return (tools.state.spoken_of,)
        raise InputError(words.say("need_number", command=line.command))
    if all(re.fullmatch(r"[0-9]{1,4}", part) for part in parts):
        return tuple(dict.fromkeys(_numbered(int(part), tools) for part in parts))
    titled = tools.vocabulary.titled(f'"{fold(line.rest)}"')
    if titled:
        return (titled[0].item,)
    if line.rest in tools.recommender.catalogue:
        return (line.rest,)
    raise InputError(words.say("not_called", title=clean(line.rest, 80)))


def _numbered(number: int, tools: Toolbox) -> str:
    shown = tools.state.shown
    if not shown:
        raise InputError(tools.words.say("no_list"))
    if not 1 <= number <= len(shown):
        raise InputError(tools.words.say("bad_number", number=number, count=len(shown)))
    return shown[number - 1]


def _interest(line: _Line) -> str:
    """An interest by its keyword, or by its number in the profile."""
    profile = line.toolbox.profile
    names = [interest.keyword for interest in profile.interests] if profile else []
    if not names:
        raise InputError(line.toolbox.words.say("no_interests"))
    if re.fullmatch(r"[0-9]{1,3}", line.rest) and 1 <= int(line.rest) <= len(names):
        return names[int(line.rest) - 1]
    wanted = fold(line.rest)
    matching = [name for name in names if fold(name) == wanted] or [
        name for name in names if wanted and wanted in fold(name)
    ]
    if not matching:
        listed = line.toolbox.words.listed(names)
        raise InputError(line.toolbox.words.say("which_interest", interests=listed))
    return matching[0]


def _filter(line: _Line) -> calls.Call:
    """`/filter under $50` adds, `/filter -2` takes away, `/filter clear` takes all away."""
    state, words = line.toolbox.state, line.toolbox.words
    if line.rest.lower() in _CLEAR:
        return calls.Refine(do="narrow", drop=tuple(range(1, len(state.rules) + 1)))
    dropped = re.fullmatch(r"-\s?([0-9]{1,3})", line.rest)
    if dropped is None:
        return calls.Refine(do="narrow", words=line.rest[: calls.MAX_WORDS])
    number = int(dropped[1])
    if not 1 <= number <= len(state.rules):
        raise InputError(words.say("bad_rule", number=number, count=len(state.rules)))
    return calls.Refine(do="narrow", drop=(number,))


def _report(line: _Line) -> calls.Call:
    form = line.rest.lower() or "html"
    if form not in ("html", "md", "json"):
        raise InputError(line.toolbox.words.say("bad_format", form=clean(form, 20)))
    return calls.Report.model_validate({"format": form})


def _search(line: _Line) -> calls.Call:
    if not line.rest:
        raise InputError(line.toolbox.words.say("need_words", command=line.command))
    return calls.Search(words=line.rest[: calls.MAX_WORDS])


_MAKERS: Mapping[str, Callable[[_Line], calls.Call]] = {
    "/recommend": lambda line: calls.Recommend(request=line.rest[: calls.MAX_WORDS]),
    "/search": _search,
    "/other": lambda line: calls.Refine(do="other", words=line.rest[: calls.MAX_WORDS]),
    "/filter": _filter,
    "/profile": lambda _line: calls.ProfileCall(do="show"),
    "/undo": lambda _line: calls.ProfileCall(do="undo"),
    "/report": _report,
}

__all__ = ["TAKES_INTEREST", "TAKES_ITEMS", "TERMINAL_COMMANDS", "TOOL_COMMANDS", "parse_command"]
