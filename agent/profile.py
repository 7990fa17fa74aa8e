"""The interest profile: events are grouped by meaning, weighted by counting, and named by the model.

The evidence of an interest is true by construction, since the model never chooses it. It only names: all
groups in one parallel batch, bound by a grammar; its probability of the name is the confidence.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from scipy.cluster.hierarchy import fcluster, linkage

from ..models.embedder import Vectors
from ..models.errors import ModelError
from ..models.llm import Constraint, Generated, Limits
from ..models.records import Horizon, Interest, Language, Polarity, Profile, Record, WrittenBy
from ..prompts import Prompts, clean
from ..vectorstore.lexical import tokens
from .history import History, saturated
from .ledger import Ledger

MAX_INTERESTS = 8
MAX_NEGATIVE = 3
_GROUPED = 400  # grouping compares all pairs: of longer histories the heaviest things found the groups
_NAMED_LINES = 6
_DISTANCE = 0.9  # two groups join while their mean distance is below; best F1 on hand-labelled topics
_RECENT_EVENTS = 0.3  # an interest is recent if its median event lies in this last part of the history


class _EnglishName(Record):
    keyword: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 &'\-]{2,40}$")]
    theme: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 &'\-]{2,30}$")]


class _ChineseName(Record):
    keyword: Annotated[str, Field(pattern=r"^[\u4e00-\u9fffA-Za-z0-9·]{2,10}$")]
    theme: Annotated[str, Field(pattern=r"^[\u4e00-\u9fffA-Za-z0-9·]{2,8}$")]


_Name = _EnglishName | _ChineseName
_NAMES: dict[Language, type[_Name]] = {"en": _EnglishName, "zh": _ChineseName}
_BEFORE_KEYWORD = '{"keyword":'


@dataclass(frozen=True, slots=True)
class Group:
    """Entries about the same thing: their places in the history, strongest first, and their weight."""

    places: tuple[int, ...]
    weight: float
    polarity: Polarity


@dataclass(frozen=True, slots=True)
class Named:
    """What a group is called, how sure that is, and by whom."""

    keyword: str
    theme: str
    confidence: float
    by: WrittenBy


def build_profile(
    user: str,
    history: History,
    language: Language,
    ledger: Ledger,
    prompts: Prompts,
    known: Profile | None = None,
) -> Profile:
    """The profile that the events support; without events it is empty.

    Weights sum to 1 over the interests of a polarity. Deterministic for the same events and model, so a
    `known` profile of the same fingerprint is that profile.
    """
    fingerprint = _fingerprint(history, language, ledger, prompts)
    if known is not None and known.fingerprint == fingerprint and not (ledger.model and _is_nameless(known)):
        _note_plain_names(known.interests, ledger)
        return known
    with ledger.stage("profile"):
        groups = group(history, "positive")[:MAX_INTERESTS] + group(history, "negative")[:MAX_NEGATIVE]
        names = name_groups(user, history, groups, language, ledger, prompts)
    interests = _interests(history, groups, names)
    _note_plain_names(interests, ledger)
    return Profile(
        user=user,
        interests=interests,
        summary=summarise(interests, language),
        language=language,
        fingerprint=fingerprint,
    )


def _is_nameless(profile: Profile) -> bool:
    """Whether the model has failed to name anything in it: another attempt may do better."""
    return bool(profile.interests) and all(one.named_by == "template" for one in profile.interests)


def _note_plain_names(interests: Sequence[Interest], ledger: Ledger) -> None:
    plain = [one.keyword for one in interests if one.named_by == "template"]
    if plain:
        why = "no model: " if ledger.model is None else ""
        ledger.note(f"{why}interests named by their commonest words: {', '.join(plain)}")


def group(history: History, polarity: Polarity) -> list[Group]:
    """Groups of the events that speak for (or against) something, heaviest first.

    Average linkage over cosine distance. Things met more than once are folded into one point; beyond 400
    things the lighter ones join the nearest group that the heavier ones formed, or stand alone.
    """
    sign = 1 if polarity == "positive" else -1
    things: dict[str, list[int]] = {}
    for place, entry in enumerate(history.entries):
        if entry.weight * sign > 0 and entry.content:
            things.setdefault(entry.key, []).append(place)
    if not things:
        return []
    weights = {
        key: saturated([abs(history.entries[place].weight) for place in places])
        for key, places in things.items()
    }
    order = sorted(things, key=lambda key: (-weights[key], things[key][0]))
    groups = []
    for members in _clusters(history, [things[key][0] for key in order]):
        keys = [order[member] for member in members]
        places = sorted(
            (place for key in keys for place in things[key]),
            key=lambda place: (-abs(history.entries[place].weight), place),
        )
        groups.append(Group(tuple(places), sum(weights[key] for key in keys) ** 0.75, polarity))
    return sorted(groups, key=lambda one: (-one.weight, one.places))


def _clusters(history: History, places: Sequence[int]) -> list[list[int]]:
    """Members of each cluster as indices into `places` (heaviest things first)."""
    if len(places) == 1:
        return [[0]]
    head = min(len(places), _GROUPED)
    similarity = _similarity(history, places[:head], places)
    rows, columns = np.triu_indices(head, 1)
    # Rounded, so that the last bits of a sum decide nothing.
    tree = linkage(np.clip(np.round(1.0 - similarity[rows, columns], 6), 0.0, 2.0), method="average")
    labels = fcluster(tree, _DISTANCE, criterion="distance").tolist()
    clusters: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        clusters.setdefault(label, []).append(place)
    return _with_rest(list(clusters.values()), similarity, head)


def _similarity(history: History, rows: Sequence[int], columns: Sequence[int]) -> NDArray[np.float64]:
    """Half the cosine of meanings, half that of words: either alone joins less of what belongs together."""
    meaning = history.vectors[list(rows)].astype(np.float64) @ history.vectors[list(columns)].T
    words = (history.words[list(rows)] @ history.words[list(columns)].T).toarray()
    return np.asarray((meaning + words) / 2)


def _with_rest(clusters: list[list[int]], similarity: NDArray[np.float64], head: int) -> list[list[int]]:
    """Give each lighter thing to the cluster it is most similar to on average, or let it stand alone."""
    if similarity.shape[1] == head:
        return clusters
    means = np.stack([similarity[members, head:].mean(axis=0) for members in clusters])
    alone: list[list[int]] = []
    for offset, best in enumerate(means.argmax(axis=0).tolist()):
        if means[best, offset] >= 1.0 - _DISTANCE:
            clusters[best].append(head + offset)
        else:
            alone.append([head + offset])
    return clusters + alone


def name_groups(
    user: str,
    history: History,
    groups: Sequence[Group],
    language: Language,
    ledger: Ledger,
    prompts: Prompts,
) -> list[Named]:
    """A name for each group, in order. Without a model, or where it fails, by the group's commonest words."""
    by_words = [_by_words(history, one) for one in groups]
    if not groups or ledger.model is None:
        return _distinct(history, groups, by_words)
    asked = [
        prompts.render(
            "interest", language, owner=user, scenario=history.scenario, lines=_lines(history, one)
        )
        for one in groups
    ]
    constraint = Constraint(schema=_NAMES[language])
    try:
        written = ledger.generate("profile", asked, constraint=constraint, limits=Limits(max_tokens=48))
    except ModelError as error:
        ledger.note(f"the model did not name the interests: {error}")
        return _distinct(history, groups, by_words)
    named = [
        _checked(history, one, text, language) or plain
        for one, text, plain in zip(groups, written, by_words, strict=True)
    ]
    return _distinct(history, groups, named)


def _lines(history: History, one: Group) -> list[str]:
    """What the model sees of a group: its strongest things, each once."""
    lines: dict[str, None] = {}
    for place in one.places:
        lines.setdefault(history.entries[place].line)
    return list(lines)[:_NAMED_LINES]


def _checked(history: History, one: Group, written: Generated, language: Language) -> Named | None:
    """The model's name; None where it came to no end, or copied the title of one of several things."""
    try:
        name = _NAMES[language].model_validate_json(written.text)
    except ValidationError:
        return None
    titles = {history.entries[place].title.casefold() for place in one.places}
    keyword = name.keyword.strip(" -'&")
    if len(titles) > 1 and keyword.casefold() in titles:
        return None
    start = written.text.find(name.keyword, len(_BEFORE_KEYWORD))
    confidence = written.probability(max(start, 0), start + len(name.keyword))
    return Named(keyword, name.theme.strip(" -'&"), confidence, "model")


def _distinct(history: History, groups: Sequence[Group], names: Sequence[Named]) -> list[Named]:
    """The names, where groups of the same name are told apart by their words, titles or numbers."""
    result: list[Named] = []
    taken: set[str] = set()
    for one, name in zip(groups, names, strict=True):
        title = clean(history.entries[one.places[0]].title, 30)
        marks = chain([_by_words(history, one).keyword, title], map(str, count(2)))
        keyword = name.keyword
        while keyword.casefold() in taken:
            keyword = f"{name.keyword} · {next(marks)}"
        taken.add(keyword.casefold())
        result.append(replace(name, keyword=keyword))
    return result


def _by_words(history: History, one: Group) -> Named:
    """A name without a model: the commonest tag, else the words, else the title of the strongest event."""
    entries = [history.entries[place] for place in one.places]
    tags = Counter(tag for entry in entries if entry.item for tag in entry.item.tags[:4])
    words = Counter(word for entry in entries for word in dict.fromkeys(tokens(entry.title)) if len(word) > 1)
    ranked = [clean(tag, 30) for tag, _ in tags.most_common(2)]
    if not ranked:
        common = [word for word, count in words.most_common(2) if count > 1]
        ranked = common or [clean(entries[0].title, 30)]
    theme = ranked[1] if len(ranked) > 1 else ranked[0]
    return Named(ranked[0] or "?", theme or "?", 0.0, "template")


def _interests(history: History, groups: Sequence[Group], names: Sequence[Named]) -> tuple[Interest, ...]:
    totals: dict[Polarity, float] = {"positive": 0.0, "negative": 0.0}
    for one in groups:
        totals[one.polarity] += one.weight
    return tuple(
        Interest(
            keyword=name.keyword,
            theme=name.theme,
            weight=min(1.0, one.weight / totals[one.polarity]),
            confidence=min(1.0, name.confidence),
            evidence=tuple(dict.fromkeys(history.entries[place].event.id for place in one.places)),
            polarity=one.polarity,
            horizon=_horizon(history, one),
            named_by=name.by,
        )
        for one, name in zip(groups, names, strict=True)
    )


def _horizon(history: History, one: Group) -> Horizon:
    """Recent if its median event is among the last third of the history, else lasting."""
    middle = float(np.median(one.places))
    return "recent" if middle >= (1 - _RECENT_EVENTS) * (len(history) - 1) else "lasting"


def interest_vectors(profile: Profile, history: History) -> Vectors:
    """One unit vector per interest, in order: the weighted mean of its events; (interests, dimensions)."""
    places = history.by_id()
    rows = np.zeros((len(profile.interests), history.vectors.shape[1]), np.float32)
    for row, interest in zip(rows, profile.interests, strict=True):
        found = [places[one] for one in interest.evidence if one in places]
        for place in found:
            row += abs(history.entries[place].weight) * history.vectors[place]
        row /= max(float(np.linalg.norm(row)), 1e-9)
    return rows


def summarise(interests: Sequence[Interest], language: Language) -> str:
    """One sentence over the whole profile."""
    liked = [one.keyword for one in interests if one.polarity == "positive"][:3]
    avoided = [one.keyword for one in interests if one.polarity == "negative"][:2]
    if language == "zh":
        parts = [
            f"主要关注{'、'.join(liked)}" if liked else "",
            f"回避{'、'.join(avoided)}" if avoided else "",
        ]
        return "；".join(part for part in parts if part) + "。" if liked or avoided else "还没有足够的行为。"
    parts = [
        f"Mostly drawn to {_listed(liked)}" if liked else "",
        f"avoids {_listed(avoided)}" if avoided else "",
    ]
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}." if text else "Not enough events yet."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _fingerprint(history: History, language: Language, ledger: Ledger, prompts: Prompts) -> str:
    """12 hex digits over everything the profile depends on: events, contents, weights, model, wording."""
    model = ledger.model.fingerprint if ledger.model else "none"
    digest = hashlib.sha256(f"{model}|{language}|{prompts.fingerprint(language)}".encode())
    for entry in history.entries:
        told = f"{entry.event.model_dump_json()}|{entry.weight:.9f}|{entry.content}"
        digest.update(told.encode(errors="replace"))
    return digest.hexdigest()[:12]


__all__ = ["Group", "Named", "build_profile", "group", "interest_vectors", "name_groups", "summarise"]
