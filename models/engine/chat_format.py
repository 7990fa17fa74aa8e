"""From a prompt to tokens by the model's chat template; data is never read as a control token."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import ModelError
from ..language_model import Message, Prompt
from .llama import Weights

_PLACE = re.compile("\ue100([0-9]+)\ue101")  # stands for a message while the template is filled
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Keep:
    """The length of a prefix worth caching. A `private` one holds data of the prompt's owner."""

    length: int
    private: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt as the model reads it."""

    ids: list[int]
    keeps: tuple[Keep, ...]

    def ends(self, length: int) -> list[int]:
        """The lengths of the kept prefixes within the first `length` tokens, rising, each once."""
        return sorted({keep.length for keep in self.keeps if 0 < keep.length <= length})


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of text of one kind, or (with `keep`) the mark after what is worth caching."""

    text: str
    data: bool = False
    keep: bool = False


class ChatFormat:
    """Applies the chat template of the loaded model."""

    def __init__(self, weights: Weights) -> None:
        """Compile the file's template in a sandbox; a file without one gets ChatML."""
        self._weights = weights
        self._end_of_text = weights.eos_text
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        try:
            self._template = environment.from_string(weights.chat_template or _CHATML)
        except TemplateError as error:
            msg = f"the model's chat template cannot be used: {error}"
            raise ModelError(msg) from error

    def encode(self, prompt: Prompt) -> Tokens:
        """Tokenise a prompt. Safe to call from any thread.

        Returns:
            Token ids, none of which is a control token that data spelled out, and the prefixes to keep.
        """
        bos = self._weights.bos
        ids: list[int] = [] if bos is None else [bos]
        keeps: list[Keep] = []
        private = False
        for piece in _joined(list(self._pieces(prompt))):
            if piece.keep:
                keeps.append(Keep(len(ids), private))
            elif piece.data:
                private = True
                ids += self.continuation(piece.text)
            else:
                ids += self._weights.tokenize(piece.text, special=True)
        return Tokens(ids, tuple(keeps))

    def continuation(self, text: str) -> list[int]:
        """Token ids of plain data that follows a prompt."""
        ids = self._weights.tokenize(text, special=False)
        if any(self._weights.is_control(token) for token in ids):  # llama.cpp should never let it happen
            msg = f"the text {text[:80]!r} would be read as a control token of the model: remove it"
            raise ModelError(msg)
        return ids

    def _pieces(self, prompt: Prompt) -> Iterator[_Piece]:
        """The conversation in order, messages put in where the template wants them."""
        text = self._around(prompt)
        at = 0
        for place in _PLACE.finditer(text):
            yield _Piece(text[at : place.start()])
            yield from _content(prompt.messages[int(place[1])])
            at = place.end()
        yield _Piece(text[at:])
        if prompt.messages and prompt.messages[-1].role == "assistant":
            yield from _content(prompt.messages[-1])

    def _around(self, prompt: Prompt) -> str:
        """The template filled with placeholders: it sees no data, so data cannot change its control flow.

        Where a template has no system turn, the system message goes before the first message of the user.

        Returns:
            The text with a placeholder for each message.

        Raises:
            ModelError: the template refuses the conversation.
        """
        turns = [
            {"role": message.role, "content": f"\ue100{index}\ue101"}
            for index, message in enumerate(prompt.messages)
        ]
        if turns and turns[-1]["role"] == "assistant":
            turns.pop()
        try:
            return self._filled(turns)
        except ModelError:
            if len(turns) < 2 or [turn["role"] for turn in turns[:2]] != ["system", "user"]:
                raise
        first = {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
        return self._filled([first, *turns[2:]])

    def _filled(self, turns: list[dict[str, str]]) -> str:
        """The template over these turns; raises ModelError if it refuses or leaves out one."""
        try:
            text = self._template.render(
                messages=turns,
                add_generation_prompt=True,
                bos_token="",  # added as a token by encode
                eos_token=self._end_of_text,
            )
        except ModelError:
            raise
        except Exception as error:  # the template is a program from the file, and may fail in any way
            msg = f"the model's chat template refused the prompt: {error}"
            raise ModelError(msg) from error
        missing = [turn["role"] for turn in turns if text.count(turn["content"]) != 1]
        if missing:
            msg = f"the model's chat template has no place for a message of the {missing[0]}"
            raise ModelError(msg)
        return text


def _refuse(message: str) -> None:
    raise ModelError(f"the model's chat template refused the prompt: {message}")


def _content(message: Message) -> Iterator[_Piece]:
    for index, segment in enumerate(message.segments):
        if index == message.keep:
            yield _Piece("", keep=True)
        yield _Piece(segment.text, data=segment.data)
    if message.keep is not None and message.keep >= len(message.segments):
        yield _Piece("", keep=True)


def _joined(pieces: list[_Piece]) -> list[_Piece]:
    """Merge neighbours of one kind, so that words are tokenised as they are in running text.

    A blank before data goes into the data: words are tokenised with the blank before them.

    Returns:
        The pieces that are not empty, in order.
    """
    joined: list[_Piece] = []
    for piece in pieces:
        if not piece.text and not piece.keep:
            continue
        last = joined[-1] if joined else None
        if last is None or piece.keep or last.keep:
            joined.append(piece)
        elif last.data == piece.data:
            joined[-1] = _Piece(last.text + piece.text, data=piece.data)
        elif piece.data and last.text.endswith(" "):
            joined[-1:] = [_Piece(last.text[:-1]), _Piece(f" {piece.text}", data=True)]
        else:
            joined.append(piece)
    return [piece for piece in joined if piece.text or piece.keep]
