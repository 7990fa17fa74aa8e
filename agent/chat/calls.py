"""What can be done in a chat: seven tools with flat arguments, and what a call leaves behind.

Arguments are words of the user or ids of what exists; the toolbox refuses anything else. All of it is
plain data, so that a conversation can be stored and taken up again.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from ...models.records import Bridge, Id, Item, Record, Text
from .conditions import Rule

Words = Annotated[Text, Field(max_length=500)]
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


class Change(Record):
    """Something that can be undone: events that were recorded, an edit of the profile, or another list.

    `before` is where the conversation stood with the list before.
    """

    kind: Literal["events", "edit", "list"]
    events: tuple[Id, ...] = ()
    before: "ChatState | None" = None
    what: str = ""


class ChatState(Record):
    """Where a conversation stands.

    `shown` is the numbered list, `spoken_of` what "it" means, `last` the call before.
    """

    shown: tuple[Id, ...] = ()
    spoken_of: Id | None = None
    rules: tuple[Rule, ...] = ()
    request: str = ""
    like: tuple[Id, ...] = ()
    unlike: tuple[Id, ...] = ()
    passed: tuple[Id, ...] = ()
    by_search: bool = False
    changes: tuple[Change, ...] = ()
    last: Call | None = None


class Shown(Record):
    """A line of a list: the item, and what is said of it."""

    item: Item
    reason: str = ""
    interest: str | None = None
    score: float | None = None
    seen: bool = False
    new_for_you: Bridge | None = None


class Outcome(Record):
    """What a tool did: the text that says it, the list to show, the state that follows.

    `said` is the words of the request after its conditions were taken out; `missed` are conditions that
    could not be held, in words. `file` is a report that was written.
    """

    text: str
    state: ChatState
    shown: tuple[Shown, ...] = ()
    missed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    file: str = ""

    @property
    def content(self) -> str:
        """All of it as plain text: what a model or a pipe reads."""
        lines = [self.text]
        for place, one in enumerate(self.shown, 1):
            lines.append(
                f"{place}. {one.item.title} [{one.item.id}]" + (f": {one.reason}" if one.reason else "")
            )
        return "\n".join(lines)


__all__ = [
    "CALL", "DEFAULT_COUNT", "TOOLS", "Call", "Change", "ChatState", "Explain", "Feedback", "Outcome",
    "ProfileCall", "Recommend", "Refine", "Report", "Search", "Shown",
]  # fmt: skip
