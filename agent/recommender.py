"""The recommender of one home folder: what a user of the library calls. The way to a run is in `pipeline.py`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from sqlalchemy import Engine

from ..models.embedder import Embedder, SentenceEmbedder
from ..models.errors import InputError, NotFoundError
from ..models.language_model import LanguageModel
from ..models.records import Event, Item, Profile
from ..prompts import Prompts
from ..vectorstore import Catalogue, Progress, UpsertResult, compile_where, open_database
from .erasure import Erasure
from .explanation import Why, WhySource, answer_why, find_item
from .ingest import Enriched, Enricher, build_events
from .pipeline import Pipeline
from .profile import InterestChange, Profiles, compare_profiles, edit_payload
from .ranking import EngagementCache, clear_engagement, exploration_count, weights_in_force
from .request import UserRequest, WhatIf, Where, unknown_user_message, user_request, valid_user
from .run import Run
from .run_trace import RunTrace
from .settings import Settings, load_settings
from .store import EditKind, Forgotten, Memory, RecordResult, ScoreCache, upgrade_home

Row = Mapping[str, object]
"""The fields of an item or an event, as a dictionary."""

_UNTIMED_LAST = datetime.max.replace(tzinfo=UTC)  # later than any event that says when


class Recommender:
    """Recommends items to users and shows what each recommendation rests on.

    Its model and settings never change: `view` gives one with others over the same home. Use it in a `with`
    block, or close it.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        memory: Memory,
        priors: ScoreCache,
        model: LanguageModel | None,
        settings: Settings,
        database: Engine | None = None,
    ) -> None:
        """Put the parts together; `open` does it for a home folder.

        Args:
            catalogue: the items.
            memory: events, profiles, edits and runs of all users.
            priors: the cached likelihoods of titles.
            model: writes names and reasons and takes part in the ranking; None works without.
            settings: those in force.
            database: is disposed of by `close`, if given.
        """
        prompts = Prompts(settings.prompts)
        weights, file = weights_in_force(settings)
        self._pipeline = Pipeline(
            catalogue=catalogue,
            memory=memory,
            priors=priors,
            engagement=EngagementCache(memory, catalogue, settings.home),
            profiles=Profiles(memory, catalogue, settings, prompts),
            prompts=prompts,
            settings=settings,
            model=model,
            weights=weights,
            weights_name=file.name if file else "tanqu",
        )
        self._database = database
        self._owns_home = True

    @classmethod
    def open(
        cls,
        home: str | Path | None = None,
        *,
        model: LanguageModel | None = None,
        embedder: Embedder | None = None,
        settings: Settings | None = None,
        rebuild: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Open a home folder; it is made if it is not there.

        Args:
            home: the folder; by default that of the settings.
            model: a language model (`tanqu.open_model`). Without one everything works, with plainer names and
                reasons, and every run says so.
            embedder: makes the vectors; by default the sentence encoder that comes along.
            settings: by default those of `load_settings`.
            rebuild: whether to build the vector index and the engagement counts again, which makes a home
                usable that is damaged or of another embedder.
            progress: is called with the items done and their number while an index is built.

        Returns:
            The recommender of this home.

        Raises:
            CatalogueError: the folder cannot be used, or was made with another embedder.
        """
        chosen = settings or load_settings(home=home)
        engine = open_database(chosen.home)
        try:
            upgrade_home(engine, chosen.home)
            catalogue = Catalogue.open(
                chosen.home, embedder or SentenceEmbedder(), engine, rebuild=rebuild, progress=progress
            )
            memory = Memory(engine, chosen.runs_kept)
            if rebuild:
                clear_engagement(memory, chosen.home)
            return cls(catalogue, memory, ScoreCache(engine), model, chosen, engine)
        except BaseException:
            engine.dispose()
            raise

    def view(
        self,
        *,
        model: LanguageModel | Literal["same"] | None = "same",
        settings: Settings | None = None,
    ) -> "Recommender":
        """The same home with another model or other settings; this one stays as it is.

        Args:
            model: the other model, or None for none.
            settings: the other settings; their home must be this one.

        Returns:
            A recommender whose `close` closes nothing: it is usable while this one is open.

        Raises:
            InputError: the settings are of another home, or name a file that cannot be used.
        """
        chosen = settings or self.settings
        if chosen.home != self.settings.home:
            msg = f"the settings are of {chosen.home}, but the recommender is of {self.settings.home}"
            raise InputError(msg)
        seen = Recommender(
            self.catalogue,
            self.memory,
            self._pipeline.priors,
            self.model if model == "same" else model,
            chosen,
        )
        seen._pipeline = replace(seen._pipeline, engagement=self._pipeline.engagement)  # counted once for all
        seen._owns_home = False
        return seen

    @property
    def pipeline(self) -> Pipeline:
        """The stages, with everything that they work with."""
        return self._pipeline

    @property
    def catalogue(self) -> Catalogue:
        """The items."""
        return self._pipeline.catalogue

    @property
    def memory(self) -> Memory:
        """Events, profiles, edits and runs of all users."""
        return self._pipeline.memory

    @property
    def model(self) -> LanguageModel | None:
        """The language model, if there is one."""
        return self._pipeline.model

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._pipeline.settings

    def add_items(self, items: Iterable[Item | Row], progress: Progress | None = None) -> UpsertResult:
        """Put items into the catalogue, or new versions of them; raises pydantic's ValidationError."""
        return self.catalogue.upsert((Item.model_validate(item) for item in items), progress)

    def enrich(self, progress: Progress | None = None) -> Enriched:
        """Have the model write keywords and a theme for every item, by which it can be searched too.

        Items that have them already are passed over, so an interrupted call continues.

        Returns:
            How many items were enriched, and how many could not be.

        Raises:
            InputError: there is no model.
        """
        enricher = Enricher(self.catalogue, self.memory.engine, self.settings, self._pipeline.prompts)
        return enricher.run(self.model, progress)

    def record(self, events: Iterable[Event | Row]) -> RecordResult:
        """Store events; those without an id get one, those without a time happened now."""
        return self.memory.record(build_events(events))

    def profile(self, user: str) -> Profile:
        """The user's interests as the events support them now.

        Returns:
            The profile, which is stored as a new version if it changed.

        Raises:
            InputError: `user` cannot be an id.
            NotFoundError: no event of this user is known.
        """
        user = valid_user(user)
        if not self.memory.has_user(user):
            raise NotFoundError(unknown_user_message(user))
        profiles = self._pipeline.profiles
        known = profiles.load(user)
        profile = profiles.profile(user, profiles.history(known), "", RunTrace(self.model), known)
        profiles.keep(profile)
        return profile

    def recommend(
        self,
        user: str,
        n: int = 5,
        request: str = "",
        where: Where | None = None,
        explore: float | None = None,
        *,
        what_if: WhatIf | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """The `n` best unseen items for a user (or for a request), each with its reason.

        Args:
            user: whose events count; without events the request decides, or else popularity.
            n: how many, 1 to 100. Fewer come back only if fewer pass, and a note says so.
            request: what they ask for, in words.
            where: a filter on kind, tags and attributes, such as {"price": {"$lte": 50}}; it always holds.
            explore: the share of the list, 0 to 1, that is of topics the user has not touched yet; those
                picks come last and name what led to them (`new_for_you`). Default: as the settings say.
            what_if: rank again without each history item that a reason cites: by the "signals" but the
                model's, which is quick, or by "all", where the model reads the other history again.
            progress: is called with the counterfactual rankings done and their number.

        Returns:
            The run: picks in order, candidates, profile, and all that they rest on. It is stored.

        Raises:
            InputError: an argument cannot be used, or the catalogue is empty.
            NotFoundError: the user is unknown and nothing was asked for.
        """
        compile_where(where)  # a wrong filter is an error before the model has worked
        n_new = exploration_count(n, self.settings.explore if explore is None else explore)
        asked = user_request(user, request, n, where, n_new, what_if)
        self._check_known(asked)
        return self._pipeline.recommend(asked, progress)

    def rank(
        self,
        history: Iterable[Event | Row],
        candidates: Iterable[Item | Row],
        request: str = "",
        n: int = 5,
    ) -> Run:
        """Rank given items by given events, neither of them in any database; no run or profile is stored.

        Args:
            history: events in any order; they may name items among the candidates or carry words (`query`),
                and those without a time happened now.
            candidates: the items; of equal ids the last counts. Used items may come back: they were asked for.
            request: what is asked for, in words.
            n: how many picks, 1 to 100.

        Returns:
            The run; its `candidates` hold all items, best first.

        Raises:
            InputError: `n` or the user of the events cannot be used.
            ValidationError: pydantic's, for an event or an item that is none.
        """
        events = sorted(build_events(history), key=lambda event: event.time or _UNTIMED_LAST)
        items = [Item.model_validate(item) for item in candidates]
        return self._pipeline.rank(
            user_request(events[0].user if events else "guest", request, n), events, items
        )

    def why(self, user: str, item: str, not_: str | None = None) -> Why:
        """Why `item` is or is not recommended, and why it and not the item `not_`.

        Args:
            user: the user.
            item: an id, or a whole title.
            not_: another item to compare it with.

        Returns:
            The answer, from the last run (without the model) or, if events or items are newer, from a new one.

        Raises:
            NotFoundError: the user or an item is unknown.
        """
        for wanted in (item, not_):
            if wanted is not None:
                find_item(self.catalogue, wanted)
        run = self.memory.current_run(user, self.catalogue.fingerprint) or self.recommend(user)
        return answer_why(WhySource(run, self.memory.events(run.user), self.catalogue), item, not_)

    def mute(self, user: str, keyword: str) -> Profile:
        """Keep an interest out of every list; raises NotFoundError if there is none of that name."""
        return self._edit_profile(user, "mute", keyword)

    def pin(self, user: str, keyword: str) -> Profile:
        """Keep an interest in the profile, with a weight that never falls below a floor."""
        return self._edit_profile(user, "pin", keyword)

    def rename(self, user: str, keyword: str, new: str) -> Profile:
        """Call an interest by another name.

        Args:
            user: the user.
            keyword: the present name, a part of it, or its number.
            new: the new name.

        Returns:
            The profile with the new name.

        Raises:
            InputError: the new name is taken or empty.
            NotFoundError: there is no such interest.
        """
        return self._edit_profile(user, "rename", keyword, new)

    def forget_interest(self, user: str, keyword: str) -> Profile:
        """Have its events count no more (until `undo`), and remove its name and what cites it for good."""
        return self._edit_profile(user, "forget", keyword)

    def undo(self, user: str) -> Profile:
        """Take back the last change; raises NotFoundError if there is none."""
        self.memory.undo(valid_user(user))
        return self.profile(user)

    def diff(self, user: str, before: datetime, after: datetime | None = None) -> tuple[InterestChange, ...]:
        """What changed in the profile between two moments.

        Args:
            user: the user.
            before: the earlier moment.
            after: the later one; by default now.

        Returns:
            The interests that came, went, grew or shrank.
        """
        user = valid_user(user)
        now = self.memory.profile(user) if after is None else self.memory.profile_at(user, after)
        return compare_profiles(self.memory.profile_at(user, before), now)

    def export_user(self, user: str) -> dict[str, object]:
        """Events, edits in force and the newest profile of a user, as plain JSON values."""
        return self.memory.export_user(valid_user(user))

    def import_user(self, data: object, *, replace: bool = False) -> str:
        """Take in an export and return its user; raises InputError if it is none, or the user is known."""
        return self.memory.import_user(data, replace=replace)

    def forget_user(self, user: str) -> Forgotten:
        """Remove everything of a user from the home and the caches; reports saved elsewhere stay."""
        return self._erasure().forget_user(valid_user(user))

    def close(self) -> None:
        """Close the catalogue and the database. The model stays open: it was not opened here."""
        if self._owns_home:
            self.catalogue.close()
            if self._database is not None:
                self._database.dispose()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close."""
        self.close()

    def _check_known(self, request: UserRequest) -> None:
        if not len(self.catalogue):
            msg = f"the catalogue in {self.settings.home} is empty: add items with `tanqu index FILE`"
            raise InputError(msg)
        if not request.words and not self.memory.has_user(request.user):
            raise NotFoundError(unknown_user_message(request.user))

    def _erasure(self) -> Erasure:
        return Erasure(self.memory, self.model, self.settings.home)

    def _edit_profile(self, user: str, kind: EditKind, keyword: str, new: str = "") -> Profile:
        profile = self.profile(user)
        edit = self.memory.add_edit(profile.user, kind, edit_payload(profile, kind, keyword, new))
        if kind == "forget":
            self._erasure().forget_interest(profile.user, edit)
        return self.profile(user)
