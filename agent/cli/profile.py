"""The command `tanqu profile USER ...`: show what is known of a user, and let them change it."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...models.errors import InputError
from .options import User, opened, print_result

if TYPE_CHECKING:
    from ...models.records import Profile
    from ..profile import InterestChange
    from ..recommender import Recommender

_ARGUMENTS = {"show": 0, "mute": 1, "pin": 1, "rename": 2, "forget": 1, "undo": 0, "diff": 0, "import": 1}
_USAGE = {
    "mute": "tanqu profile USER mute INTEREST",
    "pin": "tanqu profile USER pin INTEREST",
    "rename": "tanqu profile USER rename INTEREST NEW",
    "forget": "tanqu profile USER forget INTEREST, or forget --all",
    "export": "tanqu profile USER export [FILE]",
    "import": "tanqu profile USER import FILE [--replace]",
}


def profile(
    context: typer.Context,
    user: User,
    do: Annotated[
        str,
        typer.Argument(help="show, mute, pin, rename, forget, undo, diff, export or import."),
    ] = "show",
    words: Annotated[list[str] | None, typer.Argument(help="An interest, its new name, or a file.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With forget: remove everything of the user.")
    ] = False,
    replace: Annotated[bool, typer.Option(help="With import: in place of what is there.")] = False,
    since: Annotated[str, typer.Option("--from", help="With diff: a date.")] = "",
    until: Annotated[str, typer.Option("--to", help="With diff: a date; default: now.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show a user's interests and what they rest on; mute, pin, rename or forget one; undo; export.

    An interest is named by its keyword, a part of it, or its number in the list.
    """
    arguments = words or []
    _check(do, arguments, everything)
    without_model = do in ("diff", "export", "import") or everything
    with opened(context, with_model=not without_model) as recommender:
        if do == "forget" and everything:
            rows = recommender.forget_user(user).rows
            print_result({"user": user, "rows": rows}, as_json, f"{rows} rows removed")
        elif do == "diff":
            start = _moment(since, "--from")
            changes = recommender.diff(user, start, _moment(until, "--to") if until else None)
            lines = [_change_text(change) for change in changes] or ["no difference"]
            print_result([change.model_dump() for change in changes], as_json, "\n".join(lines))
        elif do == "export":
            _export(recommender.export_user(user), arguments)
        elif do == "import":
            _import(recommender, user, Path(arguments[0]), replace)
        else:
            changed = _changed(recommender, user, do, arguments)
            _print_profile(recommender, changed, as_json)


def _print_profile(recommender: "Recommender", profile: "Profile", as_json: bool) -> None:
    from .printout import print_profile

    if as_json:
        typer.echo(profile.model_dump_json(indent=2))
    else:
        print_profile(profile, recommender.pipeline.profiles.event_titles(profile.user))


def _changed(recommender: "Recommender", user: str, do: str, words: list[str]) -> "Profile":
    """The profile after an action."""
    if do == "show":
        return recommender.profile(user)
    if do == "undo":
        return recommender.undo(user)
    if do == "rename":
        return recommender.rename(user, *words)
    action = {"mute": recommender.mute, "pin": recommender.pin, "forget": recommender.forget_interest}[do]
    return action(user, *words)


def _check(do: str, words: list[str], everything: bool) -> None:
    if do not in (*_ARGUMENTS, "export"):
        msg = f"a profile cannot be {do!r}: say show, mute, pin, rename, forget, undo, diff, export or import"
        raise InputError(msg)
    wanted = (0,) if do == "forget" and everything else (0, 1) if do == "export" else (_ARGUMENTS[do],)
    if len(words) not in wanted or (everything and do != "forget"):
        usage = _USAGE.get(do, f"tanqu profile USER {do}")
        msg = f"{do} was given {len(words)} arguments: write it as {usage}"
        raise InputError(msg)


def _moment(text: str, option: str) -> datetime:
    """A date or a time; one without a zone is in UTC."""
    if not text:
        msg = f"give a date: {option} 2026-01-31"
        raise InputError(msg)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{option} {text!r} is not a date: write it as 2026-01-31 or 2026-01-31T12:00"
        raise InputError(msg) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _change_text(change: "InterestChange") -> str:
    if change.before is None:
        return f"+ {change.keyword}  {change.after:.0%}"
    if change.after is None:
        return f"- {change.keyword}  {change.before:.0%}"
    renamed = f"  ({change.before_keyword})" if change.before_keyword else ""
    return f"  {change.keyword}{renamed}  {change.before:.0%} -> {change.after:.0%}"


def _export(data: object, words: list[str]) -> None:
    """Print an export, or write it to a file that only its owner can read."""
    text = json.dumps(data, ensure_ascii=False, indent=2)
    if not words:
        typer.echo(text)
        return
    path = Path(words[0])
    try:
        with os.fdopen(
            os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            path.chmod(0o600)  # one that was there keeps its mode
            file.write(text + "\n")
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): name another file"
        raise InputError(msg) from error
    typer.echo(path)


def _import(recommender: "Recommender", user: str, path: Path, replace: bool) -> None:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): name the file that export wrote"
        raise InputError(msg) from error
    except ValueError as error:
        msg = f"{path} is not JSON ({error}): name the file that export wrote"
        raise InputError(msg) from error
    owner = data.get("user") if isinstance(data, dict) else None
    if owner != user:
        msg = f"{path} is an export of {owner!r} and not of {user!r}: name that user"
        raise InputError(msg)
    typer.echo(recommender.import_user(data, replace=replace))


def register(app: typer.Typer, panel: str) -> None:
    """Add `profile` to the command line, under the heading `panel` of its help."""
    app.command(rich_help_panel=panel)(profile)
