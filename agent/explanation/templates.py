"""Sentences worded by code: the user's actions, the pick as the subject, and the template without a model."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...models.records import Action, Bridge, Event, Item, Language
from ...models.text import clean
from ..messages import messages_for, quoted
from ..profile import HistoryEntry
from ..store import LIKED_FROM, Took
from .groundedness import UserAction

_TAGS_SHOWN = 4
_INTEREST_SHOWN = 40  # characters of an interest or a topic
# How an item of a kind is used: a key of [explanation.verbs]; any other kind is looked at.
_VERB_OF_KIND = {
    **dict.fromkeys(("film", "movie", "series", "documentary", "short", "video"), "watch"),
    **dict.fromkeys(("article", "post"), "read"),
    **dict.fromkeys(("album", "song", "podcast"), "listen"),
}
_STRONGEST_FIRST: tuple[Action, ...] = ("purchase", "rating", "like", "search", "view", "dislike")
_STARS = {4.0: "four_stars", 5.0: "five_stars"}


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """An item or a search of the history, with all events about it that count in its favour.

    `entries` are ordered by strength: a purchase, four or five stars, a like, a search, a view.
    """

    entries: tuple[HistoryEntry, ...]

    @classmethod
    def of(cls, entries: Sequence[HistoryEntry]) -> "HistoryItem":
        """The history item of entries in order of time; of equal actions, the latest comes first."""
        ordered = sorted(enumerate(entries), key=lambda pair: (_strength(pair[1].event), -pair[0]))
        return cls(tuple(entry for _, entry in ordered))

    @property
    def strongest(self) -> HistoryEntry:
        """The event that a sentence mentions."""
        return self.entries[0]

    @property
    def event_ids(self) -> tuple[str, ...]:
        """The ids of its events, strongest first."""
        return tuple(entry.event.id for entry in self.entries)

    def name(self, language: Language) -> str:
        """Its title or the words searched for, in quotation marks."""
        return quoted(self.strongest.title, self.strongest.item, language)

    def actions(self, language: Language) -> list[UserAction]:
        """The user's actions on it, which a sentence may claim."""
        name = self.name(language)
        return [UserAction(name, entry.event.action, entry.event.value) for entry in self.entries]

    @property
    def took(self) -> Took:
        """The kind of engagement by which co-users are counted."""
        event = self.strongest.event
        if event.action == "purchase":
            return "bought"
        liked = event.action == "like" or (event.action == "rating" and (event.value or 0.0) >= LIKED_FROM)
        return "liked" if liked else "seen"

    @property
    def took_verb(self) -> str:
        """The key of the verb for that engagement in [explanation.verbs]."""
        keys: dict[Took, str] = {"bought": "purchase", "liked": "like", "seen": self._seen_verb}
        return keys[self.took]

    @property
    def _seen_verb(self) -> str:
        item = self.strongest.item
        return _VERB_OF_KIND.get(item.kind.casefold() if item else "", "look")

    @property
    def action_key(self) -> str:
        """The key of the strongest action: "four_stars" or "five_stars", else a verb of [explanation.verbs]."""
        event = self.strongest.event
        if event.action == "rating" and event.value in _STARS:
            return _STARS[event.value]
        return self._seen_verb if event.action in ("view", "rating") else event.action


def _strength(event: Event) -> tuple[int, float]:
    """A sort key: smaller for stronger evidence."""
    weak = event.action == "rating" and event.value not in _STARS
    action: Action = "view" if weak else event.action
    return _STRONGEST_FIRST.index(action), -(event.value or 0.0) if action == "rating" else 0.0


def shared_tags(item: Item, cited: Sequence[HistoryItem]) -> list[str]:
    """The tags of the item that all cited items have too; where there is none, those that any of them has."""
    known = [
        {tag.casefold() for tag in history.strongest.item.tags} for history in cited if history.strongest.item
    ]
    everywhere = [tag for tag in item.tags if known and all(tag.casefold() in tags for tags in known)]
    return everywhere or [tag for tag in item.tags if any(tag.casefold() in tags for tags in known)]


def subject(item: Item, cited: Sequence[HistoryItem], language: Language) -> str:
    """The pick as the subject of a sentence, with tags that it shares with what is cited.

    Args:
        item: the pick.
        cited: the history items of the sentence.
        language: the language of the sentence.

    Returns:
        The quoted title with one shared tag; with up to four where nothing else describes the item.
    """
    name = quoted(item.title, item, language)
    tags = shared_tags(item, cited)[: 1 if item.text.strip() else _TAGS_SHOWN]
    if not tags:
        return name
    return messages_for(language, "explanation").say(
        "subject_shared", name=name, tags=_listed(tags, language)
    )


def new_topic_subject(item: Item, topic: str, language: Language) -> str:
    """The pick as the subject of a sentence, where it belongs to a topic that is new for the user.

    Args:
        item: the pick.
        topic: the name of its topic.
        language: the language of the sentence.

    Returns:
        The quoted title, and that it is a first step into the topic.
    """
    name, topic = quoted(item.title, item, language), clean(topic, _INTEREST_SHOWN)
    return messages_for(language, "explanation").say("subject_new", name=name, topic=topic)


def lead(request: str, cited: Sequence[HistoryItem], language: Language) -> str:
    """The beginning of a sentence: the request and the user's actions.

    Args:
        request: the words of the request; empty if there was none.
        cited: the history items to mention.
        language: the language of the sentence.

    Returns:
        A clause that ends where the subject follows; empty where there is nothing to mention.
    """
    words = messages_for(language, "explanation")
    asked = [words.say("asked", words=quoted(request, None, language))] if request else []
    clauses = asked + _action_clauses(cited, language)
    return words.say("lead", clauses=words["clauses_joined"].join(clauses)) if clauses else ""


def _action_clauses(cited: Sequence[HistoryItem], language: Language) -> list[str]:
    """One clause per action; history items with the same action share one."""
    words = messages_for(language, "explanation")
    names: dict[str, list[str]] = {}
    for history in cited:
        names.setdefault(history.action_key, []).append(history.name(language))
    clauses = []
    for key, quoted_names in names.items():
        items, verb = words["names_joined"].join(quoted_names), words.lookup("verbs", key)
        frame = "action" if verb else key
        clauses.append(words.say(frame, count=len(quoted_names), verb=verb, items=items))
    return clauses


def template(
    request: str, cited: Sequence[HistoryItem], item: Item, interest: str, language: Language
) -> str:
    """A sentence of facts for a pick that no model's sentence explains.

    Args:
        request: the words of the request; empty if there was none.
        cited: the history items that the pick is most similar to.
        item: the pick.
        interest: the user's interest that it matches; empty if none that the cited items support.
        language: the language of the sentence.

    Returns:
        What the pick shares with the cited items, else the interest, the request or the history it fits.
    """
    words = messages_for(language, "explanation")
    start = {"lead": lead(request, cited, language), "name": quoted(item.title, item, language)}
    shared = shared_tags(item, cited)
    if shared:
        rest = [] if item.text.strip() else [tag for tag in item.tags if tag not in shared]
        return words.say(
            "template_shared_more" if rest else "template_shared",
            **start,
            tags=_listed(shared[:_TAGS_SHOWN], language),
            rest=_listed(rest[:_TAGS_SHOWN], language),
        )
    named = clean(interest, _INTEREST_SHOWN)
    if named:
        return words.say("template_interest", **start, interest=named)
    return words.say(
        "template_request" if request else "template_nearest" if cited else "template_start", **start
    )


def new_topic_template(cited: Sequence[HistoryItem], item: Item, bridge: Bridge, language: Language) -> str:
    """A sentence of facts for a pick of a new topic.

    Args:
        cited: history items of the interest that leads to the topic.
        item: the pick.
        bridge: the interest and the topic.
        language: the language of the sentence.

    Returns:
        One sentence: from which interest to which topic.
    """
    return messages_for(language, "explanation").say(
        "template_new",
        lead=lead("", cited, language),
        name=quoted(item.title, item, language),
        interest=clean(bridge.interest, _INTEREST_SHOWN),
        topic=clean(bridge.topic, _INTEREST_SHOWN),
    )


def _listed(tags: Sequence[str], language: Language) -> str:
    return messages_for(language, "explanation").listed([clean(tag, 30) for tag in tags])


__all__ = [
    "HistoryItem",
    "lead",
    "new_topic_subject",
    "new_topic_template",
    "shared_tags",
    "subject",
    "template",
]
