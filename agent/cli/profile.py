"""The command `tanqu profile USER ...`: show what is known of a user, and let them change it."""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ...models.errors import InputError
from . import console

Do = Literal["show", "mute", "pin", "rename", "forget", "undo", "diff", "export", "import"]
Opened = Callable[..., AbstractContextManager[Any]]  # opens a Recommender, whose import is put off
_WORDS = {"show": 0, "mute": 1, "pin": 1, "rename": 2, "forget": 1, "undo": 0, "diff": 0, "import": 1}
_USAGE = {
    "mute": "tanqu profile USER mute INTEREST",
    "pin": "tanqu profile USER pin INTEREST",
    "rename": "tanqu profile USER rename INTEREST NEW",
    "forget": "tanqu profile USER forget INTEREST, or forget --all",
    "export": "tanqu profile USER export [FILE]",
    "import": "tanqu profile USER import FILE [--replace]",
}


def register(app: typer.Typer, opened: Opened) -> None:
    """Add `profile` to the command line; `opened` is how it opens a recommender."""

    @app.command()
    def profile(
        context: typer.Context,
        user: Annotated[str, typer.Argument(help="The user's id.", callback=console.user_id)],
        do: Annotated[
            str,
            typer.Argument(help="show, mute, pin, rename, forget, undo, diff, export or import."),
        ] = "show",
        words: Annotated[
            list[str] | None, typer.Argument(help="An interest, its new name, or a file.")
        ] = None,
        everything: Annotated[
            bool, typer.Option("--all", help="With forget: remove everything of the user.")
        ] = False,
        replace: Annotated[bool, typer.Option(help="With import: in place of what is there.")] = False,
        since: Annotated[str, typer.Option("--from", help="With diff: a date.")] = "",
        until: Annotated[str, typer.Option("--to", help="With diff: a date; default: now.")] = "",
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    ) -> None:
        """Show a user's interests and what they rest on; mute, pin, rename or forget one; undo; take out.

        An interest is named by its keyword, a part of it, or its number in the list.
        """
        given = words or []
        _check(do, given, everything)
        if do == "forget" and everything:
            with opened(context, with_model=False) as recommender:
                gone = recommender.forget_user(user)
            _tell({"user": user, "rows": gone.rows}, f"{gone.rows} rows removed", as_json)
        elif do == "diff":
            with opened(context, with_model=False) as recommender:
                changes = recommender.diff(user, _moment(since, "--from"), _moment(until, "--to"))
            lines = [_line(one) for one in changes] or ["no difference"]
            _tell([one.model_dump() for one in changes], "\n".join(lines), as_json)
        elif do == "export":
            with opened(context, with_model=False) as recommender:
                _export(recommender.export_user(user), given)
        elif do == "import":
            with opened(context, with_model=False) as recommender:
                _import(recommender, user, Path(given[0]), replace)
        else:
            with opened(context, with_model=True) as recommender:
                found = _changed(recommender, user, do, given)
                if as_json:
                    typer.echo(found.model_dump_json(indent=2))
                else:
                    console.show_profile(found, recommender.event_titles(user))


def _changed(recommender: Any, user: str, do: str, words: list[str]) -> Any:  # a Recommender, a Profile
    """The profile after what was asked for."""
    if do == "show":
        return recommender.profile(user)
    if do == "undo":
        return recommender.undo(user)
    act = {
        "mute": recommender.mute,
        "pin": recommender.pin,
        "rename": recommender.rename,
        "forget": recommender.forget_interest,
    }[do]
    return act(user, *words)


def _check(do: str, words: list[str], everything: bool) -> None:
    if do not in (*_WORDS, "export"):
        msg = f"a profile cannot be {do!r}: say show, mute, pin, rename, forget, undo, diff, export or import"
        raise InputError(msg)
    wanted = (0,) if do == "forget" and everything else (0, 1) if do == "export" else (_WORDS[do],)
    if len(words) not in wanted or (everything and do != "forget"):
        usage = _USAGE.get(do, f"tanqu profile USER {do}")
        msg = f"{do} was given {len(words)} arguments: write it as {usage}"
        raise InputError(msg)


def _moment(text: str, option: str) -> datetime | None:
    """A date or a time; one without a zone is in UTC."""
    if not text:
        if option == "--from":
            msg = "say from when on: --from 2026-01-31"
            raise InputError(msg)
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{option} {text!r} is not a date: write it as 2026-01-31 or 2026-01-31T12:00"
        raise InputError(msg) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _line(change: Any) -> str:  # ownership.Change
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


def _import(recommender: Any, user: str, path: Path, replace: bool) -> None:  # a Recommender
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


def _tell(value: object, text: str, as_json: bool) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2) if as_json else text)
