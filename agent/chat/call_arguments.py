"""The tool call of an action: its arguments are looked up by code, so that each of them exists.

Where an argument is missing or ambiguous, the answer is a question instead of a call.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...models.records import Profile
from ...models.text import clean, fold
from . import tool_calls as calls
from .message_rules import ParsedMessage
from .toolbox import Toolbox

Decider = Literal["rule", "examples", "model"]

ITEM_ACTIONS = frozenset(
    {"more", "less", "why", "why_not", "compare", "about", "like", "dislike", "seen", "not_interested"}
)
"""Actions whose argument is one or more items."""

INTEREST_ACTIONS = frozenset({"mute", "pin", "forget"})
"""Actions whose argument is an interest of the profile."""

_MOST_EXPLAINED = 5


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What answers a message: a `call`, or else the message of the catalogue that `reply` names.

    Attributes:
        action: one of ACTIONS.
        decided_by: what decided on the action.
        probability: the share of the votes for the action; 1 for a rule.
        call: the tool call.
        reply: the key of a message; "small_talk" leaves the answer to the model.
        values: the values of that message.
    """

    action: str
    decided_by: Decider
    probability: float
    call: calls.Call | None = None
    reply: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


Answer = calls.Call | tuple[str, Mapping[str, object]]
"""A call, or the key of a message with its values."""


def answer_for(action: str, message: ParsedMessage, toolbox: Toolbox) -> Answer:
    """The call of an action that uses a tool, or the question for the argument that is missing.

    Args:
        action: one of ACTIONS but "chat" and "refuse".
        message: what was parsed from the user's message.
        toolbox: the tools of the conversation.

    Returns:
        The call, or the key of the question and its values.
    """
    if action in ITEM_ACTIONS:
        return _item_call(action, message, toolbox)
    if action in INTEREST_ACTIONS:
        return _interest_call(action, message, toolbox)
    words, count = clean(message.text, calls.MAX_WORDS), message.conditions.count
    if action in ("narrow", "other") and toolbox.state.shown:
        return calls.Refine(do="other" if action == "other" else "narrow", words=words, count=count)
    if action == "search":
        return calls.Search(words=words, count=count)
    if action in ("show", "undo"):
        return calls.ProfileCall(do="show" if action == "show" else "undo")
    if action == "report":
        return calls.Report(format=_format(message.text))
    return calls.Recommend(request=words, count=count)


def _item_call(action: str, message: ParsedMessage, toolbox: Toolbox) -> Answer:
    references, state = message.references, toolbox.state
    items = references.items
    if action in ("more", "less"):
        items = items or message.conditions.like
    if references.wrong and not items:
        return "bad_number", {"number": references.wrong[0], "count": len(state.shown)}
    if not items and state.spoken_of:
        items = (state.spoken_of,)
    if action == "compare":
        return _comparison(items, message, toolbox)
    if not items:
        return "which_item" if state.shown else "no_list", {}
    if action in ("more", "less"):
        words = clean(message.text, calls.MAX_WORDS)
        return calls.Refine.model_validate({"do": action, "item": items[0], "words": words})
    if action in ("why", "why_not", "about"):
        return calls.Explain.model_validate({"do": action, "items": items[:_MOST_EXPLAINED]})
    return calls.Feedback.model_validate({"do": action, "items": items})


def _comparison(items: tuple[str, ...], message: ParsedMessage, toolbox: Toolbox) -> Answer:
    """With one item, the comparison is with the item spoken of last; with none, of the whole list."""
    state = toolbox.state
    if len(items) == 1 and state.spoken_of and state.spoken_of not in items:
        items = (state.spoken_of, *items)
    if len(items) < 2 and not message.references.items:
        items = state.shown
    if len(items) < 2:
        return "which_two" if state.shown else "no_list", {}
    return calls.Explain(do="compare", items=items[:_MOST_EXPLAINED])


def _interest_call(action: str, message: ParsedMessage, toolbox: Toolbox) -> Answer:
    profile = toolbox.profile
    keyword, _ = named_interest(message.text, profile)  # by its present name
    if keyword is not None:
        return calls.ProfileCall.model_validate({"do": action, "interest": keyword})
    names = [interest.keyword for interest in profile.interests] if profile else []
    return ("which_interest", {"interests": toolbox.words.listed(names)}) if names else ("no_interests", {})


def named_interest(text: str, profile: Profile | None) -> tuple[str | None, str]:
    """The interest that a folded text names by keyword or theme; the longest name wins over those within it.

    Returns:
        Its keyword, or None, and the name as it stands in the text.
    """
    interests = profile.interests if profile else ()
    names = [
        (interest.keyword, fold(name))
        for interest in interests
        for name in (interest.keyword, interest.theme)
    ]
    present = [pair for pair in names if len(pair[1]) > 1 and pair[1] in text]
    return max(present, key=lambda pair: len(pair[1]), default=(None, ""))


def _format(text: str) -> Literal["html", "md", "json"]:
    if re.search(r"markdown|(?<![a-z])md(?![a-z])", text):
        return "md"
    return "json" if "json" in text else "html"


__all__ = [
    "INTEREST_ACTIONS",
    "ITEM_ACTIONS",
    "Answer",
    "Decider",
    "ToolChoice",
    "answer_for",
    "named_interest",
]
