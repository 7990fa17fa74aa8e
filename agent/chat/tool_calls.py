"""The tool calls of a chat: seven tools with flat arguments, and the state that a call leaves behind.

Arguments are words of the user or ids of what exists; the toolbox rejects anything else. All of it is
plain data, so that a conversation can be stored and continued.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from ...models.records import Bridge, Id, Item, Record, Text
from .conditions import Rule

MAX_WORDS = 500
"""Characters of the user's words in a call."""

Words = Annotated[Text, Field(max_length=MAX_WORDS)]
Count = Annotated[int, Field(ge=1, le=20)]
Items = Annotated[tuple[Id, ...], Field(min_length=1, max_length=20)]

DEFAULT_COUNT = 5


class Recommend(Record):
    """Recommend unseen items that fit the user, each with a reason."""

    tool: Literal["recommend"] = "recommend"
    request: Words = Field("", description="what the user asks for, in their words, with all conditions")
    count: Count | None = Field(None, description="how many, if they said it")


class Search(Record):
    """Find items of the catalogue by what they are about or what they are called."""

    tool: Literal["search"] = "search"
    words: Words = Field(description="what to look for, in the user's words, with all conditions")
    count: Count | None = Field(None, description="how many, if they said it")


class Refine(Record):
    """Change the list that is shown: more or less like an item, other ones, or under conditions."""

    tool: Literal["refine"] = "refine"
    do: Literal["narrow", "more", "less", "other"]
    item: Id | None = Field(None, description="the item that more or less is like")
    words: Words = Field("", description="conditions and wishes, in the user's words")
    count: Count | None = Field(None, description="how many, if they said it")
    drop: tuple[int, ...] = Field((), description="numbers of conditions to take away")
    instead: bool = Field(False, description="whether the call before was a mistake, to be taken back")


class Explain(Record):
    """Say why an item was recommended, why it was not, what it is, or how items compare."""

    tool: Literal["explain"] = "explain"
    do: Literal["why", "why_not", "about", "compare"]
    items: Items


class Feedback(Record):
    """Remember that the user likes, dislikes, has seen, or is not interested in items."""

    tool: Literal["feedback"] = "feedback"
    do: Literal["like", "dislike", "seen", "not_interested"]
    items: Items
    instead: bool = Field(False, description="whether the call before was a mistake, to be taken back")


class ProfileCall(Record):
    """Show the user's interests, mute, pin or forget one of them, or undo the last change."""

    tool: Literal["profile"] = "profile"
    do: Literal["show", "mute", "pin", "forget", "undo"]
    interest: str | None = Field(None, description="the interest's keyword, to mute, pin or forget it")


class Report(Record):
    """Write the last recommendations to a file that can be read and printed."""

    tool: Literal["report"] = "report"
    format: Literal["html", "md", "json"] = "html"


Call = Annotated[
    Recommend | Search | Refine | Explain | Feedback | ProfileCall | Report, Field(discriminator="tool")
]
TOOLS: tuple[type[Record], ...] = (Recommend, Search, Refine, Explain, Feedback, ProfileCall, Report)
CALL: TypeAdapter[Any] = TypeAdapter(Call)  # Any: a union has no class of its own


class UndoableChange(Record):
    """A change that can be undone: recorded events, an edit of the profile, or another list.

    `before` is the state with the list before.
    """

    kind: Literal["events", "edit", "list"]
    events: tuple[Id, ...] = ()
    before: "ChatState | None" = None
    what: str = ""


class ChatState(Record):
    """The state of a conversation, as it is stored.

    `shown` is the numbered list, `spoken_of` the item that "it" means, `rules` the conditions in force, `passed`
    the items of earlier lists of this request, `last` the latest call.
    """

    shown: tuple[Id, ...] = ()
    spoken_of: Id | None = None
    rules: tuple[Rule, ...] = ()
    request: str = ""
    like: tuple[Id, ...] = ()
    unlike: tuple[Id, ...] = ()
    passed: tuple[Id, ...] = ()
    by_search: bool = False
    changes: tuple[UndoableChange, ...] = ()
    last: Call | None = None


class ListedItem(Record):
    """An item of the numbered list, with its reason."""

    item: Item
    reason: str = ""
    interest: str | None = None
    score: float | None = None
    seen: bool = False
    new_for_you: Bridge | None = None


class Outcome(Record):
    """The result of a tool call: its text, the list to show, and the state that follows.

    `missed` are conditions that cannot be checked, in words; `file` is a report that was written.
    """

    text: str
    state: ChatState
    shown: tuple[ListedItem, ...] = ()
    missed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    file: str = ""

    @property
    def content(self) -> str:
        """All of it as plain text, for a model."""
        lines = [self.text]
        for place, listed in enumerate(self.shown, 1):
            reason = f": {listed.reason}" if listed.reason else ""
            lines.append(f"{place}. {listed.item.title} [{listed.item.id}]{reason}")
        return "\n".join(lines)


__all__ = [
    "CALL", "DEFAULT_COUNT", "MAX_WORDS", "TOOLS", "Call", "ChatState", "Explain", "Feedback", "ListedItem",
    "Outcome", "ProfileCall", "Recommend", "Refine", "Report", "Search", "UndoableChange",
]  # fmt: skip
