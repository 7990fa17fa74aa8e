"""Writes the reasons: code chooses the facts and begins the sentence, the model ends it, a check reads it.

The beginning names the events and the item, so that no title and no user action is ever the model's; the
grammar of its ending has no quotation marks and few digits. Where the check of groundedness finds something
that the facts do not cover, the sentence is cut before it, or generated again, or replaced by a template.
"""

import re
from collections.abc import Sequence

from ...models.errors import ModelError
from ...models.language_model import Constraint, Limits, Prompt
from ...models.records import Explanation, Language, Ranked
from ...models.text import clean
from ...prompts import Prompts
from ...vectorstore import Catalogue
from ..messages import messages_for, quoted
from ..profile import Query
from ..run_trace import RunTrace
from .evidence import CoUsers, PickEvidence, collect_evidence
from .groundedness import UngroundedSpan, ungrounded_spans

_TOKENS = 56
_ATTEMPTS = 2
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
_CLAUSE: dict[Language, re.Pattern[str]] = {
    "en": re.compile(
        r", (?:and|but|so|while|which|where|as|with|just|making|offering|giving|helping|providing)\b"
    ),
    "zh": re.compile("，"),
}


class Explainer:
    """Writes the reasons of a list of picks, all in one batch."""

    def __init__(self, catalogue: Catalogue, prompts: Prompts, co_users: CoUsers | None = None) -> None:
        """Set up the sources of the reasons.

        Args:
            catalogue: the items and their vectors.
            prompts: the templates of the prompts.
            co_users: counts of other users; without them there is no social proof.
        """
        self._catalogue = catalogue
        self._co_users = co_users
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
            evidence = collect_evidence(self._catalogue, picks, query, self._co_users)
            sentences: list[str | None] = [None] * len(evidence)
            if trace.model is None:
                trace.note("no_model_reasons")
            else:
                self._by_model(evidence, sentences, query, trace)
            return [_explanation(facts, text) for facts, text in zip(evidence, sentences, strict=True)]

    def _by_model(
        self,
        evidence: Sequence[PickEvidence],
        sentences: list[str | None],
        query: Query,
        trace: RunTrace,
    ) -> None:
        """Fill `sentences` where the model wrote one that the facts cover; two attempts."""
        constraint = Constraint(regex=_ENDINGS[query.language])
        rejected: dict[int, UngroundedSpan | None] = {}
        for attempt in range(_ATTEMPTS):
            open_ = [at for at, text in enumerate(sentences) if text is None and evidence[at].description]
            if not open_:
                break
            prompts = [self._prompt(evidence[at], query) for at in open_]
            limits = Limits(max_tokens=_TOKENS, temperature=0.7 * attempt, seed=attempt)
            try:
                endings = trace.generate("explanations", prompts, constraint=constraint, limits=limits)
            except ModelError as error:
                trace.note("no_reasons", error=error)
                return
            for at, ending in zip(open_, endings, strict=True):
                sentences[at], rejected[at] = grounded_sentence(ending.text, evidence[at])
        for at, span in rejected.items():
            if sentences[at] is None:
                _note_template(evidence[at], span, trace)

    def _prompt(self, evidence: PickEvidence, query: Query) -> Prompt:
        return self._prompts.render(
            "explain",
            query.language,
            owner=query.profile.user,
            scenario=query.scenario,
            title=clean(evidence.item.title, 120),
            text=evidence.description,
            begun=evidence.subject,
        )


def _explanation(evidence: PickEvidence, sentence: str | None) -> Explanation:
    """The explanation with the model's sentence, which has passed the check, else with the template."""
    return Explanation(
        text=evidence.with_social_proof(sentence or evidence.template),
        evidence=evidence.event_ids,
        grounded=bool(sentence)
        or not ungrounded_spans(evidence.template, evidence.template_facts, evidence.language),
        written_by="model" if sentence else "template",
    )


def _note_template(evidence: PickEvidence, span: UngroundedSpan | None, trace: RunTrace) -> None:
    """Note that a template stands in for a sentence of the model: it was not grounded, or had no end."""
    title = quoted(evidence.item.title, evidence.item, evidence.language)
    if span is None:
        trace.note("template_reason_endless", title=title)
    else:
        trace.note("template_reason", title=title, kind=span.kind, what=span.text)


def grounded_sentence(ending: str, evidence: PickEvidence) -> tuple[str | None, UngroundedSpan | None]:
    """The sentence with the model's ending, as far as it is grounded in the facts.

    Returns:
        The sentence, and the first span that the facts do not cover, if any. An ending with such a span is cut
        before it, one without an end at its last clause; None if no sentence is left.
    """
    language = evidence.language
    words = messages_for(language, "explanation")
    stop, shared_marker = words["stop"], words["shared_marker"]
    spans = ungrounded_spans(evidence.lead + ending, evidence.prompt_facts, language)
    ends = ending.endswith(stop) and len(ending) < _LONGEST[language]
    if ends and not spans and shared_marker not in ending:
        return evidence.lead + ending, None
    limit = spans[0].start - len(evidence.lead) if spans else len(ending)
    for cut in reversed(list(_CLAUSE[language].finditer(ending, 0, max(0, limit)))):
        shorter = ending[: cut.start()] + stop
        long_enough = cut.start() >= _SHORTEST[language] and shared_marker not in shorter
        if long_enough and not ungrounded_spans(evidence.lead + shorter, evidence.prompt_facts, language):
            return evidence.lead + shorter, spans[0] if spans else None
    return None, spans[0] if spans else None


__all__ = ["Explainer", "grounded_sentence"]
