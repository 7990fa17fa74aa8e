"""Answers of the language model that are computed once: names of interests, and likelihoods of texts.

A row is found by a hash of the model's fingerprint and of the whole prompt, so it is never that of another
model, history or wording. Rows with a user rest on that user's history and go when the user is forgotten.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ...models.records import MAX_ID, Language
from ...vectorstore import METADATA, chunks, create_tables

NAMES = sa.Table(
    "interest_names",
    METADATA,
    sa.Column("user", sa.String(MAX_ID), primary_key=True),
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("confidence", sa.Float, nullable=False),
)
SCORES = sa.Table(
    "model_scores",
    METADATA,
    sa.Column("user", sa.String(MAX_ID), primary_key=True),
    sa.Column("key", sa.String(32), primary_key=True),  # no title can be read from it
    sa.Column("value", sa.Float, nullable=False),
)
_KEYS_PER_QUERY = 500  # far below every database's limit of parameters

ALL_USERS = ""
"""The user of rows that rest on no history and serve all users: no id is empty."""

CachedNames = Mapping[str, tuple[str, float]]
"""By key: the text that the model wrote, and its probability of the keyword."""


def key_of(fingerprint: str, prompt: str) -> str:
    """32 hex digits over the model and everything that it is shown."""
    return hashlib.sha256(f"{fingerprint}|{prompt}".encode(errors="replace")).hexdigest()[:32]


class NameCache:
    """Names of groups of events or items: a group that did not change is not named again."""

    def __init__(self, engine: sa.Engine) -> None:
        """Create the table if it is not there."""
        self._engine = engine
        create_tables(engine)

    def known(self, user: str, keys: Sequence[str]) -> CachedNames:
        """The cached names of a user, by key."""
        columns = (NAMES.c.key, NAMES.c.text, NAMES.c.confidence)
        rows = _rows(self._engine, NAMES, columns, user, keys)
        return {str(key): (str(text), float(confidence)) for key, text, confidence in rows}

    def keep(self, user: str, language: Language, names: CachedNames) -> None:
        """Store names in place of the user's other names in this language, whose groups exist no more.

        Args:
            user: whose groups they are; those of `ALL_USERS` are added to the names that are there.
            language: that of the names.
            names: text and probability by key.
        """
        rows = [
            {"user": user, "key": key, "language": language, "text": text, "confidence": confidence}
            for key, (text, confidence) in names.items()
        ]
        outdated = [NAMES.c.language == language] if user != ALL_USERS else []
        _replace(self._engine, NAMES, user, rows, outdated)


class ScoreCache:
    """Mean log-likelihoods per token of texts after a prompt: each is computed once."""

    def __init__(self, engine: sa.Engine) -> None:
        """Create the table if it is not there."""
        self._engine = engine
        create_tables(engine)

    def means(
        self,
        fingerprint: str,
        prompt: str,
        texts: Sequence[str],
        score: Callable[[list[str]], Iterable[float]],
        user: str = ALL_USERS,
    ) -> NDArray[np.float64]:
        """The mean log-likelihood per token of each text.

        Args:
            fingerprint: that of the model.
            prompt: the text of the whole prompt.
            texts: the continuations; equal ones are scored once.
            score: computes the values of the texts that are not cached, in order.
            user: whose history the prompt holds; the user's rows for other prompts or texts are removed.

        Returns:
            Values of shape (len(texts),), in the order of `texts`.
        """
        keys = {text: key_of(fingerprint, f"{prompt}|{text}") for text in texts}
        columns = (SCORES.c.key, SCORES.c.value)
        wanted = list(keys.values())
        known = {str(key): float(value) for key, value in _rows(self._engine, SCORES, columns, user, wanted)}
        missing = [text for text, key in keys.items() if key not in known]
        if missing:
            new = {keys[text]: value for text, value in zip(missing, score(missing), strict=True)}
            rows = [{"user": user, "key": key, "value": value} for key, value in new.items()]
            outdated = [SCORES.c.key.not_in(list(known))] if user != ALL_USERS else []
            _replace(self._engine, SCORES, user, rows, outdated)
            known |= new
        return np.array([known[keys[text]] for text in texts])


def _rows(
    engine: sa.Engine, table: sa.Table, columns: Sequence[sa.Column[Any]], user: str, keys: Sequence[str]
) -> Iterator[Any]:  # Any: rows of the columns named
    """The rows of a user under these keys."""
    with engine.connect() as connection:
        for part in chunks(keys, _KEYS_PER_QUERY):
            chosen = sa.select(*columns).where(table.c.user == user, table.c.key.in_(part))
            yield from connection.execute(chosen)


def _replace(
    engine: sa.Engine,
    table: sa.Table,
    user: str,
    rows: Sequence[Mapping[str, object]],
    outdated: Sequence[sa.ColumnElement[bool]],
) -> None:
    """Store rows of a user, after the outdated ones and those under the same keys are removed."""
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        if outdated:
            connection.execute(sa.delete(table).where(table.c.user == user, *outdated))
        for part in chunks([row["key"] for row in rows], _KEYS_PER_QUERY):
            connection.execute(sa.delete(table).where(table.c.user == user, table.c.key.in_(part)))
        if rows:
            connection.execute(sa.insert(table), list(rows))


__all__ = ["ALL_USERS", "NAMES", "SCORES", "CachedNames", "NameCache", "ScoreCache", "key_of"]
