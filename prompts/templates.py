"""Prompt templates: one per task and language (`name.zh.j2`, `name.en.j2`), and `render`.

A template is plain text with turns marked by lines `[[system]]`, `[[user]]`, `[[assistant]]`; a last
`[[assistant]]` turn is left open for the model to continue. A line `[[keep]]` marks that the KV cache of the
prompt up to there is worth keeping. Whatever a `{{ variable }}` prints becomes *data*: it is cleaned, capped, and
reaches the model as tokens that can never be control tokens or turn markers, whatever it says.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PackageLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..models.errors import InputError
from ..models.language_model import Message, Prompt, Role, Segment
from ..models.records import Item
from ..models.text import clean

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")
_Mark = Role | Literal["keep"]
_TAGS_SHOWN = 4
_TURN = re.compile(r"^\[\[(system|user|assistant|keep)\]\]\n?", re.MULTILINE)


def _as_data(value: object) -> object:
    """Mark what a template prints from a variable; called by Jinja for every `{{ }}`."""
    text = str(value)
    return f"{_OPEN}{clean(text)}{_CLOSE}" if text else ""


def environment(loader: BaseLoader) -> ImmutableSandboxedEnvironment:
    """The sandboxed Jinja environment in which everything a variable prints is marked as data."""
    built = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        finalize=_as_data,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # a prompt is not HTML: data is marked by finalize instead
    )
    built.filters["clip"] = clean
    return built


class Prompts:
    """The templates of one installation: ours, or a user's own from `folder` by the same name."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open the templates; raises InputError if `folder` is not a folder."""
        if folder is not None and not folder.is_dir():
            msg = f"the prompt folder {folder} is not there: create it or leave the option out"
            raise InputError(msg)
        ours = PackageLoader(__package__, "")
        self._loader: BaseLoader = ChoiceLoader([FileSystemLoader(folder), ours]) if folder else ours
        self._environment = environment(self._loader)

    def render(self, name: str, language: str, *, owner: str = "", **values: object) -> Prompt:
        """Fill the template `name.language.j2`.

        Args:
            name: the task, such as "interest".
            language: "zh" or "en".
            owner: the user whose texts the values hold, empty for none.
            values: the variables of the template; what they print is data, never instructions.

        Returns:
            The prompt, turn by turn.

        Raises:
            InputError: the template is missing, wrong, or needs a value that was not given.
        """
        file = f"{name}.{language}.j2"
        try:
            turns = _turns(self._environment.get_template(file).render(**values))
        except Exception as error:  # a user's own template is a program, and may fail in any way
            msg = f"the prompt template {file} cannot be filled: {error}"
            raise InputError(msg) from error
        return Prompt(tuple(turns), owner)

    def fingerprint(self, language: str) -> str:
        """A hash over all templates of a language.

        Returns:
            12 hexadecimal digits.

        Raises:
            InputError: one of them cannot be read.
        """
        digest = hashlib.sha256()
        for name in self._environment.list_templates(extensions=["j2"]):
            if name.endswith(f".{language}.j2"):
                digest.update(f"{name}\n{self._source(name)}".encode())
        return digest.hexdigest()[:12]

    def _source(self, name: str) -> str:
        try:
            return self._loader.get_source(self._environment, name)[0]
        except (OSError, ValueError, TemplateError) as error:
            msg = f"the prompt template {name} cannot be read ({error}): save it as UTF-8, or remove it"
            raise InputError(msg) from error


def _turns(text: str) -> list[Message]:
    """Split rendered text at the turn markers, which data cannot contain.

    Returns:
        The messages in order.

    Raises:
        ValueError: there is text before the first marker, or no marker at all.
    """
    messages: list[Message] = []
    role: Role | None = None
    segments: list[Segment] = []
    keep: int | None = None
    for part in [*_tokens(text), None]:
        if isinstance(part, Segment):
            segments.append(part)
        elif part == "keep":
            keep = len(segments)
        else:
            if role is not None:
                messages.append(Message(role, _trimmed(segments, open_end=role == "assistant"), keep))
            elif any(segment.text.strip() for segment in segments):
                msg = "there is text before its first turn: begin it with a line [[system]] or [[user]]"
                raise ValueError(msg)
            role, segments, keep = part, [], None
    if not messages:
        msg = "it has no turn: begin it with a line [[system]] or [[user]]"
        raise ValueError(msg)
    return messages


def _tokens(text: str) -> Iterator[Segment | _Mark]:
    """Pieces of text and the markers between them, in order."""
    for piece, is_data in _pieces(text):
        if is_data:
            yield Segment(piece, data=True)
            continue
        at = 0
        for mark in _TURN.finditer(piece):
            if mark.start() > at:
                yield Segment(piece[at : mark.start()])
            yield cast(_Mark, mark[1])
            at = mark.end()
        if at < len(piece):
            yield Segment(piece[at:])


def _pieces(text: str) -> list[tuple[str, bool]]:
    """The text as (piece, is data), in order."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for mark in _MARKED.finditer(text):
        if mark.start() > at:
            pieces.append((text[at : mark.start()], False))
        if mark[1]:
            pieces.append((mark[1], True))
        at = mark.end()
    if at < len(text):
        pieces.append((text[at:], False))
    return pieces


def _trimmed(segments: list[Segment], *, open_end: bool) -> tuple[Segment, ...]:
    """Drop the newline before the next marker; an open turn ends exactly where the template does."""
    if segments and not segments[-1].data:
        text = segments[-1].text
        text = text.removesuffix("\n") if open_end else text.rstrip("\n")
        segments = [*segments[:-1], Segment(text)] if text else segments[:-1]
    return tuple(segments)


_default = Prompts()


def item_line(item: Item) -> str:
    """An item in one line of a prompt: its title and up to four tags."""
    tags = ", ".join(item.tags[:_TAGS_SHOWN])
    return f"{clean(item.title, 120)} | {clean(tags, 80)}" if tags else clean(item.title, 160)


def render(name: str, language: str, *, owner: str = "", **values: object) -> Prompt:
    """Fill one of our own templates.

    Args:
        name: the task, such as "interest".
        language: "zh" or "en".
        owner: the user whose texts the values hold, empty for none.
        values: the variables of the template; what they print is data, never instructions.

    Returns:
        The prompt, turn by turn.

    Raises:
        InputError: a value is missing.
    """
    return _default.render(name, language, owner=owner, **values)


__all__ = ["Prompts", "item_line", "render"]
