"""The interest profile: events are grouped by meaning, weighted by counting, and named by the model.

The evidence of an interest is true by construction, since the model never chooses it. It only names: all
groups in one parallel batch, bound by a grammar; its probability of the name is the confidence.
"""

import contextlib
import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from scipy.cluster.hierarchy import fcluster, linkage

from ..models.embedder import Vectors
from ..models.errors import ModelError, PromptTooLongError
from ..models.llm import Constraint, Limits, Prompt
from ..models.records import Horizon, Interest, Language, Polarity, Profile, Record, WrittenBy
from ..prompts import Prompts, clean
from ..vectorstore.lexical import tokens
from .history import History, repeated
from .ledger import Ledger
from .names import NameStore, key_of

MAX_INTERESTS = 8
MAX_NEGATIVE = 3
_GROUPED = 400  # grouping compares all pairs: of longer histories the heaviest things found the groups
_NAMED_LINES = 6
_DISTANCE = 0.9  # two groups join while their mean distance is below; best F1 on hand-labelled topics
_SATURATION = 0.5  # power of a sum of weights; with 0.75 held-out purchases rank 1 percent worse
_RECENT_EVENTS = 0.3  # an interest is recent if its median event lies in this last part of the history


class _EnglishName(Record):
    keyword: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 &'\-]{2,40}$")]
    theme: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 &'\-]{2,30}$")]


class _ChineseName(Record):
    keyword: Annotated[str, Field(pattern=r"^[\u4e00-\u9fffA-Za-z0-9·]{2,10}$")]
    theme: Annotated[str, Field(pattern=r"^[\u4e00-\u9fffA-Za-z0-9·]{2,8}$")]


_Name = _EnglishName | _ChineseName
_NAMES: dict[Language, type[_Name]] = {"en": _EnglishName, "zh": _ChineseName}
_LONGEST = 41  # letters that the grammar allows a keyword
_BEFORE_KEYWORD = '{"keyword":'
_GREEDY = Limits(max_tokens=48)
_AGAIN = Limits(max_tokens=48, temperature=0.8, seed=1)


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
    *,
    names: NameStore | None = None,
    kept: Collection[str] = (),
) -> Profile:
    """The profile that the events support; without events it is empty.

    Weights sum to 1 over the interests of a polarity. Deterministic for the same events and model, so a
    `known` profile of the same fingerprint is that profile, and groups whose names are known (`names`) are
    not named again. Of many groups the lightest are left out, unless they rest on an event in `kept`.
    """
    fingerprint = _fingerprint(history, language, ledger, prompts)
    if known is not None and known.fingerprint == fingerprint and not (ledger.model and _is_nameless(known)):
        _note_plain_names(known.interests, ledger)
        return known
    with ledger.stage("profile"):
        groups = _chosen(history, group(history, "positive"), MAX_INTERESTS, kept)
        groups += _chosen(history, group(history, "negative"), MAX_NEGATIVE, kept)
        named = name_groups(user, history, groups, language, ledger, prompts, names)
    interests = _interests(history, groups, named)
    _note_plain_names(interests, ledger)
    return Profile(
        user=user,
        interests=interests,
        summary=summarise(interests, language),
        language=language,
        fingerprint=fingerprint,
    )


def _chosen(history: History, groups: list[Group], most: int, kept: Collection[str]) -> list[Group]:
    """The heaviest groups, and those further ones that rest on an event to be kept."""
    rest = [one for one in groups[most:] if any(history.entries[at].event.id in kept for at in one.places)]
    return groups[:most] + rest


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
        key: repeated([history.entries[place] for place in places], history.scenario)
        for key, places in things.items()
    }
    # Ties are decided by what things are, never by their place: events of equal time have no order.
    order = sorted(things, key=lambda key: (-round(weights[key], 9), key))
    groups = []
    for members in _clusters(history, [things[key][0] for key in order]):
        keys = [order[member] for member in members]
        places = sorted(
            (place for key in keys for place in things[key]),
            key=lambda place: (
                -round(abs(history.entries[place].weight), 9),
                history.entries[place].event.id,
            ),
        )
        total = math.fsum(weights[key] for key in keys)
        groups.append(Group(tuple(places), total**_SATURATION, polarity))
    return sorted(groups, key=lambda one: (-round(one.weight, 9), history.entries[one.places[0]].event.id))


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
    names: NameStore | None = None,
    stage: str = "profile",
) -> list[Named]:
    """A name for each group, in order. Without a model, or where it fails, by the group's commonest words.

    Only groups whose name is not among `names` are shown to the model; a name that will not do is asked for
    once more, less greedily.
    """
    by_words = [_by_words(history, one) for one in groups]
    if not groups or ledger.model is None:
        return _distinct(history, groups, by_words)
    try:
        asked = [_question(history, one, user, language, ledger, prompts) for one in groups]
    except PromptTooLongError as error:
        ledger.note(f"the model did not name the interests: {error}")
        return _distinct(history, groups, by_words)
    keys = [key_of(ledger.model.fingerprint, prompt.text) for prompt in asked]
    written = dict(names.known(user, keys)) if names else {}
    known = len(written)

    def named(place: int) -> Named | None:
        found = written.get(keys[place])
        return _checked(history, groups[place], *found, language) if found else None

    for limits in (_GREEDY, _AGAIN):
        missing = {keys[place]: asked[place] for place in range(len(groups)) if named(place) is None}
        try:
            written |= _written(missing, language, limits, ledger, stage)
        except ModelError as error:
            if limits is _GREEDY:
                ledger.note(f"the model did not name the interests: {error}")
            break
    if names and len(written) > known:
        good = {key: written[key] for place, key in enumerate(keys) if named(place)}
        names.keep(user, language, good)
    return _distinct(history, groups, [named(place) or plain for place, plain in enumerate(by_words)])


def _question(
    history: History, one: Group, user: str, language: Language, ledger: Ledger, prompts: Prompts
) -> Prompt:
    """What the model is asked about a group; where not all lines fit, the weakest are left out."""

    def render(lines: Sequence[str]) -> Prompt:
        shown = list(reversed(lines))
        return prompts.render("interest", language, owner=user, scenario=history.scenario, lines=shown)

    return ledger.fit("profile", render, _lines(history, one)[::-1], _GREEDY.max_tokens)


def _written(
    missing: Mapping[str, Prompt], language: Language, limits: Limits, ledger: Ledger, stage: str
) -> dict[str, tuple[str, float]]:
    """What the model writes for each prompt that is a name at all, and its probability of the keyword."""
    if not missing:
        return {}
    constraint = Constraint(schema=_NAMES[language])
    results = ledger.generate(stage, list(missing.values()), constraint=constraint, limits=limits)
    found = {}
    for key, one in zip(missing, results, strict=True):
        with contextlib.suppress(ValidationError):  # cut off by the limit of tokens
            keyword = _NAMES[language].model_validate_json(one.text).keyword
            start = max(one.text.find(keyword, len(_BEFORE_KEYWORD)), 0)
            found[key] = one.text, one.probability(start, start + len(keyword))
    return found


def _lines(history: History, one: Group) -> list[str]:
    """What the model sees of a group: its strongest things, each once."""
    lines: dict[str, None] = {}
    for place in one.places:
        lines.setdefault(history.entries[place].line)
    return list(lines)[:_NAMED_LINES]


def _checked(history: History, one: Group, text: str, confidence: float, language: Language) -> Named | None:
    """The model's name; None where it copied the title of one of several things."""
    name = _NAMES[language].model_validate_json(text)
    keyword = _whole_words(name.keyword)
    titles = {history.entries[place].title for place in one.places}
    if len(titles) > 1 and any(_copies(keyword, title) for title in titles):
        return None
    return Named(keyword, name.theme.strip(" -'&"), confidence, "model")


def _whole_words(keyword: str) -> str:
    """A name that ends where a word does: what reached the limit of letters may have been cut off."""
    whole = keyword.rsplit(" ", 1)[0] if len(keyword) >= _LONGEST and " " in keyword else keyword
    return whole.removesuffix(" and").strip(" -'&")


def _copies(keyword: str, title: str) -> bool:
    """Whether a name is a title, or its beginning without the last few letters."""
    short, whole = keyword.casefold(), title.casefold()
    return tokens(short) == tokens(whole) or (whole.startswith(short) and len(short) >= 0.8 * len(whole))


def _distinct(history: History, groups: Sequence[Group], names: Sequence[Named]) -> list[Named]:
    """The names, where groups of the same name are told apart by their words, titles or numbers."""
    result: list[Named] = []
    taken: set[str] = set()
    for one, name in zip(groups, names, strict=True):
        plain, title = _by_words(history, one), clean(history.entries[one.places[0]].title, 30)
        own = (mark for mark in (plain.keyword, plain.theme, title) if mark != name.keyword)
        marks = chain(own, map(str, count(2)))
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
        common = [word for word, times in words.most_common(2) if times > 1]
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
    """Recent if its median event is among the last third of the history, else lasting.

    Events of equal time share their mean place.
    """
    places: dict[object, list[int]] = {}
    for place, entry in enumerate(history.entries):
        places.setdefault(entry.event.time or place, []).append(place)
    mean = {place: sum(same) / len(same) for same in places.values() for place in same}
    middle = float(np.median([mean[place] for place in one.places]))
    return "recent" if middle >= (1 - _RECENT_EVENTS) * (len(history) - 1) else "lasting"


def interest_vectors(profile: Profile, history: History) -> Vectors:
    """One unit vector per interest, in order: the weighted mean of its events; (interests, dimensions).

    Where none of its events counts (a muted interest), their plain mean.
    """
    places = history.by_id()
    rows = np.zeros((len(profile.interests), history.vectors.shape[1]), np.float32)
    for row, interest in zip(rows, profile.interests, strict=True):
        found = [places[one] for one in interest.evidence if one in places]
        weights = [abs(history.entries[place].weight) for place in found]
        for place, weight in zip(found, weights, strict=True):
            row += (weight if any(weights) else 1.0) * history.vectors[place]
        row /= max(float(np.linalg.norm(row)), 1e-9)
    return rows


def summarise(interests: Sequence[Interest], language: Language) -> str:
    """One sentence over the whole profile."""
    told = [one for one in interests if not one.muted]
    liked = [one.keyword for one in told if one.polarity == "positive"][:3]
    avoided = [one.keyword for one in told if one.polarity == "negative"][:2]
    if language == "zh":
        parts = [
            f"主要关注{'、'.join(liked)}" if liked else "",
            f"不太喜欢一些{'、'.join(avoided)}" if avoided else "",
        ]
        return "；".join(part for part in parts if part) + "。" if liked or avoided else "还没有足够的行为。"
    parts = [
        f"Mostly drawn to {_listed(liked)}" if liked else "",
        f"turned down some {_listed(avoided)}" if avoided else "",
    ]
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}." if text else "Not enough events yet."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _fingerprint(history: History, language: Language, ledger: Ledger, prompts: Prompts) -> str:
    """12 hex digits over everything the profile depends on: events, contents, weights, model, wording."""
    model = ledger.model.fingerprint if ledger.model else "none"
    digest = hashlib.sha256(f"{model}|{language}|{prompts.fingerprint(language)}".encode())
    told = [
        f"{entry.event.model_dump_json()}|{entry.weight:.9f}|{entry.content}" for entry in history.entries
    ]
    for one in sorted(told):
        digest.update(one.encode(errors="replace"))
    return digest.hexdigest()[:12]


__all__ = ["Group", "Named", "build_profile", "group", "interest_vectors", "name_groups", "summarise"]
