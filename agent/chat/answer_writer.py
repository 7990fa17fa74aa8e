"""Answers about items, from the catalogue and from runs: why, why not, what an item is, how items compare.

Code writes all of them. The text of an item is printed as it is and never followed (prompt injection).
"""

from collections.abc import Mapping, Sequence

from ...models.records import Item, Profile, Ranked, Recommendation, Run
from ...models.text import clean
from ...vectorstore import compile_where
from ..messages import Messages, counterfactual_lines
from .conditions import Rule, describe

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


__all__ = ["AnswerWriter"]
