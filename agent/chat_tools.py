"""The toolbox of a chat: every call is checked against what exists, carried out by code, and can be undone.

Nothing here asks a model what to do. Titles, numbers and reasons in an outcome come from the catalogue
and from runs, so that nothing can be invented, whatever an item's text says.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ..models.errors import InputError
from ..models.records import Interest, Item, Language, Profile, Ranked, Recommendation, Run
from ..prompts import clean
from ..vectorstore.filters import compile_where
from . import chat_calls as calls
from .chat_calls import Change, ChatState, Outcome, Shown
from .chat_rules import Missed, Rule, describe, merge, where_of
from .chat_vocabulary import Vocabulary
from .chat_words import Words
from .constraints import Understood, understand
from .recommender import Recommender
from .report import page_name, write_report

SIMILAR = 0.4
"""Cosine similarity from which an item counts as "like that": fewer of these are shown after "less"."""

_RELATED = 0.25  # below it, a search hit that shares no word is none
_MOST_SIMILAR = 50
_RUNS_LOOKED_AT = 5
_SIGNALS_SHOWN = 4
_CHANGES_KEPT = 50
_NOT_INTERESTED_STARS = 2.0


class Toolbox:
    """Carries out the calls of one conversation of one user."""

    def __init__(
        self, recommender: Recommender, user: str, language: Language, state: ChatState | None = None
    ) -> None:
        """`state` is where an earlier conversation ended."""
        self.recommender = recommender
        self.user = user
        self.words = Words(language)
        self.state = state or ChatState()
        self.run: Run | None = None
        self._vocabulary: tuple[str, Vocabulary] = ("", Vocabulary())
        self._profile: tuple[int, Profile | None] | None = None

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
        moment = memory.version * 1_000_003 + len(memory.edits(self.user))
        if self._profile is None or self._profile[0] != moment:
            known = memory.has_user(self.user)
            self._profile = (moment, self.recommender.profile(self.user) if known else None)
        return self._profile[1]

    def interest(self, keyword: str) -> Interest:
        """The interest of that keyword; raises InputError if there is none."""
        for one in self.profile.interests if self.profile else ():
            if one.keyword == keyword:
                return one
        msg = f"there is no interest {clean(keyword, 60)!r}: show the profile to see which there are"
        raise InputError(msg)

    # --- calls -----------------------------------------------------------------------------------

    def carry_out(self, call: calls.Call) -> Outcome:
        """Do what a call says and move the conversation on.

        Raises:
            InputError: it names an item or an interest that does not exist.
            TanquError: the recommender could not do it.
        """
        work: Callable[[Any], Outcome] = {  # Any: each takes its own kind of call
            "recommend": self._recommend,
            "search": self._search,
            "refine": self._refine,
            "explain": self._explain,
            "feedback": self._feedback,
            "profile": self._change_profile,
            "report": self._report,
        }[call.tool]
        self._check(call)
        outcome = work(call)
        self.state = outcome.state
        return outcome

    def _check(self, call: calls.Call) -> None:
        items = getattr(call, "items", ()) or ((call.item,) if getattr(call, "item", None) else ())
        missing = [item for item in items if item not in self.recommender.catalogue]
        if missing:
            msg = f"no item {clean(missing[0], 60)!r} is in the catalogue: name one that was shown"
            raise InputError(msg)
        if isinstance(call, calls.ProfileCall) and call.do in ("mute", "pin", "forget"):
            self.interest(call.interest or "")

    def _recommend(self, call: calls.Recommend) -> Outcome:
        """A new request: conditions of the one before are gone, what was to be kept out stays out."""
        read = self._read(call.request)
        kept = [rule for rule in self.state.rules if rule.operator == "$nin"]
        state = ChatState(
            rules=merge(kept, read.rules, read.lifted),
            request=read.wishes,
            like=(*read.like, *read.named),
            changes=self.state.changes,
        )
        return self._listed(state, read, call.count, "picks")

    def _search(self, call: calls.Search) -> Outcome:
        read = self._read(call.words)
        kept = [rule for rule in self.state.rules if rule.operator == "$nin"]
        state = ChatState(
            rules=merge(kept, read.rules, read.lifted),
            request=read.wishes,
            by_search=True,
            changes=self.state.changes,
        )
        return self._listed(state, read, call.count, "found", first=(*read.named, *read.like))

    def _refine(self, call: calls.Refine) -> Outcome:
        read = self._read(call.words)
        old = self.state
        rules = merge(old.rules, read.rules, read.lifted)
        state = old.model_copy(
            update={
                "rules": rules,
                "request": " ".join(part for part in (old.request, read.wishes) if part),
                "passed": old.passed,
                "changes": self._remember(Change(kind="rules", rules=old.rules)),
            }
        )
        like = (call.item,) if call.item else read.like
        if call.do == "more" and like:
            state = state.model_copy(
                update={"like": like, "request": read.wishes, "by_search": False, "passed": ()}
            )
        if call.do == "less" and like:
            state = state.model_copy(update={"unlike": (*old.unlike, *like), "by_search": False})
        if call.do == "other":
            state = state.model_copy(update={"passed": (*old.passed, *old.shown)})
        key = (
            {"more": "more", "less": "less", "other": "other"}.get(call.do, "picks")
            if like or call.do == "other"
            else "picks"
        )
        return self._listed(state, read, call.count, "found" if key == "picks" and state.by_search else key)

    def _explain(self, call: calls.Explain) -> Outcome:
        items = self.recommender.catalogue.get(call.items)
        if call.do == "compare" and len(items) > 1:
            text = self._compared(items)
        elif call.do == "about":
            text = "\n".join(self._about(item) for item in items)
        else:
            text = "\n".join(self._why(item) for item in items)
        state = self.state.model_copy(update={"spoken_of": items[-1].id})
        return Outcome(text=text, state=state)

    def _feedback(self, call: calls.Feedback) -> Outcome:
        items = self.recommender.catalogue.get(call.items)
        events = [self._event(item, call.do) for item in items]
        self.recommender.record(events)
        text = self.words.say(
            f"did_{call.do}", items=self.words.listed([self.words.title(one) for one in items])
        )
        change = Change(kind="events", events=tuple(str(event["id"]) for event in events), what=text)
        state = self.state.model_copy(update={"changes": self._remember(change), "spoken_of": items[-1].id})
        return Outcome(text=f"{text}{self.words.say('can_undo')}", state=state)

    def _event(self, item: Item, verdict: str) -> dict[str, object]:
        action, value = {
            "like": ("like", None),
            "dislike": ("dislike", None),
            "not_interested": ("rating", _NOT_INTERESTED_STARS),
            "seen": ("purchase" if item.kind in ("product",) else "view", None),
        }[verdict]
        event: dict[str, object] = {"id": f"chat-{uuid.uuid4().hex}", "user": self.user, "item": item.id}
        return event | {"action": action, "value": value}

    def _change_profile(self, call: calls.ProfileCall) -> Outcome:
        if call.do == "show":
            return Outcome(text=self._profile_text(), state=self.state)
        if call.do == "undo":
            return self._undo()
        interest = self.interest(call.interest or "")
        payload: dict[str, Any] = {  # Any: JSON
            "keyword": interest.keyword, "theme": interest.theme, "evidence": list(interest.evidence),
        }  # fmt: skip
        self.recommender.memory.add_edit(self.user, call.do, payload)
        text = self.words.say(f"did_{call.do}", interest=interest.keyword)
        changes = self._remember(Change(kind="edit", what=text))
        return Outcome(
            text=f"{text}{self.words.say('can_undo')}",
            state=self.state.model_copy(update={"changes": changes}),
        )

    def _undo(self) -> Outcome:
        """Take back the last change of this conversation, or else the last edit of the profile."""
        memory = self.recommender.memory
        if not self.state.changes:
            edit = memory.undo(self.user)
            what = f"{edit.kind} {edit.payload.get('keyword', '')}" if edit else ""
            text = self.words.say("undone_edit", what=what) if edit else self.words.say("nothing_to_undo")
            return Outcome(text=text, state=self.state)
        change, rest = self.state.changes[-1], self.state.changes[:-1]
        state = self.state.model_copy(update={"changes": rest})
        if change.kind == "rules":
            state = state.model_copy(update={"rules": change.rules})
        elif change.kind == "events":
            memory.forget_events(self.user, change.events)
        else:
            memory.undo(self.user)
        return Outcome(text=self.words.say(f"undone_{change.kind}", what=change.what), state=state)

    def _report(self, call: calls.Report) -> Outcome:
        run = self.run or self.recommender.memory.last_run(self.user)
        if run is None:
            return Outcome(text=self.words.say("no_run"), state=self.state)
        folder = self.recommender.settings.home / "reports"
        stem = f"{Path(page_name(self.user)).stem}-{run.created:%Y%m%d-%H%M%S}"
        path = write_report(run, folder / f"{stem}.{call.format}")
        return Outcome(text=self.words.say("report", file=path), state=self.state, file=str(path))

    # --- conditions, for the commands that edit them -------------------------------------------------

    def set_rules(self, rules: Sequence[Rule]) -> Outcome:
        """Replace the conditions and list again under them."""
        changes = self._remember(Change(kind="rules", rules=self.state.rules))
        state = self.state.model_copy(update={"rules": tuple(rules), "changes": changes})
        outcome = self._listed(state, Understood(), None, "found" if state.by_search else "picks")
        self.state = outcome.state
        return outcome

    def conditions(self) -> str:
        """The conditions in force, numbered; empty if there are none."""
        language = self.words.language
        return (
            self.words.say(
                "conditions",
                rules=" · ".join(
                    f"{place}) {describe(rule, language)}" for place, rule in enumerate(self.state.rules, 1)
                ),
            )
            if self.state.rules
            else ""
        )

    # --- lists -----------------------------------------------------------------------------------

    def _read(self, text: str) -> Understood:
        return understand(text, self.vocabulary, self.shown, date.today())

    def _listed(
        self, state: ChatState, read: Understood, count: int | None, key: str, first: Sequence[str] = ()
    ) -> Outcome:
        """Find the items of a state and say what was found, under which conditions, and what was missed."""
        n = count or calls.DEFAULT_COUNT
        shown = self._found(state, n, first) if state.by_search else self._picked(state, n)
        missed = tuple(self._missed(one) for one in read.missed)
        notes = (self.words.say("unseen_holds"),) if read.unseen and not state.by_search else ()
        state = state.model_copy(update={"shown": tuple(one.item.id for one in shown), "spoken_of": None})
        spoken = (state.unlike if key == "less" else state.like)[-1:]
        about = self.recommender.catalogue.get(spoken)
        text = self._headline(state, len(shown), key, self.words.title(about[0]) if about else "")
        return Outcome(text=text, state=state, shown=tuple(shown), missed=missed, notes=notes)

    def _headline(self, state: ChatState, count: int, key: str, item: str) -> str:
        language = self.words.language
        if not count:
            text = self.words.say("nothing")
            if state.rules:
                last = describe(state.rules[-1], language)
                text += self.words.say("nothing_wider", rule=last, number=len(state.rules))
            return text
        text = self.words.say(key, count=count, item=item)
        rules = " · ".join(describe(rule, language) for rule in state.rules)
        return f"{text}（{rules}）" if rules and language == "zh" else f"{text} ({rules})" if rules else text

    def _picked(self, state: ChatState, n: int) -> list[Shown]:
        """Recommendations with their reasons."""
        request = self._request(state)
        run = self.recommender.recommend(self.user, n=n, request=request, where=self._where(state))
        self.run = run
        return [
            Shown(item=one.item, reason=one.explanation.text, interest=one.interest, score=one.score)
            for one in run.recommendations
        ]

    def _request(self, state: ChatState) -> str:
        """What to recommend for, in words: the wishes, and what the liked items are about."""
        like = [
            " ".join((clean(item.title, 80).strip("《》"), *item.tags[:4]))
            for item in self.recommender.catalogue.get(state.like)
        ]
        request = " ".join(part for part in (*like, state.request) if part)
        if not request and not self.recommender.memory.has_user(self.user):
            return self.words.table("tries_of")[self.recommender.settings.scenario][0]
        return request

    def _where(self, state: ChatState) -> dict[str, object] | None:
        """The conditions, and the items that are to stay away: passed over, or like what was too much."""
        away = dict.fromkeys((*state.passed, *state.like))
        catalogue = self.recommender.catalogue
        for vector in catalogue.vectors(state.unlike):
            near = catalogue.search(vector, _MOST_SIMILAR)
            away |= {item: None for item, similarity in near if similarity >= SIMILAR}
        parts = [rule.where for rule in state.rules]
        if away:
            parts.append({"id": {"$nin": list(away)}})
        return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None

    def _found(self, state: ChatState, n: int, first: Sequence[str]) -> list[Shown]:
        """Search hits: items that share words or meaning with the request, best first."""
        catalogue = self.recommender.catalogue
        where = self._where(state)
        seen = self.recommender.memory.consumed(self.user)
        passes = compile_where(where)
        ids = [item.id for item in catalogue.get(first) if passes(item)]
        if state.request:
            words = catalogue.search_words(state.request, 4 * n, where=where)
            near = catalogue.search(catalogue.embed([state.request])[0], 4 * n, where=where)
            fused: dict[str, float] = {}
            for hits in (words, [hit for hit in near if hit[1] >= _RELATED]):
                for rank, (item, _) in enumerate(hits, 1):
                    fused[item] = fused.get(item, 0.0) + 1 / (60 + rank)
            ids += sorted(fused, key=lambda item: (-fused[item], item))
        elif state.rules:
            ids += sorted(catalogue.matching(where))
        chosen = list(dict.fromkeys(ids))[:n]
        return [Shown(item=item, seen=item.id in seen) for item in catalogue.get(chosen)]

    def _missed(self, one: Missed) -> str:
        vocabulary = self.vocabulary
        currency = next(iter(sorted(vocabulary.currencies)), "?").upper()
        return self.words.say(f"missed_{one.reason}", said=clean(one.said, 80), currency=currency)

    # --- explanations ------------------------------------------------------------------------------

    def _why(self, item: Item) -> str:
        """Why an item was recommended; or why it was not."""
        run, pick = self._pick(item)
        if run is None or pick is None:
            return self._why_not(item, run)
        titles = {event.id: event.text for event in run.history}
        about = [clean(titles.get(one, one), 80) for one in pick.explanation.evidence]
        lines = [pick.explanation.text]
        if about:
            lines.append(self.words.say("rests_on", events=self.words.listed(list(dict.fromkeys(about)))))
        lines.append(self.words.say("signals", score=f"{pick.score:.2f}", parts=self._signals(pick.signals)))
        return "\n".join(lines)

    def _why_not(self, item: Item, run: Run | None) -> str:
        title = self.words.title(item)
        if item.id in self.recommender.memory.consumed(self.user):
            return self.words.say("why_consumed", item=title)
        broken = [rule for rule in self.state.rules if not compile_where(rule.where)(item)]
        if broken:
            rules = self.words.listed([describe(rule, self.words.language) for rule in broken])
            return self.words.say("why_filtered", item=title, rules=rules)
        run = run or self._last_run()
        if run is None:
            return self.words.say("why_no_run", item=title)
        ranked = next((one for one in run.candidates if one.candidate.item.id == item.id), None)
        if ranked is None or not run.recommendations:
            return self.words.say("why_not_found", item=title)
        return self._behind(title, ranked, run.recommendations[-1])

    def _behind(self, title: str, ranked: Ranked, last: Recommendation) -> str:
        names = {**ranked.signals, **last.signals}
        lacks = {name: last.signals.get(name, 0.0) - ranked.signals.get(name, 0.0) for name in names}
        return self.words.say(
            "why_rank",
            item=title,
            rank=ranked.rank,
            last=last.rank,
            other=self.words.title(last.item),
            parts=self._signals({name: -value for name, value in lacks.items() if value > 0}),
        )

    def _signals(self, signals: dict[str, float]) -> str:
        names = self.words.table("signal_names")
        parts = sorted(signals.items(), key=lambda part: -abs(part[1]))[:_SIGNALS_SHOWN]
        return ", ".join(f"{names.get(name, name)} {value:+.2f}" for name, value in parts)

    def _about(self, item: Item) -> str:
        """What the catalogue says of an item, as text; whatever stands in it is shown and not followed."""
        seen = item.id in self.recommender.memory.consumed(self.user)
        lines = [self.words.title(item) + (f" {self.words.say('about_seen')}" if seen else "")]
        facts = self._facts(item)
        tags = [clean(tag, 40) for tag in item.tags]
        lines += [" · ".join([*tags, *(f"{name}: {value}" for name, value in facts.items())])]
        if item.text:
            lines.append(clean(item.text, 600))
        return "\n".join(line for line in lines if line)

    def _facts(self, item: Item) -> dict[str, str]:
        names, units = self.words.table("fields"), self.words.table("units")
        currency = item.attributes.get("currency", "")
        facts = {}
        for name, value in item.attributes.items():
            if name == "currency":
                continue
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            unit = units.get(name, "") or (currency if name == "price" else "")
            facts[str(names.get(name, name))] = clean(f"{shown} {unit}".strip(), 80)
        return facts

    def _compared(self, items: Sequence[Item]) -> str:
        """Field by field, then what they share, then which fits better, if a run says so."""
        facts = [self._facts(item) for item in items]
        lines = [" | ".join(self.words.title(item) for item in items)]
        for name in dict.fromkeys(name for some in facts for name in some):
            values = " | ".join(some.get(name, "—") for some in facts)
            lines.append(self.words.say("compare_field", name=name, values=values))
        shared = [tag for tag in items[0].tags if all(tag in item.tags for item in items)]
        lines.append(
            self.words.say("compare_shared", tags=self.words.listed([clean(tag, 40) for tag in shared]))
            if shared
            else self.words.say("compare_nothing")
        )
        run = self._last_run()
        ranked = {one.candidate.item.id: one for one in run.candidates} if run else {}
        scored = sorted((ranked[item.id] for item in items if item.id in ranked), key=lambda one: one.rank)
        if len(scored) == len(items):
            lines.append(
                self.words.say(
                    "compare_better",
                    item=self.words.title(scored[0].candidate.item),
                    score=f"{scored[0].score:.2f}",
                    other=f"{scored[1].score:.2f}",
                )
            )
        return "\n".join(lines)

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

    def _profile_text(self) -> str:
        profile = self.profile
        if profile is None or not profile.interests:
            return self.words.say("profile_none")
        lines = [
            self.words.say(
                "profile_line",
                sign="−" if one.polarity == "negative" else "+",
                keyword=one.keyword,
                theme=one.theme,
                weight=f"{one.weight:.0%}",
                count=len(one.evidence),
            )
            for one in profile.interests
        ]
        return "\n".join([*lines, profile.summary])

    def _remember(self, change: Change) -> tuple[Change, ...]:
        return (*self.state.changes, change)[-_CHANGES_KEPT:]


__all__ = ["SIMILAR", "Toolbox", "where_of"]
