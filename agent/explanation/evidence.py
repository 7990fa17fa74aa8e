"""The facts of each pick: the history items that its reason cites, and how many co-users took to it too."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...models.records import Bridge, Item, Language, Profile, Ranked
from ...models.text import clean
from ...vectorstore import Catalogue
from ..messages import messages_for, quoted
from ..profile import History, Query
from ..store import Memory, Took
from .groundedness import Facts, UserAction, bare
from .templates import (
    HistoryItem,
    lead,
    new_topic_subject,
    new_topic_template,
    shared_tags,
    subject,
    template,
)

MIN_CO_USERS = 5
"""Fewer co-users than this are not mentioned: a small number could identify a person."""

_MIN_SHARE = 0.2
_ENGAGEMENT_SIGNALS = ("engagement", "co_engagement")


@dataclass(frozen=True, slots=True)
class CoUserCount:
    """How many other users engaged with a history item (`all`), and how many of these with the pick (`also`)."""

    cited: HistoryItem
    all: int
    also: int

    def sentence(self, language: Language) -> str:
        """The counts in one sentence."""
        words = messages_for(language, "explanation")
        verb, name = words.lookup("verbs", self.cited.took_verb), self.cited.name(language)
        return words.say("co_users", all=self.all, also=self.also, verb=verb, name=name)


class CoUsers:
    """Counts the users who engaged with the same items as one user."""

    def __init__(self, memory: Memory, user: str) -> None:
        """Read counts from `memory`; `user` is not counted."""
        self._memory = memory
        self._user = user
        self._known: dict[tuple[str, Took], frozenset[str]] = {}

    def of(self, pick: Ranked, cited: Sequence[HistoryItem]) -> CoUserCount | None:
        """The cited item whose users engaged with the pick most often.

        Returns:
            None where the engagement signals do not raise the pick's score, or where fewer than five co-users,
            or less than a fifth of them, engaged with both.
        """
        if sum(pick.signals.get(name, 0.0) for name in _ENGAGEMENT_SIGNALS) <= 0:
            return None
        counts = [self._count(pick.candidate.item, history) for history in cited if history.strongest.item]
        enough = [count for count in counts if count.also >= max(MIN_CO_USERS, _MIN_SHARE * count.all)]
        return max(enough, key=lambda count: count.also / count.all, default=None)

    def _count(self, item: Item, cited: HistoryItem) -> CoUserCount:
        theirs = self._users(cited.strongest.item.id if cited.strongest.item else "", cited.took)
        return CoUserCount(cited, len(theirs), len(theirs & self._users(item.id, cited.took)))

    def _users(self, item: str, took: Took) -> frozenset[str]:
        key = (item, took)
        if key not in self._known:
            self._known[key] = frozenset(self._memory.users_of(item, took) - {self._user})
        return self._known[key]


MAX_CITED = 2
_NEARLY_AS_SIMILAR = 0.7  # a second item is cited from this share of the first one's similarity
_TEXT_SHOWN = 160  # characters of the description in the prompt
_REQUEST_SHOWN = 80


@dataclass(frozen=True)
class PickEvidence:
    """The facts of one pick: the item, its interest, the request, and the history items that support the match."""

    item: Item
    interest: str
    cited: tuple[HistoryItem, ...]
    language: Language
    request: str = ""
    bridge: Bridge | None = None
    co_users: CoUserCount | None = None

    @property
    def event_ids(self) -> tuple[str, ...]:
        """The ids of the events that the sentence cites."""
        return tuple(event for history in self.cited for event in history.event_ids)

    @cached_property
    def subject(self) -> str:
        """The pick as the subject of the sentence, with the tags that it shares, or with its new topic."""
        if self.bridge:
            return new_topic_subject(self.item, self.bridge.topic, self.language)
        return subject(self.item, self.cited, self.language)

    @cached_property
    def lead(self) -> str:
        """The beginning of the sentence, which the model continues."""
        return lead(self.request, self.cited, self.language) + self.subject

    @cached_property
    def template(self) -> str:
        """The sentence where no sentence of the model passes the check."""
        if self.bridge:
            return new_topic_template(self.cited, self.item, self.bridge, self.language)
        return template(self.request, self.cited, self.item, self.interest, self.language)

    def with_social_proof(self, sentence: str) -> str:
        """The sentence, followed by the count of co-users if there is one."""
        if self.co_users is None:
            return sentence
        gap = messages_for(self.language, "explanation")["gap"]
        return sentence + gap + self.co_users.sentence(self.language)

    @cached_property
    def description(self) -> str:
        """What the prompt says of the item: its text, else its tags but for those in `subject`."""
        if self.item.text.strip():
            return clean(self.item.text, _TEXT_SHOWN)
        shared = () if self.bridge else shared_tags(self.item, self.cited)
        rest = [tag for tag in self.item.tags if tag not in shared]
        return clean(messages_for(self.language, "explanation")["joined"].join(rest), _TEXT_SHOWN)

    @cached_property
    def prompt_facts(self) -> Facts:
        """What the model's sentence may rest on: the item alone, so that it is not confused with what is cited."""
        item = self.item
        known = [history.strongest.item for history in self.cited if history.strongest.item]
        asked = (UserAction(quoted(self.request, None, self.language), "search"),) if self.request else ()
        return Facts(
            item=quoted(item.title, item, self.language),
            texts=_texts(item) + ((self.bridge.interest, self.bridge.topic) if self.bridge else ()),
            actions=asked + tuple(done for history in self.cited for done in history.actions(self.language)),
            attributes=tuple((name, _plain(value)) for name, value in item.attributes.items()),
            shared=frozenset(
                (name, bare(quoted(other.title, other, self.language)))
                for name, value in item.attributes.items()
                for other in known
                if other.attributes.get(name) == value
            ),
            kind=item.kind,
            described=bool(item.text.strip()),
        )

    @cached_property
    def facts(self) -> Facts:
        """What any sentence about the pick may rest on: also what is cited, the request and the interest."""
        cited = (
            text
            for history in self.cited
            for text in (history.strongest.content, *_texts(history.strongest.item))
        )
        return replace(
            self.prompt_facts, texts=(*self.prompt_facts.texts, *cited, self.request, self.interest)
        )

    @cached_property
    def template_facts(self) -> Facts:
        """What the template may rest on: `facts`, and its own wording, which is ours and claims nothing more."""
        sentences = messages_for(self.language, "explanation").sentences
        wording = (re.sub(r"\{\w+\}", " ", text) for text in sentences.values() if isinstance(text, str))
        return replace(self.facts, texts=(*self.facts.texts, *wording), described=True)


def collect_evidence(
    catalogue: Catalogue, picks: Sequence[Ranked], query: Query, co_users: CoUsers | None = None
) -> list[PickEvidence]:
    """The facts of each pick.

    Args:
        catalogue: the vectors of the items.
        picks: what is recommended, best first; items of the catalogue.
        query: the history, the profile and the request that they were ranked for.
        co_users: counts of other users; without them there is no social proof.

    Returns:
        One `PickEvidence` per pick, in order.
    """
    vectors = catalogue.vectors([pick.candidate.item.id for pick in picks])
    positions = _history_items(query.history)
    similarities = (vectors @ query.history.vectors[[at[0] for at in positions]].T).tolist()
    evidence = []
    for pick, similarity in zip(picks, similarities, strict=True):
        bridge = pick.candidate.new_for_you
        chosen = (
            _nearest_of_interest(bridge.interest, similarity, positions, query)
            if bridge
            else _most_similar(similarity)
        )
        cited = tuple(HistoryItem.of([query.history.entries[at] for at in positions[n]]) for n in chosen)
        evidence.append(
            PickEvidence(
                item=pick.candidate.item,
                interest=bridge.interest if bridge else _supported_interest(cited, pick, query.profile),
                cited=cited,
                language=query.language,
                request="" if bridge else clean(query.request, _REQUEST_SHOWN),
                bridge=bridge,
                co_users=co_users.of(pick, cited) if co_users else None,
            )
        )
    return evidence


def _history_items(history: History) -> list[list[int]]:
    """For each item or search of the history, oldest first: the positions of its entries of positive weight."""
    positions: dict[str, list[int]] = {}
    for at, entry in enumerate(history.entries):
        if entry.weight > 0 and entry.content:
            positions.setdefault(entry.key, []).append(at)
    return list(positions.values())


def _most_similar(similarity: Sequence[float]) -> list[int]:
    """The history item most similar to the pick, and the next if nearly as similar; none of similarity 0."""
    order = sorted(range(len(similarity)), key=lambda at: (-similarity[at], -at))[:MAX_CITED]
    enough = _NEARLY_AS_SIMILAR * similarity[order[0]] if order else 0.0
    return [at for at in order if similarity[at] > 0 and similarity[at] >= enough]


def _nearest_of_interest(
    interest: str, similarity: Sequence[float], positions: Sequence[Sequence[int]], query: Query
) -> list[int]:
    """For a pick of a new topic: the history items of the interest that leads there, most similar first."""
    named = (own for own in query.profile.positive if own.keyword == interest)
    events = {event for own in named for event in own.evidence}
    entries = query.history.entries
    support = [n for n, places in enumerate(positions) if {entries[at].event.id for at in places} & events]
    return sorted(support, key=lambda at: (-similarity[at], -at))[:MAX_CITED]


def _supported_interest(cited: Sequence[HistoryItem], pick: Ranked, profile: Profile) -> str:
    """The interest that the pick matches best, if the first cited item is evidence of it; else empty."""
    events = {event for history in cited[:1] for event in history.event_ids}
    matched = (interest for interest in profile.positive if interest.keyword == pick.candidate.interest)
    return next((interest.keyword for interest in matched if events & set(interest.evidence)), "")


def _texts(item: Item | None) -> tuple[str, ...]:
    return (item.title, item.text, *item.tags, item.kind) if item else ()


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
