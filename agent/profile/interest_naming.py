"""Names of clusters: the model writes them, code validates them and makes them distinct; a template is the fallback.

Instructions in the items are left out of the prompt (prompt injection); a name that repeats one, or copies a title, is
requested once more.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Annotated

from pydantic import Field, ValidationError

from ...models.errors import ModelError, PromptTooLongError
from ...models.language_model import Constraint, Limits, Prompt
from ...models.records import Interest, Language, Polarity, Record, WrittenBy
from ...models.text import clean
from ...prompts import Prompts
from ...vectorstore import tokens
from ..messages import messages_for, quoted
from ..run_trace import RunTrace
from ..store import NameCache, key_of
from .clustering import EventCluster
from .history import History
from .prompt_injection import strip_instructions

_NAMED_LINES = 6
_TITLE = 30  # characters of a title within a name


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
class InterestName:
    """The name of a cluster, the model's probability of it, and who wrote it."""

    keyword: str
    theme: str
    confidence: float
    by: WrittenBy


def name_clusters(
    user: str,
    history: History,
    groups: Sequence[EventCluster],
    language: Language,
    trace: RunTrace,
    prompts: Prompts,
    names: NameCache | None = None,
    stage: str = "profile",
) -> list[InterestName]:
    """A name for each cluster; without a model, or where it fails, from the cluster's commonest words.

    The model gets clusters without a cached name only; for an invalid name it is asked once more, at a temperature.

    Args:
        user: owner of the cached names and of the prompt's cache.
        history: what the clusters refer to.
        groups: the clusters.
        language: of the names.
        trace: has the model, if there is one, and records its calls.
        prompts: the template.
        names: cache of what the model wrote.
        stage: the stage of the run that the calls are recorded under.

    Returns:
        Distinct names, in the order of the clusters.
    """
    by_words = [_by_words(history, one, language) for one in groups]
    if not groups or trace.model is None:
        return _distinct(history, groups, by_words, language)
    shown = [_lines(history, one) for one in groups]
    values = {"owner": user, "scenario": history.scenario}
    try:
        asked = [_question(lines, language, trace, prompts, values, stage) for lines in shown]
    except PromptTooLongError as error:
        trace.note("not_named", error=error)
        return _distinct(history, groups, by_words, language)
    keys = [key_of(trace.model.fingerprint, prompt.text) for prompt in asked]
    written = dict(names.known(user, keys)) if names else {}
    known = len(written)

    def named(place: int) -> InterestName | None:
        found = written.get(keys[place])
        return _checked(history, groups[place], *found, language) if found else None

    for limits in (_GREEDY, _AGAIN):
        missing = {keys[at]: asked[at] for at, lines in enumerate(shown) if lines and named(at) is None}
        try:
            written |= _written(missing, language, limits, trace, stage)
        except ModelError as error:
            if limits is _GREEDY:
                trace.note("not_named", error=error)
            break
    if names and len(written) > known:
        good = {key: written[key] for place, key in enumerate(keys) if named(place)}
        names.keep(user, language, good)
    return _distinct(
        history, groups, [named(place) or plain for place, plain in enumerate(by_words)], language
    )


def _question(
    lines: Sequence[str],
    language: Language,
    trace: RunTrace,
    prompts: Prompts,
    values: Mapping[str, str],
    stage: str,
) -> Prompt:
    """The prompt for a cluster; where not all lines fit, the weakest are left out."""

    def render(weakest_first: Sequence[str]) -> Prompt:
        return prompts.render("interest", language, lines=weakest_first[::-1], **values)

    return trace.fit(stage, render, lines[::-1], _GREEDY.max_tokens)


def _written(
    missing: Mapping[str, Prompt], language: Language, limits: Limits, trace: RunTrace, stage: str
) -> dict[str, tuple[str, float]]:
    """The model's replies that parse as names, by key, each with its probability of the keyword."""
    if not missing:
        return {}
    constraint = Constraint(schema=_NAMES[language])
    results = trace.generate(stage, list(missing.values()), constraint=constraint, limits=limits)
    found = {}
    for key, one in zip(missing, results, strict=True):
        with contextlib.suppress(ValidationError):  # cut off by the limit of tokens
            keyword = _NAMES[language].model_validate_json(one.text).keyword
            start = max(one.text.find(keyword, len(_BEFORE_KEYWORD)), 0)
            found[key] = one.text, one.probability(start, start + len(keyword))
    return found


def _lines(history: History, one: EventCluster) -> list[str]:
    """The cluster's strongest items as lines of the prompt, without instructions; empty where nothing is left."""
    lines = dict.fromkeys(strip_instructions(history.entries[place].line) for place in one.places)
    return [line for line in lines if line][:_NAMED_LINES]


def _checked(
    history: History, one: EventCluster, text: str, confidence: float, language: Language
) -> InterestName | None:
    """Validate the model's name; a query may be an interest, a title is none.

    Returns:
        The name; None where it copies a title or contains an instruction.
    """
    name = _NAMES[language].model_validate_json(text)
    keyword = _whole_words(name.keyword)
    entries = [history.entries[place] for place in one.places]
    if any(entry.item and _copies(keyword, entry.title) for entry in entries):
        return None
    if strip_instructions(keyword) != keyword or strip_instructions(name.theme) != name.theme:
        return None
    return InterestName(keyword, name.theme.strip(" -'&"), confidence, "model")


def _whole_words(keyword: str) -> str:
    """A name that ends where a word does: what reached the limit of letters may have been cut off."""
    whole = keyword.rsplit(" ", 1)[0] if len(keyword) >= _LONGEST and " " in keyword else keyword
    return whole.removesuffix(" and").strip(" -'&")


def _copies(keyword: str, title: str) -> bool:
    """Whether a name is a title, or its beginning without the last few letters."""
    short, whole = keyword.casefold(), title.casefold()
    return tokens(short) == tokens(whole) or (whole.startswith(short) and len(short) >= 0.8 * len(whole))


def _distinct(
    history: History, groups: Sequence[EventCluster], names: Sequence[InterestName], language: Language
) -> list[InterestName]:
    """The names, made distinct by words, titles or numbers where they are nearly equal.

    A negative cluster with nearly the name of a positive one gets the title of an example: part of a liked topic is
    disliked.

    Returns:
        As many, in the same order.
    """
    result: list[InterestName] = []
    taken: list[tuple[str, Polarity]] = []
    for one, name in zip(groups, names, strict=True):
        keyword = name.keyword
        alternatives: Iterator[str] = iter(())
        if any(_overlap(keyword, other) for other, polarity in taken if polarity != one.polarity):
            alternatives = chain(_by_example(history, one, name, language), _marked(history, one, name))
        elif any(_nearly(keyword, other) for other, _ in taken):
            alternatives = _marked(history, one, name)
        free = (new for new in alternatives if all(_words(new) != _words(other) for other, _ in taken))
        keyword = next(free, keyword)
        taken.append((keyword, one.polarity))
        result.append(replace(name, keyword=keyword))
    return result


def _by_example(history: History, one: EventCluster, name: InterestName, language: Language) -> Iterator[str]:
    """The name with a title of the cluster, the strongest short one without instructions."""
    words = messages_for(language, "profile")
    for entry in (history.entries[place] for place in one.places):
        if (
            entry.item
            and len(entry.title) <= _TITLE
            and strip_instructions(entry.title) == entry.title == clean(entry.title)
        ):
            title = quoted(entry.title, entry.item, language)
            yield words.say("with_example", name=name.keyword, title=title)


def _marked(history: History, one: EventCluster, name: InterestName) -> Iterator[str]:
    return (f"{name.keyword} · {mark}" for mark in _marks(history, one, name))


def _marks(history: History, one: EventCluster, name: InterestName) -> Iterator[str]:
    """What distinguishes a cluster: its commonest words, its strongest title, then numbers."""
    plain = _by_words(history, one)
    title = clean(strip_instructions(history.entries[one.places[0]].title), _TITLE)
    present = _words(name.keyword)
    yield from (mark for mark in (plain.keyword, plain.theme, title) if mark and not _words(mark) <= present)
    yield from map(str, count(2))


def _nearly(name: str, other: str) -> bool:
    """Whether a reader would take two names for one: the same words, or Chinese ones of which one has all."""
    one, two = _words(name), _words(other)
    return one == two or (_is_chinese(name + other) and (one <= two or two <= one))


def _overlap(name: str, other: str) -> bool:
    """Whether all the words of one are words of the other."""
    one, two = _words(name), _words(other)
    return one <= two or two <= one


def _words(name: str) -> frozenset[str]:
    """The words of a name, singular; the name itself where it has none."""
    return frozenset(tokens(name)) or frozenset((name.casefold(),))


def _is_chinese(text: str) -> bool:
    return any("\u4e00" <= char <= "\u9fff" for char in text)


def _by_words(history: History, one: EventCluster, language: Language = "en") -> InterestName:
    """A name without a model: the commonest tag, else the words, else the title of the strongest event."""
    entries = [history.entries[place] for place in one.places]
    tags = Counter(strip_instructions(tag) for entry in entries if entry.item for tag in entry.item.tags[:4])
    titles = [title for entry in entries if (title := strip_instructions(entry.title))]
    words = Counter(word for title in titles for word in dict.fromkeys(tokens(title)) if len(word) > 1)
    ranked = [clean(tag, 30) for tag, _ in tags.most_common(3) if tag][:2]
    if not ranked:
        common = [word for word, times in words.most_common(2) if times > 1]
        ranked = (
            common
            or [clean(title, 30) for title in titles[:1]]
            or [messages_for(language, "profile")["unnamed"]]
        )
    theme = ranked[1] if len(ranked) > 1 else ranked[0]
    return InterestName(ranked[0] or "?", theme or "?", 0.0, "template")


def summarise(interests: Sequence[Interest], language: Language) -> str:
    """One sentence over the interests of a profile that are not muted.

    A template: the default model, given these names, wrote the same list back, and took two seconds for it.

    Returns:
        At most three positive and two negative interests, in the language.
    """
    words = messages_for(language, "profile")
    active = [interest for interest in interests if not interest.muted]
    liked = _apart(interest.keyword for interest in active if interest.polarity == "positive")[:3]
    avoided = _apart(interest.keyword for interest in active if interest.polarity == "negative")[:2]
    named = {"drawn_to": liked, "turned_down": avoided}
    clauses = [words.say(key, interests=words.listed(names)) for key, names in named.items() if names]
    text = words["clauses"].join(clauses)
    return f"{text[0].upper()}{text[1:]}{words['end']}" if text else words["no_interests"]


def _apart(names: Iterable[str]) -> list[str]:
    """The names without those that differ from an earlier one by their mark only (space · comet after space)."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.partition(" · ")[0], name)
    return list(found.values())


__all__ = ["InterestName", "name_clusters"]
