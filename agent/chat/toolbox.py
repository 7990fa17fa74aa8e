"""The toolbox of a chat: every call is checked against what exists, carried out by code, and can be undone.

Nothing here asks a model what to do. Titles, numbers and reasons in an outcome come from the catalogue
and from runs, so that nothing can be invented, whatever an item's text says.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from ...models.errors import InputError
from ...models.records import Interest, Item, Language, Profile, Recommendation, Run
from ...models.text import clean
from ...vectorstore import compile_where
from ..messages import messages_for
from ..ranking import reciprocal_rank_fusion
from ..recommender import Recommender
from ..report import write_report
from ..store import reports_folder
from . import calls
from .answers import Answers
from .calls import Change, ChatState, Outcome, Shown
from .conditions import Missed, describe, merge
from .constraints import Understood, understand
from .vocabulary import Vocabulary

SIMILAR = 0.4
"""Cosine similarity from which an item counts as "like that": fewer of these are shown after "less"."""

_FAR = {"found": "far", "picks": "picks_far"}  # what is said where nothing is about the words
_RELATED = 0.25  # below it, a search hit that shares no word is a last resort
_MOST_SIMILAR = 50
_RUNS_LOOKED_AT = 5
_CHANGES_KEPT = 50
_NOT_INTERESTED_STARS = 2.0
_CONTENT = re.compile(r"[a-z]{4,}|[^\x00-\x7f]+")  # words of which sharing one says something
_BOUGHT = frozenset({"product"})
_UNREAD: tuple[tuple[int, int], Profile | None] = ((-1, -1), None)


class Toolbox:
    """Carries out the calls of one conversation of one user.

    `state` is where the conversation stands, `run` its last recommendations, `last` its last outcome;
    `heard` are the words that a misspelled message was taken to say, told with the next list.
    """

    def __init__(
        self, recommender: Recommender, user: str, language: Language, state: ChatState | None = None
    ) -> None:
        """`state` is where an earlier conversation ended."""
        self.recommender = recommender
        self.user = user
        self.words = messages_for(language, "chat")
        self.state = state or ChatState()
        self.run: Run | None = None
        self.last: Outcome | None = None
        self.heard: tuple[str, ...] = ()
        self._answers = Answers(self.words)
        self._vocabulary: tuple[str, Vocabulary] = ("", Vocabulary())
        self._profile = _UNREAD

    # --- what exists -----------------------------------------------------------------------------

    @property
    def vocabulary(self) -> Vocabulary:
        """The fields and values of the catalogue as it is now."""
        catalogue = self.recommender.catalogue
        fingerprint = catalogue.fingerprint
        if self._vocabulary[0] != fingerprint:
            self._vocabulary = (fingerprint, Vocabulary.of(catalogue.get(catalogue.ids())))
        return self._vocabulary[1]

    @property
    def shown(self) -> list[Item]:
        """The items of the numbered list."""
        return self.recommender.catalogue.get(self.state.shown)

    @property
    def profile(self) -> Profile | None:
        """The user's profile as it is now; None for one of whom nothing is known."""
        memory = self.recommender.memory
        moment = (memory.version, len(memory.edits(self.user)))
        if self._profile[0] != moment:
            known = memory.has_user(self.user)
            self._profile = (moment, self.recommender.profile(self.user) if known else None)
        return self._profile[1]

    @property
    def profile_read(self) -> Profile | None:
        """The profile as it was last read: naming it anew after every "I liked that" would take seconds."""
        return self.profile if self._profile is _UNREAD else self._profile[1]

    def interest(self, keyword: str) -> Interest:
        """The interest of that keyword; raises InputError if there is none."""
        for one in self.profile.interests if self.profile else ():
            if one.keyword == keyword:
                return one
        msg = f"there is no interest {clean(keyword, 60)!r}: show the profile to see which there are"
        raise InputError(msg)

    def conditions(self) -> str:
        """The conditions in force, numbered; empty if there are none."""
        language = self.words.language
        numbered = [
            f"{number}) {describe(rule, language)}" for number, rule in enumerate(self.state.rules, 1)
        ]
        return self.words.say("conditions", rules=" · ".join(numbered)) if numbered else ""

    # --- calls -----------------------------------------------------------------------------------

    def carry_out(self, call: calls.Call) -> Outcome:
        """Do what a call says and move the conversation on.

        Raises:
            InputError: it names an item or an interest that does not exist.
            TanquError: the recommender could not do it.
        """
        self._check(call)
        taken_back = self._undo().text if getattr(call, "instead", False) else ""
        outcome = self._work(call)
        state = outcome.state.model_copy(update={"last": call})
        # A corrected list stands for itself; what was remembered wrongly is said to be gone.
        text = f"{taken_back} {outcome.text}" if isinstance(call, calls.Feedback) else outcome.text
        self.last = outcome.model_copy(update={"state": state, "text": text.strip()})
        self.state = state
        return self.last

    def _work(self, call: calls.Call) -> Outcome:
        match call:
            case calls.Recommend():
                return self._recommend(call)
            case calls.Search():
                return self._search(call)
            case calls.Refine():
                return self._refine(call)
            case calls.Explain():
                return self._explain(call)
            case calls.Feedback():
                return self._feedback(call)
            case calls.ProfileCall():
                return self._change_profile(call)
            case calls.Report():
                return self._report(call)

    def _check(self, call: calls.Call) -> None:
        """Raise InputError unless every item and interest that a call names exists."""
        items: tuple[str, ...] = ()
        if isinstance(call, calls.Explain | calls.Feedback):
            items = call.items
        elif isinstance(call, calls.Refine) and call.item:
            items = (call.item,)
        for item in items:
            if item not in self.recommender.catalogue:
                msg = f"no item {clean(item, 60)!r} is in the catalogue: name one that was shown"
                raise InputError(msg)
        if isinstance(call, calls.ProfileCall) and call.do in ("mute", "pin", "forget"):
            self.interest(call.interest or "")

    def _recommend(self, call: calls.Recommend) -> Outcome:
        read = self._read(call.request)
        state = self._anew(read).model_copy(update={"like": (*read.like, *read.named)})
        return self._listed(state, read, call.count, "picks")

    def _search(self, call: calls.Search) -> Outcome:
        read = self._read(call.words)
        unknown = next((one.said for one in read.missed if one.reason == "no_title"), "")
        if unknown and not read.named:  # the closest to its words may still be of use
            missed = tuple(one for one in read.missed if one.said != unknown)
            read = replace(read, rules=(), wishes=unknown.strip("《》"), missed=missed)
            state = self._anew(read).model_copy(update={"by_search": True})
            return self._listed(state, read, call.count, "nearest", item=clean(unknown, 80))
        state = self._anew(read).model_copy(update={"by_search": True})
        return self._listed(state, read, call.count, "found", first=(*read.named, *read.like))

    def _anew(self, read: Understood) -> ChatState:
        """A new request: the conditions of the one before are gone, but what was to stay out stays out."""
        kept = [rule for rule in self.state.rules if rule.operator == "$nin"]
        rules = merge(kept, read.rules, read.lifted)
        return ChatState(rules=rules, request=read.wishes, changes=self._with_list())

    def _refine(self, call: calls.Refine) -> Outcome:
        read, old = self._read(call.words), self.state
        kept = [rule for number, rule in enumerate(old.rules, 1) if number not in call.drop]
        change: dict[str, object] = {
            "rules": merge(kept, read.rules, read.lifted),
            "request": " ".join(part for part in (old.request, read.wishes) if part),
            "changes": self._with_list(),
        }
        like = (call.item,) if call.item else read.like
        key = "found" if old.by_search else "picks"
        if call.do == "other":
            key = "other"
            change |= {"passed": (*old.passed, *old.shown)}
        elif call.do == "more" and like:
            key = "more"
            change |= {"like": like, "request": read.wishes, "by_search": False, "passed": ()}
        elif call.do == "less" and like:
            key = "less"
            change |= {"unlike": (*old.unlike, *like), "request": old.request, "by_search": False}
        return self._listed(old.model_copy(update=change), read, call.count, key)

    def _explain(self, call: calls.Explain) -> Outcome:
        items = self.recommender.catalogue.get(call.items)
        known = self.recommender.memory.consumed(self.user)
        if call.do == "compare" and len(items) > 1:
            texts = [self._answers.compared(items, self._last_run())]
        elif call.do == "about":
            texts = [self._answers.about(item, known=item.id in known) for item in items]
        else:
            texts = [self._why(call.do, item, known=item.id in known) for item in items]
        state = self.state.model_copy(update={"spoken_of": items[-1].id})
        return Outcome(text="\n".join(texts), state=state)

    def _why(self, do: str, item: Item, *, known: bool) -> str:
        """The reason of a pick; of what was not picked, or if it is asked why not, what kept it away."""
        run, pick = self._pick(item)
        if run and pick and do == "why":
            return self._answers.why(pick, run)
        if item.id in self.state.shown:
            place = self.state.shown.index(item.id) + 1
            return self.words.say("why_shown", item=self.words.title(item), rank=place)
        return self._answers.why_not(item, self.state.rules, self._last_run(), known=known)

    def _feedback(self, call: calls.Feedback) -> Outcome:
        items = self.recommender.catalogue.get(call.items)
        events = [self._event(item, call.do) for item in items]
        self.recommender.record(events)
        listed = self.words.listed([self.words.title(one) for one in items])
        ids = tuple(str(event["id"]) for event in events)
        change = Change(kind="events", events=ids, what=self.words.say(f"what_{call.do}", items=listed))
        update = {"changes": self._remember(change), "spoken_of": items[-1].id}
        text = self.words.say(f"did_{call.do}", items=listed) + self.words.say("can_undo")
        return Outcome(text=text, state=self.state.model_copy(update=update))

    def _event(self, item: Item, verdict: str) -> dict[str, object]:
        action, value = {
            "like": ("like", None),
            "dislike": ("dislike", None),
            "not_interested": ("rating", _NOT_INTERESTED_STARS),
            "seen": ("purchase" if item.kind in _BOUGHT else "view", None),
        }[verdict]
        id_ = f"chat-{uuid.uuid4().hex}"
        return {"id": id_, "user": self.user, "item": item.id, "action": action, "value": value}

    def _change_profile(self, call: calls.ProfileCall) -> Outcome:
        if call.do == "show":
            return Outcome(text=self._answers.profile(self.profile), state=self.state)
        if call.do == "undo":
            return self._undo()
        keyword = self.interest(call.interest or "").keyword
        change = {
            "mute": self.recommender.mute,
            "pin": self.recommender.pin,
            "forget": self.recommender.forget_interest,
        }[call.do]
        change(self.user, keyword)
        self._profile = _UNREAD
        changes = self._remember(
            Change(kind="edit", what=self.words.say(f"what_{call.do}", interest=keyword))
        )
        text = self.words.say(f"did_{call.do}", interest=keyword) + self.words.say("can_undo")
        return Outcome(text=text, state=self.state.model_copy(update={"changes": changes}))

    def _undo(self) -> Outcome:
        """Take back the last change of this conversation, or else the last one of the profile."""
        if not self.state.changes:
            return self._undo_profile("")
        change, rest = self.state.changes[-1], self.state.changes[:-1]
        self.state = self.state.model_copy(update={"changes": rest})
        if change.kind == "edit":
            return self._undo_profile(change.what)
        if change.before:
            return self._back(change.before.model_copy(update={"changes": rest}))
        self.recommender.memory.forget_events(self.user, change.events)
        return Outcome(text=self.words.say("undone", what=change.what), state=self.state)

    def _undo_profile(self, what: str) -> Outcome:
        edits = self.recommender.memory.edits(self.user)
        if not edits:
            return Outcome(text=self.words.say("nothing_to_undo"), state=self.state)
        self.recommender.undo(self.user)
        self._profile = _UNREAD
        last = self.words.say(f"what_{edits[-1].kind}", interest=edits[-1].payload.get("keyword", ""))
        return Outcome(text=self.words.say("undone", what=what or last), state=self.state)

    def _report(self, call: calls.Report) -> Outcome:
        run = self._last_run()
        if run is None:
            return Outcome(text=self.words.say("no_run"), state=self.state)
        folder = reports_folder(self.recommender.settings.home, self.user)
        path = write_report(run, folder / f"{run.created:%Y%m%d-%H%M%S}.{call.format}")
        return Outcome(text=self.words.say("report", file=path), state=self.state, file=str(path))

    def _with_list(self) -> tuple[Change, ...]:
        """The changes with the list that is about to be replaced, if there is one."""
        if not self.state.shown and not self.state.rules:
            return self.state.changes
        before = self.state.model_copy(update={"changes": (), "last": None})
        return self._remember(Change(kind="list", before=before))

    def _back(self, state: ChatState) -> Outcome:
        """The list and the conditions as they were, with the reasons that were given."""
        lines = []
        for item in self.recommender.catalogue.get(state.shown):
            _, pick = self._pick(item)
            lines.append(_line_of(pick) if pick and not state.by_search else Shown(item=item))
        self.state = state
        text = self.words.say("undone_list") + self._under(state)
        return Outcome(text=text, state=state, shown=tuple(lines))

    def _remember(self, change: Change) -> tuple[Change, ...]:
        return (*self.state.changes, change)[-_CHANGES_KEPT:]

    # --- lists -----------------------------------------------------------------------------------

    def _read(self, text: str) -> Understood:
        return understand(text, self.vocabulary, self.shown, date.today())

    def _listed(
        self,
        state: ChatState,
        read: Understood,
        count: int | None,
        key: str,
        *,
        first: Sequence[str] = (),
        item: str = "",
    ) -> Outcome:
        """Find the items of a state and say what was found, under which conditions, and what was missed."""
        n = count or calls.DEFAULT_COUNT
        shown = self._found(state, n, first) if state.by_search else self._picked(state, n)
        ids = tuple(one.item.id for one in shown)
        about = self.recommender.catalogue.get((state.unlike if key == "less" else state.like)[-1:])
        return Outcome(
            text=self._headline(state, len(shown), key, self.words.title(about[0]) if about else item),
            state=state.model_copy(update={"shown": ids, "spoken_of": None}),
            shown=tuple(shown),
            missed=tuple(self._missed(one) for one in read.missed),
            notes=tuple(self._notes(read, state)),
        )

    def _notes(self, read: Understood, state: ChatState) -> Iterator[str]:
        if self.heard:
            yield self.words.say("heard", words=self.words.listed(self.heard))
        if read.unseen and not state.by_search:
            yield self.words.say("unseen_holds")

    def _headline(self, state: ChatState, count: int, key: str, item: str) -> str:
        """What was found, with the conditions in force; or, where nothing passed, what could be given up."""
        if count:
            if key in _FAR and state.request and not self._is_near(state.request):
                key = _FAR[key]
            wish = clean(state.request, 60)
            return self.words.say(key, count=count, item=item, wish=wish) + self._under(state)
        rules = [describe(rule, self.words.language) for rule in state.rules]
        text = self.words.say("nothing")
        return text + (self.words.say("nothing_wider", rule=rules[-1], number=len(rules)) if rules else "")

    def _under(self, state: ChatState) -> str:
        rules = [describe(rule, self.words.language) for rule in state.rules]
        return self.words.say("under", rules=" · ".join(rules)) if rules else ""

    def _picked(self, state: ChatState, n: int) -> list[Shown]:
        """Recommendations with their reasons."""
        run = self.recommender.recommend(
            self.user, n=n, request=self._request(state), where=self._where(state)
        )
        self.run = run
        return [_line_of(one) for one in run.recommendations]

    def _request(self, state: ChatState) -> str:
        """What to recommend for, in words: what the liked items are about, and the wishes."""
        like = [
            " ".join((clean(item.title, 80).strip("《》"), *item.tags[:4]))
            for item in self.recommender.catalogue.get(state.like)
        ]
        request = " ".join(part for part in (*like, state.request) if part)
        if request or self.recommender.memory.has_user(self.user):
            return request
        # Of one of whom nothing is known, something has to be asked for.
        return str(self.words.table("tries_of")[self.recommender.settings.scenario][0])

    def _where(self, state: ChatState) -> dict[str, object] | None:
        """The conditions, and the items that are to stay away: passed over, or like what was too much."""
        catalogue = self.recommender.catalogue
        away = dict.fromkeys((*state.passed, *state.like, *state.unlike))
        for vector in catalogue.vectors(state.unlike):
            near = catalogue.search(vector, _MOST_SIMILAR)
            away |= {item: None for item, similarity in near if similarity >= SIMILAR}
        parts = [rule.where for rule in state.rules]
        if away:
            parts.append({"id": {"$nin": list(away)}})
        return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None

    def _found(self, state: ChatState, n: int, first: Sequence[str]) -> list[Shown]:
        """Search hits, those named by title first; without words, whatever passes the conditions."""
        catalogue = self.recommender.catalogue
        where = self._where(state)
        passes = compile_where(where)
        ids = [item.id for item in catalogue.get(first) if passes(item)]
        if state.request:
            ids += self._matching(state.request, 4 * n, where)
        elif state.rules:
            ids += sorted(catalogue.matching(where))
        seen = self.recommender.memory.consumed(self.user)
        chosen = list(dict.fromkeys(ids))[:n]
        return [Shown(item=item, seen=item.id in seen) for item in catalogue.get(chosen)]

    def _matching(self, words: str, n: int, where: dict[str, object] | None) -> list[str]:
        """Ids of items that share words or meaning, best first; where none do, the nearest by meaning."""
        catalogue = self.recommender.catalogue
        shared = catalogue.search_words(words, n, where=where)
        near = catalogue.search(catalogue.embed([words])[0], n, where=where)
        related = [hit for hit in near if hit[1] >= _RELATED]
        return reciprocal_rank_fusion((shared, related) if shared or related else (near,))

    def _is_near(self, words: str) -> bool:
        """Whether anything of the catalogue shares a word with these, or their meaning."""
        catalogue = self.recommender.catalogue
        nearest = catalogue.search(catalogue.embed([words])[0], 1)
        return bool(nearest and nearest[0][1] >= _RELATED) or bool(
            catalogue.search_words(" ".join(_CONTENT.findall(words.lower())), 1)
        )

    def _missed(self, one: Missed) -> str:
        currency = next(iter(sorted(self.vocabulary.currencies)), "?").upper()
        return self.words.say(f"missed_{one.reason}", said=clean(one.said, 80), currency=currency)

    def _pick(self, item: Item) -> tuple[Run | None, Recommendation | None]:
        """The latest run that recommended an item, with its place in it."""
        runs = [self.run] if self.run else []
        for run in [*runs, *reversed(self.recommender.memory.runs(self.user, _RUNS_LOOKED_AT))]:
            for pick in run.recommendations:
                if pick.item.id == item.id:
                    return run, pick
        return None, None

    def _last_run(self) -> Run | None:
        return self.run or self.recommender.memory.last_run(self.user)


def _line_of(pick: Recommendation) -> Shown:
    return Shown(
        item=pick.item,
        reason=pick.explanation.text,
        interest=pick.interest,
        score=pick.score,
        new_for_you=pick.new_for_you,
    )


__all__ = ["SIMILAR", "Toolbox"]
