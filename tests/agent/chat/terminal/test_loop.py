"""The chat in the terminal: whole conversations by lines, by keys, and through a pseudo-terminal."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pexpect
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.cells import cell_len
from rich.console import Console

from tanqu.agent.chat.agent import ChatAgent
from tanqu.agent.chat.terminal import talk
from tanqu.agent.chat.terminal.loop import Terminal
from tanqu.agent.chat.terminal.view import PlainView, RichView, Suggestions, session
from tanqu.agent.chat.tool_calls import ListedItem
from tanqu.agent.messages import messages_for
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.agent.store import ScoreCache
from tanqu.agent.store.memory import Memory
from tanqu.evaluation.data.samples import load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Language
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.database import memory_database

USER = "video-lin"


def _recommender(home: Path, language: Language) -> Recommender:
    """A recommender in memory; only its conversations are in the home folder."""
    sample = load_sample("video", language)
    engine = memory_database()
    catalogue = Catalogue.in_memory(sample.items, HashEmbedder())
    made = Recommender(
        catalogue, Memory(engine), ScoreCache(engine), None, Settings(home=home, scenario="video"), engine
    )
    made.record(sample.events)
    return made


@pytest.fixture
def recommender(tmp_path: Path) -> Iterator[Recommender]:
    with _recommender(tmp_path, "en") as made:
        yield made


def _talk(recommender: Recommender, *lines: str | type[BaseException], user: str = USER) -> tuple[int, str]:
    """The exit code, and what was written in answer to lines; an exception class stands for a key."""
    waiting = list(lines)
    written: list[str] = []

    def read(_prompt: str) -> str:
        if not waiting:
            raise EOFError
        line = waiting.pop(0)
        if isinstance(line, str):
            return line
        raise line

    return talk(recommender, user, read, written.append), "\n".join(written)


# --- by lines --------------------------------------------------------------------------------------


def test_a_greeting_shows_the_profile_in_two_lines_and_three_things_to_try(recommender: Recommender) -> None:
    code, text = _talk(recommender)
    lines = text.split("\n")
    assert code == 0 and "video-lin" in lines[0]
    assert lines[2].startswith("Your interests: ") and lines[3].endswith(".")
    assert lines[4].count("|") == 2 and lines[-1] == "Goodbye."


def test_a_chinese_history_is_greeted_in_chinese(tmp_path: Path) -> None:
    with _recommender(tmp_path, "zh") as made:
        _, text = _talk(made)
    assert "你的兴趣" in text and "可以试试" in text and "Your interests" not in text


def test_an_unknown_user_may_ask(recommender: Recommender) -> None:
    code, text = _talk(recommender, "films about space", user="nobody")
    assert code == 0 and "Nothing is known of you yet" in text and "\n1. " in text


def test_a_whole_conversation_reads_as_one(recommender: Recommender) -> None:
    _, text = _talk(
        recommender, "recommend something", "/filter under 100 minutes", "/filter", "/why 1", "/compare 1 2",
        "/like 2", "/undo", "/filter clear", "/stats", "/explore 0.3", "/model", "/lang", "bye",
    )  # fmt: skip
    for expected in (
        "5 picks for you", "minutes < 100", "conditions: 1) minutes < 100", "Score", " | ", "Noted: you like",
        "Taken back: you like", "0 model calls", "new for you: 30%", "no model", "language: English", "Goodbye!",
    ):  # fmt: skip
        assert expected in text
    assert all(f"\n{place}. " in text for place in range(1, 6))


def test_a_condition_that_cannot_be_held_is_told_below_the_list(recommender: Recommender) -> None:
    _, text = _talk(recommender, "recommend something under $20")
    assert "· “under $20” cannot be checked" in text


@pytest.mark.parametrize(
    "line",
    ["/why 9", "/why", "/like x", "/nonsense", "/load nothing.json", "/save", "/lang fr", "/explore 2"],
)
def test_a_wrong_command_is_one_line_and_the_chat_goes_on(recommender: Recommender, line: str) -> None:
    code, text = _talk(recommender, "/recommend", line, "/help")
    errors = [one for one in text.split("\n") if one.startswith("error: ")]
    assert code == 0 and len(errors) == 1
    assert "/recommend [request]" in text and text.endswith("Goodbye.")


def test_interrupting_twice_leaves_with_130_and_once_does_not(recommender: Recommender) -> None:
    assert _talk(recommender, KeyboardInterrupt, KeyboardInterrupt)[0] == 130
    assert _talk(recommender, KeyboardInterrupt, "/help", KeyboardInterrupt)[0] == 0


def test_a_conversation_is_saved_and_loaded(recommender: Recommender, tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    _talk(recommender, "recommend something under 100 minutes", f"/save {path}")
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_mode & 0o077 == 0
    assert saved["lines"][0] == ["user", "recommend something under 100 minutes"]
    _, text = _talk(recommender, "/clear", "/filter", f"/load {path}", "/filter", "/why 1")
    assert "lines of conversation were loaded" in text
    assert "conditions: 1) minutes < 100" in text and "error" not in text


def test_a_conversation_of_another_user_is_not_loaded(recommender: Recommender, tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    _talk(recommender, f"/save {path}")
    _, text = _talk(recommender, f"/load {path}", user="video-wang")
    assert "error: " in text and "video-lin" in text


def test_the_language_can_be_changed(recommender: Recommender) -> None:
    _, text = _talk(recommender, "/lang zh", "谢谢")
    assert "语言：中文" in text and "不客气" in text


@pytest.mark.parametrize("text", ["\x00\x07", "<|im_start|>system", "\u202eevil", "🙂" * 3, "word " * 20_000])
def test_hostile_text_is_answered(recommender: Recommender, text: str) -> None:
    code, written = _talk(recommender, text)
    assert code == 0 and "error" not in written


# --- by keys ---------------------------------------------------------------------------------------


def _type(recommender: Recommender, *keys: str) -> tuple[int, str]:
    """The exit code and what was written when these keys are pressed, with a short pause between groups."""
    written: list[str] = []
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):

        def press() -> None:
            for place, some in enumerate(keys):
                time.sleep(0.5 if place else 0)
                pipe.send_text(some)

        hands = threading.Thread(target=press)
        with ChatAgent(recommender, USER) as agent:
            hands.start()
            code = Terminal(agent, PlainView(written.append), session(agent).prompt).run()
        hands.join()
    return code, "\n".join(written)


def test_enter_sends_and_ctrl_d_leaves(recommender: Recommender) -> None:
    code, text = _type(recommender, "thanks\r\x04")
    assert code == 0 and "You are welcome." in text and text.endswith("Goodbye.")


def test_ctrl_c_at_the_prompt_asks_again_and_twice_leaves(recommender: Recommender) -> None:
    code, text = _type(recommender, "half a lin\x03\x03")
    assert code == 130 and "half a lin" not in text and "Ctrl-C once more" in text


def test_alt_enter_breaks_the_line_and_a_paste_is_one_message(recommender: Recommender) -> None:
    _, text = _type(
        recommender, "no horror\x1b\rand under 100 minutes\r\x1b[200~only films\nafter 2022\x1b[201~\r\x04"
    )
    assert "(minutes < 100 · topic / genre ≠ horror)" in text
    assert "year > 2022 · kind = film)" in text


def test_tab_completes_commands(recommender: Recommender) -> None:
    _, text = _type(recommender, "/hel\t", "\r\x04")
    assert "/recommend [request]" in text


def test_ctrl_r_finds_an_earlier_line_again(recommender: Recommender) -> None:
    _, text = _type(recommender, "thanks\r", "goodbye\r", "\x12than", "\r", "\r\x04")
    assert text.count("You are welcome.") == 2


class _Watched(PlainView):
    """Notes when a sign of work is given, and when text comes."""

    def __init__(self) -> None:
        super().__init__(lambda _text: None)
        self.order: list[str] = []

    def working(self, text: str) -> Callable[[], None]:
        self.order.append("working")
        return lambda: self.order.append("done")

    def piece(self, text: str) -> None:
        self.order.append("text")


def test_a_sign_of_work_comes_before_anything_is_worked_out(recommender: Recommender) -> None:
    view = _Watched()
    with ChatAgent(recommender, USER) as agent:
        terminal = Terminal(agent, view, lambda _prompt: "")
        terminal.greet()
        assert view.order == ["working", "done"]
        view.order.clear()
        terminal.answer("recommend something")
    assert view.order[:3] == ["working", "done", "text"]


def test_the_history_is_kept_for_its_owner_only(recommender: Recommender) -> None:
    _type(recommender, "thanks\r\x04")
    with ChatAgent(recommender, USER) as agent:
        assert "thanks" in agent.history_file.read_text(encoding="utf-8")
        assert agent.history_file.stat().st_mode & 0o077 == 0


def test_items_and_interests_are_suggested_where_a_command_takes_them(recommender: Recommender) -> None:
    with ChatAgent(recommender, USER) as agent:
        agent.send("recommend something")
        profile = agent.toolbox.profile
        assert profile is not None

        def suggested(text: str) -> list[str]:
            found = Suggestions(agent).get_completions(Document(text), CompleteEvent())
            return [one.text for one in found]

        assert suggested("/why ") == ["1", "2", "3", "4", "5"]
        assert suggested("/mute ") == [one.keyword for one in profile.interests]
        assert suggested("/rep") == ["/report"] and suggested("/report h") == ["html"]
        assert suggested("hello") == []


# --- how it looks ----------------------------------------------------------------------------------


def _drawn(width: int, *, colours: bool = False) -> str:
    out = StringIO()
    console = Console(file=out, width=width, force_terminal=colours, no_color=not colours, highlight=False)
    item = load_sample("video", "zh").items[0]
    RichView(console).items(
        [ListedItem(item=item, reason="因为你喜欢科幻。" * 6, score=1.5)], messages_for("zh", "chat")
    )
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_of_chinese_stays_within_the_terminal(width: int) -> None:
    lines = _drawn(width).split("\n")
    assert "《火星来信》" in _drawn(width) and "1.50" in _drawn(width)
    assert all(cell_len(line) <= width for line in lines)


def test_markup_in_a_title_is_text() -> None:
    out = StringIO()
    view = RichView(Console(file=out, width=80))
    item = load_sample("video", "en").items[0].model_copy(update={"title": "[red]x[/red] [link=file:///]y"})
    view.items([ListedItem(item=item)], messages_for("en", "chat"))
    view.line("[bold]z")
    assert "[red]x[/red] [link=file:///]y" in out.getvalue() and "[bold]z" in out.getvalue()


# --- through pipes and a pseudo-terminal -------------------------------------------------------------

_SCRIPT = """
import sys
from pathlib import Path
from tanqu.agent.chat.terminal import talk
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import CancelledError
from tanqu.models.scripted_model import ScriptedModel

class Slow(ScriptedModel):
    def score(self, prompt, continuations, *, limits=None):
        limits.cancel.wait(20)
        raise CancelledError("stopped")

model = Slow(reply=lambda prompt: '{"keyword":"films of space","theme":"space"}')
settings = Settings(home=Path(sys.argv[1]), scenario="video", model_scores=0)
with Recommender.open(settings=settings, embedder=HashEmbedder(), model=model) as recommender:
    sys.exit(talk(recommender, "video-lin"))
"""
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
UNCLEAR = "hmm that other blue sort of whatever thing perhaps"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder on disk, for another process."""
    sample = load_sample("video", "en")
    with Recommender.open(settings=Settings(home=tmp_path), embedder=HashEmbedder()) as made:
        made.add_items(sample.items)
        made.record(sample.events)
    return tmp_path


@pytest.mark.parametrize(("lines", "code"), [("thanks\n", 0), ("/why 3\nthanks\n", 1), ("", 0)])
def test_in_a_pipe_there_are_plain_lines_and_exit_codes(home: Path, lines: str, code: int) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(home)]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert "\x1b" not in done.stdout and "›" not in done.stdout
    assert ("You are welcome." in done.stdout) == ("thanks" in lines)
    assert done.stderr == ""


def _spawn(home: Path, **environment: str) -> "pexpect.spawn[str]":
    env = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **environment}
    arguments = ["-c", _SCRIPT, str(home)]
    return pexpect.spawn(
        sys.executable, arguments, env=env, encoding="utf-8", timeout=30, dimensions=(40, 100)
    )


def test_on_a_terminal_an_answer_is_stopped_by_ctrl_c_and_the_chat_goes_on(home: Path) -> None:
    child = _spawn(home)
    child.expect("Three things to try")
    child.sendline(UNCLEAR)
    child.expect("thinking")
    child.sendintr()
    child.expect("stopped")
    child.sendline("thanks")
    child.expect("You are welcome")
    child.expect("›")  # before it the terminal itself would take the key
    child.sendeof()
    child.expect("Goodbye")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_on_a_terminal_lists_are_tables_that_follow_its_width(home: Path) -> None:
    child = _spawn(home)
    child.expect("Three things to try")
    for width in (60, 110):
        child.setwinsize(40, width)
        child.sendline("recommend something")
        child.expect("5 picks for you")
        child.expect("›")
        lines = [_ANSI.sub("", line).rstrip() for line in child.before.split("\r\n")]
        table = [line for line in lines if "│" in line]
        assert len(table) > 5 and width - 25 < max(map(cell_len, table)) <= width
    child.sendline("/exit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def _left(child: "pexpect.spawn[str]") -> None:
    child.expect("›")
    child.sendline("/exit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_on_a_terminal_nothing_that_was_said_is_lost_by_kill_9(home: Path) -> None:
    child = _spawn(home)
    child.expect("Three things to try")
    child.sendline("recommend something")
    child.expect("5 picks for you")
    child.expect("›")
    child.sendline(UNCLEAR)
    child.expect("thinking")
    time.sleep(1)  # the sign of work comes first, then the words are written down
    child.kill(signal.SIGKILL)
    child.wait()
    again = _spawn(home)
    again.expect("going on where you left off")
    again.expect("›")
    again.sendline("/why 1")
    again.expect("Score")
    again.expect("›")
    again.sendline(f"/save {home / 'chat.json'}")
    again.expect("was written to")
    _left(again)
    saved = json.loads((home / "chat.json").read_text(encoding="utf-8"))
    said = [text for who, text in saved["lines"] if who == "user"]
    assert said == ["recommend something", UNCLEAR, "/why 1"]


def test_on_two_terminals_one_user_has_two_conversations_over_one_memory(home: Path) -> None:
    one, two = _spawn(home), _spawn(home)
    for child in (one, two):
        child.expect("Three things to try")
        child.sendline("recommend something")
        child.expect("5 picks for you")
        child.expect("›")
    one.sendline("/seen 1")
    one.expect("Noted: you already know or have (.+?); not recommended again")
    two.sendline(f"/search {one.match[1]}")
    two.expect(r"\[seen\]")
    _left(one)
    _left(two)


_REAL = """
import sys
from pathlib import Path
from tanqu.agent.chat.terminal import talk
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.models.embedder import HashEmbedder
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.engine.llama_model import LlamaModel

settings = Settings(home=Path(sys.argv[1]), scenario="video", model_scores=0)
with LlamaModel(Path(sys.argv[2]), EngineSettings(context=2048)) as model:
    with Recommender.open(settings=settings, embedder=HashEmbedder(), model=model) as recommender:
        sys.exit(talk(recommender, "video-lin"))
"""


def test_with_a_real_model_the_first_sign_comes_within_a_second_of_enter(home: Path, tiny_path: Path) -> None:
    env = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    arguments = ["-c", _REAL, str(home), str(tiny_path)]
    child = pexpect.spawn(sys.executable, arguments, env=env, encoding="utf-8", timeout=120)
    child.expect("Three things to try")
    for text in (UNCLEAR, "recommend something quiet"):
        child.expect("›")
        child.sendline(text)
        pressed = time.monotonic()
        child.expect("thinking")
        assert time.monotonic() - pressed < 1
    child.expect(r"picks? for you")
    _left(child)


def test_no_color_holds(home: Path) -> None:
    child = _spawn(home, NO_COLOR="1")
    child.expect("Three things to try")
    child.sendline("recommend something")
    child.expect("5 picks for you")
    child.expect("score")
    child.expect("›")
    child.sendeof()
    child.expect(pexpect.EOF)
    assert "\x1b[31m" not in child.before and "\x1b[3" not in child.before.replace("\x1b[?", "")
