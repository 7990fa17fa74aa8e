"""The chat in the terminal: a line in, an answer out.

Plain commands and requests; nothing here needs LangChain.
"""

import sys
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..models.errors import InputError, TanquError
from ..models.records import Item, Language, Profile, Recommendation, Run
from ..prompts import clean
from .history import language_of
from .recommender import Recommender

Read = Callable[[str], str]
"""Returns the next line; raises EOFError at the end of the input, KeyboardInterrupt on Ctrl-C."""
Write = Callable[[str], None]

PROMPT = "› "
_RECENT = 50


def talk(recommender: Recommender, user: str, read: Read | None = None, write: Write | None = None) -> int:
    """Talk until the input ends or /exit; returns the exit code.

    0 is a normal end. Without a terminal, 1 says that some line could not be answered. 130 is Ctrl-C
    twice (without a terminal: once).
    """
    terminal = read is not None or (sys.stdin.isatty() and sys.stdout.isatty())
    chat = _Chat(recommender, user, write or _write_line)
    chat.greet()
    return _loop(chat, read or (_prompt(recommender.settings.home) if terminal else _read_line), terminal)


def _loop(chat: "_Chat", read: Read, terminal: bool) -> int:
    failed, interrupted = False, False
    while True:
        try:
            line = read(PROMPT).strip()
            interrupted = False
            if line and not chat.answer(line):
                break
        except EOFError:
            break
        except KeyboardInterrupt:
            if interrupted or not terminal:
                return 130
            interrupted = True
            chat.say("again_to_leave")
        except TanquError as error:
            failed = True
            chat.say("error", text=clean(str(error), 1000))
    if terminal:
        chat.say("bye")
    return 1 if failed and not terminal else 0


class _Chat:
    """One conversation: what was shown last, and what each line does."""

    def __init__(self, recommender: Recommender, user: str, write: Write) -> None:
        self._recommender = recommender
        self._user = user
        self._write = write
        self.language = _language(recommender, user)
        self._words = _load_words()[self.language]
        self._run: Run | None = None
        self._commands: dict[str, Callable[[str], None]] = {
            "/recommend": self._recommend,
            "/why": self._why,
            "/profile": lambda _rest: self._show_profile(),
            "/like": lambda rest: self._feedback(rest, "like"),
            "/dislike": lambda rest: self._feedback(rest, "dislike"),
            "/help": lambda _rest: self._write(str(self._words["help"]).strip()),
        }

    def say(self, key: str, **values: object) -> None:
        """One of our own sentences."""
        self._write(str(self._words[key]).format(**values))

    def greet(self) -> None:
        """Who this is, what is known in two lines, and three things to try."""
        self.say("hello", user=clean(self._user, 60))
        if self._recommender.model is None:
            self.say("no_model")
        profile = self._profile()
        if profile is None or not profile.interests:
            self.say("profile_none")
        else:
            names = [f"{one.keyword} {one.weight:.0%}" for one in profile.positive[:5]]
            self.say("profile_first", interests=" · ".join(names))
            self._write(profile.summary)
        tries = self._words["tries_of"][self._recommender.settings.scenario]
        self._write(f"{self._words['tries']} " + "  |  ".join(tries))

    def answer(self, line: str) -> bool:
        """Answer a line; False if it asked to leave. Ctrl-C stops the answer, not the chat."""
        command, _, rest = line.partition(" ")
        if command in ("/exit", "/quit"):
            return False
        if command.startswith("/") and command not in self._commands:
            msg = str(self._words["unknown_command"]).format(command=clean(command, 40))
            raise InputError(msg)
        work = self._commands.get(command)
        try:
            if work:
                work(rest.strip())
            else:
                self._recommend(line)
        except KeyboardInterrupt:
            self.say("stopped")
        return True

    def _recommend(self, request: str) -> None:
        self.say("thinking")
        run = self._recommender.recommend(self._user, request=request)
        self._run = run
        if not run.recommendations:
            self.say("nothing")
        for pick in run.recommendations:
            self._write(self._line(pick))
            self._write(f"   {pick.explanation.text}")
        for note in run.notes:
            self._write(f"   · {clean(note, 300)}")

    def _line(self, pick: Recommendation) -> str:
        interest = str(self._words["interest"]).format(interest=pick.interest) if pick.interest else ""
        return f"{pick.rank}. {clean(pick.item.title, 120)}{_facts(pick.item)}" + (
            f"  [{interest}]" if interest else ""
        )

    def _why(self, rest: str) -> None:
        pick = self._pick(rest, "/why")
        run = self._run
        titles = {event.id: event.text for event in run.history} if run else {}
        self.say("because", text=pick.explanation.text)
        about = [clean(titles.get(one, one), 80) for one in pick.explanation.evidence]
        if about:
            self.say("rests_on", events="; ".join(dict.fromkeys(about)))
        parts = sorted(pick.signals.items(), key=lambda part: -abs(part[1]))
        self.say(
            "signals",
            score=f"{pick.score:.2f}",
            parts=", ".join(f"{name} {value:+.2f}" for name, value in parts),
        )

    def _feedback(self, rest: str, action: str) -> None:
        pick = self._pick(rest, f"/{action}")
        self._recommender.record([{"user": self._user, "item": pick.item.id, "action": action}])
        self.say(f"{action}d", item=self._quoted(pick.item))

    def _show_profile(self) -> None:
        profile = self._profile()
        if profile is None or not profile.interests:
            self.say("profile_none")
            return
        for one in profile.interests:
            sign = "−" if one.polarity == "negative" else "+"
            self._write(f"{sign} {one.keyword} ({one.theme})  {one.weight:.0%}  ×{len(one.evidence)}")
        self._write(profile.summary)

    def _profile(self) -> Profile | None:
        known = self._recommender.memory.has_user(self._user)
        return self._recommender.profile(self._user) if known else None

    def _pick(self, rest: str, command: str) -> Recommendation:
        """The shown recommendation of that number."""
        if self._run is None or not self._run.recommendations:
            raise InputError(str(self._words["no_list"]))
        if not rest.isdecimal():
            raise InputError(str(self._words["need_number"]).format(command=command))
        shown = self._run.recommendations
        if not 1 <= int(rest) <= len(shown):
            msg = str(self._words["bad_number"]).format(number=int(rest), count=len(shown))
            raise InputError(msg)
        return shown[int(rest) - 1]

    def _quoted(self, item: Item) -> str:
        title = clean(item.title, 120)
        return title if title.startswith("《") else str(self._words["quote"]).format(title=title)


def _facts(item: Item) -> str:
    """Year, price and length, where the item has them."""
    known = item.attributes
    parts = [str(known["year"])] if "year" in known else []
    if "price" in known:
        parts.append(f"{known['price']} {known.get('currency', '')}".strip())
    return f" ({', '.join(parts)})" if parts else ""


def _language(recommender: Recommender, user: str) -> Language:
    """The language of the settings; else of what the user met; else of the catalogue."""
    if recommender.settings.language != "auto":
        return recommender.settings.language
    events = recommender.memory.recent(user, _RECENT)
    ids = [event.item for event in events if event.item] or recommender.catalogue.ids()[:_RECENT]
    titles = [item.title for item in recommender.catalogue.get(ids)]
    return language_of([*titles, *(event.query or "" for event in events)])


def _load_words() -> dict[Language, dict[str, Any]]:  # Any: texts and tables of texts
    text = files(__package__ or "tanqu.agent").joinpath("chat_words.toml").read_text(encoding="utf-8")
    words: dict[Language, dict[str, Any]] = tomllib.loads(text)  # type: ignore[assignment]  # its two tables
    return words


def _read_line(_prompt: str) -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _prompt(home: Path) -> Read:
    """Lines from the terminal, with history (readable by its owner only) and editing."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    path = home / "chat_history"
    path.touch(mode=0o600)
    session: PromptSession[str] = PromptSession(history=FileHistory(str(path)))
    return session.prompt


__all__ = ["Read", "Write", "talk"]
