"""Answers about items, from the catalogue and from runs: why, why not, what an item is, how items compare.

Code writes all of them. The text of an item is printed as it is and never followed (prompt injection).
"""

import re
from collections.abc import Mapping, Sequence

from ...models.records import Item, Profile, Ranked, Recommendation, Run
from ...models.text import clean
from ...vectorstore import compile_where
from ..messages import Messages, counterfactual_lines
from ..recommender import Recommender
from .conditions import ParsedConditions, Rule, UncheckedCondition, describe
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


_SIGNALS_SHOWN = 4
_TEXT = 600


class AnswerWriter:
    """Writes answers in one language."""

    def __init__(self, words: Messages) -> None:
        """Write with the messages `words`."""
        self._words = words

    def why(self, pick: Recommendation, run: Run) -> str:
        """Why an item was recommended: its reason, the evidence, the signals of its score, and counterfactuals."""
        titles = {event.id: event.text for event in run.history}
        about = dict.fromkeys(clean(titles.get(event, event), 80) for event in pick.explanation.evidence)
        lines = [pick.explanation.text]
        if about:
            lines.append(self._words.say("rests_on", events=self._words.listed(list(about))))
        parts = self._signals(pick.signals)
        lines.append(self._words.say("signals", score=f"{pick.score:.2f}", parts=parts))
        return "\n".join([*lines, *counterfactual_lines(run, pick)])

    def why_not(self, item: Item, rules: Sequence[Rule], run: Run | None, *, known: bool) -> str:
        """Why an item was not recommended: it was consumed, a condition excludes it, or others ranked higher.

        Args:
            item: the item.
            rules: the conditions in force.
            run: the latest run of the user, if there is one.
            known: whether the user has consumed the item.

        Returns:
            One sentence.
        """
        title = self._words.title(item)
        if known:
            return self._words.say("why_consumed", item=title)
        broken = [rule for rule in rules if not compile_where(rule.where)(item)]
        if broken:
            listed = self._words.listed([describe(rule, self._words) for rule in broken])
            return self._words.say("why_filtered", item=title, rules=listed)
        if run is None:
            return self._words.say("why_no_run", item=title)
        ranked = next((ranked for ranked in run.candidates if ranked.candidate.item.id == item.id), None)
        by_rank = [pick for pick in run.recommendations if pick.new_for_you is None]
        if ranked is None or not by_rank:
            return self._words.say("why_not_found", item=title)
        return self._behind(title, ranked, by_rank[-1])

    def about(self, item: Item, *, known: bool) -> str:
        """What the catalogue has about an item: tags, attributes and text."""
        head = self._words.title(item) + (f" {self._words.say('about_seen')}" if known else "")
        facts = [f"{name}: {value}" for name, value in self._facts(item).items()]
        tags = [clean(tag, 40) for tag in item.tags]
        return "\n".join(
            line for line in (head, " · ".join([*tags, *facts]), clean(item.text, _TEXT)) if line
        )

    def comparison(self, items: Sequence[Item], run: Run | None) -> str:
        """Items field by field, the tags they share, and which of them scored highest in a run that ranked all."""
        facts = [self._facts(item) for item in items]
        lines = [" | ".join(self._words.title(item) for item in items)]
        for name in dict.fromkeys(name for fields in facts for name in fields):
            values = " | ".join(fields.get(name, "—") for fields in facts)
            lines.append(self._words.say("compare_field", name=name, values=values))
        shared = [clean(tag, 40) for tag in items[0].tags if all(tag in item.tags for item in items)]
        tags = self._words.listed(shared)
        lines.append(self._words.say("compare_shared" if shared else "compare_nothing", tags=tags))
        return "\n".join([*lines, *self._better(items, run)])

    def profile(self, profile: Profile | None) -> str:
        """The interests of a profile with weight and evidence, and its summary."""
        if profile is None or not profile.interests:
            return self._words.say("profile_none")
        lines = [
            self._words.say(
                "profile_line",
                sign="−" if interest.polarity == "negative" else "+",
                keyword=interest.keyword,
                theme=interest.theme,
                weight=f"{interest.weight:.0%}",
                count=len(interest.evidence),
            )
            for interest in profile.interests
        ]
        return "\n".join([*lines, profile.summary])

    def _facts(self, item: Item) -> dict[str, str]:
        """The attributes of an item, named in the language."""
        names, units = self._words.table("fields"), self._words.table("units")
        currency = item.attributes.get("currency", "")
        facts = {}
        for name, value in item.attributes.items():
            if name != "currency":
                shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                unit = units.get(name, "") or (currency if name == "price" else "")
                facts[str(names.get(name, name))] = clean(f"{shown} {unit}".strip(), 80)
        return facts

    def _better(self, items: Sequence[Item], run: Run | None) -> list[str]:
        ranked = {ranked.candidate.item.id: ranked for ranked in run.candidates} if run else {}
        scored = sorted(
            (ranked[item.id] for item in items if item.id in ranked), key=lambda candidate: candidate.rank
        )
        if len(scored) < len(items):
            return []
        best, other = scored[0], scored[1]
        title = self._words.title(best.candidate.item)
        score, behind = f"{best.score:.2f}", f"{other.score:.2f}"
        return [self._words.say("compare_better", item=title, score=score, other=behind)]

    def _behind(self, title: str, ranked: Ranked, last: Recommendation) -> str:
        names = {**ranked.signals, **last.signals}
        lacks = {name: ranked.signals.get(name, 0.0) - last.signals.get(name, 0.0) for name in names}
        parts = self._signals({name: value for name, value in lacks.items() if value < 0})
        other = self._words.title(last.item)
        return self._words.say(
            "why_rank", item=title, rank=ranked.rank, last=last.rank, other=other, parts=parts
        )

    def _signals(self, signals: Mapping[str, float]) -> str:
        names = self._words.table("signal_names")
        parts = sorted(signals.items(), key=lambda part: -abs(part[1]))[:_SIGNALS_SHOWN]
        return ", ".join(f"{names.get(name, name)} {value:+.2f}" for name, value in parts)
