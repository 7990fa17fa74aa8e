"""The model's likelihood of a title given nothing, kept per title and model: it never changes."""

import hashlib
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ...models.records import Language, Scenario
from ...prompts import Prompts
from ...vectorstore import METADATA, create_tables
from ..run_trace import RunTrace

PRIORS = sa.Table(
    "model_priors",
    METADATA,
    # A hash of model, prompt and title: nothing here says what anybody used.
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)
_KEYS_PER_QUERY = 500


class Priors:
    """Mean log-likelihoods per token, from the database where they are known."""

    def __init__(self, engine: sa.Engine) -> None:
        """Create the table if it is not there."""
        self._engine = engine
        create_tables(engine)

    def of(
        self,
        titles: Sequence[str],
        language: Language,
        scenario: Scenario,
        trace: RunTrace,
        prompts: Prompts,
    ) -> NDArray[np.float64]:
        """One value per title, in order; the model scores those that are missing. Needs a model."""
        prompt = prompts.render("likelihood", language, scenario=scenario, lines=[], request="")
        kind = f"{trace.model.fingerprint if trace.model else ''}|{prompt.text}"
        keys = [
            hashlib.sha256(f"{kind}|{title}".encode(errors="replace")).hexdigest()[:32] for title in titles
        ]
        known = self._known(keys)
        missing = list(
            dict.fromkeys(title for title, key in zip(titles, keys, strict=True) if key not in known)
        )
        if missing:
            scored = trace.score("prior", prompt, missing)
            by_title = {title: one.mean for title, one in zip(missing, scored, strict=True)}
            new = {key: by_title[title] for title, key in zip(titles, keys, strict=True) if title in by_title}
            self._keep(new)
            known |= new
        return np.array([known[key] for key in keys])

    def _known(self, keys: Sequence[str]) -> dict[str, float]:
        found: dict[str, float] = {}
        with self._engine.connect() as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                chosen = PRIORS.c.key.in_(keys[start : start + _KEYS_PER_QUERY])
                rows = connection.execute(sa.select(PRIORS.c.key, PRIORS.c.value).where(chosen))
                found |= {str(key): float(value) for key, value in rows}
        return found

    def _keep(self, values: dict[str, float]) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.delete(PRIORS).where(PRIORS.c.key.in_(list(values))))
            rows = [{"key": key, "value": value} for key, value in values.items()]
            connection.execute(sa.insert(PRIORS), rows)
