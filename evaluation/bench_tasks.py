"""The benchmark's rows for whole tasks: profile, ranking, recommendation, ours and as one would write them.

The other side is what the same model and library give to somebody who writes one prompt per step with
`Llama.create_chat_completion`: a JSON profile of 30 numbered events, "rank these 20", and five reasons.
"""

import tempfile
import time
from collections.abc import Callable
from typing import Any

import llama_cpp

from ..agent.candidates import everything
from ..agent.history import line_of, read_history
from ..agent.ledger import Ledger
from ..agent.priors import Priors
from ..agent.ranking import Query, Ranker, load_weights
from ..agent.recommender import Recommender
from ..agent.settings import load_settings
from ..models.embedder import SentenceEmbedder
from ..models.records import Event, Item
from ..vectorstore.database import memory_database
from ..vectorstore.engagement import Engagement
from .bench import REPEATS, Row, Sides, row, timed
from .samples import Sample, load_sample

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
    """The three rows, each from five rounds in which both sides do all of it, one after the other."""
    sample = load_sample("shop", "en")
    events = _thirty(sample)
    names = ("profile", "rank", "recommend")
    ours: dict[str, list[float]] = {name: [] for name in names}
    theirs: dict[str, list[float]] = {name: [] for name in names}
    tokens = dict.fromkeys(names, 0)
    for _ in range(REPEATS):
        _our_round(sides, sample, events, ours, tokens)
        _their_round(sides.theirs, sample, events, theirs)
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


def _our_round(
    sides: Sides, sample: Sample, events: list[Event], found: dict[str, list[float]], tokens: dict[str, int]
) -> None:
    """Each step in a home that has never seen the user, and with a model that has not either."""

    def fresh(work: Callable[[Recommender], object]) -> None:
        sides.ours.forget(_USER)
        with tempfile.TemporaryDirectory() as home:
            settings = load_settings(home=home, scenario="shop", language="en", model="none")
            with Recommender.open(
                model=sides.ours, embedder=SentenceEmbedder(), settings=settings
            ) as recommender:
                recommender.add_items(sample.items)
                recommender.record(events)
                recommender.catalogue.search_words("tent", 1)  # the word index is made when first used
                work(recommender)

    def profile(recommender: Recommender) -> None:
        found["profile"].append(timed(lambda: recommender.profile(_USER)))

    def recommend(recommender: Recommender) -> None:
        started = time.perf_counter()
        run = recommender.recommend(_USER)
        found["recommend"].append(time.perf_counter() - started)
        for stage in tokens:
            calls = [one for one in run.calls if stage == "recommend" or one.stage.startswith(stage[:4])]
            tokens[stage] = sum(one.prompt_tokens - one.cached_tokens + one.output_tokens for one in calls)
        found["rank"].append(_rank(recommender))

    fresh(profile)
    fresh(recommend)


def _rank(recommender: Recommender) -> float:
    """20 candidates, with the history's prefix warm and the items' priors known: the second time."""
    items = {item.id: item for item in recommender.catalogue.get(recommender.catalogue.ids())}
    events = recommender.memory.events(_USER)
    history = read_history(events, items, recommender.catalogue, recommender.settings)
    query = Query(history, recommender.profile(_USER))
    ids = [one for one in items if one not in history.consumed][:_CANDIDATES]
    found = everything(recommender.catalogue, ids)
    priors = Priors(memory_database())
    ranker = Ranker(recommender.catalogue, Engagement.empty(), load_weights(), priors)
    ledger = Ledger(recommender.model)
    ranker.rank(found, query, ledger, recommender.prompts, _CANDIDATES)
    return timed(lambda: ranker.rank(found, query, ledger, recommender.prompts, _CANDIDATES))


def _their_round(
    llama: llama_cpp.Llama, sample: Sample, events: list[Event], found: dict[str, list[float]]
) -> None:
    items = {item.id: item for item in sample.items}
    history = "\n".join(
        f"{number}. {event.action}: {line_of(items[event.item]) if event.item in items else event.query}"
        for number, event in enumerate(events, 1)
    )
    seen = {event.item for event in events}
    candidates = [item for item in sample.items if item.id not in seen][:_CANDIDATES]
    profile = timed(lambda: _json_profile(llama, history))
    listing = timed(lambda: _listing(llama, history, candidates))
    warm = timed(lambda: _listing(llama, history, candidates))  # its prompt is still there: as warm as ours
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
    numbered = "\n".join(f"[{at}] {line_of(item)}" for at, item in enumerate(candidates, 1))
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
        f"Events:\n{history}\nProduct: {line_of(item)}\n{item.text[:160]}",
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
