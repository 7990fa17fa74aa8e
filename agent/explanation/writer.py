"""Explanations: code chooses the facts and begins the sentence, the model ends it, a checker reads it.

The beginning names the events and the item, so that no title and no action is ever the model's; its
grammar lets it write neither digits nor quotation marks. Where the checker finds something that the facts
do not cover, the sentence ends before it, or is written once more, or else by a template, which says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...models.errors import ModelError
from ...models.language_model import Constraint, Limits, Prompt
from ...models.records import Bridge, Explanation, Item, Language, Profile, Ranked
from ...models.text import clean
from ...prompts import Prompts
from ...vectorstore import Catalogue
from ..messages import quoted
from ..profile import History, Query
from ..run_trace import RunTrace
from .groundedness import Deed, Facts, Problem, bare, problems
from .social_proof import Company, CoUsers
from .templates import Thing, bridge_template, first_step, lead, shared_tags, subject, template

MAX_CITED = 2
_CLOSE = 0.7  # a second thing is cited if it is this near to being as similar as the first
_TEXT_SHOWN = 160
_TOKENS = 56
# Neither quotation marks nor anything that ends a sentence or could be markup; a number is checked.
_EN = r"(?:[^\n.!?0-9\"'“”‘’:;()<>|#*`{}\[\]_…]|[a-z]['’] ?[a-z])"
_ZH = r"[^\s。！？!?.0-9\"“”‘’《》:：；;（）()<>|#*`{}\[\]_…]"
# A predicate, so that the title before it is the subject; in English "is about" ends in a list of tags.
_BEGIN_EN = (
    "follows|tells|shows|explains|describes|looks|asks|takes|brings|holds|keeps|lets|gives|makes|has|comes|offers|"
    "teaches|covers|records|reports|answers|goes|turns|leads|starts|begins|puts|finds|uses|helps|works|visits|"
    "weighs|fits|packs|folds|carries|opens|collects|sets|traces|recounts|compares|talks|writes|posts|shares|does|"
    "says|adds|cuts|grips|serves|plays|watches|grows|needs|reads|sees|runs|stays|draws|deals|builds|can|will|walks|"
    "sells|tests|measures|tracks|photographs|films|cooks|weaves|blocks|pours|boils|grinds|lights|cleans|returns"
)
_BEGIN_ZH = (
    "讲|写|说|用|把|从|以|在|和|与|是|有|能|可以|适合|带|让|教|将|为|展示|展现|呈现|介绍|记录|聚焦|围绕|关注|跟|走进|"
    "收录|解释|分享|描述|只|附|来自|按|拍|看|帮|给|由|做|装|收|探讨|通过|发布|报道|采用|支持|配"
)
_ENDINGS: dict[Language, str] = {
    "en": rf" (?:{_BEGIN_EN}) (?:{_EN}|[0-9](?:[.,][0-9])?){{15,125}}\.",
    "zh": rf"(?:{_BEGIN_ZH})(?: ?{_ZH}| ?[0-9](?:\.[0-9])?){{5,42}}。",
}
_LONGEST: dict[Language, int] = {"en": 128, "zh": 44}
_SHORTEST: dict[Language, int] = {"en": 20, "zh": 7}
_LISTED: dict[Language, str] = {"en": ", ", "zh": "、"}
_LEAD_WORDS: dict[Language, str] = {"en": "filed under", "zh": "同属"}
_STOP: dict[Language, str] = {"en": ".", "zh": "。"}
_CLAUSE: dict[Language, re.Pattern[str]] = {
    "en": re.compile(
        r", (?:and|but|so|while|which|where|as|with|just|making|offering|giving|helping|providing)\b"
    ),
    "zh": re.compile("，"),
}


@dataclass(frozen=True)
class Basis:
    """The facts of one pick: the item, its interest, what was asked for, and the things that carry the match."""

    item: Item
    interest: str
    things: tuple[Thing, ...]
    language: Language
    request: str = ""
    bridge: Bridge | None = None
    company: Company | None = None

    @property
    def evidence(self) -> tuple[str, ...]:
        """The ids of the events that the sentence cites."""
        return tuple(one for thing in self.things for one in thing.ids)

    @cached_property
    def subject(self) -> str:
        """The pick as the sentence names it, with what the catalogue files it under together with a thing cited.

        Of a pick that is new for the user, with its topic.
        """
        if self.bridge:
            return first_step(self.item, self.bridge.topic, self.language)
        return subject(self.item, self.things, self.language)

    @cached_property
    def lead(self) -> str:
        """How the sentence begins."""
        return lead(self.request, self.things, self.language) + self.subject

    @cached_property
    def template(self) -> str:
        """The sentence that stands where the model's does not."""
        if self.bridge:
            return bridge_template(self.things, self.item, self.bridge, self.language)
        return template(self.request, self.things, self.item, self.interest, self.language)

    def whole(self, sentence: str) -> str:
        """The sentence, and after it what others did, if they speak for the pick."""
        further = self.company.told(self.language) if self.company else ""
        return f"{sentence}{' ' if further and self.language == 'en' else ''}{further}"

    @cached_property
    def told(self) -> str:
        """What the model reads of the item: its description, else its tags but for those in `subject`."""
        if self.item.text.strip():
            return clean(self.item.text, _TEXT_SHOWN)
        known = () if self.bridge else shared_tags(self.item, self.things)
        rest = [tag for tag in self.item.tags if tag not in known]
        return clean(_LISTED[self.language].join(rest), _TEXT_SHOWN)

    @cached_property
    def given(self) -> Facts:
        """What the model is given: the item alone, so that it cannot mix up the item and what is cited."""
        item = self.item
        known = [thing.first.item for thing in self.things if thing.first.item]
        asked = (Deed(quoted(self.request, None, self.language), "search"),) if self.request else ()
        return Facts(
            item=quoted(item.title, item, self.language),
            texts=_texts(item) + ((self.bridge.interest, self.bridge.topic) if self.bridge else ()),
            deeds=asked + tuple(deed for thing in self.things for deed in thing.deeds(self.language)),
            attributes=tuple((name, _plain(value)) for name, value in item.attributes.items()),
            shared=frozenset(
                (name, bare(quoted(one.title, one, self.language)))
                for name, value in item.attributes.items()
                for one in known
                if one.attributes.get(name) == value
            ),
            kind=item.kind,
            described=bool(item.text.strip()),
        )

    @cached_property
    def facts(self) -> Facts:
        """Everything that a sentence about this pick may rest on: what is cited and asked for, too."""
        known = (text for thing in self.things for text in (thing.first.content, *_texts(thing.first.item)))
        return replace(self.given, texts=(*self.given.texts, *known, self.request))


def _texts(item: Item | None) -> tuple[str, ...]:
    return (item.title, item.text, *item.tags, item.kind) if item else ()


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


class Explainer:
    """Writes the reasons of a list of picks, all in one batch."""

    def __init__(self, catalogue: Catalogue, prompts: Prompts, others: CoUsers | None = None) -> None:
        """Vectors come from the catalogue, words from the templates, and from `others` what they took to."""
        self._catalogue = catalogue
        self._others = others
        self._prompts = prompts

    def explain(self, picks: Sequence[Ranked], query: Query, trace: RunTrace) -> list[Explanation]:
        """One explanation per pick.

        Args:
            picks: what is recommended, best first; items of the catalogue.
            query: the history, the profile and the request that they were ranked for.
            trace: the run's trace, which has the model that writes, if there is one.

        Returns:
            The explanations in the order of the picks; cited events are among the user's own.
        """
        if not picks:
            return []
        with trace.stage("explanations"):
            found = self.bases(picks, query)
            texts: list[str | None] = [None] * len(found)
            if trace.model is None:
                trace.note("no_model_reasons")
            else:
                self._by_model(found, texts, query, trace)
        return [
            Explanation(
                text=basis.whole(text or basis.template),
                evidence=basis.evidence,
                grounded=True,
                written_by="model" if text else "template",
            )
            for basis, text in zip(found, texts, strict=True)
        ]

    def bases(self, picks: Sequence[Ranked], query: Query) -> list[Basis]:
        """The facts of each pick, in order."""
        profile, history = query.profile, query.history
        vectors = self._catalogue.vectors([pick.candidate.item.id for pick in picks])
        things = _things(history)
        rows = history.vectors[[places[0] for places in things]]
        similarity = vectors @ rows.T
        found = []
        for pick, row in zip(picks, similarity.tolist(), strict=True):
            bridge = pick.candidate.new_for_you
            if bridge:
                found.append(self._across(pick, bridge, row, profile, history))
                continue
            chosen = [Thing.of([history.entries[at] for at in things[one]]) for one in _strongest(row)]
            interest = _interest_of(chosen, pick, profile)
            company = self._others.of(pick, chosen) if self._others else None
            item, asked = pick.candidate.item, clean(query.request, 80)
            found.append(Basis(item, interest, tuple(chosen), profile.language, asked, company=company))
        return found

    def _across(
        self, pick: Ranked, bridge: Bridge, similarity: Sequence[float], profile: Profile, history: History
    ) -> Basis:
        """The facts of a pick that is new: nothing matches it, so the bridge's own events are told.

        The things of the interest that are most like the item; they may be little like it.
        """
        ids = {event for one in profile.positive if one.keyword == bridge.interest for event in one.evidence}
        things = _things(history)
        own = [
            at for at, places in enumerate(things) if {history.entries[one].event.id for one in places} & ids
        ]
        nearest = sorted(own, key=lambda at: (-similarity[at], -at))[:MAX_CITED]
        chosen = tuple(Thing.of([history.entries[one] for one in things[at]]) for at in nearest)
        company = self._others.of(pick, chosen) if self._others else None
        return Basis(
            pick.candidate.item, bridge.interest, chosen, profile.language, bridge=bridge, company=company
        )

    def _by_model(
        self,
        bases: Sequence[Basis],
        texts: list[str | None],
        query: Query,
        trace: RunTrace,
    ) -> None:
        """Fill `texts` where the model wrote a sentence that the facts cover; two attempts."""
        constraint = Constraint(regex=_ENDINGS[query.language])
        refused: dict[int, Problem | None] = {}
        for attempt in range(2):
            left = [at for at, text in enumerate(texts) if text is None and bases[at].told]
            if not left:
                break
            prompts = [self._prompt(bases[at], query) for at in left]
            limits = Limits(max_tokens=_TOKENS, temperature=0.7 * attempt, seed=attempt)
            try:
                written = trace.generate("explanations", prompts, constraint=constraint, limits=limits)
            except ModelError as error:
                trace.note("no_reasons", error=error)
                return
            for at, ending in zip(left, written, strict=True):
                texts[at], refused[at] = checked(ending.text, bases[at])
        for at, problem in refused.items():
            if texts[at] is None:
                title = quoted(bases[at].item.title, bases[at].item, query.language)
                if problem is None:
                    trace.note("template_reason_endless", title=title)
                else:
                    trace.note("template_reason", title=title, kind=problem.kind, what=problem.what)

    def _prompt(self, basis: Basis, query: Query) -> Prompt:
        return self._prompts.render(
            "explain",
            query.language,
            owner=query.profile.user,
            scenario=query.scenario,
            title=clean(basis.item.title, 120),
            text=basis.told,
            begun=basis.subject,
        )


def checked(ending: str, basis: Basis) -> tuple[str | None, Problem | None]:
    """The sentence with the model's ending, and the first thing in it that the facts do not cover, if any.

    An ending with a problem is cut before it, one without an end at its last clause; None if nothing is left.
    """
    language = basis.language
    found = problems(basis.lead + ending, basis.given, language)
    again = _LEAD_WORDS[language] in ending
    stop = found[0].at - len(basis.lead) if found else len(ending)
    ends = ending.endswith(_STOP[language]) and len(ending) < _LONGEST[language]
    if ends and not found and not again:
        return basis.lead + ending, None
    for cut in reversed(list(_CLAUSE[language].finditer(ending, 0, max(0, stop)))):
        shorter = ending[: cut.start()] + _STOP[language]
        long_enough = cut.start() >= _SHORTEST[language] and _LEAD_WORDS[language] not in shorter
        if long_enough and not problems(basis.lead + shorter, basis.given, language):
            return basis.lead + shorter, found[0] if found else None
    return None, found[0] if found else None


def _things(history: History) -> list[list[int]]:
    """The places of what speaks for each thing of the history, oldest thing first."""
    places: dict[str, list[int]] = {}
    for at, entry in enumerate(history.entries):
        if entry.weight > 0 and entry.content:
            places.setdefault(entry.key, []).append(at)
    return list(places.values())


def _strongest(similarity: Sequence[float]) -> list[int]:
    """The thing most similar to the item, and the next if it is nearly as similar; of equals, the later.

    None where nothing is similar at all.
    """
    order = sorted(range(len(similarity)), key=lambda at: (-similarity[at], -at))[:MAX_CITED]
    return [at for at in order if similarity[at] > 0 and similarity[at] >= _CLOSE * similarity[order[0]]]


def _interest_of(things: Sequence[Thing], pick: Ranked, profile: Profile) -> str:
    """The interest that the pick matches best, if the strongest thing supports it: of another it would be untrue."""
    ids = {one for thing in things[:1] for one in thing.ids}
    matched = (one for one in profile.positive if one.keyword == pick.candidate.interest)
    return next((one.keyword for one in matched if ids & set(one.evidence)), "")


__all__ = ["MAX_CITED", "Basis", "Explainer", "checked"]
