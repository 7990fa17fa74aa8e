"""What the model understands of items: a few keywords and a theme each, for search and for reports.

Off unless asked for (`tanqu index --enrich`): with a small model it helps requests in words that items lack,
and makes ranking by a history a little worse (docs/your-data.md has the figures). The text of an item is data:
what it says may colour its own keywords and no other item's, since each is read alone.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from pydantic import Field, ValidationError

from ...models.errors import InputError
from ...models.language_model import Constraint, LanguageModel, Limits, Prompt
from ...models.records import Enrichment, Item, Language, Record
from ...models.text import clean, language_of
from ...prompts import Prompts, item_line
from ...vectorstore import METADATA, Catalogue, Progress, chunks, create_tables
from ..settings import Settings
from ..store import key_of

BATCH = 16
"""Items that the model reads together: what was read of them is kept when the rest is interrupted."""

_TEXT = 200  # characters of an item's text that the model reads beside its title and tags
_LIMITS = Limits(max_tokens=64, priority=9)
_WRITTEN = sa.Table(
    "enrichments_written",
    METADATA,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)


class _English(Record):
    keywords: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 '\-]{2,24}$")], ...],
        Field(min_length=2, max_length=3),
    ]
    theme: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 &'\-]{2,24}$")]


class _Chinese(Record):
    keywords: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[\u4e00-\u9fffA-Za-z0-9·]{2,8}$")], ...],
        Field(min_length=2, max_length=3),
    ]
    theme: Annotated[str, Field(pattern=r"^[\u4e00-\u9fffA-Za-z0-9·]{2,8}$")]


_Form = _English | _Chinese
_FORMS: dict[Language, type[_Form]] = {"en": _English, "zh": _Chinese}


@dataclass(frozen=True)
class Enriched:
    """How many items have keywords now, how many of these are new, and how many the model failed at."""

    items: int
    new: int
    failed: int


class Enricher:
    """Has the model write about items, and keeps what it wrote under a hash of all that it was shown."""

    def __init__(
        self, catalogue: Catalogue, database: sa.Engine, settings: Settings, prompts: Prompts
    ) -> None:
        """Create the table if it is not there.

        Args:
            catalogue: the items, which get the keywords.
            database: holds what was written, by a hash of the model and the prompt.
            settings: the language and the scenario of the prompts.
            prompts: the templates.
        """
        self._catalogue, self._engine = catalogue, database
        self._settings, self._prompts = settings, prompts
        create_tables(database)

    def run(self, model: LanguageModel | None, progress: Progress | None = None) -> Enriched:
        """Enrich the whole catalogue; what was written before is not written again, so it can be stopped.

        Returns:
            How many items have keywords now, how many of these are new, and how many the model failed at.

        Raises:
            InputError: there is no model.
            CatalogueError: another process is writing.
        """
        if model is None:
            msg = (
                "items are understood by a language model: run `tanqu models fetch NAME` "
                "(`tanqu models list` says which), or name one with --model"
            )
            raise InputError(msg)
        ids = self._catalogue.ids()
        done = have = new = 0
        for part in chunks(ids, BATCH):
            items = self._catalogue.get(part)
            found = self._understood(items, model)
            before = self._catalogue.enrichments(part)
            fresh = [
                (one, found[one.id]) for one in items if found.get(one.id) not in (None, before.get(one.id))
            ]
            new += self._catalogue.enrich(fresh) if fresh else 0
            done, have = done + len(part), have + len(found)
            if progress is not None:
                progress(done, len(ids))
        return Enriched(have, new, done - have)

    def _understood(self, items: Sequence[Item], model: LanguageModel) -> dict[str, Enrichment]:
        """What was or is now written about these items, by id; an answer without an end is left out."""
        languages = {one.id: self._language(one) for one in items}
        prompts = {one.id: self._prompt(one, languages[one.id]) for one in items}
        forms = {id_: _FORMS[language] for id_, language in languages.items()}
        keys = {id_: _key(model, prompt, forms[id_]) for id_, prompt in prompts.items()}
        written = self._known(list(keys.values()))
        for language, form in _FORMS.items():
            missing = {keys[id_]: prompts[id_] for id_, own in languages.items() if own == language}
            missing = {key: prompt for key, prompt in missing.items() if key not in written}
            written |= self._write(missing, form, model)
        return {id_: _read(forms[id_], written[key]) for id_, key in keys.items() if key in written}

    def _language(self, item: Item) -> Language:
        chosen = self._settings.language
        return language_of([item.content]) if chosen == "auto" else chosen

    def _prompt(self, item: Item, language: Language) -> Prompt:
        shown = " | ".join(part for part in (item_line(item), clean(item.text, _TEXT)) if part)
        return self._prompts.render("enrich", language, scenario=self._settings.scenario, item=shown)

    def _write(
        self, missing: Mapping[str, Prompt], form: type[_Form], model: LanguageModel
    ) -> dict[str, str]:
        """What the model writes for each prompt, kept at once."""
        if not missing:
            return {}
        results, _ = model.generate_many(
            list(missing.values()), constraint=Constraint(schema=form), limits=_LIMITS
        )
        found = {}
        for key, one in zip(missing, results, strict=True):
            with contextlib.suppress(ValidationError):  # cut off by the limit of tokens
                _read(form, one.text)
                found[key] = one.text
        if found:
            with self._engine.begin() as connection:
                # Another process may have written the same meanwhile.
                connection.execute(sa.delete(_WRITTEN).where(_WRITTEN.c.key.in_(list(found))))
                rows = [{"key": key, "text": text} for key, text in found.items()]
                connection.execute(sa.insert(_WRITTEN), rows)
        return found

    def _known(self, keys: Sequence[str]) -> dict[str, str]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_WRITTEN).where(_WRITTEN.c.key.in_(keys)))
            return {row.key: row.text for row in rows}


def _key(model: LanguageModel, prompt: Prompt, form: type[_Form]) -> str:
    """A hash of the model, of all that it is shown, and of what its answer must look like."""
    return key_of(f"{model.fingerprint}|{form.model_json_schema()}", prompt.text)


def _read(form: type[_Form], text: str) -> Enrichment:
    """The model's answer without repetitions; raises ValidationError if it is none."""
    found = form.model_validate_json(text)
    keywords = dict.fromkeys(" ".join(one.split()).casefold() for one in found.keywords)
    return Enrichment(keywords=tuple(keywords), theme=" ".join(found.theme.split()))


__all__ = ["BATCH", "Enriched", "Enricher"]
