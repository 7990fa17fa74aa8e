"""Selection of the tool call that a message asks for: one action of a closed list, with arguments that exist.

Unambiguous messages are decided by rules. All others are compared with a bank of examples, whose nearest
neighbours vote (k-NN intent classification); where they do not agree, their votes are combined with the
model's likelihood of each action's name after the message and these neighbours as few-shot examples. Since
the list is closed and arguments are looked up by code, a call is never malformed.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ...models.embedder import Embedder, Vectors
from ...models.errors import ModelError
from ...models.language_model import LanguageModel, Limits
from ...models.records import Language, Profile
from ...models.text import clean, fold
from .call_arguments import INTEREST_ACTIONS, ITEM_ACTIONS, Decider, ToolChoice, answer_for, named_interest
from .commands import parse_command
from .condition_parser import parse_conditions
from .conditions import ParsedConditions
from .message_rules import (
    ParsedMessage,
    correct_spelling,
    expand_shorthand,
    matching_rule,
    small_talk,
    split_request,
)
from .references import find_references, interest_number, resolve_followup
from .tool_calls import Call
from .toolbox import Toolbox

ACTIONS = (
    "recommend", "search", "other", "narrow", "more", "less", "why", "why_not", "compare", "about",
    "like", "dislike", "seen", "not_interested", "show", "mute", "pin", "forget", "undo", "report",
    "chat", "refuse",
)  # fmt: skip
"""The actions that a message can ask for; the last two call no tool."""

Shares = NDArray[np.float64]
"""One number per action, shape (len(ACTIONS),)."""

_NEIGHBOURS = 12
_SHARPNESS = 0.07  # cosine distance over which a neighbour's vote falls by a factor of e


@dataclass(frozen=True, slots=True)
class Example:
    """A message with its action."""

    say: str
    action: str


class ExampleBank:
    """The embedded examples of one language."""

    def __init__(self, language: Language, embedder: Embedder) -> None:
        """Embed the examples of the package (0.2 s)."""
        self.examples = load_examples(language)
        self._embedder = embedder
        vectors = embedder.embed([example.say for example in self.examples])
        self._mean = vectors.mean(axis=0)
        self._vectors = self._centred(vectors)
        self.spellings = frozenset(
            re.findall(r"[a-z]{4,}", " ".join(example.say.lower() for example in self.examples))
        )
        self._actions = np.array([ACTIONS.index(example.action) for example in self.examples])

    def vote(self, message: str, without: Example | None = None) -> tuple[Shares, list[Example], float]:
        """Vote on the action of a message: each neighbour's vote decays with its cosine distance.

        Args:
            message: the message.
            without: an example that has no vote (leave-one-out).

        Returns:
            The votes, shape (len(ACTIONS),), which sum to 1; the neighbours, nearest first; and the cosine
            similarity of the nearest.
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
    path = files(__package__).joinpath(f"examples.{language}.jsonl")
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line)
    return [Example(row["say"], row["action"]) for row in rows]


SURE = 0.8
"""Share of the neighbours' votes from which the model is not asked."""

_REMEMBERED = INTEREST_ACTIONS | {"like", "dislike", "seen", "not_interested", "undo"}
_IS_REMEMBERED = np.array([action in _REMEMBERED for action in ACTIONS])
_CLEAR = 0.5  # share of the votes below which nothing is recorded: a question is no feedback
_QUESTION = re.compile(r"^(?:can|could|will|would|do|does|did|is|are)(?![a-z])|[?？]$|[吗呢]$")
_TOPICS = frozenset({"tags", "genre", "category", "section"})
_LISTING = ("recommend", "search", "refuse", "chat")
_NEAR, _FAR = 0.35, 0.2  # cosine of a request and its nearest item: surely of the catalogue, surely not
_SHOTS = 8
_FLOOR = 0.01  # added to the votes, so that the model can choose an action without any
_UNLIKE_ALL = 0.35  # cosine similarity below which a message resembles no example
_LIMITS = Limits(priority=0)


class ToolSelector:
    """Selects the tool calls for the messages of one conversation."""

    def __init__(self, toolbox: Toolbox) -> None:
        """Select for the conversation of `toolbox`; without a model in it the examples decide alone."""
        self._toolbox = toolbox
        self._language = toolbox.words.language
        self._bank = ExampleBank(self._language, toolbox.recommender.catalogue.embedder)

    def select(self, text: str) -> ToolChoice:
        """The call that a message asks for, or the message that answers it.

        Returns:
            The choice; its call names only what exists.

        Raises:
            InputError: it is a command that does not exist, or lacks an argument.
        """
        if text.lstrip().startswith("/"):
            return _ruled(parse_command(text, self._toolbox))
        message = self._parse(self._spelled(text), self._toolbox.profile_read)
        followup = resolve_followup(message.references, self._toolbox.state, self._language)
        if followup:
            return _ruled(followup)
        action = self._by_rule(message)
        return self._answer(action, "rule", 1.0, message) if action else self._by_examples(message)

    def split(self, text: str) -> tuple[str, ...]:
        """The message, or the two requests that it holds, in the order of execution."""
        # The profile is read only where an interest is named by its number: naming interests takes seconds.
        if text.lstrip().startswith("/"):
            return (text,)
        spelled = self._spelled(text)
        if resolve_followup(self._parse(spelled, None).references, self._toolbox.state, self._language):
            return (text,)
        parts = split_request(spelled, lambda part: self._by_rule(self._parse(part, None)))
        return parts if len(parts) > 1 else (text,)

    # --- parsing -----------------------------------------------------------------------------------

    def _spelled(self, text: str) -> str:
        """A message in plain spelling; the toolbox gets the words that were corrected."""
        toolbox, text = self._toolbox, fold(text)
        vocabulary, catalogue = toolbox.vocabulary, toolbox.recommender.catalogue
        titles = [text[mention.start : mention.end] for mention in vocabulary.titled(text)]
        text, toolbox.corrections = correct_spelling(
            expand_shorthand(text, titles),
            lambda word: word in self._bank.spellings or vocabulary.has_word(word),
            lambda word: bool(catalogue.search_words(word, 1)),
            titles,
        )
        return text

    def _parse(self, text: str, profile: Profile | None) -> ParsedMessage:
        """References, conditions and the interest of a message."""
        toolbox = self._toolbox
        text = self._with_keyword(fold(text))
        references = find_references(text, toolbox.shown, toolbox.state.spoken_of, toolbox.vocabulary)
        conditions = parse_conditions(text, toolbox.vocabulary, toolbox.shown)
        folded = fold(text).strip()
        interest, name = named_interest(folded, profile)
        topic = references.plain.replace(name, toolbox.words["this_topic"]) if name else ""
        return ParsedMessage(folded, references, conditions, interest, topic)

    def _with_keyword(self, text: str) -> str:
        """A folded text with the keyword of an interest in place of its number, which is no number of an item."""
        span = interest_number(text)
        if span is None:
            return text
        start, end, number = span
        profile = self._toolbox.profile
        interests = profile.interests if profile else ()
        keyword = interests[number - 1].keyword if 1 <= number <= len(interests) else None
        return f"{text[:start]}{keyword or self._toolbox.words['an_interest']}{text[end:]}"

    # --- the action --------------------------------------------------------------------------------

    def _by_rule(self, message: ParsedMessage) -> str | None:
        action = matching_rule(message, spoken_of=self._toolbox.state.spoken_of is not None)
        conditions = message.conditions
        only_conditions = (conditions.rules or conditions.lifted) and not conditions.wishes
        return action or ("narrow" if only_conditions and not message.has_items else None)

    def _by_examples(self, message: ParsedMessage) -> ToolChoice:
        votes, neighbours, similarity = self._bank.vote(message.references.plain)
        if message.topic:
            # Votes for actions on interests come from the message without the interest's own words.
            topical, _, _ = self._bank.vote(message.topic)
            places = [ACTIONS.index(action) for action in INTEREST_ACTIONS]
            votes[places] = topical[places]
        votes = votes * self._priors(message)
        votes /= max(float(votes.sum()), 1e-12)
        decider: Decider = "examples"
        model = self._toolbox.recommender.model
        if model is not None and (votes.max() < SURE or similarity < _UNLIKE_ALL):
            votes, decider = self._with_model(model, votes, neighbours, message), "model"
        best = int(votes.argmax())
        clear = SURE if _QUESTION.search(message.text) else _CLEAR
        if ACTIONS[best] in _REMEMBERED and votes[best] < clear:
            best = int(np.where(_IS_REMEMBERED, 0.0, votes).argmax())
        return self._answer(ACTIONS[best], decider, float(votes[best]), message)

    def _priors(self, message: ParsedMessage) -> Shares:
        """Factors of the votes, shape (len(ACTIONS),): how far the parsed message supports each action."""
        toolbox, references, conditions = self._toolbox, message.references, message.conditions
        shown = bool(toolbox.state.shown)
        explicit = bool(references.items or references.wrong) and not references.vague
        weights = dict.fromkeys(ACTIONS, 1.0)
        for action in ITEM_ACTIONS:
            referred = explicit or references.vague or conditions.like
            weights[action] = 1.0 if referred else 0.3 if shown else 0.0
        alone = len(references.items) == 1 and toolbox.state.spoken_of is None
        weights["compare"] *= 0.2 if alone else 1.0  # with which other item?
        for action in INTEREST_ACTIONS:
            weights[action] = 0.5 if message.interest else 0.1
        if explicit:
            for action in ("recommend", "search", "other", "narrow", "report", "chat", "refuse", "undo"):
                weights[action] = 0.2
        factors = [*_condition_factors(conditions).items(), *self._name_factors(message.text).items()]
        if conditions.wishes and not explicit:
            factors += zip(_LISTING, self._relevance(conditions.wishes), strict=True)
        for action, factor in factors:
            weights[action] *= factor
        return np.array([weights[action] for action in ACTIONS])

    def _name_factors(self, text: str) -> dict[str, float]:
        """Factors of actions for a message that names a value of the catalogue, such as a director or a genre."""
        fields = {name for mention in self._toolbox.vocabulary.mentions(text) for name, _ in mention.places}
        if not fields:
            return {}
        # A person or a brand is searched for.
        return {"refuse": 0.3} | ({} if fields <= _TOPICS else {"search": 2.0, "report": 0.3})

    def _relevance(self, request: str) -> tuple[float, ...]:
        """Factors for _LISTING: a request that the catalogue can answer is one for a list."""
        catalogue = self._toolbox.recommender.catalogue
        nearest = catalogue.search(catalogue.embed([request])[0], 1)
        similarity = nearest[0][1] if nearest else 0.0
        shared = bool(catalogue.search_words(request, 1))
        if similarity >= _NEAR or (shared and similarity >= _FAR):
            return (1.5, 1.5, 0.5, 0.7)
        return (1.0, 1.0, 1.0, 1.0) if shared or similarity >= _FAR else (0.6, 0.6, 1.5, 1.3)

    def _with_model(
        self, model: LanguageModel, votes: Shares, neighbours: Sequence[Example], message: ParsedMessage
    ) -> Shares:
        """The votes times the model's likelihood of each action's name; the votes alone if the model fails."""
        shown = bool(self._toolbox.state.shown)
        allowed = [
            at for at, vote in enumerate(votes) if vote > 0 or ACTIONS[at] not in ITEM_ACTIONS or shown
        ]
        prompt = self._toolbox.recommender.pipeline.prompts.render(
            "chat_action",
            self._language,
            owner=self._toolbox.user,
            examples=[
                {"say": example.say, "action": example.action} for example in reversed(neighbours[:_SHOTS])
            ],
            message=clean(message.references.plain, 200),
        )
        space = self._toolbox.words["word_space"]
        try:
            scored, _ = model.score(prompt, [space + ACTIONS[at] for at in allowed], limits=_LIMITS)
        except ModelError:
            return votes
        likelihoods = np.full(len(ACTIONS), -math.inf)
        likelihoods[allowed] = [score.total for score in scored]
        blended = np.log(votes + _FLOOR) + likelihoods
        shares = np.exp(blended - blended.max())
        return np.asarray(shares / shares.sum(), np.float64)

    # --- the answer --------------------------------------------------------------------------------

    def _answer(
        self, action: str, decider: Decider, probability: float, message: ParsedMessage
    ) -> ToolChoice:
        """The choice for an action: its call, or a message of ours."""
        toolbox = self._toolbox
        if action in ("chat", "refuse"):
            can_write = toolbox.recommender.model is not None
            reply = "refuse" if action == "refuse" else small_talk(message.text, can_write=can_write)
            # Without a model there is no free conversation; words of the catalogue are then a request.
            sure = probability >= SURE or reply != "unclear"
            if sure or not toolbox.recommender.catalogue.search_words(message.text, 1):
                return ToolChoice(action, decider, probability, reply=reply)
            action = "recommend"
        answer = answer_for(action, message, toolbox)
        if isinstance(answer, tuple):
            return ToolChoice(action, decider, probability, reply=answer[0], values=answer[1])
        return ToolChoice(action, decider, probability, answer)


def _ruled(call: Call) -> ToolChoice:
    """The choice of a call beyond doubt."""
    return ToolChoice(getattr(call, "do", call.tool), "rule", 1.0, call)


def _condition_factors(conditions: ParsedConditions) -> dict[str, float]:
    """Factors of actions for a message with conditions, a count, or a title that does not exist."""
    given = conditions.rules or conditions.lifted or conditions.missed
    factors = {"narrow": 3.0, "chat": 0.1} if given else {}
    if conditions.count:
        factors |= {"chat": 0.1, "refuse": 0.1}
    if any(unchecked.reason == "no_title" for unchecked in conditions.missed):
        factors |= {"search": 3.0}
    return factors
