"""How a reason is worded where code words it: what the user did, the names of things, and the template."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...models.records import Action, Bridge, Event, Item, Language
from ...models.text import clean
from ..messages import quoted
from ..profile import HistoryEntry
from ..store import LIKED_FROM, Took
from .groundedness import Deed

_TAGS_TOLD = 4
_SEEN: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("film", "movie", "series", "documentary", "short", "video"), ("watched", "看过")),
    **dict.fromkeys(("article", "post"), ("read", "读过")),
    **dict.fromkeys(("album", "song", "podcast"), ("listened to", "听过")),
}
_LOOKED = ("looked at", "浏览过")
_DID: dict[Action, tuple[str, str]] = {
    "purchase": ("bought", "买过"),
    "like": ("liked", "喜欢"),
    "search": ("searched for", "搜索过"),
    "dislike": ("disliked", "不喜欢"),
}
_TOLD_FIRST: tuple[Action, ...] = ("purchase", "rating", "like", "search", "view", "dislike")
_STARS: dict[float, tuple[str, str]] = {4.0: ("four", "四"), 5.0: ("five", "五")}


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing of the history with all that the user did with it and that speaks for it.

    `entries` are in the order in which they tell most: a purchase, four or five stars, a like, a search, a view.
    """

    entries: tuple[HistoryEntry, ...]

    @classmethod
    def of(cls, entries: Sequence[HistoryEntry]) -> "Thing":
        """The thing that these entries are about; of equal actions, the latest first."""
        latest = sorted(enumerate(entries), key=lambda pair: (_telling(pair[1].event), -pair[0]))
        return cls(tuple(entry for _, entry in latest))

    @property
    def first(self) -> HistoryEntry:
        """The event that a sentence tells."""
        return self.entries[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its events."""
        return tuple(entry.event.id for entry in self.entries)

    def name(self, language: Language) -> str:
        """Its title or the words searched for, in quotation marks."""
        return quoted(self.first.title, self.first.item, language)

    def deeds(self, language: Language) -> list[Deed]:
        """What a sentence may say of it."""
        name = self.name(language)
        return [Deed(name, entry.event.action, entry.event.value) for entry in self.entries]

    @property
    def took(self) -> Took:
        """How the user took to it, to be counted with others who did so too."""
        event = self.first.event
        if event.action == "purchase":
            return "bought"
        liked = event.action == "like" or (event.action == "rating" and (event.value or 0.0) >= LIKED_FROM)
        return "liked" if liked else "seen"

    def took_verb(self, language: Language) -> str:
        """The past tense of that."""
        at = 0 if language == "en" else 1
        if self.took == "seen":
            return _SEEN.get(self.first.item.kind.casefold() if self.first.item else "", _LOOKED)[at]
        return _DID["purchase" if self.took == "bought" else "like"][at]

    def did(self, language: Language) -> tuple[str, str]:
        """What the user did, before and after its name: ("gave", "five stars")."""
        at = 0 if language == "en" else 1
        event, item = self.first.event, self.first.item
        if event.action == "rating" and event.value in _STARS:
            stars = _STARS[event.value][at]
            return ("gave", f" {stars} stars") if language == "en" else ("给", f"打了{stars}分")
        if event.action in _DID:
            return _DID[event.action][at], ""
        return _SEEN.get(item.kind.casefold() if item else "", _LOOKED)[at], ""


def _telling(event: Event) -> tuple[int, float]:
    """Smaller for what says more."""
    weak = event.action == "rating" and event.value not in _STARS
    action: Action = "view" if weak else event.action
    return _TOLD_FIRST.index(action), -(event.value or 0.0) if action == "rating" else 0.0


def shared_tags(item: Item, things: Sequence[Thing]) -> list[str]:
    """The tags of the item that all of the things have too; those that one has where none is common to all."""
    known = [{tag.casefold() for tag in thing.first.item.tags} for thing in things if thing.first.item]
    everywhere = [tag for tag in item.tags if known and all(tag.casefold() in tags for tags in known)]
    return everywhere or [tag for tag in item.tags if any(tag.casefold() in tags for tags in known)]


def subject(item: Item, things: Sequence[Thing], language: Language) -> str:
    """The item as the subject of a sentence, with a tag that it shares with the things.

    With all of these tags where nothing describes it: they are all that is known.
    """
    name = quoted(item.title, item, language)
    told = shared_tags(item, things)[: 1 if item.text.strip() else _TAGS_TOLD]
    if not told:
        return name
    shared = _listed([clean(tag, 30) for tag in told], language)
    return f"{name}, also filed under {shared}," if language == "en" else f"{name}同属{shared}，"


def _listed(names: Sequence[str], language: Language) -> str:
    if language == "zh":
        return "、".join(names)
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def first_step(item: Item, topic: str, language: Language) -> str:
    """The item as the subject of a sentence, where it is of a topic that the user has not touched."""
    name, field = quoted(item.title, item, language), clean(topic, 40)
    return f"{name}, a first step into {field}," if language == "en" else f"{name}算是{field}方面的新尝试，"


def lead(request: str, things: Sequence[Thing], language: Language) -> str:
    """The beginning of a sentence: what was asked for or done."""
    clauses = _asked(request, language) + _deeds(things, language)
    if not clauses:
        return ""
    return f"You {' and '.join(clauses)}, and " if language == "en" else f"你{'，也'.join(clauses)}，"


def _asked(request: str, language: Language) -> list[str]:
    if not request:
        return []
    words = quoted(request, None, language)
    return [f"asked for {words}"] if language == "en" else [f"想找{words}"]


def _deeds(things: Sequence[Thing], language: Language) -> list[str]:
    """One clause per thing; things that the same was done with share one."""
    names: dict[tuple[str, str], list[str]] = {}
    for thing in things:
        names.setdefault(thing.did(language), []).append(thing.name(language))
    joined = " and " if language == "en" else "和"
    space = " " if language == "en" else ""
    both = {key: "都" if language == "zh" and key[1] and len(one) > 1 else "" for key, one in names.items()}
    return [f"{key[0]}{space}{joined.join(one)}{both[key]}{key[1]}" for key, one in names.items()]


def template(request: str, things: Sequence[Thing], item: Item, interest: str, language: Language) -> str:
    """A plain sentence of facts, for where no model writes one: what is shared, else what it fits."""
    begun, name = lead(request, things, language), quoted(item.title, item, language)
    shared = [clean(tag, 30) for tag in shared_tags(item, things)[:_TAGS_TOLD]]
    if shared:
        also = "同属" if language == "zh" else " is also filed under "
        return f"{begun}{name}{also}{_listed(shared, language)}{_rest(item, things, language)}"
    named = clean(interest, 40)
    if language == "zh":
        if things and not named and not request:
            return f"{begun}这是你感兴趣的内容里与{name}最接近的。"
        fits = f"与你的兴趣“{named}”相符" if named else "符合你这次的要求" if request else "可以作为开始"
        return f"{begun}{name}{fits}。"
    if things and not named and not request:
        return f"{begun}of what you took to that is the nearest to {name}."
    fits = f"fits your interest in {named}" if named else "matches it" if request else "is a place to start"
    return f"{begun}{name} {fits}."


def _rest(item: Item, things: Sequence[Thing], language: Language) -> str:
    """How a sentence about what is shared ends: where nothing else describes the item, with its other tags."""
    known = shared_tags(item, things)
    rest = [clean(tag, 30) for tag in item.tags if tag not in known][:_TAGS_TOLD]
    if item.text.strip() or not rest:
        return "。" if language == "zh" else "."
    return (
        f"，另有{_listed(rest, language)}。" if language == "zh" else f", and adds {_listed(rest, language)}."
    )


def bridge_template(things: Sequence[Thing], item: Item, bridge: Bridge, language: Language) -> str:
    """A plain sentence for a pick that is new for the user: from which interest to which topic."""
    begun = lead("", things, language) + quoted(item.title, item, language)
    interest, topic = clean(bridge.interest, 40), clean(bridge.topic, 40)
    if language == "zh":
        return f"{begun}是从{interest}到{topic}的一次新尝试。"
    return f"{begun} is a first step from {interest} into {topic}."


__all__ = ["Thing", "bridge_template", "first_step", "lead", "quoted", "shared_tags", "subject", "template"]
