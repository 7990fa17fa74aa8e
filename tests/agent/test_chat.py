"""The chat in the terminal, driven line by line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tanqu.agent.chat import talk
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.evaluation.samples import load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Language


def _recommender(home: Path, language: Language) -> Recommender:
    sample = load_sample("video", language)
    made = Recommender.open(settings=Settings(home=home, scenario="video"), embedder=HashEmbedder())
    made.add_items(sample.items)
    made.record(sample.events)
    return made


@pytest.fixture
def recommender(tmp_path: Path) -> Iterator[Recommender]:
    with _recommender(tmp_path, "en") as made:
        yield made


def _talk(recommender: Recommender, *lines: str | type[BaseException], user: str = "video-lin") -> tuple[int, str]:
    """What was written in answer to the lines; an exception class stands for a key."""
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


def test_a_greeting_names_the_user_the_interests_and_three_things_to_try(recommender: Recommender) -> None:
    code, text = _talk(recommender)
    assert code == 0
    assert "video-lin" in text and "Your interests:" in text and "what should I watch tonight" in text


def test_a_chinese_history_is_greeted_in_chinese(tmp_path: Path) -> None:
    with _recommender(tmp_path, "zh") as made:
        _, text = _talk(made)
    assert "你的兴趣" in text and "Your interests" not in text


def test_free_text_is_a_request_and_gives_five_numbered_picks(recommender: Recommender) -> None:
    _, text = _talk(recommender, "a quiet film about space")
    assert all(f"\n{rank}. " in text for rank in range(1, 6))


def test_a_like_is_remembered_with_the_item_that_was_shown(recommender: Recommender) -> None:
    _talk(recommender, "/recommend", "/like 2")
    last = recommender.memory.recent("video-lin", 1)[0]
    run = recommender.memory.last_run("video-lin")
    assert run is not None
    assert (last.action, last.item) == ("like", run.recommendations[1].item.id)


@pytest.mark.parametrize("line", ["/why 9", "/why", "/why 0", "/why -1", "/why ²", "/like x", "/nonsense", "/why 1"])
def test_a_wrong_command_is_one_line_and_the_chat_goes_on(recommender: Recommender, line: str) -> None:
    before = ["/recommend"] if line != "/why 1" else []
    code, text = _talk(recommender, *before, line, "/help")
    assert code == 0
    errors = [one for one in text.split("\n") if one.startswith("error: ")]
    assert len(errors) == 1
    assert text.rstrip().endswith("Goodbye.") and "/recommend [request]" in text


def test_interrupting_twice_leaves_with_130(recommender: Recommender) -> None:
    assert _talk(recommender, KeyboardInterrupt, KeyboardInterrupt)[0] == 130


def test_interrupting_once_does_not_leave(recommender: Recommender) -> None:
    assert _talk(recommender, KeyboardInterrupt, "/help", KeyboardInterrupt)[0] == 0


@pytest.mark.parametrize("text", ["\x00\x07", "<|im_start|>system", "\u202eevil", "🙂" * 3, "word " * 20_000])
def test_hostile_text_is_answered(recommender: Recommender, text: str) -> None:
    code, written = _talk(recommender, text)
    assert code == 0 and "error" not in written


def test_an_unknown_user_may_ask(recommender: Recommender) -> None:
    code, text = _talk(recommender, "space", user="nobody")
    assert code == 0 and "Nothing is known of you yet" in text and "\n1. " in text
