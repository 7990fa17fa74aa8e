"""The recommender: events to profile, to candidates, to ranks, to reasons, in one place to read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from ..models.embedder import Embedder, SentenceEmbedder
from ..models.errors import InputError, NotFoundError
from ..models.llm import LanguageModel
from ..models.records import Candidate, Event, Explanation, Item, Language, Profile, Ranked, Recommendation
from ..prompts import Prompts
from ..vectorstore.catalogue import Catalogue, UpsertResult
from ..vectorstore.database import open_database
from ..vectorstore.engagement import Engagement
from ..vectorstore.indexing import Progress
from .candidates import Channels, everything
from .explain import Explainer
from .files import EventBuilder
from .history import History, language_of, read_history
from .ledger import Ledger
from .memory import Memory, RecordResult
from .others import engagement_of
from .priors import Priors
from .profile import build_profile
from .ranking import Query, Ranker, load_weights
from .run import Run
from .selection import select
from .settings import Settings, load_settings, newest

MAX_PICKS = 100
Where = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """How many picks, under which filter, and the items that were used before."""

    n: int
    where: Where | None = None
    used: tuple[Item, ...] = ()


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
    ) -> None:
        """Put the parts together; `open` does it for a home folder."""
        self.catalogue = catalogue
        self.memory = memory
        self.model = model
        self.settings = settings
        self.prompts = Prompts(settings.prompts)
        self._weights = load_weights(settings.signal_weights)
        self._priors = priors

    @classmethod
    def open(
        cls,
        home: str | Path | None = None,
        *,
        model: LanguageModel | None = None,
        embedder: Embedder | None = None,
        settings: Settings | None = None,
    ) -> "Recommender":
        """Open a home folder, made if it is not there.

        Without a model everything works, with plainer names and reasons, and every run says so;
        `tanqu.models.open_model` gives one.

        Raises:
            CatalogueError: the folder cannot be used, or was made with another embedder.
        """
        chosen = settings or load_settings(home=home)
        engine = open_database(chosen.home)
        catalogue = Catalogue.open(chosen.home, embedder or SentenceEmbedder(), engine)
        return cls(catalogue, Memory(engine), Priors(engine), model, chosen)

    def add_items(self, items: Iterable[Item | Where], progress: Progress | None = None) -> UpsertResult:
        """Put items into the catalogue, or new versions of them; raises pydantic's ValidationError."""
        return self.catalogue.upsert((Item.model_validate(item) for item in items), progress)

    def record(self, events: Iterable[Event | Where]) -> RecordResult:
        """Remember events; those without an id get one, those without a time happened now."""
        return self.memory.record(_events(events))

    def profile(self, user: str) -> Profile:
        """The user's interests as the events support them now.

        Raises:
            NotFoundError: no event of this user is known.
        """
        if not self.memory.has_user(user):
            raise NotFoundError(_unknown(user))
        history = self._history(self.memory.events(user))
        found = self._profile(user, history, "", Ledger(self.model), self.memory.profile(user))
        self._keep(found)
        return found

    def recommend(self, user: str, n: int = 5, request: str = "", where: Where | None = None) -> Run:
        """The `n` best unseen items for a user (or for a request), each with its reason.

        Args:
            user: whose events count; without events the request decides, or else what is popular.
            n: how many, 1 to 100. Fewer come back only if fewer pass, and a note says so.
            request: what they ask for, in words.
            where: a filter on kind, tags and attributes, such as {"price": {"$lte": 50}}; it always holds.

        Raises:
            InputError: `n` or `where` is wrong, or the catalogue is empty.
            NotFoundError: the user is unknown and nothing was asked for.
        """
        _check(n)
        if not len(self.catalogue):
            msg = f"the catalogue in {self.settings.home} is empty: add items with `tanqu index FILE`"
            raise InputError(msg)
        if not request.strip() and not self.memory.has_user(user):
            raise NotFoundError(_unknown(user))
        ledger = Ledger(self.model)
        history = self._history(self.memory.events(user))
        query = self._query(user, history, request, ledger, self.memory.profile(user))
        self._keep(query.profile)
        engagement = engagement_of(self.memory, self.catalogue, self.settings.home, ledger)
        with ledger.stage("candidates"):
            channels = Channels(self.catalogue, engagement, query.history, query.profile, where)
            found = channels.find(request, self.settings.n_candidates)
        ranker = Ranker(self.catalogue, engagement, self._weights, self._priors)
        run = self._finish(ranker, found, query, Asked(n, where, tuple(query.history.items)), ledger)
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

        Events may name items among the candidates or carry words (`query`). `run.candidates` holds all
        items in order; what was consumed comes back here too, since it was asked for.
        """
        _check(n)
        events = _events(history)
        items = [Item.model_validate(item) for item in candidates]
        ledger = Ledger(self.model)
        with Catalogue.in_memory(items, self.catalogue.embedder) as catalogue:
            read = self._read(events, catalogue)
            user = events[0].user if events else "guest"
            query = self._query(user, read, request, ledger)
            found = everything(catalogue, [item.id for item in items])
            ranker = Ranker(catalogue, Engagement.empty(), self._weights, self._priors)
            return self._finish(ranker, found, query, Asked(n), ledger)

    def event_titles(self, user: str) -> dict[str, str]:
        """What each of a user's events was about, by event id."""
        return {one.id: one.text for one in self._history(self.memory.events(user)).shown()}

    def close(self) -> None:
        """Close the catalogue. The model stays open: it was not opened here."""
        self.catalogue.close()

    def __enter__(self) -> "Recommender":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # --- the stages ------------------------------------------------------------------------------

    def _history(self, events: Sequence[Event]) -> History:
        return self._read(events, self.catalogue)

    def _read(self, events: Sequence[Event], catalogue: Catalogue) -> History:
        ids = list(dict.fromkeys(event.item for event in events if event.item is not None))
        items = {item.id: item for item in catalogue.get(ids)}
        return read_history(events, items, catalogue, self.settings)

    def _keep(self, profile: Profile) -> None:
        """Save a profile as a new version if it is one."""
        if profile != self.memory.profile(profile.user):
            self.memory.save_profile(profile)

    def _profile(
        self, user: str, history: History, request: str, ledger: Ledger, known: Profile | None = None
    ) -> Profile:
        unknown = sum(1 for entry in history.entries if not entry.content)
        if unknown:
            ledger.note(f"{unknown} events are about items that the catalogue does not have")
        language = self._language(history, request)
        return build_profile(user, history, language, ledger, self.prompts, known)

    def _language(self, history: History, request: str) -> Language:
        if self.settings.language != "auto":
            return self.settings.language
        return language_of([request] if request else [entry.content for entry in history.entries[-50:]])

    def _query(
        self, user: str, history: History, request: str, ledger: Ledger, known: Profile | None = None
    ) -> Query:
        profile = self._profile(user, history, request, ledger, known)
        moment = newest([entry.event for entry in history.entries])
        return Query(history, profile, request, self.settings.scenario, moment)

    def _finish(
        self, ranker: Ranker, found: Sequence[Candidate], query: Query, asked: Asked, ledger: Ledger
    ) -> Run:
        """Rank, pick, explain, and put the run together."""
        catalogue, history, profile = ranker.catalogue, query.history, query.profile
        ranked = ranker.rank(found, query, ledger, self.prompts, self.settings.model_scores)
        picks = select(ranked, profile, asked.used, asked.n)
        _note_shortfall(asked.n, len(picks), query, ledger)
        explainer = Explainer(catalogue, self.prompts)
        reasons = explainer.explain(picks, profile, history, self.settings.scenario, ledger)
        return Run(
            user=profile.user,
            request=query.request,
            scenario=self.settings.scenario,
            created=datetime.now(UTC),
            profile=profile,
            recommendations=tuple(
                _picked(place, pick, why)
                for place, (pick, why) in enumerate(zip(picks, reasons, strict=True), 1)
            ),
            candidates=tuple(ranked),
            history=history.shown(),
            where=dict(asked.where or {}),
            weights=dict(self._weights.weights),
            calls=tuple(ledger.calls),
            seconds=ledger.seconds,
            fingerprints=self._fingerprints(catalogue, profile.language),
            notes=tuple(ledger.notes),
        )

    def _fingerprints(self, catalogue: Catalogue, language: Language) -> dict[str, str]:
        model = f"{self.model.name} ({self.model.fingerprint})" if self.model else "none"
        return {
            "model": model,
            "prompts": self.prompts.fingerprint(language),
            "embedder": f"{catalogue.embedder.name} ({catalogue.embedder.fingerprint[:12]})",
            "catalogue": catalogue.fingerprint,
        }


def _note_shortfall(wanted: int, found: int, query: Query, ledger: Ledger) -> None:
    if found < wanted:
        ledger.note(f"{wanted} items were asked for and {found} passed: everything else is seen or filtered")
    if not len(query.history) and not query.request:
        ledger.note("no events and no request: these are the most popular items")


def _picked(place: int, pick: Ranked, why: Explanation) -> Recommendation:
    return Recommendation(
        rank=place,
        item=pick.candidate.item,
        score=pick.score,
        signals=pick.signals,
        interest=pick.candidate.interest,
        explanation=why,
        rank_without_model=pick.rank_without_model,
    )


def _events(rows: Iterable[Event | Where]) -> list[Event]:
    build = EventBuilder()
    return [row if isinstance(row, Event) else build(dict(row)) for row in rows]


def _check(n: int) -> None:
    if not 1 <= n <= MAX_PICKS:
        msg = f"{n} recommendations cannot be given: ask for 1 to {MAX_PICKS}"
        raise InputError(msg)


def _unknown(user: str) -> str:
    return f"no events of user {user!r} are known: record some with `tanqu ingest FILE`, or give a request"
