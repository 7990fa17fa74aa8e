"""From a run to the contents of a report: ids resolved, events numbered, parts summed, everything worded.

Events are numbered in the order in which the picks cite them, then by interest, then the rest: the
number is the label of a citation and the anchor that it leads to. What is not on the list is shown too: the
rules that exclude items in general, and single excluded candidates.
"""

import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from ...models.records import Call, Enrichment, HistoryEvent, Item, Recommendation, Run
from ..explanation import passed_over, pushed_down
from ..messages import (
    Clipped,
    Messages,
    clip,
    clipped,
    counterfactual_text,
    messages_for,
    number,
    shown,
    unbroken,
)
from .charts import bar_widths, split_score, time_positions, waterfall
from .page import (
    CitedEvents,
    Command,
    EventView,
    ExcludedCandidate,
    InterestView,
    Page,
    PickView,
    StageView,
    Timeline,
)

_NAME = 48


def exclusion_rules(run: Run, words: Messages) -> Iterable[str]:
    """A sentence for each rule in force: the history, the filters, muted and negative interests."""
    if run.history:
        yield words.count("left_history", len(run.history))
    if run.where:
        yield words["left_filter"]
    muted = [interest.keyword for interest in run.profile.positive if interest.muted]
    if muted:
        yield words.say("left_mutes", interests=_listed(muted, words))
    negative = [interest.keyword for interest in run.profile.negative]
    if negative:
        yield words.say("left_negative", interests=_listed(negative, words))


def excluded_candidates(run: Run, words: Messages) -> tuple[ExcludedCandidate, ...]:
    """The candidates, by rank, that were passed over or that dislikes keep off the list, with the reason."""
    excluded = {
        ranked.rank: (ranked, words.say("left_pushed", before=before)) for before, ranked in pushed_down(run)
    }
    for ranked, reason in passed_over(run):
        interest = words.quoted(clip(shown(ranked.candidate.interest or ""), _NAME))
        excluded[ranked.rank] = (ranked, words.say(f"left_{reason}", interest=interest))
    return tuple(
        ExcludedCandidate(rank, clipped(ranked.candidate.item.title), why)
        for rank, (ranked, why) in sorted(excluded.items())
    )


def _listed(names: list[str], words: Messages) -> str:
    return words["comma"].join(clip(shown(name), _NAME) for name in names)


RUNNERS_UP = 10
"""How many of the next candidates after the picks are shown."""

EXCLUDED_SHOWN = 10
"""How many excluded candidates are shown."""

# Ids that are safe to copy into a shell; any other is left for the reader to fill in.
_PLAIN_ID = re.compile(r"\w[\w.:@-]*")
_PLAIN_PATH = re.compile(r"[\w ./\\:~+-]+")
_PART_OF = {"prior": "model", "ranking": "model"}  # calls by the stage that is timed around them
_OPERATORS = {
    "$eq": "=",
    "$ne": "≠",
    "$lt": "<",
    "$lte": "≤",
    "$gt": ">",
    "$gte": "≥",
    "$in": "∈",
    "$nin": "∉",
}
_KEYWORD, _LABEL, _FIELD, _EXCERPT, _PROSE = 48, 28, 80, 220, 600  # columns
_TAGS = 12


def view(run: Run) -> Page:
    """Everything that a report of `run` shows; raises InputError if a score is not finite."""
    words = messages_for(run.profile.language, "report")
    excluded = excluded_candidates(run, words)
    events = _events(run, words)
    interests = _interests(run, events, words)
    numbers = {interest.keyword: at for at, interest in enumerate(run.profile.interests, 1)}
    versions = tuple(_version(key, value, words) for key, value in run.fingerprints.items())
    return Page(
        user=clip(shown(run.display_name or run.user) or "–", _KEYWORD),
        request=clipped(run.request, _PROSE).short if run.request.strip() else "",
        summary=clipped(run.profile.summary, _PROSE).short if run.profile.summary.strip() else "",
        scenario=words.name("scenarios", run.scenario),
        date=words.date(run.created),
        moment=words.moment(run.created),
        iso=run.created.isoformat(),
        model=_version("model", run.fingerprints.get("model", "none"), words)[1],
        candidates=len(run.candidates),
        interests=interests,
        picks=tuple(_pick(pick, run, events, numbers) for pick in run.recommendations),
        behind=tuple(_behind(run)),
        span=_span(run, words),
        rules=tuple(exclusion_rules(run, words)),
        left_out=excluded[:EXCLUDED_SHOWN],
        left_more=max(0, len(excluded) - EXCLUDED_SHOWN),
        events=tuple(events.values()),
        notes=tuple(clip(shown(note), _PROSE) for note in run.notes),
        filters=tuple(
            (clip(shown(key), _FIELD), clip(_plain(value), _EXCERPT)) for key, value in run.where.items()
        ),
        fingerprints=versions,
        stages=tuple(_stages(run, words)),
        weights=tuple(_weight(name, value, words) for name, value in run.weights.items()),
        commands=commands(run, words),
    )


def commands(run: Run, words: Messages) -> tuple[Command, ...]:
    """How the user can correct the profile, with their name, home and a pick filled in where plain."""
    name = run.user if _PLAIN_ID.fullmatch(run.user) else "USER"
    user = shlex.quote(name)
    home = run.home if _PLAIN_PATH.fullmatch(run.home) else "HOME"
    tanqu = f"tanqu --home {shlex.quote(home)}" if run.home else "tanqu"
    plain = (pick.item.id for pick in run.recommendations if _PLAIN_ID.fullmatch(pick.item.id))
    item = next(plain, "ITEM")
    dislike = {"user": name, "item": item, "action": "dislike"}
    return (
        Command(words["correct_chat"], (f"{tanqu} chat {user}",)),
        Command(
            words["correct_dislike"],
            (json.dumps(dislike, ensure_ascii=False), f"{tanqu} ingest dislike.jsonl"),
        ),
        Command(words["correct_profile"], (f"{tanqu} profile {user}",)),
        Command(
            words["correct_interest"],
            tuple(f"{tanqu} profile {user} {do}" for do in ("mute 1", "pin 1", "rename 1 NAME", "forget 1")),
        ),
        Command(words["correct_undo"], (f"{tanqu} profile {user} undo",)),
        Command(words["correct_why"], (f"{tanqu} why {user} {shlex.quote(item)}",)),
    )


def _events(run: Run, words: Messages) -> dict[str, EventView]:
    """The events by id, in the order of their numbers."""
    history = {event.id: event for event in run.history}
    cited_by: dict[str, list[int]] = {}
    for pick in run.recommendations:
        for event_id in dict.fromkeys(pick.explanation.evidence):
            cited_by.setdefault(event_id, []).append(pick.rank)
    evidence = (event_id for interest in run.profile.interests for event_id in interest.evidence)
    order = dict.fromkeys(event for event in (*cited_by, *evidence, *history) if event in history)
    return {
        event_id: _event(at, history[event_id], tuple(cited_by.get(event_id, ())), words)
        for at, event_id in enumerate(order, 1)
    }


def _event(at: int, event: HistoryEvent, cited_by: tuple[int, ...], words: Messages) -> EventView:
    return EventView(
        number=at,
        action=words.name("actions", event.action),
        text=clipped(event.text),
        value=words.value(event),
        date=words.date(event.time) if event.time else "",
        iso=event.time.isoformat() if event.time else "",
        cited_by=cited_by,
    )


def _cited(ids: Iterable[str], events: Mapping[str, EventView]) -> CitedEvents:
    unique = dict.fromkeys(ids)
    known = tuple(events[event] for event in unique if event in events)
    missing = tuple(clip(shown(event), _FIELD) for event in unique if event not in events)
    return CitedEvents(known, missing)


def _interests(run: Run, events: Mapping[str, EventView], words: Messages) -> tuple[InterestView, ...]:
    interests = run.profile.interests
    widths = bar_widths([interest.weight for interest in interests])
    times = {event.id: event.time for event in run.history if event.time is not None}
    return tuple(
        InterestView(
            number=at,
            keyword=clipped(one.keyword, _KEYWORD),
            theme=clip(shown(one.theme), _KEYWORD),
            weight=one.weight,
            width=width,
            confidence=one.confidence,
            dots=round(one.confidence * 5) if one.named_by == "model" else None,
            polarity=one.polarity,
            horizon=one.horizon,
            cited=_cited(one.evidence, events),
            named_by=(words[f"named_by_{one.named_by}"], words[f"named_by_{one.named_by}_long"]),
            marks=tuple(words[mark] for mark in ("muted", "pinned") if getattr(one, mark)),
            course=_timeline(
                [times[event] for event in one.evidence if event in times], times.values(), words
            ),
        )
        for at, (one, width) in enumerate(zip(interests, widths, strict=True), 1)
    )


def _timeline(own: list[datetime], all_: Collection[datetime], words: Messages) -> Timeline | None:
    """The events of an interest on the time axis of the whole history; None where they have no times."""
    if not own:
        return None
    first, last = _days((min(own), max(own)), all_, words)
    return Timeline(time_positions(own, min(all_), max(all_)), first, last)


def _span(run: Run, words: Messages) -> tuple[str, str]:
    """The first and the last day of the history."""
    times = [event.time for event in run.history if event.time is not None]
    return _days((min(times), max(times)), times, words) if times else ("", "")


def _days(ends: tuple[datetime, datetime], all_: Collection[datetime], words: Messages) -> tuple[str, str]:
    """Two moments as days; with the minute where the whole history is of one day."""
    first, last = (words.date(one) for one in (min(all_), max(all_)))
    worded = words.moment if first == last else words.date
    return worded(ends[0]), worded(ends[1])


def _pick(
    pick: Recommendation, run: Run, events: Mapping[str, EventView], interests: Mapping[str, int]
) -> PickView:
    words = messages_for(run.profile.language, "report")
    item, reason = pick.item, pick.explanation
    parts = split_score(pick.score, pick.signals)
    without = counterfactual_text(run, pick)
    return PickView(
        rank=pick.rank,
        title=clipped(item.title),
        kind=clip(words.lookup("item_kinds", item.kind) or shown(item.kind), _FIELD),
        tags=_tags(item),
        attributes=_attributes(item, words),
        excerpt=clipped(item.text, _EXCERPT) if shown(item.text) else None,
        understood=_understood(pick.enrichment, words),
        interest=clipped(pick.interest, _KEYWORD) if pick.interest else None,
        interest_number=interests.get(pick.interest) if pick.interest else None,
        reason=clipped(reason.text, _PROSE),
        by_model=reason.written_by == "model",
        grounded=reason.grounded,
        cited=_cited(reason.evidence, events),
        chart=waterfall(parts),
        labels={name: clip(words.part(name, value), _LABEL) for name, value in parts.items()}
        | {"total": words["total"]},
        moved=unbroken(_moved(pick, run, words)),
        bridge=_bridge(pick, words),
        without=tuple(
            (events[event].number if event in events else None, unbroken(text))
            for event, text in without.lines
        ),
        without_mark=without.method,
    )


def _tags(item: Item) -> tuple[str, ...]:
    tags = [clip(shown(tag), _LABEL) for tag in item.tags if shown(tag)]
    more = (f"+{len(tags) - _TAGS}",) if len(tags) > _TAGS else ()
    return (*tags[:_TAGS], *more)


def _understood(enrichment: Enrichment | None, words: Messages) -> str:
    """The keywords and the theme that a model wrote about an item; empty where none did."""
    if enrichment is None:
        return ""
    parts = (clip(shown(one), _LABEL) for one in (*enrichment.keywords, enrichment.theme))
    return words["comma"].join(dict.fromkeys(parts))


def _attributes(item: Item, words: Messages) -> tuple[tuple[str, str], ...]:
    """Names and values; a price brings its currency."""
    currency = shown(str(item.attributes.get("currency", ""))) if "price" in item.attributes else ""
    found = []
    for name, value in item.attributes.items():
        if name == "currency" and currency:
            continue
        unit = words.lookup("units", name) or (currency if name == "price" else "")
        named = clip(words.lookup("fields", name) or shown(name), _LABEL)
        found.append((named, clip(f"{_plain(value)} {unit}".strip(), _FIELD)))
    return tuple((name, value) for name, value in found if name and value)


def _plain(value: object) -> str:
    """A value of an attribute or a filter as a reader would write it."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if isinstance(value, int):
        return str(value)  # a year has no thousands separator
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else number(value)
    if isinstance(value, tuple | list):
        return ", ".join(_plain(one) for one in value)
    if isinstance(value, dict) and value and _OPERATORS.keys() >= value.keys():
        return ", ".join(f"{_OPERATORS[name]} {_plain(limit)}" for name, limit in value.items())
    return shown(json.dumps(value, ensure_ascii=False, default=str))


def _bridge(pick: Recommendation, words: Messages) -> Clipped | None:
    """From which interest a pick of a new topic leads to which topic."""
    if pick.new_for_you is None:
        return None
    interest, topic = (
        clip(shown(one), _KEYWORD) for one in (pick.new_for_you.interest, pick.new_for_you.topic)
    )
    return clipped(words.say("new_bridge", interest=interest, topic=topic))


def _moved(pick: Recommendation, run: Run, words: Messages) -> str:
    """Where a pick stood among the candidates before and after the model's part, and where on the list."""
    if pick.new_for_you:
        return words["moved_new"]
    now = next((one.rank for one in run.candidates if one.candidate.item.id == pick.item.id), pick.rank)
    before, all_ = pick.rank_without_model, len(run.candidates)
    if before is None:
        text = words.say("moved_unknown", now=now, all=all_)
    elif before == now:
        text = words.say("moved_none", now=now, all=all_)
    else:
        way = "moved_up" if before > now else "moved_down"
        text = words.count(way, abs(before - now), before=before, now=now, all=all_)
    if now == pick.rank:
        return text
    return text + words["gap"] + words.count("moved_list", abs(now - pick.rank), place=pick.rank)


def _behind(run: Run) -> Iterable[tuple[int, Clipped, str, int]]:
    """Rank, title, interest and score in thousandths of the next candidates that are no picks."""
    picked = {pick.item.id for pick in run.recommendations}
    others = (ranked for ranked in run.candidates if ranked.candidate.item.id not in picked)
    for ranked in sorted(others, key=lambda ranked: ranked.rank)[:RUNNERS_UP]:
        interest = clip(shown(ranked.candidate.interest or ""), _KEYWORD)
        score = sum(split_score(ranked.score, ranked.signals).values())
        yield ranked.rank, clipped(ranked.candidate.item.title), interest, score


def _version(name: str, value: str, words: Messages) -> tuple[str, str]:
    """The name of a fingerprint, and its value; a run without a model has the value "none"."""
    missing = name == "model" and value in ("", "none")
    return words.name("fingerprints", name), words["no_model"] if missing else clip(shown(value), _FIELD)


def _weight(name: str, value: float, words: Messages) -> tuple[str, str, str]:
    return words.name("signals", name), number(value), words.lookup("signal_hints", name)


def _stages(run: Run, words: Messages) -> Iterable[StageView]:
    """One line per stage, in the order in which they ran; a stage that is part of another follows it."""
    names = list(run.seconds)
    for name in dict.fromkeys(call.stage for call in run.calls if call.stage not in run.seconds):
        whole = _PART_OF.get(name, "")
        names.insert(names.index(whole) + 1 if whole in names else len(names), name)
    for stage in names:
        calls = [call for call in run.calls if call.stage == stage]
        yield StageView(
            name=words.name("stages", stage),
            seconds=run.seconds.get(stage, sum(call.seconds for call in calls)),
            work=words["comma"].join(_work(calls, words)),
            read=sum(call.prompt_tokens for call in calls),
            cached=sum(call.cached_tokens for call in calls),
            written=sum(call.output_tokens for call in calls),
        )


def _work(calls: Iterable[Call], words: Messages) -> Iterable[str]:
    totals: dict[str, int] = {}
    for call in calls:
        totals[call.kind] = totals.get(call.kind, 0) + call.sequences
    for kind, sequences in totals.items():
        yield f"{words.name('kinds', kind)} {words.count('sequences', sequences)}"
