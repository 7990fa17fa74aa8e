"""What a message asks for: one action of a closed list, with arguments that exist.

Language that can mean one thing only is decided by rules. Everything else is compared with a bank of
examples, whose nearest neighbours vote; where they do not agree, the model's likelihood of each action's
name after the message (and after these neighbours as examples) is added. Since the list is closed and
arguments are looked up by code, a call is never malformed and never names what does not exist.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...models.errors import ModelError
from ...models.language_model import LanguageModel, Limits
from ...models.records import Language, Profile
from ...models.text import clean
from ...prompts import Prompts
from . import calls
from .commands import parse_command
from .constraints import Understood, understand
from .example_bank import ACTIONS, Bank, Example, Shares
from .followups import take_up
from .intents import Reading, ruled, small_talk
from .references import find_references, numbered_interest
from .spelling import mended, spelled_out
from .split_requests import parts_of
from .toolbox import Toolbox
from .vocabulary import fold

Decider = Literal["rule", "examples", "model"]

SURE = 0.8
"""Share of the neighbours' votes from which the model is not asked."""

_ABOUT_ITEMS = frozenset(
    {"more", "less", "why", "why_not", "compare", "about", "like", "dislike", "seen", "not_interested"}
)
_ABOUT_INTERESTS = frozenset({"mute", "pin", "forget"})
_REMEMBERED = _ABOUT_INTERESTS | {"like", "dislike", "seen", "not_interested", "undo"}
_IS_REMEMBERED = np.array([action in _REMEMBERED for action in ACTIONS])
_CLEAR = 0.5  # share of the votes below which nothing is remembered: a question is no verdict
_QUESTION = re.compile(r"^(?:can|could|will|would|do|does|did|is|are)(?![a-z])|[?？]$|[吗呢]$")
_TOPICS = frozenset({"tags", "genre", "category", "section"})
_LISTING = ("recommend", "search", "refuse", "chat")
_NEAR, _FAR = 0.35, 0.2  # cosine of a wish and the nearest item: surely of the catalogue, surely not
_EXAMPLES = 8
_FLOOR = 0.01
_UNLIKE_ALL = 0.35  # cosine similarity below which a message is like no example at all
_ENDS = " 。.!！?？~～,，"
_LIMITS = Limits(priority=0)
_AN_INTEREST: dict[Language, str] = {"zh": "兴趣", "en": "an interest"}
_TOPIC: dict[Language, str] = {"zh": "这个话题", "en": "this topic"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a message asks for. Without a `call`, the sentence of our own that `reply` names is the answer."""

    action: str
    by: Decider
    probability: float
    call: calls.Call | None = None
    reply: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


class Chooser:
    """Chooses calls for the messages of one conversation."""

    def __init__(
        self, toolbox: Toolbox, language: Language, model: LanguageModel | None, prompts: Prompts
    ) -> None:
        """Without a model the examples decide alone."""
        self._toolbox = toolbox
        self._language = language
        self._model = model
        self._prompts = prompts
        self._bank = Bank(language, toolbox.recommender.catalogue.embedder)

    def choose(self, text: str) -> Choice:
        """The call that a message asks for, or the sentence that answers it.

        Raises:
            InputError: it is a command that does not exist, or lacks what it needs.
        """
        if text.lstrip().startswith("/"):
            call = parse_command(text, self._toolbox)
            return Choice(getattr(call, "do", call.tool), "rule", 1.0, call)
        reading = self.read(self.spelt(text))
        taken_up = take_up(reading.refers, self._toolbox.state, self._language)
        if taken_up:
            return Choice(getattr(taken_up, "do", taken_up.tool), "rule", 1.0, taken_up)
        action = self._by_rule(reading)
        if action:
            return self._choice(action, "rule", 1.0, reading)
        return self._by_examples(reading)

    def parts(self, text: str) -> tuple[str, ...]:
        """A message, or the two wishes that it holds.

        Interests are read for it only where one is named by its number, since that could take seconds.
        """
        if text.lstrip().startswith("/"):
            return (text,)
        spelt = self.spelt(text)
        refers = self._read(spelt, None).refers
        if take_up(refers, self._toolbox.state, self._language):
            return (text,)
        found = parts_of(spelt, lambda part: self._by_rule(self._read(part, None)))
        return found if len(found) > 1 else (text,)

    def spelt(self, text: str) -> str:
        """A message in plain spelling; the toolbox is told which words were taken for others."""
        tools, text = self._toolbox, fold(text)
        titles = [text[one.start : one.end] for one in tools.vocabulary.titled(text)]
        known = tools.vocabulary.spellings | self._bank.spellings
        catalogue = tools.recommender.catalogue
        text, tools.heard = mended(
            spelled_out(text, titles), known, lambda word: bool(catalogue.search_words(word, 1)), titles
        )
        return text

    def read(self, text: str) -> Reading:
        """References, conditions and interests in a message, by code."""
        return self._read(text, self._toolbox.profile_read)

    def _read(self, text: str, profile: Profile | None) -> Reading:
        tools = self._toolbox
        text = self._with_keyword(fold(text))
        refers = find_references(text, tools.shown, tools.state.spoken_of, tools.vocabulary)
        asks = understand(text, tools.vocabulary, tools.shown)
        folded = fold(text).strip()
        interest, named = _interest(folded, profile)
        topic = refers.plain.replace(named, _TOPIC[self._language]) if named else ""
        return Reading(folded, refers, asks, interest, topic)

    def _with_keyword(self, text: str) -> str:
        """A folded text that names an interest by its number, with its keyword there instead: no item is meant."""
        found = numbered_interest(text)
        if found is None:
            return text
        start, end, number = found
        profile = self._toolbox.profile
        interests = profile.interests if profile else ()
        known = interests[number - 1].keyword if 1 <= number <= len(interests) else None
        return f"{text[:start]}{known or _AN_INTEREST[self._language]}{text[end:]}"

    # --- deciding ----------------------------------------------------------------------------------

    def _by_rule(self, reading: Reading) -> str | None:
        action = ruled(reading, spoken_of=self._toolbox.state.spoken_of is not None)
        if action:
            return action
        has_items = bool(reading.refers.items or reading.refers.wrong or reading.asks.like)
        limits = reading.asks.rules or reading.asks.lifted
        if limits and not reading.asks.wishes and not has_items:
            return "narrow"
        return None

    def _by_examples(self, reading: Reading) -> Choice:
        votes, neighbours, similarity = self._bank.vote(reading.refers.plain)
        if reading.topic:
            # Votes on interests come from the message without the interest's own words, all others do not.
            topical, _, _ = self._bank.vote(reading.topic)
            places = [ACTIONS.index(action) for action in _ABOUT_INTERESTS]
            votes[places] = topical[places]
        votes = votes * self._priors(reading)
        votes /= max(float(votes.sum()), 1e-12)
        decider: Decider = "examples"
        if self._model is not None and (votes.max() < SURE or similarity < _UNLIKE_ALL):
            votes, decider = self._with_model(self._model, votes, neighbours, reading), "model"
        best = int(votes.argmax())
        clear = SURE if _QUESTION.search(reading.text) else _CLEAR
        if ACTIONS[best] in _REMEMBERED and votes[best] < clear:
            best = int(np.where(_IS_REMEMBERED, 0.0, votes).argmax())
        return self._choice(ACTIONS[best], decider, float(votes[best]), reading)

    def _priors(self, reading: Reading) -> Shares:
        """How far what code found speaks for or against each action."""
        tools, refers, asks = self._toolbox, reading.refers, reading.asks
        shown = bool(tools.state.shown)
        strong = bool(refers.items or refers.wrong) and not refers.vague
        weights = dict.fromkeys(ACTIONS, 1.0)
        for action in _ABOUT_ITEMS:
            weights[action] = 1.0 if strong or refers.vague or asks.like else 0.3 if shown else 0.0
        alone = len(refers.items) == 1 and tools.state.spoken_of is None
        weights["compare"] *= 0.2 if alone else 1.0  # with what?
        for action in _ABOUT_INTERESTS:
            weights[action] = 0.5 if reading.interest else 0.1
        if strong:
            for action in ("recommend", "search", "other", "narrow", "report", "chat", "refuse", "undo"):
                weights[action] = 0.2
        for action, factor in _asked(asks).items():
            weights[action] *= factor
        for action, factor in self._named(reading.text).items():
            weights[action] *= factor
        if asks.wishes and not strong:
            for action, factor in zip(_LISTING, self._relevance(asks.wishes), strict=True):
                weights[action] *= factor
        return np.array([weights[action] for action in ACTIONS])

    def _named(self, text: str) -> dict[str, float]:
        """Factors for a message that names something of the catalogue: it is about the catalogue."""
        named = {name for one in self._toolbox.vocabulary.mentions(text) for name, _ in one.places}
        if not named:
            return {}
        # Somebody's name or a brand is looked for.
        return {"refuse": 0.3} | ({} if named <= _TOPICS else {"search": 2.0, "report": 0.3})

    def _relevance(self, wishes: str) -> tuple[float, ...]:
        """Factors for _LISTING: what the catalogue has is asked for, what it has not is talked about."""
        catalogue = self._toolbox.recommender.catalogue
        nearest = catalogue.search(catalogue.embed([wishes])[0], 1)
        similarity = nearest[0][1] if nearest else 0.0
        shared = bool(catalogue.search_words(wishes, 1))
        if similarity >= _NEAR or (shared and similarity >= _FAR):
            return (1.5, 1.5, 0.5, 0.7)
        return (1.0, 1.0, 1.0, 1.0) if shared or similarity >= _FAR else (0.6, 0.6, 1.5, 1.3)

    def _with_model(
        self, model: LanguageModel, votes: Shares, neighbours: Sequence[Example], reading: Reading
    ) -> Shares:
        """The votes times the model's likelihood of each action's name; the votes alone if it fails."""
        allowed = [at for at, vote in enumerate(votes) if vote > 0 or self._is_possible(ACTIONS[at])]
        space = " " if self._language == "en" else ""
        prompt = self._prompts.render(
            "chat_action",
            self._language,
            owner=self._toolbox.user,
            examples=[{"say": one.say, "action": one.action} for one in reversed(neighbours[:_EXAMPLES])],
            message=clean(reading.refers.plain, 200),
        )
        try:
            scored, _ = model.score(prompt, [space + ACTIONS[at] for at in allowed], limits=_LIMITS)
        except ModelError:
            return votes
        logs = np.full(len(ACTIONS), -math.inf)
        logs[allowed] = [one.total for one in scored]
        blended = np.log(votes + _FLOOR) + logs
        shares = np.exp(blended - blended.max())
        return np.asarray(shares / shares.sum(), np.float64)

    def _is_possible(self, action: str) -> bool:
        return action not in _ABOUT_ITEMS or bool(self._toolbox.state.shown)

    # --- arguments ---------------------------------------------------------------------------------

    def _choice(self, action: str, by: Decider, probability: float, reading: Reading) -> Choice:
        """The call of an action, with arguments that exist; or the question that is still open."""
        if action in ("chat", "refuse"):
            reply = small_talk(action, reading, can_write=self._model is not None)
            # Without a model nobody can talk; words that the catalogue has are then a request.
            sure = probability >= SURE or reply != "unclear"
            if sure or not self._toolbox.recommender.catalogue.search_words(reading.text, 1):
                return Choice(action, by, probability, reply=reply)
            action = "recommend"
        if action in _ABOUT_ITEMS:
            return self._about_items(action, by, probability, reading)
        if action in _ABOUT_INTERESTS:
            return self._about_interest(action, by, probability, reading)
        words = clean(reading.text, 500)
        count = reading.asks.count
        call: calls.Call
        if action in ("narrow", "other") and self._toolbox.state.shown:
            call = calls.Refine(do="other" if action == "other" else "narrow", words=words, count=count)
        elif action == "search":
            call = calls.Search(words=words, count=count)
        elif action in ("show", "undo"):
            call = calls.ProfileCall(do="show" if action == "show" else "undo")
        elif action == "report":
            call = calls.Report(format=_format(reading.text))
        else:
            call = calls.Recommend(request=words, count=count)
        return Choice(action, by, probability, call)

    def _about_items(self, action: str, by: Decider, probability: float, reading: Reading) -> Choice:
        refers, state = reading.refers, self._toolbox.state
        items = refers.items
        if action in ("more", "less"):
            items = items or reading.asks.like
        if refers.wrong and not items:
            values = {"number": refers.wrong[0], "count": len(state.shown)}
            return Choice(action, by, probability, reply="bad_number", values=values)
        if not items and state.spoken_of:
            items = (state.spoken_of,)
        if action == "compare":
            return self._compare(by, probability, items, reading)
        if not items:
            return Choice(action, by, probability, reply="which_item" if state.shown else "no_list")
        words = clean(reading.text, 500)
        call: calls.Call
        if action in ("more", "less"):
            call = calls.Refine.model_validate({"do": action, "item": items[0], "words": words})
        elif action in ("why", "why_not", "about"):
            call = calls.Explain.model_validate({"do": action, "items": items[:5]})
        else:
            call = calls.Feedback.model_validate({"do": action, "items": items})
        return Choice(action, by, probability, call)

    def _compare(self, by: Decider, probability: float, items: tuple[str, ...], reading: Reading) -> Choice:
        state = self._toolbox.state
        if len(items) == 1 and state.spoken_of and state.spoken_of not in items:
            items = (state.spoken_of, *items)
        if len(items) < 2 and not reading.refers.items:
            items = state.shown[:5]
        if len(items) < 2:
            return Choice("compare", by, probability, reply="which_two" if state.shown else "no_list")
        return Choice("compare", by, probability, calls.Explain(do="compare", items=items[:5]))

    def _about_interest(self, action: str, by: Decider, probability: float, reading: Reading) -> Choice:
        profile = self._toolbox.profile
        interest, _ = _interest(reading.text, profile)  # as it is named now
        if interest is None:
            names = [one.keyword for one in profile.interests] if profile else []
            if not names:
                return Choice(action, by, probability, reply="no_interests")
            listed = self._toolbox.words.listed(names)
            return Choice(action, by, probability, reply="which_interest", values={"interests": listed})
        call = calls.ProfileCall.model_validate({"do": action, "interest": interest})
        return Choice(action, by, probability, call)


def _interest(text: str, profile: Profile | None) -> tuple[str | None, str]:
    """The interest that a text names by keyword or theme, and the name as it stands there.

    The longest name counts: who says "space comedy" does not mean the interest "space".
    """
    interests = profile.interests if profile else ()
    names = [(one.keyword, fold(name)) for one in interests for name in (one.keyword, one.theme)]
    found = [one for one in names if len(one[1]) > 1 and one[1] in text]
    return max(found, key=lambda one: len(one[1]), default=(None, ""))


def _asked(asks: Understood) -> dict[str, float]:
    """Factors for a message that sets conditions, counts, or names what does not exist."""
    factors = {"narrow": 3.0, "chat": 0.1} if asks.rules or asks.lifted or asks.missed else {}
    if asks.count:
        factors |= {"chat": 0.1, "refuse": 0.1}
    if any(one.reason == "no_title" for one in asks.missed):
        factors |= {"search": 3.0}
    return factors


def _format(text: str) -> str:
    if re.search(r"markdown|(?<![a-z])md(?![a-z])", text):
        return "md"
    return "json" if "json" in text else "html"


__all__ = ["Choice", "Chooser"]
