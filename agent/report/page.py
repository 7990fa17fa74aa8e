"""The contents of a report as records ready to print: worded, numbered, and cut to length."""

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
class CitedEvents:
    """The events that an interest or a reason cites; `missing` are ids of which the run holds no event."""

    events: tuple[EventView, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The events of an interest on the time axis of the history, in percent, with their first and last day."""

    places: tuple[float, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class InterestView:
    """An interest; `width` is its bar in percent, `dots` its confidence in fifths (None: not by a model).

    `named_by` says in a word and in a sentence who gave the name, `marks` whether it is muted or pinned, and
    `course` when its events were, if they have times.
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
    cited: CitedEvents
    named_by: tuple[str, str]
    marks: tuple[str, ...]
    course: Timeline | None


@dataclass(frozen=True, slots=True)
class PickView:
    """A pick: the item, its reason, and the parts of its score.

    `without` are its counterfactuals in words, each with the number of the event.
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
    cited: CitedEvents
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
class ExcludedCandidate:
    """A candidate that is not on the list: its rank, and the reason."""

    rank: int
    title: Clipped
    why: str


@dataclass(frozen=True, slots=True)
class StageView:
    """The cost of a stage: seconds and tokens; `work` says what the model did in it."""

    name: str
    seconds: float
    work: str
    read: int
    cached: int
    written: int


@dataclass(frozen=True, slots=True)
class Command:
    """Commands that correct the profile, and what they are for."""

    why: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that a template prints besides its fixed words."""

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
    left_out: tuple[ExcludedCandidate, ...]
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
        """The picks that match the profile."""
        return tuple(pick for pick in self.picks if not pick.bridge)

    @property
    def new_for_you(self) -> tuple[PickView, ...]:
        """The picks of new topics."""
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
        """The interests whose events have times; none where all are of one moment."""
        dated = tuple(interest for interest in self.interests if interest.course)
        places = {at for interest in dated if interest.course for at in interest.course.places}
        return dated if len(places) > 1 else ()

    def toward(self, polarity: str) -> tuple[InterestView, ...]:
        """The interests of one polarity."""
        return tuple(interest for interest in self.interests if interest.polarity == polarity)


__all__ = [
    "CitedEvents",
    "Command",
    "Timeline",
    "EventView",
    "InterestView",
    "ExcludedCandidate",
    "Page",
    "PickView",
    "StageView",
]
