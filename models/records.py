"""The nouns of Tanqu, as frozen pydantic records; validation of outside data happens only here."""

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Action = Literal["view", "search", "purchase", "rating", "like", "dislike"]
Language = Literal["zh", "en"]
Scenario = Literal["shop", "video", "news", "social"]
Polarity = Literal["positive", "negative"]
Horizon = Literal["recent", "lasting"]
WrittenBy = Literal["model", "template"]
NamedBy = Literal["model", "template", "owner"]

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

MAX_ID = 200
MAX_TEXT = 20_000


def _clean_id(value: object) -> object:
    """Accept integers as ids (data sets often number things); leave everything else to pydantic."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _printable(value: str) -> str:
    if _UNPRINTABLE.search(value):
        msg = f"the id {value!r} holds a control character or half of a character: remove it"
        raise ValueError(msg)
    return value


def _cap(value: str) -> str:
    """Drop NULs and lone surrogates (no database takes them) and keep the first 20,000 characters."""
    return _UNSTORABLE.sub("", value[: MAX_TEXT * 2])[:MAX_TEXT]


def _to_utc(value: object) -> object:
    """Read epoch seconds or milliseconds, and ISO 8601 with or without an offset (then UTC)."""
    if isinstance(value, str) and value.strip().lstrip("-").replace(".", "", 1).isdigit():
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= 1e14:  # also true of what is not a number
            msg = f"the time {str(value)[:30]} is out of range: give ISO 8601 or epoch seconds"
            raise ValueError(msg)
        seconds = float(value)
        return datetime.fromtimestamp(seconds / 1000 if abs(seconds) > 1e11 else seconds, tz=UTC)
    return value


def _with_zone(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as error:
        msg = f"the time {value} is out of range in UTC"
        raise ValueError(msg) from error


def _finite(value: float) -> float:
    if not math.isfinite(value) or abs(value) > 1e12:
        msg = f"{value} is not a usable number: give a finite one below 1e12"
        raise ValueError(msg)
    return value


Id = Annotated[
    str, BeforeValidator(_clean_id), Field(min_length=1, max_length=MAX_ID), AfterValidator(_printable)
]
Text = Annotated[str, AfterValidator(_cap)]
Time = Annotated[datetime, BeforeValidator(_to_utc), AfterValidator(_with_zone)]
Number = Annotated[float, AfterValidator(_finite)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Whole = Annotated[int, Field(ge=-(10**12), le=10**12)]
Attribute = bool | Whole | Number | Text | tuple[Text, ...]


class Record(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Item(Record):
    """Something that can be recommended: a product, a film, an article, a person to follow.

    Only `id` and `title` are required. `attributes` are what filters see (price, year, genre).
    """

    id: Id
    title: Annotated[Text, Field(min_length=1)]
    text: Text = ""
    tags: tuple[Text, ...] = ()
    kind: Text = ""
    attributes: dict[Text, Attribute] = Field(default_factory=dict)

    @property
    def content(self) -> str:
        """Title, tags and text in one line: what is embedded and searched."""
        return " ".join(part for part in (self.title, " ".join(self.tags), self.text) if part)


class Enrichment(Record):
    """What a model wrote about an item: searched with the item's own words, never among them."""

    keywords: tuple[str, ...]
    theme: str

    @property
    def content(self) -> str:
        """Keywords and theme in one line."""
        return " ".join((*self.keywords, self.theme))


class Event(Record):
    """Something a user did, to an item of the catalogue or in words (`query`).

    `value` is the stars of a rating, the seconds of a view, or the count of a purchase. `time` is UTC.
    """

    id: Id
    user: Id
    item: Id | None = None
    query: Text | None = None
    action: Action
    value: Number | None = None
    time: Time | None = None

    @model_validator(mode="after")
    def _has_object(self) -> "Event":
        if self.item is None and not (self.query or "").strip():
            msg = "an event needs 'item' (an id) or 'query' (words)"
            raise ValueError(msg)
        return self


class Interest(Record):
    """One interest of a user, resting on events.

    `weight` is the share among the interests of its polarity (they sum to 1 per polarity).
    `confidence` is the model's own probability of `keyword`: the geometric mean over its tokens, each
    renormalised over what the grammar allowed; 0 where no model named it (`named_by` is "template"), 1
    where the user did ("owner"). A `muted` interest has the weight 0 and no part in any list; a `pinned`
    one stays and never falls below a floor.
    `evidence` are ids of the user's events, strongest first.
    """

    keyword: str
    theme: str
    weight: Share
    confidence: Share
    evidence: tuple[Id, ...] = Field(min_length=1)
    polarity: Polarity = "positive"
    horizon: Horizon = "recent"
    named_by: NamedBy = "model"
    muted: bool = False
    pinned: bool = False


class Profile(Record):
    """What is known of a user: interests by falling weight, and one sentence that sums them up."""

    user: Id
    interests: tuple[Interest, ...] = ()
    summary: str = ""
    language: Language = "en"
    fingerprint: str = ""

    @property
    def positive(self) -> tuple[Interest, ...]:
        """The interests that draw items up."""
        return tuple(interest for interest in self.interests if interest.polarity == "positive")

    @property
    def negative(self) -> tuple[Interest, ...]:
        """The interests that push items down."""
        return tuple(interest for interest in self.interests if interest.polarity == "negative")


class Bridge(Record):
    """What leads to a pick that is new for the user: from which interest, to which topic of the catalogue."""

    interest: str
    topic: str
    theme: str = ""


class Candidate(Record):
    """An item that was retrieved, with its score in each channel that retrieved it (larger is better).

    One of a topic that the user has not touched matches no interest: it has a bridge (`new_for_you`).
    """

    item: Item
    channels: dict[str, float]
    interest: str | None = None
    new_for_you: Bridge | None = None


class Ranked(Record):
    """A candidate with its place.

    `signals` are the contributions to `score` (weight times the value standardised over the
    candidates); they sum to it. `raw` are the values before that.
    """

    candidate: Candidate
    rank: Annotated[int, Field(ge=1)]
    score: float
    signals: dict[str, float]
    raw: dict[str, float]
    rank_without_model: int | None = None


class Explanation(Record):
    """Why an item was picked.

    `grounded` is True where the check of groundedness read the sentence, the model's or the template's, and
    found everything in it in the record: the item, the cited events, the request, the interest. It is False
    where something is in no fact, or nothing checked it. A sentence on co-users after it is worded by code
    from counts and not part of the check.
    """

    text: str
    evidence: tuple[Id, ...]
    grounded: bool
    written_by: WrittenBy


class Counterfactual(Record):
    """Where a pick stood among the candidates, and where without what one event is about; 1 is the first.

    Recomputed with the real ranking. `by_model` says whether the model's likelihood counts in both ranks,
    `picked` whether it would still be on the list. If not, `share_of` is the interest whose places on the
    list would go to others, where its rank alone does not say why.
    """

    event: Id
    rank_before: Annotated[int, Field(ge=1)]
    rank_after: Annotated[int, Field(ge=1)]
    score_before: float
    score_after: float
    by_model: bool = False
    picked: bool = False
    share_of: str | None = None


class Recommendation(Record):
    """One pick of a run."""

    rank: Annotated[int, Field(ge=1)]
    item: Item
    score: float
    signals: dict[str, float]
    interest: str | None
    explanation: Explanation
    rank_without_model: int | None = None
    enrichment: Enrichment | None = None
    counterfactual: tuple[Counterfactual, ...] = ()
    new_for_you: Bridge | None = None


class Call(Record):
    """One use of the language model: what for, how many tokens, how long."""

    stage: str
    kind: Literal["generate", "score"]
    sequences: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    seconds: float


class HistoryEvent(Record):
    """An event as a reader sees it: with the words it rests on and not only the id."""

    id: Id
    action: Action
    text: str
    value: float | None = None
    time: datetime | None = None


class Run(Record):
    """One request, whole: a report, a chat turn or a test reads it and needs no model again.

    `home` is the folder that commands about it must name, empty for the default one; `display_name` is what the
    user is called where that is not the id.
    """

    user: Id
    display_name: str = ""
    home: Text = ""
    request: str = ""
    scenario: Scenario = "shop"
    created: datetime
    profile: Profile
    recommendations: tuple[Recommendation, ...]
    candidates: tuple[Ranked, ...]
    history: tuple[HistoryEvent, ...] = ()
    where: dict[str, object] = Field(default_factory=dict)
    weights: dict[str, float] = Field(default_factory=dict)
    calls: tuple[Call, ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)
    fingerprints: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
