"""What a message asks for: one action of a closed list, with arguments that exist.

Language that can mean one thing only is decided by rules. Everything else is compared with a bank of
examples, whose nearest neighbours vote; where they do not agree, the model's likelihood of each action's
name after the message (and after these neighbours as examples) is added. Since the list is closed and
arguments are looked up by code, a call is never malformed and never names what does not exist.
"""

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..models.embedder import Embedder, Vectors
from ..models.errors import ModelError
from ..models.llm import LanguageModel, Limits
from ..models.records import Language, Profile
from ..prompts import Prompts, clean
from . import chat_calls as calls
from .chat_commands import parse_command
from .chat_follow import take_up
from .chat_references import References, find_references
from .chat_tools import Toolbox
from .chat_vocabulary import fold
from .constraints import Understood, understand

ACTIONS = (
    "recommend", "search", "other", "narrow", "more", "less", "why", "why_not", "compare", "about",
    "like", "dislike", "seen", "not_interested", "show", "mute", "pin", "forget", "undo", "report",
    "chat", "refuse",
)  # fmt: skip
"""Everything that a message can ask for; the last two call no tool."""

Shares = NDArray[np.float64]
"""One number for each of ACTIONS."""

Decider = Literal["rule", "examples", "model"]

SURE = 0.8
"""Share of the neighbours' votes from which the model is not asked."""

_ABOUT_ITEMS = frozenset(
    {"more", "less", "why", "why_not", "compare", "about", "like", "dislike", "seen", "not_interested"}
)
_ABOUT_INTERESTS = frozenset({"mute", "pin", "forget"})
_TOPICS = frozenset({"tags", "genre", "category", "section"})
_LISTING = ("recommend", "search", "refuse", "chat")
_NEAR, _FAR = 0.35, 0.2  # cosine of a wish and the nearest item: surely of the catalogue, surely not
_NEIGHBOURS = 12
_EXAMPLES = 8
_SHARPNESS = 0.07  # cosine distance over which a neighbour's vote falls by a factor of e
_FLOOR = 0.01
_UNLIKE_ALL = 0.35  # cosine similarity below which a message is like no example at all
_ENDS = " 。.!！?？~～,，"
_LIMITS = Limits(priority=0)
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


@dataclass(frozen=True, slots=True)
class Example:
    """A message of the bank, with what it asks for."""

    say: str
    action: str


class Bank:
    """Examples in one language, found by the similarity of their meaning."""

    def __init__(self, language: Language, embedder: Embedder) -> None:
        """Embed the examples of the package (0.2 s)."""
        self.examples = load_examples(language)
        self._embedder = embedder
        vectors = embedder.embed([one.say for one in self.examples])
        self._mean = vectors.mean(axis=0)
        self._vectors = self._centred(vectors)
        self._actions = np.array([ACTIONS.index(one.action) for one in self.examples])

    def vote(self, message: str, without: Example | None = None) -> tuple[Shares, list[Example], float]:
        """Votes (they sum to 1), the neighbours that cast them, and the similarity of the nearest one.

        `without` leaves an example out, to see how the others do without it.
        """
        vector = self._centred(self._embedder.embed([message]))[0]
        similarity = (self._vectors @ vector).astype(np.float64)
        if without is not None:
            similarity[self.examples.index(without)] = -1.0
        nearest = np.argsort(-similarity, kind="stable")[:_NEIGHBOURS]
        votes = np.zeros(len(ACTIONS))
        np.add.at(votes, self._actions[nearest], np.exp(similarity[nearest] / _SHARPNESS))
        return votes / votes.sum(), [self.examples[at] for at in nearest], float(similarity[nearest[0]])

    def _centred(self, vectors: Vectors) -> Vectors:
        moved = vectors - self._mean
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        centred: Vectors = np.divide(moved, lengths, out=np.zeros_like(moved), where=lengths > 1e-9)
        return centred


def load_examples(language: Language) -> list[Example]:
    """The examples of the package in a language."""
    path = files(__package__ or "tanqu.agent").joinpath(f"chat_examples.{language}.jsonl")
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line)
    return [Example(row["say"], row["action"]) for row in rows]


@dataclass(frozen=True, slots=True)
class Reading:
    """What code found in a message before anything was decided.

    `topic` is the message with the name of an interest replaced by "this topic"; empty if it names none.
    """

    text: str
    refers: References
    asks: Understood
    interest: str | None
    topic: str


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
        reading = self.read(text)
        taken_up = take_up(reading.refers, self._toolbox.state, self._language)
        if taken_up:
            return Choice(getattr(taken_up, "do", taken_up.tool), "rule", 1.0, taken_up)
        action = self._by_rule(reading)
        if action:
            return self._choice(action, "rule", 1.0, reading)
        return self._by_examples(reading)

    def read(self, text: str) -> Reading:
        """References, conditions and interests in a message, by code."""
        tools = self._toolbox
        refers = find_references(text, tools.shown, tools.state.spoken_of, tools.vocabulary)
        asks = understand(text, tools.vocabulary, tools.shown)
        folded = fold(text).strip()
        interest, named = _interest(folded, tools.profile)
        topic = refers.plain.replace(named, _TOPIC[self._language]) if named else ""
        return Reading(folded, refers, asks, interest, topic)

    # --- deciding ----------------------------------------------------------------------------------

    def _by_rule(self, reading: Reading) -> str | None:
        has_items = bool(reading.refers.items or reading.refers.wrong or reading.asks.like)
        for rule in _rules():
            if _matches(rule, reading, has_items, self._toolbox.state.spoken_of is not None):
                return str(rule["action"])
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
        return self._choice(ACTIONS[best], decider, float(votes[best]), reading)

    def _priors(self, reading: Reading) -> Shares:
        """How far what code found speaks for or against each action."""
        tools, refers, asks = self._toolbox, reading.refers, reading.asks
        shown = bool(tools.state.shown)
        strong = bool(refers.items or refers.wrong) and not refers.vague
        weights = dict.fromkeys(ACTIONS, 1.0)
        for action in _ABOUT_ITEMS:
            weights[action] = 1.0 if strong or refers.vague or asks.like else 0.3 if shown else 0.0
        for action in _ABOUT_INTERESTS:
            weights[action] = 0.5 if reading.interest else 0.1
        if strong:
            for action in ("recommend", "search", "other", "narrow", "report", "chat", "refuse", "undo"):
                weights[action] = 0.2
        if asks.rules or asks.lifted or asks.missed:
            weights["narrow"] *= 3.0
            weights["chat"] *= 0.1
        if any(one.reason == "no_title" for one in asks.missed):
            weights["search"] *= 3.0
        if any(
            name not in _TOPICS for one in tools.vocabulary.mentions(reading.text) for name, _ in one.places
        ):
            weights["search"] *= 2.0  # somebody's name, or a brand
            weights["report"] *= 0.3
        if asks.wishes and not strong:
            for action, factor in zip(_LISTING, self._relevance(asks.wishes), strict=True):
                weights[action] *= factor
        return np.array([weights[action] for action in ACTIONS])

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
            reply = _small_talk(action, reading, can_write=self._model is not None)
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
        if reading.interest is None:
            names = [one.keyword for one in profile.interests] if profile else []
            if not names:
                return Choice(action, by, probability, reply="no_interests")
            listed = self._toolbox.words.listed(names)
            return Choice(action, by, probability, reply="which_interest", values={"interests": listed})
        call = calls.ProfileCall.model_validate({"do": action, "interest": reading.interest})
        return Choice(action, by, probability, call)


@cache
def _rules() -> list[dict[str, Any]]:  # Any: patterns and words
    """The rules of chat_intents.toml, compiled."""
    text = files(__package__ or "tanqu.agent").joinpath("chat_intents.toml").read_text(encoding="utf-8")
    rules: list[dict[str, Any]] = tomllib.loads(text)["rule"]
    return [
        rule | {"pattern": re.compile(rule["pattern"]), "without": re.compile(rule.get("without", r"(?!)"))}
        for rule in rules
    ]


def _matches(rule: Mapping[str, Any], reading: Reading, has_items: bool, spoken_of: bool) -> bool:
    needs = rule.get("needs", "")
    met = {
        "": True,
        "whole": True,
        "spoken": spoken_of and not reading.refers.items,
        "items": has_items,
        "two": len(reading.refers.items) > 1,
        "like": bool(reading.asks.like),
        "interest": reading.interest is not None,
    }[needs]
    if not met:
        return False
    if needs in ("whole", "spoken"):
        return rule["pattern"].fullmatch(reading.text.strip(_ENDS)) is not None
    return bool(rule["pattern"].search(reading.text)) and not rule["without"].search(reading.text)


def _interest(text: str, profile: Profile | None) -> tuple[str | None, str]:
    """The interest that a text names by keyword or theme, and the name as it stands there."""
    for one in profile.interests if profile else ():
        for name in (fold(one.keyword), fold(one.theme)):
            if len(name) > 1 and name in text:
                return one.keyword, name
    return None, ""


def _format(text: str) -> str:
    if re.search(r"markdown|(?<![a-z])md(?![a-z])", text):
        return "md"
    return "json" if "json" in text else "html"


_SMALL_TALK = {
    "about_me": (
        "(?:你|您)是谁|你叫|(?:你|您)(?:会|能)|你是(?:什么|真人|机器人|人)|怎么用|帮助"
        "|who are you|are you (?:a |an |really )?(?:robot|human|ai|bot)|your name|what can you|how does this|help"
    ),
    "thanks": "谢|辛苦|thank|cheers",
    "goodbye": "再见|拜拜|晚安|bye|good night|see you",
    "hi": (
        "(?:你|您)好|嗨|哈喽|在吗|早上好|早安|晚上好"
        "|hello|(?<![a-z])hi(?![a-z])|hey|good (?:morning|evening|afternoon|day)"
    ),
    "ok": "^(?:好的?|嗯+|哦+|行|明白了?|知道了?|ok(?:ay)?|great|cool|got it|alright|yes|no)$",
}


def _small_talk(action: str, reading: Reading, *, can_write: bool) -> str:
    """Which of our own sentences answers; "small_talk" leaves it to the model."""
    if action == "refuse":
        return "refuse"
    found = next((key for key, pattern in _SMALL_TALK.items() if re.search(pattern, reading.text)), None)
    return found or ("small_talk" if can_write else "unclear")


__all__ = ["ACTIONS", "Bank", "Choice", "Chooser", "Example", "Reading", "load_examples"]
