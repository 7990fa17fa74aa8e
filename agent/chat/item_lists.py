"""The numbered lists of a chat: recommendations or search results under the conditions in force."""

import re
from collections.abc import Sequence

from ...models.records import Recommendation, Run
from ...models.text import clean
from ...vectorstore import compile_where
from ..messages import Messages
from ..recommender import Recommender
from .conditions import ParsedConditions, UncheckedCondition, describe
from .tool_calls import DEFAULT_COUNT, ChatState, ListedItem, Outcome
from .vocabulary import vocabulary_of

SIMILAR = 0.4
"""Cosine similarity from which an item counts as "like that": these are left out after "less"."""

_FAR = {"found": "far", "picks": "picks_far"}  # headlines where nothing matches the words
_RELATED = 0.25  # cosine below which a search hit that shares no word is a last resort
_RANK_CONSTANT = 60  # k of reciprocal rank fusion (Cormack et al. 2009)
_MOST_SIMILAR = 50
_CONTENT = re.compile(r"[a-z]{4,}|[^\x00-\x7f]+")  # words that are no function words


class ItemLists:
    """Builds the numbered list of a state, for one user."""

    def __init__(self, recommender: Recommender, user: str, words: Messages) -> None:
        """Build lists for a user.

        Args:
            recommender: recommends, and has the catalogue to search.
            user: the user's id.
            words: the messages of the chat in its language.
        """
        self._recommender = recommender
        self._catalogue = recommender.catalogue
        self._user = user
        self._words = words

    def build(
        self, state: ChatState, parsed: ParsedConditions, count: int | None, key: str, *, title: str = ""
    ) -> tuple[Outcome, Run | None]:
        """The list of a state, with a headline that names the conditions, and what could not be checked.

        Args:
            state: the conditions and the request; `by_search` searches rather than recommends.
            parsed: the conditions of the message; items that it names come first in a search.
            count: how many items are asked for.
            key: the message of the headline.
            title: the title that the headline names, where it is about one.

        Returns:
            The outcome, and the run of the recommendations.
        """
        n, run = count or DEFAULT_COUNT, None
        if state.by_search:
            listed = self._search(state, n, (*parsed.named, *parsed.like))
        else:
            run = self._recommender.recommend(
                self._user, n=n, request=self._request(state), where=self._where(state)
            )
            listed = [listed_item(pick) for pick in run.recommendations]
        outcome = Outcome(
            text=self._headline(state, len(listed), key, title),
            state=state.model_copy(
                update={"shown": tuple(line.item.id for line in listed), "spoken_of": None}
            ),
            shown=tuple(listed),
            missed=tuple(map(self._missed, parsed.missed)),
            notes=(self._words.say("unseen_holds"),) if parsed.unseen and not state.by_search else (),
        )
        return outcome, run

    def conditions(self, state: ChatState) -> str:
        """The conditions of a state in brackets; empty if there are none."""
        rules = [describe(rule, self._words) for rule in state.rules]
        return self._words.say("under", rules=" · ".join(rules)) if rules else ""

    def _headline(self, state: ChatState, count: int, key: str, title: str) -> str:
        """What was found, with the conditions in force; or, for an empty list, the condition to give up."""
        if count:
            if key in _FAR and state.request and not self._is_near(state.request):
                key = _FAR[key]
            wish = clean(state.request, 60)
            return self._words.say(key, count=count, item=title, wish=wish) + self.conditions(state)
        text = self._words.say("nothing")
        if not state.rules:
            return text
        rule = describe(state.rules[-1], self._words)
        return text + self._words.say("nothing_wider", rule=rule, number=len(state.rules))

    def _request(self, state: ChatState) -> str:
        """The request in words: the topics of the liked items, and the wishes."""
        like = [
            " ".join((clean(item.title, 80).strip("《》"), *item.tags[:4]))
            for item in self._catalogue.get(state.like)
        ]
        request = " ".join(part for part in (*like, state.request) if part)
        if request or self._recommender.memory.has_user(self._user):
            return request
        # Cold start: without a history and a request nothing could be recommended.
        return str(self._words.table("tries_of")[self._recommender.settings.scenario][0])

    def _where(self, state: ChatState) -> dict[str, object] | None:
        """The filter: the conditions, without items of earlier lists and those like what was too much."""
        excluded = dict.fromkeys((*state.passed, *state.like, *state.unlike))
        for vector in self._catalogue.vectors(state.unlike):
            near = self._catalogue.search(vector, _MOST_SIMILAR)
            excluded |= {item: None for item, similarity in near if similarity >= SIMILAR}
        parts = [rule.where for rule in state.rules]
        if excluded:
            parts.append({"id": {"$nin": list(excluded)}})
        return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None

    def _search(self, state: ChatState, n: int, first: Sequence[str]) -> list[ListedItem]:
        """Search results, those named by title first; without words, all items that pass the conditions."""
        where = self._where(state)
        passes = compile_where(where)
        ids = [item.id for item in self._catalogue.get(first) if passes(item)]
        if state.request:
            ids += self._matching(state.request, 4 * n, where)
        elif state.rules:
            ids += sorted(self._catalogue.matching(where))
        consumed = self._recommender.memory.consumed(self._user)
        chosen = list(dict.fromkeys(ids))[:n]
        return [ListedItem(item=item, seen=item.id in consumed) for item in self._catalogue.get(chosen)]

    def _matching(self, words: str, n: int, where: dict[str, object] | None) -> list[str]:
        """Ids of items that share words or meaning with a query, fused by reciprocal ranks; else the nearest."""
        shared = self._catalogue.search_words(words, n, where=where)
        near = self._catalogue.search(self._catalogue.embed([words])[0], n, where=where)
        related = [hit for hit in near if hit[1] >= _RELATED]
        fused: dict[str, float] = {}
        for hits in (shared, related) if shared or related else (near,):
            for rank, (item, _) in enumerate(hits, 1):
                fused[item] = fused.get(item, 0.0) + 1 / (_RANK_CONSTANT + rank)
        return sorted(fused, key=lambda item: (-fused[item], item))

    def _is_near(self, words: str) -> bool:
        """Whether any item shares a content word with a query, or its meaning."""
        nearest = self._catalogue.search(self._catalogue.embed([words])[0], 1)
        return bool(nearest and nearest[0][1] >= _RELATED) or bool(
            self._catalogue.search_words(" ".join(_CONTENT.findall(words.lower())), 1)
        )

    def _missed(self, unchecked: UncheckedCondition) -> str:
        currencies = sorted(vocabulary_of(self._catalogue).currencies)
        currency = currencies[0].upper() if currencies else "?"
        return self._words.say(
            f"missed_{unchecked.reason}", said=clean(unchecked.said, 80), currency=currency
        )


def listed_item(pick: Recommendation) -> ListedItem:
    """A recommendation as an item of the list."""
    return ListedItem(
        item=pick.item,
        reason=pick.explanation.text,
        interest=pick.interest,
        score=pick.score,
        new_for_you=pick.new_for_you,
    )


__all__ = ["SIMILAR", "ItemLists", "listed_item"]
