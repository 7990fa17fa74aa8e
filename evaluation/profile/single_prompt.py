"""The baseline of profiles: one prompt for the whole profile, and a confidence that the model writes.

In the single prompt the model reads the whole history as a numbered list and writes every interest as JSON: its
name and the numbers of its supporting events.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, ValidationError

from ...agent.profile import History
from ...agent.run_trace import RunTrace
from ...models.errors import ModelError
from ...models.language_model import Constraint, Limits, Message, Prompt, Segment
from ...models.records import Interest, Language, Record
from ...models.text import clean

_MAX_TOKENS = 500
_LINE = 100
_SHOWN = 6
_ASKED = {
    "en": "You find the interests behind what a user bought, watched or read. Answer with 2 to 6 "
    "interests: a specific keyword, a broader theme, and the numbers of the events it rests on.",
    "zh": "你从用户的行为里找出他的兴趣。写出 2 到 6 个兴趣：具体的 keyword、更大的领域 theme、"
    "以及所依据的行为编号 events。",
}


class SinglePromptInterest(Record):
    """An interest as the model writes it; event numbers are from 1, and may be of no event."""

    keyword: Annotated[str, Field(min_length=2, max_length=40)]
    theme: Annotated[str, Field(min_length=2, max_length=30)]
    events: Annotated[list[Annotated[int, Field(ge=1, le=999)]], Field(min_length=1, max_length=12)]


class _Answer(Record):
    interests: Annotated[list[SinglePromptInterest], Field(min_length=1, max_length=6)]


def single_prompt_profile(
    history: History, language: Language, trace: RunTrace
) -> tuple[SinglePromptInterest, ...]:
    """The profile that the model writes in one completion.

    Args:
        history: the user's history; entries without content are left out of the prompt.
        language: of the prompt.
        trace: holds the model.

    Returns:
        The interests as written; none where the completion is cut or invalid.
    """
    lines = [clean(entry.line, _LINE) for entry in history.entries if entry.content]
    constraint = Constraint(schema=_Answer)
    try:
        [written] = trace.generate(
            "single prompt",
            [_prompt(lines, language)],
            constraint=constraint,
            limits=Limits(max_tokens=_MAX_TOKENS),
        )
        return tuple(_Answer.model_validate_json(written.text).interests)
    except (ModelError, ValidationError):
        return ()


class _Sure(Record):
    confidence: Annotated[int, Field(ge=0, le=100)]


_HOW_SURE = {
    "en": "How sure are you, from 0 to 100, that “{name}” is an interest of somebody with these events?",
    "zh": "有这些行为的人对“{name}”感兴趣，你有多大把握？用 0 到 100 的数字回答。",
}


def written_confidence(
    history: History, interests: Sequence[Interest], language: Language, trace: RunTrace
) -> list[float]:
    """The confidence that the model writes for each interest (verbalised confidence).

    Args:
        history: holds the lines of the supporting events.
        interests: the interests to judge.
        language: of the prompt.
        trace: holds the model.

    Returns:
        0 to 1 for each interest, in order.
    """
    lines = {entry.event.id: clean(entry.line, _LINE) for entry in history.entries}
    prompts = []
    for one in interests:
        about = "".join(f"- {lines[event]}\n" for event in one.evidence[:_SHOWN])
        asked = _HOW_SURE[language].format(name=clean(one.keyword))
        user = Message("user", (Segment(about, data=True), Segment(asked, data=True)))
        prompts.append(Prompt((user, Message("assistant", (Segment(""),)))))
    if not prompts:
        return []
    results = trace.generate("written", prompts, constraint=Constraint(schema=_Sure))
    return [_Sure.model_validate_json(one.text).confidence / 100 for one in results]


def _prompt(lines: Sequence[str], language: Language) -> Prompt:
    numbered: list[Segment] = []
    for number, line in enumerate(lines, 1):
        numbered += [Segment(f"{number}. "), Segment(line, data=True), Segment("\n")]
    return Prompt(
        (
            Message("system", (Segment(_ASKED[language]),)),
            Message("user", tuple(numbered)),
            Message("assistant", (Segment(""),)),
        )
    )
