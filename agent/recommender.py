"""The recommender: events to profile, to candidates, to ranks, to reasons, in one place to read."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

from sqlalchemy import Engine

from ..models import records
from ..models.embedder import Embedder, SentenceEmbedder
from ..models.errors import InputError, NotFoundError
from ..models.language_model import LanguageModel
from ..models.records import Candidate, Event, Item, Profile
from ..prompts import Prompts
from ..vectorstore import Catalogue, Engagement, Progress, UpsertResult, compile_where, open_database
from .erasure import Owner
from .explanation import CoUsers, Ranking, Why, WhySource, find_item, why, with_counterfactuals
from .ingest import Enriched, Enricher
from .pipeline import Composer
from .profile import Change, Profiles, compare, newest, read_history
from .ranking import (
    Channels,
    EngagementCache,
    Ranker,
    everything,
    forget_engagement,
    one_per_story,
    recent,
    share_of,
    weights_in_force,
)
from .request import Asked, Where, as_events, check_count, unknown_user_message, user_request
from .run import Run
from .run_trace import RunTrace
from .settings import Settings, load_settings
from .store import EditKind, Forgotten, Memory, Priors, RecordResult

_NOW = datetime.max.replace(tzinfo=UTC)  # later than any event that says when
WhatIf = Literal["signals", "all"]


class Recommender:
    """Recommends items to people, says why, and shows what that rests on.

    One per home folder; use it in a `with` block, or close it.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        memory: Memory,
        priors: Priors,
        model: LanguageModel | None,
        settings: Settings,
        database: Engine | None = None,
    ) -> None:
        """Put the parts together; `open` does it for a home folder. `close` disposes of `database`."""
        self.catalogue = catalogue
        self.memory = memory
        self.model = model
        self.settings = settings
        self.prompts = Prompts(settings.prompts)
        self.weights, self.weights_file = weights_in_force(settings)
        self.priors = priors
        self._counts = EngagementCache(memory, catalogue, settings.home)
        self._profiles = Profiles(memory, catalogue, settings, self.prompts)
        self._database = database
        self._owner = Owner(memory, model, settings.home)

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
    ) -> "Recommender":
        """Open a home folder, made if it is not there.

        Without a model everything works, with plainer names and reasons, and every run says so;
        `tanqu.models.open_model` gives one. `rebuild` makes the vector index anew, which makes a home usable
        that is damaged or of another embedder, and has what other users did counted anew.

        Raises:
            CatalogueError: the folder cannot be used, or was made with another embedder.
        """
        chosen = settings or load_settings(home=home)
        engine = open_database(chosen.home)
        try:
            catalogue = Catalogue.open(
                chosen.home, embedder or SentenceEmbedder(), engine, rebuild=rebuild, progress=progress
            )
            memory = Memory(engine)
            if rebuild:
                forget_engagement(memory, chosen.home)
            return cls(catalogue, memory, Priors(engine), model, chosen, engine)
        except BaseException:
            engine.dispose()
            raise

    def add_items(self, items: Iterable[Item | Where], progress: Progress | None = None) -> UpsertResult:
        """Put items into the catalogue, or new versions of them; raises pydantic's ValidationError."""
        return self.catalogue.upsert((Item.model_validate(item) for item in items), progress)

    def enrich(self, progress: Progress | None = None) -> Enriched:
        """Have the model write keywords and a theme for every item: they are searched with its words.

        What was written before is not written again, so it can be stopped and goes on.

        Raises:
            InputError: there is no model.
        """
        enricher = Enricher(self.catalogue, self.memory.engine, self.settings, self.prompts)
        return enricher.run(RunTrace(self.model), progress)

    def record(self, events: Iterable[Event | Where]) -> RecordResult:
        """Remember events; those without an id get one, those without a time happened now."""
        return self.memory.record(as_events(events))

    def profile(self, user: str) -> Profile:
        """The user's interests as the events support them now.

        Raises:
            InputError: `user` cannot be anybody's id.
            NotFoundError: no event of this user is known.
        """
        user = user_request(user).user
        if not self.memory.has_user(user):
            raise NotFoundError(unknown_user_message(user))
        known = self._profiles.known(user)
        found = self._profiles.profile(user, self._profiles.history(known), "", RunTrace(self.model), known)
        self._profiles.keep(found)
        return found

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
            user: whose events count; without events the request decides, or else what is popular.
            n: how many, 1 to 100. Fewer come back only if fewer pass, and a note says so.
            request: what they ask for, in words.
            where: a filter on kind, tags and attributes, such as {"price": {"$lte": 50}}; it always holds.
            explore: the share of the list, 0 to 1, that is of topics the user has not touched yet; those
                picks come last and say what led to them (`new_for_you`). Default: as the settings say.
            what_if: to rank again without each thing that a reason cites: by the "signals" but the model's,
                which is quick, or by "all", where the model reads the other history anew.
            progress: is told how many of these rankings are done, and of how many.

        Raises:
            InputError: an argument cannot be used, or the catalogue is empty.
            NotFoundError: the user is unknown and nothing was asked for.
        """
        check_count(n)
        compile_where(where)  # a wrong filter is told before the model has worked
        new = share_of(n, self.settings.explore if explore is None else explore)
        asker = user_request(user, request)
        user, request = asker.user, asker.request
        if not len(self.catalogue):
            msg = f"the catalogue in {self.settings.home} is empty: add items with `tanqu index FILE`"
            raise InputError(msg)
        if not request and not self.memory.has_user(user):
            raise NotFoundError(unknown_user_message(user))
        trace = RunTrace(self.model)
        known = self._profiles.known(user)
        history = self._profiles.history(known)
        query = self._profiles.query(user, history, request, trace, known)
        self._profiles.keep(query.profile)
        engagement = self._counts.engagement(trace)
        with trace.stage("candidates"):
            channels = Channels(self.catalogue, engagement, query.history, query.profile, where)
            found = channels.find(request, max(self.settings.n_candidates, n), at_least=2 * n)
            if self.settings.scenario == "news":
                found = self._news(found, None if request or where else newest(known.events))
        if not len(history) and not request:
            trace.note("popular" if engagement.known else "no_order")
        ranker = Ranker(self.catalogue, engagement, self.weights, self.priors)
        asked = Asked(n, where, tuple(query.history.items), new)
        run = self._composer(ranker, CoUsers(self.memory, user)).compose(found, query, asked, trace)
        if what_if:
            model_scores = self.settings.model_scores
            apart = tuple(one.item for one in run.recommendations if one.new_for_you)
            used, listed = (*asked.used, *apart), n - len(apart)
            made = Ranking(
                ranker, found, query, run.candidates, history, known.edits, model_scores, used, listed
            )
            run = with_counterfactuals(run, made, trace, self.prompts, progress, by_model=what_if == "all")
        self.memory.save_run(run)
        return run

    def rank(
        self,
        history: Iterable[Event | Where],
        candidates: Iterable[Item | Where],
        request: str = "",
        n: int = 5,
    ) -> Run:
        """Rank given items by given events, neither of them in any database; nothing is stored.

        Events may name items among the candidates or carry words (`query`); those without a time happened
        now. `run.candidates` holds all items in order, of equal ids the last; what was consumed comes back
        here too, since it was asked for.

        Raises:
            InputError: `n` or the user of the events cannot be used.
            ValidationError: pydantic's, for an event or an item that is none.
        """
        check_count(n)
        events = sorted(as_events(history), key=lambda event: event.time or _NOW)
        items = [Item.model_validate(item) for item in candidates]
        asker = user_request(events[0].user if events else "guest", request)
        trace = RunTrace(self.model)
        with Catalogue.in_memory(items, self.catalogue.embedder) as catalogue:
            read = read_history(events, catalogue, self.settings)
            query = self._profiles.query(asker.user, read, asker.request, trace)
            found = everything(catalogue, catalogue.ids())
            ranker = Ranker(catalogue, Engagement.empty(), self.weights, self.priors)
            return self._composer(ranker).compose(found, query, Asked(n), trace)

    def why(self, user: str, item: str, not_: str | None = None) -> Why:
        """Why `item` (an id or a whole title) is or is not recommended, and why it and not the item `not_`.

        Answered from the user's last run if that still holds, else from a new one; no model is asked.

        Raises:
            NotFoundError: the user or an item is unknown.
        """
        for wanted in (item, not_):
            if wanted is not None:
                find_item(self.catalogue, wanted)
        run = self._current_run(user)
        return why(WhySource(run, self.memory.events(run.user), self.catalogue), item, not_)

    def event_titles(self, user: str) -> dict[str, str]:
        """What each of a user's events was about, by event id."""
        return {
            one.id: one.text
            for one in self._profiles.history(self._profiles.known(user_request(user).user)).shown()
        }

    # --- what the owner of a profile may do ------------------------------------------------------

    def mute(self, user: str, keyword: str) -> Profile:
        """Keep an interest out of every list; raises NotFoundError if there is none of that name."""
        return self._changed(user, "mute", keyword)

    def pin(self, user: str, keyword: str) -> Profile:
        """Keep an interest in the profile, with a weight that never falls below a floor."""
        return self._changed(user, "pin", keyword)

    def rename(self, user: str, keyword: str, new: str) -> Profile:
        """Call an interest by another name; raises InputError if it is taken or empty."""
        return self._changed(user, "rename", keyword, new)

    def forget_interest(self, user: str, keyword: str) -> Profile:
        """Have the events of an interest count no more, and its words out of caches and earlier versions.

        Their items still count as used. `undo` makes them count again.
        """
        return self._changed(user, "forget", keyword)

    def undo(self, user: str) -> Profile:
        """Take back the last change; raises NotFoundError if there is none."""
        self._owner.undo(user_request(user).user)
        return self.profile(user)

    def diff(self, user: str, before: datetime, after: datetime | None = None) -> tuple[Change, ...]:
        """What changed in the profile between two moments (default: until now)."""
        user = user_request(user).user
        now = self.memory.profile(user) if after is None else self.memory.profile_at(user, after)
        return compare(self.memory.profile_at(user, before), now)

    def export_user(self, user: str) -> dict[str, object]:
        """Everything of a user that cannot be computed again, as plain JSON values."""
        return self.memory.export_user(user_request(user).user)

    def import_user(self, data: object, *, replace: bool = False) -> str:
        """Take in an export and return its user; raises InputError if it is none, or the user is known."""
        return self.memory.import_user(data, replace=replace)

    def forget_user(self, user: str) -> Forgotten:
        """Remove everything of a user from every file, and every byte of it."""
        return self._owner.forget(user_request(user).user)

    def close(self) -> None:
        """Close the catalogue and the database. The model stays open: it was not opened here."""
        self.catalogue.close()
        if self._database is not None:
            self._database.dispose()

    def __enter__(self) -> "Recommender":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # --- the stages ------------------------------------------------------------------------------

    def _changed(self, user: str, kind: EditKind, keyword: str, new: str = "") -> Profile:
        self._owner.change(self.profile(user), kind, keyword, new)
        return self.profile(user)

    def _current_run(self, user: str) -> records.Run:
        """The last run of the user, unless events, edits or the catalogue are newer; else a new one."""
        last = self.memory.last_run(user)
        if last is not None:
            events = {event.id for event in self.memory.events(user)}
            same = events == {event.id for event in last.history}
            edited = any(edit.created >= last.created for edit in self.memory.edits(user))
            if same and not edited and last.fingerprints.get("catalogue") == self.catalogue.fingerprint:
                return last
        return self.recommend(user)

    def _news(self, found: Sequence[Candidate], now: datetime | None) -> list[Candidate]:
        """One item per story, and none that is old; without `now` nothing is."""
        fresh = recent(found, now)
        return one_per_story(fresh, self.catalogue.vectors([one.item.id for one in fresh]))

    def _composer(self, ranker: Ranker, others: CoUsers | None = None) -> Composer:
        name = self.weights_file.name if self.weights_file else "tanqu"
        return Composer(ranker, self.memory, self.prompts, self.settings, name, others)
