"""What the model said while weights were fitted, kept per user: an interrupted `tanqu tune` goes on from there.

The rows are the user's own and go when they, or any of their events, are forgotten.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from ...models.language_model import LanguageModel, Prompt, Scored
from ...models.records import MAX_ID
from ...vectorstore import METADATA, create_tables
from ..run_trace import RunTrace
from .name_cache import key_of

TUNED = sa.Table(
    "tuned_likelihoods",
    METADATA,
    sa.Column("user", sa.String(MAX_ID), primary_key=True),
    sa.Column("key", sa.String(32), primary_key=True),  # a hash of model, prompt and title
    sa.Column("value", sa.Float, nullable=False),
)


class CachedRunTrace(RunTrace):
    """A trace that asks the model about titles after a user's history once, however often weights are fitted."""

    def __init__(self, model: LanguageModel, engine: sa.Engine, user: str) -> None:
        """Keep rows for `user`; the table is created if it is not there."""
        super().__init__(model)
        self._engine, self._user = engine, user
        create_tables(engine)

    def score(self, stage: str, prompt: Prompt, texts: Sequence[str]) -> list[Scored]:
        """As any trace; of the stage "ranking" the means, from the rows if they hold every title."""
        if stage != "ranking":
            return super().score(stage, prompt, texts)
        fingerprint = self._require_model().fingerprint
        keys = [key_of(fingerprint, f"{prompt.text}{text}") for text in texts]
        known = self._known()
        if not all(key in known for key in keys):
            known = {
                key: one.mean for key, one in zip(keys, super().score(stage, prompt, texts), strict=True)
            }
            self._keep(known)
        return [Scored((known[key],)) for key in keys]

    def _known(self) -> dict[str, float]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(TUNED.c.key, TUNED.c.value).where(TUNED.c.user == self._user))
            return {str(key): float(value) for key, value in rows}

    def _keep(self, values: dict[str, float]) -> None:
        """Keep these in place of the user's rows: of another history, or other titles, they serve no more."""
        rows = [{"user": self._user, "key": key, "value": value} for key, value in values.items()]
        with self._engine.begin() as connection:
            connection.execute(sa.delete(TUNED).where(TUNED.c.user == self._user))
            connection.execute(sa.insert(TUNED), rows)


__all__ = ["TUNED", "CachedRunTrace"]
