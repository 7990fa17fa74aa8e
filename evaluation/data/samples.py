"""The hand-written sample: a shop, a video site, a news feed and a social feed, in Chinese and English.

Everything in it is invented. The two languages are twins: the same ids, actions and times, and the
same things said naturally in each. An item's first tag is its topic.
"""

from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import TypeVar, get_args

from ...models.errors import InputError
from ...models.records import Event, Item, Language, Record, Scenario

SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)

_LANGUAGES: tuple[Language, ...] = get_args(Language)
_AnyRecord = TypeVar("_AnyRecord", bound=Record)


@dataclass(frozen=True, slots=True)
class Sample:
    """One scenario in one language: its catalogue, and what six users did, oldest event first."""

    scenario: Scenario
    language: Language
    items: list[Item]
    events: list[Event]


def load_sample(scenario: Scenario, language: Language) -> Sample:
    """The sample of a scenario, read from the package.

    Returns:
        Items and events in new lists.

    Raises:
        InputError: there is no such scenario or language.
    """
    _require("scenario", scenario, SCENARIOS)
    _require("language", language, _LANGUAGES)
    return Sample(
        scenario,
        language,
        items=_read(f"sample_{scenario}_items.{language}.jsonl", Item),
        events=_read(f"sample_{scenario}_events.{language}.jsonl", Event),
    )


def demo_user(scenario: Scenario) -> str:
    """The user with the most events, the same in both languages; of equals, the first by id.

    Returns:
        The user's id.

    Raises:
        InputError: there is no such scenario.
    """
    counts = Counter(event.user for event in load_sample(scenario, "zh").events)
    return min(counts, key=lambda user: (-counts[user], user))


def _require(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        msg = f"the sample has no {what} {value!r}: use one of {', '.join(known)}"
        raise InputError(msg)


def _read(name: str, record: type[_AnyRecord]) -> list[_AnyRecord]:
    # Through the package: the files are found wherever a wheel put them, whatever the current folder.
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return [record.model_validate_json(line) for line in text.split("\n") if line]
