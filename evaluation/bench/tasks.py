"""The benchmark's rows for whole tasks: profile, ranking, recommendation, against one prompt per step.

The other side uses the same model and library with `Llama.create_chat_completion`: a JSON profile of 30 numbered
events, "rank these 20", and five reasons.
"""

import random
import tempfile
from typing import Any

import llama_cpp

from ...agent.profile import Query, read_history
from ...agent.ranking import Ranker, as_candidates, load_weights
from ...agent.recommender import Recommender
from ...agent.run_trace import RunTrace
from ...agent.settings import load_settings
from ...agent.store import ScoreCache
from ...models.embedder import SentenceEmbedder
from ...models.records import Event, Item
from ...prompts import item_line
from ...vectorstore import Engagement, memory_database
from ..data.samples import Sample, load_sample
from .measuring import timed
from .sides import REPEATS, Row, Sides, row

_USER = "bench"
_EVENTS = 30
_CANDIDATES = 20
_INTERESTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "interests": {
            "type": "array",
            "minItems": 3,
            "maxItems": 6,
            "items": {
                "type": "object",
                "properties": {
                    "keyword": {"type": "string", "maxLength": 40},
                    "theme": {"type": "string", "maxLength": 30},
                    "evidence": {"type": "array", "items": {"type": "integer"}, "maxItems": 8},
                },
                "required": ["keyword", "theme", "evidence"],
            },
        }
    },
    "required": ["interests"],
}


def task_rows(sides: Sides) -> dict[str, Row]:
    """The three rows, each from five rounds in which both sides do all of it, one after the other.

    Every round has a new user. What belongs to the catalogue (word index, the model's prior likelihood of each
    item) is computed in a warm-up round, as it is once per shop.

    Returns:
        The rows by key.
    """
    with tempfile.TemporaryDirectory() as home:
        return _rows(sides, home)


def _rows(sides: Sides, home: str) -> dict[str, Row]:
    sample = load_sample("shop", "en")
    events = _thirty(sample)
    names = ("profile", "rank", "recommend")
    ours: dict[str, list[float]] = {name: [] for name in names}
    theirs: dict[str, list[float]] = {name: [] for name in names}
    settings = load_settings(scenario="shop", language="en", model="none", home=home)
    with Recommender.open(model=sides.ours, embedder=SentenceEmbedder(), settings=settings) as recommender:
        recommender.add_items(sample.items)
        tokens = _warm_up(recommender, events)
        for number in range(REPEATS):
            _our_round(sides, recommender, events, number, ours)
            _their_round(sides.theirs, sample, events, number, theirs)
    return {
        "profile_vs_prompt": row("profile_vs_prompt", ours["profile"], theirs["profile"], tokens["profile"]),
        "rank_vs_listing": row("rank_vs_listing", ours["rank"], theirs["rank"], tokens["rank"]),
        "recommend_vs_naive": row(
            "recommend_vs_naive", ours["recommend"], theirs["recommend"], tokens["recommend"]
        ),
    }


def _thirty(sample: Sample) -> list[Event]:
    """30 events of one person, taken from those of all in the sample."""
    chosen = [event for event in sample.events if event.action != "dislike"][:_EVENTS]
    return [event.model_copy(update={"user": _USER}) for event in chosen]


def _warm_up(recommender: Recommender, events: list[Event]) -> dict[str, int]:
    """The warm-up round; the tokens of each step, with the templates' prefixes, which are prefilled only here."""
    user = _newcomer(recommender, events, -1)
    run = recommender.recommend(user)
    _rank(recommender, user)
    spent = {
        call: one.prompt_tokens - one.cached_tokens + one.output_tokens for call, one in enumerate(run.calls)
    }
    return {
        name: sum(spent[at] for at, one in enumerate(run.calls) if one.stage in stages or not stages)
        for name, stages in (("profile", ("profile",)), ("rank", ("ranking",)), ("recommend", ()))
    }


def _newcomer(recommender: Recommender, events: list[Event], number: int) -> str:
    """A new user with this history."""
    user = f"{_USER}-{number}"
    recommender.record(
        event.model_copy(update={"user": user, "id": f"{user}-{at}"}) for at, event in enumerate(events)
    )
    return user


def _our_round(
    sides: Sides, recommender: Recommender, events: list[Event], number: int, found: dict[str, list[float]]
) -> None:
    """The profile of a new user, and then their recommendations: together, a cold start."""
    user = _newcomer(recommender, events, number)
    profile = timed(lambda: recommender.profile(user))
    found["profile"].append(profile)
    found["recommend"].append(profile + timed(lambda: recommender.recommend(user)))
    found["rank"].append(_rank(recommender, user))
    sides.ours.forget(user)


def _rank(recommender: Recommender, user: str) -> float:
    """Seconds for 20 candidates, with the history's prefix warm and the items' priors known: the second time."""
    history = read_history(recommender.memory.events(user), recommender.catalogue, recommender.settings)
    query = Query(history, recommender.profile(user))
    ids = [one for one in recommender.catalogue.ids() if one not in history.consumed][:_CANDIDATES]
    found = as_candidates(recommender.catalogue, ids)
    ranker = Ranker(recommender.catalogue, Engagement.empty(), load_weights(), ScoreCache(memory_database()))
    model = (
        recommender.model
    )  # keeps the prefix, not what was scored after it: candidates are prefilled again
    ranker.rank(found, query, RunTrace(model), recommender.pipeline.prompts, _CANDIDATES)
    # A trace of its own: within one, what was scored once is not scored again.
    return timed(
        lambda: ranker.rank(found, query, RunTrace(model), recommender.pipeline.prompts, _CANDIDATES)
    )


def _their_round(
    llama: llama_cpp.Llama,
    sample: Sample,
    events: list[Event],
    number: int,
    found: dict[str, list[float]],
) -> None:
    items = {item.id: item for item in sample.items}
    history = "\n".join(
        f"{number}. {event.action}: {item_line(items[event.item]) if event.item in items else event.query}"
        for number, event in enumerate(events, 1)
    )
    seen = {event.item for event in events}
    candidates = [item for item in sample.items if item.id not in seen][:_CANDIDATES]
    profile = timed(lambda: _json_profile(llama, history))
    listing = timed(lambda: _listing(llama, history, candidates))
    # The candidates in another order: the history is still there and they are read anew, as on our side.
    shuffled = random.Random(number).sample(candidates, len(candidates))  # noqa: S311 - an order, repeatable
    warm = timed(lambda: _listing(llama, history, shuffled))
    reasons = sum(timed(lambda item=item: _reason(llama, history, item)) for item in candidates[:5])  # type: ignore[misc]  # mypy cannot type a default
    found["profile"].append(profile)
    found["rank"].append(warm)
    found["recommend"].append(profile + listing + reasons)


def _json_profile(llama: llama_cpp.Llama, history: str) -> None:
    _ask(
        llama,
        "You extract a person's interests from their events as JSON, each with the numbers of its events.",
        f"Events:\n{history}",
        400,
        {"type": "json_object", "schema": _INTERESTS},
    )


def _listing(llama: llama_cpp.Llama, history: str, candidates: list[Item]) -> None:
    numbered = "\n".join(f"[{at}] {item_line(item)}" for at, item in enumerate(candidates, 1))
    _ask(
        llama,
        "You rank products for a person.",
        f"Events:\n{history}\nCandidates:\n{numbered}\n"
        "Rank all candidates from best to worst. Answer only like [2] > [1] > [3].",
        130,
    )


def _reason(llama: llama_cpp.Llama, history: str, item: Item) -> None:
    _ask(
        llama,
        "You tell a customer in one sentence why a product fits them.",
        f"Events:\n{history}\nProduct: {item_line(item)}\n{item.text[:160]}",
        40,
    )


def _ask(
    llama: llama_cpp.Llama, system: str, user: str, max_tokens: int, response_format: Any = None
) -> None:
    llama.create_chat_completion(
        messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
        max_tokens=max_tokens,
        temperature=0.0,
        repeat_penalty=1.0,
        response_format=response_format,
    )
