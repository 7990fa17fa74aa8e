"""What a report shows, as records ready to print: in words, numbered, and cut to length."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..messages import Clipped
from .charts import Waterfall


@dataclass(frozen=True, slots=True)
class EventView:
    """An event of the history, with the picks that cite it."""

    number: int
    action: str
    text: Clipped
    value: str
    date: str
    iso: str
    cited_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cited:
    """The events that something rests on; `missing` are ids that the run holds no event for."""

    events: tuple[EventView, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """Where events lie in the time of the history, in percent; the first and the last day of them."""

    places: tuple[float, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class InterestView:
    """An interest; `width` is its bar in percent, `dots` its confidence in fifths (None: not by a model).

    `named_by` says in a word and in a sentence who gave the name where no model did, `marks` what the owner
    did with it, `course` when it was fed, if its events say so.
    """

    number: int
    keyword: Clipped
    theme: str
    weight: float
    width: float
    confidence: float
    dots: int | None
    polarity: str
    horizon: str
    cited: Cited
    named_by: tuple[str, str]
    marks: tuple[str, ...]
    course: Course | None


@dataclass(frozen=True, slots=True)
class PickView:
    """A pick: the item, why, and what made its score.

    `without` are sentences on where it would stand without an event, each with the event's number.
    """

    rank: int
    title: Clipped
    kind: str
    tags: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    excerpt: Clipped | None
    understood: str
    interest: Clipped | None
    interest_number: int | None
    reason: Clipped
    by_model: bool
    grounded: bool
    cited: Cited
    chart: Waterfall
    labels: Mapping[str, str]
    moved: str
    bridge: Clipped | None
    without: tuple[tuple[int | None, str], ...]
    without_mark: str

    @property
    def particulars(self) -> tuple[str, ...]:
        """Kind, attributes and tags, each as one text."""
        kind = (self.kind,) if self.kind else ()
        return (*kind, *(f"{name} {value}" for name, value in self.attributes), *self.tags)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A candidate that is not on the list: its rank, and what kept it away."""

    rank: int
    title: Clipped
    why: str


@dataclass(frozen=True, slots=True)
class StageView:
    """What a stage cost; `work` says what the model did in it."""

    name: str
    seconds: float
    work: str
    read: int
    cached: int
    written: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command that corrects something, and what it is for."""

    why: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """All that a template needs besides the words."""

    user: str
    request: str
    summary: str
    scenario: str
    date: str
    moment: str
    iso: str
    model: str
    candidates: int
    interests: tuple[InterestView, ...]
    picks: tuple[PickView, ...]
    behind: tuple[tuple[int, Clipped, str, int], ...]
    span: tuple[str, str]
    rules: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    left_more: int
    events: tuple[EventView, ...]
    notes: tuple[str, ...]
    filters: tuple[tuple[str, str], ...]
    fingerprints: tuple[tuple[str, str], ...]
    stages: tuple[StageView, ...]
    weights: tuple[tuple[str, str, str], ...]
    commands: tuple[Command, ...]

    @property
    def listed(self) -> tuple[PickView, ...]:
        """The picks that match what is known."""
        return tuple(pick for pick in self.picks if not pick.bridge)

    @property
    def new_for_you(self) -> tuple[PickView, ...]:
        """The picks of topics that were not touched."""
        return tuple(pick for pick in self.picks if pick.bridge)

    @property
    def cited_events(self) -> tuple[EventView, ...]:
        """The events that a pick cites, by number."""
        return tuple(event for event in self.events if event.cited_by)

    @property
    def other_events(self) -> tuple[EventView, ...]:
        """The events that no pick cites, by number."""
        return tuple(event for event in self.events if not event.cited_by)

    @property
    def dated(self) -> tuple[InterestView, ...]:
        """The interests with events that say when, if they are not all of one moment."""
        places = {at for one in self.interests if one.course for at in one.course.places}
        return tuple(one for one in self.interests if one.course) if len(places) > 1 else ()

    def toward(self, polarity: str) -> tuple[InterestView, ...]:
        """The interests of one polarity."""
        return tuple(interest for interest in self.interests if interest.polarity == polarity)


__all__ = [
    "Cited",
    "Command",
    "Course",
    "EventView",
    "InterestView",
    "LeftOut",
    "Page",
    "PickView",
    "StageView",
]
