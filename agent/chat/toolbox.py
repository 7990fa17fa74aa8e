"""The tools of a chat: every call is checked against what exists, executed by code, and can be undone.

No model decides anything here. Titles, numbers and reasons in an outcome come from the catalogue and from
runs, so that nothing can be invented, whatever the text of an item says (prompt injection).
"""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from ...models.errors import InputError
from ...models.records import Interest, Item, Language, Profile, Recommendation, Run
from ...models.text import clean
from ..messages import messages_for
from ..recommender import Recommender
from ..report import write_report
from ..store import reports_folder
from . import tool_calls as calls
from .answers import AnswerWriter, ItemLists, listed_item
from .condition_parser import parse_conditions
from .conditions import ParsedConditions, describe, merge
from .tool_calls import ChatState, ListedItem, Outcome, UndoableChange
from .vocabulary import Vocabulary, vocabulary_of

_RUNS_SEARCHED = 5
_CHANGES_KEPT = 50
_NOT_INTERESTED_STARS = 2.0
_BOUGHT = frozenset({"product"})  # kinds of which "I have it" is a purchase
_UNREAD: tuple[tuple[int, int], Profile | None] = ((-1, -1), None)


class Toolbox:
    """Executes the tool calls of one conversation of one user.

    Attributes:
        recommender: carries out what the calls ask for.
        user: the user's id.
        words: the messages of the chat in its language.
        state: the state of the conversation.
        run: its latest recommendations.
        last: its latest outcome.
        corrections: the words that were put in for misspelled ones; the next list names them.
    """

    def __init__(self, recommender: Recommender, user: str, language: Language) -> None:
        """Open a toolbox with an empty state.

        Args:
            recommender: carries out what the calls ask for.
            user: the user's id; it need not be known yet.
            language: of the answers.
        """
        self.recommender = recommender
        self.user = user
        self.words = messages_for(language, "chat")
        self.state = ChatState()
        self.run: Run | None = None
        self.last: Outcome | None = None
        self.corrections: tuple[str, ...] = ()
        self._answers = AnswerWriter(self.words)
        self._profile = _UNREAD

    # --- what exists -----------------------------------------------------------------------------

    @property
    def vocabulary(self) -> Vocabulary:
        """The fields and values of the catalogue as it is now."""
        return vocabulary_of(self.recommender.catalogue)

    @property
    def shown(self) -> list[Item]:
        """The items of the numbered list."""
        return self.recommender.catalogue.get(self.state.shown)

    @property
    def profile(self) -> Profile | None:
        """The user's profile as it is now; None for an unknown user."""
        memory = self.recommender.memory
        moment = (memory.version, len(memory.edits(self.user)))
        if self._profile[0] != moment:
            known = memory.has_user(self.user)
            self._profile = (moment, self.recommender.profile(self.user) if known else None)
        return self._profile[1]

    @property
    def profile_read(self) -> Profile | None:
        """The profile as it was last read: naming its interests again after every feedback would take seconds."""
        return self.profile if self._profile is _UNREAD else self._profile[1]

    def interest(self, keyword: str) -> Interest:
        """The interest with a keyword; raises InputError if there is none."""
        for interest in self.profile.interests if self.profile else ():
            if interest.keyword == keyword:
                return interest
        msg = f"there is no interest {clean(keyword, 60)!r}: show the profile to see which there are"
        raise InputError(msg)

    def conditions(self) -> str:
        """The conditions in force, numbered; empty if there are none."""
        numbered = [
            f"{number}) {describe(rule, self.words)}" for number, rule in enumerate(self.state.rules, 1)
        ]
        return self.words.say("conditions", rules=" · ".join(numbered)) if numbered else ""

    # --- calls -----------------------------------------------------------------------------------

    def execute(self, call: calls.Call) -> Outcome:
        """Execute a call and move the state of the conversation on.

        Returns:
            What it did; also kept as `last`.

        Raises:
            InputError: it names an item or an interest that does not exist.
            TanquError: the recommender could not do it.
        """
        self._check(call)
        undone = self._undo().text if getattr(call, "instead", False) else ""
        outcome = self._dispatch(call)
        state = outcome.state.model_copy(update={"last": call})
        # A corrected list stands for itself; feedback that was recorded wrongly is named as undone.
        text = f"{undone} {outcome.text}" if isinstance(call, calls.Feedback) else outcome.text
        self.last = outcome.model_copy(update={"state": state, "text": text.strip()})
        self.state = state
        return self.last

    def _dispatch(self, call: calls.Call) -> Outcome:
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

    # --- lists -----------------------------------------------------------------------------------

    def _recommend(self, call: calls.Recommend) -> Outcome:
        parsed = self._parse(call.request)
        state = self._new_request(parsed).model_copy(update={"like": (*parsed.like, *parsed.named)})
        return self._list(state, parsed, call.count, "picks")

    def _search(self, call: calls.Search) -> Outcome:
        parsed, key, title = self._parse(call.words), "found", ""
        unknown = next((missed.said for missed in parsed.missed if missed.reason == "no_title"), "")
        if unknown and not parsed.named:  # search by the words of a title that does not exist
            others = tuple(missed for missed in parsed.missed if missed.said != unknown)
            parsed = replace(parsed, rules=(), wishes=unknown.strip("《》"), missed=others, like=())
            key, title = "nearest", clean(unknown, 80)
        state = self._new_request(parsed).model_copy(update={"by_search": True})
        return self._list(state, parsed, call.count, key, title=title)

    def _refine(self, call: calls.Refine) -> Outcome:
        parsed, old = self._parse(call.words), self.state
        kept = [rule for number, rule in enumerate(old.rules, 1) if number not in call.drop]
        change: dict[str, object] = {
            "rules": merge(kept, parsed.rules, parsed.lifted),
            "request": " ".join(part for part in (old.request, parsed.wishes) if part),
            "changes": self._with_list(),
        }
        like = (call.item,) if call.item else parsed.like
        key = "found" if old.by_search else "picks"
        if call.do == "other":
            key = "other"
            change |= {"passed": (*old.passed, *old.shown)}
        elif call.do == "more" and like:
            key = "more"
            change |= {"like": like, "request": parsed.wishes, "by_search": False, "passed": ()}
        elif call.do == "less" and like:
            key = "less"
            change |= {"unlike": (*old.unlike, *like), "request": old.request, "by_search": False}
        return self._list(old.model_copy(update=change), replace(parsed, named=(), like=()), call.count, key)

    def _parse(self, text: str) -> ParsedConditions:
        return parse_conditions(text, self.vocabulary, self.shown, date.today())

    def _new_request(self, parsed: ParsedConditions) -> ChatState:
        """The state of a new request: earlier conditions are dropped, but exclusions stay."""
        kept = [rule for rule in self.state.rules if rule.operator == "$nin"]
        rules = merge(kept, parsed.rules, parsed.lifted)
        return ChatState(rules=rules, request=parsed.wishes, changes=self._with_list())

    def _list(
        self, state: ChatState, parsed: ParsedConditions, count: int | None, key: str, *, title: str = ""
    ) -> Outcome:
        about = self.recommender.catalogue.get((state.unlike if key == "less" else state.like)[-1:])
        title = self.words.title(about[0]) if about else title
        outcome, run = self._lists.build(state, parsed, count, key, title=title)
        self.run = run or self.run
        if not self.corrections:
            return outcome
        note = self.words.say("heard", words=self.words.listed(self.corrections))
        return outcome.model_copy(update={"notes": (note, *outcome.notes)})

    @property
    def _lists(self) -> ItemLists:
        return ItemLists(self.recommender, self.user, self.words)

    # --- explanations and feedback -----------------------------------------------------------------

    def _explain(self, call: calls.Explain) -> Outcome:
        items = self.recommender.catalogue.get(call.items)
        consumed = self.recommender.memory.consumed(self.user)
        if call.do == "compare" and len(items) > 1:
            texts = [self._answers.comparison(items, self._last_run())]
        elif call.do == "about":
            texts = [self._answers.about(item, known=item.id in consumed) for item in items]
        else:
            texts = [self._why(call.do, item, known=item.id in consumed) for item in items]
        state = self.state.model_copy(update={"spoken_of": items[-1].id})
        return Outcome(text="\n".join(texts), state=state)

    def _why(self, do: str, item: Item, *, known: bool) -> str:
        """The reason of a pick; of any other item, or for "why not", what kept it off the list."""
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
        listed = self.words.listed([self.words.title(item) for item in items])
        ids = tuple(str(event["id"]) for event in events)
        change = UndoableChange(
            kind="events", events=ids, what=self.words.say(f"what_{call.do}", items=listed)
        )
        update = {"changes": self._with_change(change), "spoken_of": items[-1].id}
        text = self.words.say(f"did_{call.do}", items=listed) + self.words.say("can_undo")
        return Outcome(text=text, state=self.state.model_copy(update=update))

    def _event(self, item: Item, feedback: str) -> dict[str, object]:
        action, value = {
            "like": ("like", None),
            "dislike": ("dislike", None),
            "not_interested": ("rating", _NOT_INTERESTED_STARS),
            "seen": ("purchase" if item.kind in _BOUGHT else "view", None),
        }[feedback]
        id_ = f"chat-{uuid.uuid4().hex}"
        return {"id": id_, "user": self.user, "item": item.id, "action": action, "value": value}

    def _pick(self, item: Item) -> tuple[Run | None, Recommendation | None]:
        """The latest run that recommended an item, and the recommendation."""
        for run in self._runs():
            for pick in run.recommendations:
                if pick.item.id == item.id:
                    return run, pick
        return None, None

    def _runs(self) -> Iterator[Run]:
        if self.run:
            yield self.run
        yield from reversed(self.recommender.memory.runs(self.user, _RUNS_SEARCHED))

    def _last_run(self) -> Run | None:
        return self.run or self.recommender.memory.last_run(self.user)

    # --- the profile, undo, the report -----------------------------------------------------------------

    def _change_profile(self, call: calls.ProfileCall) -> Outcome:
        if call.do == "show":
            return Outcome(text=self._answers.profile(self.profile), state=self.state)
        if call.do == "undo":
            return self._undo()
        keyword = self.interest(call.interest or "").keyword
        edit = {
            "mute": self.recommender.mute,
            "pin": self.recommender.pin,
            "forget": self.recommender.forget_interest,
        }[call.do]
        edit(self.user, keyword)
        self._profile = _UNREAD
        change = UndoableChange(kind="edit", what=self.words.say(f"what_{call.do}", interest=keyword))
        text = self.words.say(f"did_{call.do}", interest=keyword) + self.words.say("can_undo")
        state = self.state.model_copy(update={"changes": self._with_change(change)})
        return Outcome(text=text, state=state)

    def _undo(self) -> Outcome:
        """Undo the last change of this conversation, or else the last edit of the profile."""
        if not self.state.changes:
            return self._undo_edit("")
        change, rest = self.state.changes[-1], self.state.changes[:-1]
        self.state = self.state.model_copy(update={"changes": rest})
        if change.kind == "edit":
            return self._undo_edit(change.what)
        if change.before:
            return self._restore_list(change.before.model_copy(update={"changes": rest}))
        self.recommender.memory.forget_events(self.user, change.events)
        return Outcome(text=self.words.say("undone", what=change.what), state=self.state)

    def _undo_edit(self, what: str) -> Outcome:
        edits = self.recommender.memory.edits(self.user)
        if not edits:
            return Outcome(text=self.words.say("nothing_to_undo"), state=self.state)
        self.recommender.undo(self.user)
        self._profile = _UNREAD
        last = self.words.say(f"what_{edits[-1].kind}", interest=edits[-1].payload.get("keyword", ""))
        return Outcome(text=self.words.say("undone", what=what or last), state=self.state)

    def _restore_list(self, state: ChatState) -> Outcome:
        """An earlier list with its conditions and reasons."""
        lines = []
        for item in self.recommender.catalogue.get(state.shown):
            _, pick = self._pick(item)
            lines.append(listed_item(pick) if pick and not state.by_search else ListedItem(item=item))
        self.state = state
        text = self.words.say("undone_list") + self._lists.conditions(state)
        return Outcome(text=text, state=state, shown=tuple(lines))

    def _with_list(self) -> tuple[UndoableChange, ...]:
        """The changes with the list that is about to be replaced, if there is one."""
        if not self.state.shown and not self.state.rules:
            return self.state.changes
        before = self.state.model_copy(update={"changes": (), "last": None})
        return self._with_change(UndoableChange(kind="list", before=before))

    def _with_change(self, change: UndoableChange) -> tuple[UndoableChange, ...]:
        return (*self.state.changes, change)[-_CHANGES_KEPT:]

    def _report(self, call: calls.Report) -> Outcome:
        run = self._last_run()
        if run is None:
            return Outcome(text=self.words.say("no_run"), state=self.state)
        folder = reports_folder(self.recommender.settings.home, self.user)
        path = write_report(run, folder / f"{run.created:%Y%m%d-%H%M%S}.{call.format}")
        return Outcome(text=self.words.say("report", file=path), state=self.state, file=str(path))


__all__ = ["Toolbox"]
