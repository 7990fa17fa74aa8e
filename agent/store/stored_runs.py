"""Runs and profile versions as rows, and the events that each of them rests on.

Of the candidates of a run only ids, ranks, scores and signal values are stored: their items are in the
catalogue. The recommended items are stored whole, so that a run can be shown when one has been deleted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from ...models.records import MAX_ID, Bridge, Candidate, Item, Profile, Ranked, Record, Run
from ...vectorstore import METADATA
from .model_cache import NAMES, SCORES
from .tables import IDS_PER_QUERY, affected, chunks, lock_writers, ticks_of

PROFILES = sa.Table(
    "profiles",
    METADATA,
    sa.Column("user", sa.String(MAX_ID), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("json", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)
RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user", sa.String(MAX_ID), nullable=False, index=True),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("json", sa.Text, nullable=False),
)


def _cited_by(name: str, owner: str) -> sa.Table:
    """A table of the events that the rows of another table rest on, stored in the order of its key alone."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("user", sa.String(MAX_ID), primary_key=True),
        sa.Column(owner, sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("event", sa.String(MAX_ID), primary_key=True),
        sqlite_with_rowid=False,
    )


RUN_EVENTS = _cited_by("run_events", "run")
PROFILE_EVENTS = _cited_by("profile_events", "version")
CITATIONS = frozenset({RUN_EVENTS.name, PROFILE_EVENTS.name})

_DIGITS = 6  # of scores and signal values: more cannot be seen in any report


class StoredCandidates(Record):
    """The candidates of a run in columns, one value per candidate, best first; None where there is none."""

    ids: tuple[str, ...]
    ranks: tuple[int, ...]
    scores: tuple[float, ...]
    interests: tuple[str | None, ...]
    ranks_without_model: tuple[int | None, ...]
    channels: dict[str, tuple[float | None, ...]]
    signals: dict[str, tuple[float | None, ...]]
    raw: dict[str, tuple[float | None, ...]]
    bridges: dict[str, Bridge]


class StoredRun(Record):
    """A run whose `candidates` are kept apart."""

    run: Run
    candidates: StoredCandidates


def stored(run: Run) -> str:
    """The JSON of a run as it is stored."""
    ranked = run.candidates
    found = [one.candidate for one in ranked]
    candidates = StoredCandidates(
        ids=tuple(candidate.item.id for candidate in found),
        ranks=tuple(one.rank for one in ranked),
        scores=tuple(_rounded(one.score) for one in ranked),
        interests=tuple(candidate.interest for candidate in found),
        ranks_without_model=tuple(one.rank_without_model for one in ranked),
        channels=_columns([candidate.channels for candidate in found]),
        signals=_columns([one.signals for one in ranked]),
        raw=_columns([one.raw for one in ranked]),
        bridges={c.item.id: c.new_for_you for c in found if c.new_for_you is not None},
    )
    return StoredRun(run=run.model_copy(update={"candidates": ()}), candidates=candidates).model_dump_json()


def restored(text: str, items: Callable[[Sequence[str]], Sequence[Item]]) -> Run:
    """The run of a stored JSON.

    Args:
        text: what `stored` gave.
        items: looks up items of the catalogue by id; a candidate that was deleted has its id as its title.

    Returns:
        The run with its candidates, their values rounded to six digits.
    """
    kept = StoredRun.model_validate_json(text)
    columns = kept.candidates
    known = {pick.item.id: pick.item for pick in kept.run.recommendations}
    known |= {item.id: item for item in items([id_ for id_ in columns.ids if id_ not in known])}
    ranked = tuple(
        Ranked(
            candidate=Candidate(
                item=known.get(id_) or Item(id=id_, title=id_),
                channels=_row(columns.channels, at),
                interest=columns.interests[at],
                new_for_you=columns.bridges.get(id_),
            ),
            rank=columns.ranks[at],
            score=columns.scores[at],
            signals=_row(columns.signals, at),
            raw=_row(columns.raw, at),
            rank_without_model=columns.ranks_without_model[at],
        )
        for at, id_ in enumerate(columns.ids)
    )
    return kept.run.model_copy(update={"candidates": ranked})


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float | None, ...]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: tuple(_rounded(row[name]) if name in row else None for row in rows) for name in names}


def _row(columns: Mapping[str, Sequence[float | None]], at: int) -> dict[str, float]:
    values = ((name, column[at]) for name, column in columns.items())
    return {name: value for name, value in values if value is not None}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


# --- runs ----------------------------------------------------------------------------------------------


def add_run(connection: Connection, run: Run, kept: int) -> int:
    """Store a run and remove the user's oldest ones.

    Args:
        connection: that of the transaction.
        run: the run.
        kept: how many runs of the user are kept, this one included.

    Returns:
        The number of the run.
    """
    row = {"user": run.user, "created": ticks_of(run.created), "json": stored(run)}
    key = connection.execute(sa.insert(RUNS).values(row)).inserted_primary_key
    number = int(key[0]) if key else 0
    cite(connection, RUN_EVENTS, run.user, number, events_of_run(run))
    ids = sa.select(RUNS.c.id).where(RUNS.c.user == run.user).order_by(RUNS.c.id.desc())
    _delete_runs(connection, run.user, connection.scalars(ids.offset(kept)).all())
    return number


def remove_runs(connection: Connection, user: str, events: Iterable[str]) -> int:
    """Remove the runs of a user that rest on one of the events.

    Args:
        connection: that of the transaction.
        user: whose runs they are.
        events: ids of events.

    Returns:
        How many were removed.
    """
    return _delete_runs(connection, user, _resting_on(connection, RUN_EVENTS, user, events))


def _delete_runs(connection: Connection, user: str, numbers: Iterable[int]) -> int:
    removed = 0
    for part in chunks(numbers, IDS_PER_QUERY):
        own = (RUN_EVENTS.c.user == user, RUN_EVENTS.c.run.in_(part))
        connection.execute(sa.delete(RUN_EVENTS).where(*own))
        removed += affected(connection, sa.delete(RUNS).where(RUNS.c.id.in_(part)))
    return removed


# --- profile versions ----------------------------------------------------------------------------------


def add_profile(connection: Connection, profile: Profile, stamp: int) -> int:
    """Store a profile as a new version unless it equals the newest one.

    Args:
        connection: that of the transaction.
        profile: the profile.
        stamp: when it was made, in microseconds since 1970.

    Returns:
        The number of its version, from 1.
    """
    lock_writers(connection)
    query = sa.select(PROFILES.c.version, PROFILES.c.json).where(PROFILES.c.user == profile.user)
    newest = connection.execute(query.order_by(PROFILES.c.version.desc()).limit(1)).first()
    text = profile.model_dump_json()
    if newest is not None and newest.json == text:
        return int(newest.version)
    version = 1 if newest is None else int(newest.version) + 1
    row = {"user": profile.user, "version": version, "json": text, "created": stamp}
    connection.execute(sa.insert(PROFILES).values(row))
    cite(connection, PROFILE_EVENTS, profile.user, version, events_of_profile(profile))
    return version


def change_profiles(connection: Connection, user: str, change: Callable[[Profile], Profile]) -> None:
    """Apply a change to every stored version of a user's profile.

    Args:
        connection: that of the transaction.
        user: whose profile it is.
        change: gives the profile that is stored instead.
    """
    for row in connection.execute(sa.select(PROFILES).where(PROFILES.c.user == user)).all():
        changed = change(Profile.model_validate_json(row.json))
        text = changed.model_dump_json()
        if text == row.json:
            continue
        own = (PROFILES.c.user == user, PROFILES.c.version == row.version)
        connection.execute(sa.update(PROFILES).where(*own).values(json=text))
        cite(connection, PROFILE_EVENTS, user, row.version, events_of_profile(changed))


def remove_profiles(connection: Connection, user: str, events: Iterable[str]) -> int:
    """Remove the profile versions of a user that rest on one of the events.

    Args:
        connection: that of the transaction.
        user: whose profile versions they are.
        events: ids of events.

    Returns:
        How many were removed.
    """
    removed = 0
    for part in chunks(_resting_on(connection, PROFILE_EVENTS, user, events), IDS_PER_QUERY):
        own = (PROFILE_EVENTS.c.user == user, PROFILE_EVENTS.c.version.in_(part))
        connection.execute(sa.delete(PROFILE_EVENTS).where(*own))
        chosen = (PROFILES.c.user == user, PROFILES.c.version.in_(part))
        removed += affected(connection, sa.delete(PROFILES).where(*chosen))
    return removed


def remove_cached_answers(connection: Connection, user: str) -> int:
    """Remove what the model answered about a user's history: names of interests, likelihoods of titles."""
    return sum(
        affected(connection, sa.delete(table).where(table.c.user == user)) for table in (NAMES, SCORES)
    )


# --- the events that a row rests on ----------------------------------------------------------------------


def events_of_profile(profile: Profile) -> set[str]:
    """The ids of the events that support an interest."""
    return {event for interest in profile.interests for event in interest.evidence}


def events_of_run(run: Run) -> set[str]:
    """The ids of the events in the history, the profile and the explanations of a run."""
    explained = {event for pick in run.recommendations for event in pick.explanation.evidence}
    return events_of_profile(run.profile) | explained | {event.id for event in run.history}


def cite(connection: Connection, table: sa.Table, user: str, number: int, events: Iterable[str]) -> None:
    """Store that a run or a profile version rests on these events and no others.

    Args:
        connection: that of the transaction.
        table: `RUN_EVENTS` or `PROFILE_EVENTS`.
        user: the user of the row.
        number: the number of the run or of the version.
        events: ids of events.
    """
    owner = table.columns.keys()[1]
    connection.execute(sa.delete(table).where(table.c.user == user, table.c[owner] == number))
    rows = [{"user": user, owner: number, "event": event} for event in sorted(set(events))]
    if rows:
        connection.execute(sa.insert(table), rows)


def _resting_on(connection: Connection, table: sa.Table, user: str, events: Iterable[str]) -> list[int]:
    """The numbers of the user's rows that rest on one of the events."""
    owner = table.columns[table.columns.keys()[1]]
    found: set[int] = set()
    for part in chunks(sorted(set(events)), IDS_PER_QUERY):
        query = sa.select(owner).where(table.c.user == user, table.c.event.in_(part)).distinct()
        found.update(connection.scalars(query))
    return sorted(found)
