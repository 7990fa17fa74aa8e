"""Names that the model gave, kept per user: a group that did not change is not named again.

A name is found by the hash of the model's fingerprint and of the whole prompt, so it is never that of
another group, model or wording. The rows are the user's own and go when the user is forgotten.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import sqlalchemy as sa

from ...models.records import MAX_ID, Language
from ...vectorstore import METADATA, create_tables

NAMES = sa.Table(
    "interest_names",
    METADATA,
    sa.Column("user", sa.String(MAX_ID), primary_key=True),
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("confidence", sa.Float, nullable=False),
)
_KEYS_PER_QUERY = 500
NOBODY = ""
"""The owner of what is no user's: no id is empty."""

Known = Mapping[str, tuple[str, float]]
"""By key: what the model wrote, and its probability of the keyword."""


class NameStore(Protocol):
    """Where names are kept; none may be."""

    def known(self, user: str, keys: Sequence[str]) -> Known:
        """The names that are known."""

    def keep(self, user: str, language: Language, names: Known) -> None:
        """Keep these in place of the user's names in a language: what is no group any more goes."""


def key_of(fingerprint: str, prompt: str) -> str:
    """32 hex digits over the model and everything it was shown."""
    return hashlib.sha256(f"{fingerprint}|{prompt}".encode(errors="replace")).hexdigest()[:32]


class NameRows:
    """Names in the SQL database."""

    def __init__(self, engine: sa.Engine) -> None:
        """Create the table if it is not there."""
        self._engine = engine
        create_tables(engine)

    def known(self, user: str, keys: Sequence[str]) -> Known:
        """The names that are known, by key."""
        found: dict[str, tuple[str, float]] = {}
        with self._engine.connect() as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                chosen = (NAMES.c.user == user, NAMES.c.key.in_(keys[start : start + _KEYS_PER_QUERY]))
                rows = connection.execute(
                    sa.select(NAMES.c.key, NAMES.c.text, NAMES.c.confidence).where(*chosen)
                )
                found |= {str(key): (str(text), float(confidence)) for key, text, confidence in rows}
        return found

    def keep(self, user: str, language: Language, names: Known) -> None:
        """Keep these in place of the user's names in a language."""
        self._replace(user, language, names, NAMES.c.language == language)

    def add(self, user: str, language: Language, names: Known) -> None:
        """Keep these beside the names that are known."""
        self._replace(user, language, names, NAMES.c.key.in_(list(names)))

    def _replace(self, user: str, language: Language, names: Known, old: sa.ColumnElement[bool]) -> None:
        rows = [
            {"user": user, "key": key, "language": language, "text": text, "confidence": confidence}
            for key, (text, confidence) in names.items()
        ]
        with self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            connection.execute(sa.delete(NAMES).where(NAMES.c.user == user, old))
            if rows:
                connection.execute(sa.insert(NAMES), rows)


class TopicNames:
    """Names of the catalogue's topics, beside those of interests; they are nobody's and serve all users."""

    def __init__(self, rows: NameRows) -> None:
        """Keep them among `rows`, under an id that no user has."""
        self._rows = rows

    def known(self, user: str, keys: Sequence[str]) -> Known:
        """The names that are known."""
        return self._rows.known(NOBODY, keys)

    def keep(self, user: str, language: Language, names: Known) -> None:
        """Keep these too."""
        self._rows.add(NOBODY, language, names)
