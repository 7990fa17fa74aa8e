"""Every note is note_text in both languages, with the same places to fill."""

import re
from pathlib import Path

import pytest

import tanqu.agent.messages.catalogue as notes
from tanqu.agent.messages import messages_for
from tanqu.agent.messages.catalogue import note_text
from tanqu.agent.run_trace import RunTrace
from tanqu.models.errors import CancelledError, ModelError, PromptTooLongError
from tanqu.models.records import Language

AGENT = Path(notes.__file__).parents[1]
NOTES = messages_for("en", "notes").sentences
TOLD = re.compile(r'\.note\(\s*"(\w+)"(?: if [^"]* else "(\w+)")?')


def test_every_note_that_a_stage_adds_is_in_the_catalogue_and_every_one_is_used() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in AGENT.rglob("*.py"))
    told = {key for found in TOLD.findall(source) for key in found if key}
    from_the_engine = {"extra_buffers_off"}  # the notes of a model, which the pipeline passes on
    assert told | from_the_engine == set(NOTES) - {"comma"}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["no model: interests named by their commonest words: tea, chess", "ranking: the first 2 of 9 lines"]),
        ("zh", ["没有使用模型，以下兴趣用最常见的词命名：tea、chess", "排序：提示词共 9 行，前 2 行超出"]),
    ],
)  # fmt: skip
def test_a_trace_notes_in_its_language(language: Language, expected: list[str]) -> None:
    trace = RunTrace(None)
    trace.language = language
    trace.note("plain_names_no_model", names=["tea", "chess"])
    trace.note("cut_prompt", stage="ranking", cut=2, all=9)
    with trace.within("counterfactuals") as inner:
        inner.note("popular")
    assert [note.startswith(start) for note, start in zip(trace.notes, expected, strict=False)] == [
        True,
        True,
    ]
    assert trace.notes[2] == note_text(language, "popular")


@pytest.mark.parametrize(
    ("error", "english", "chinese"),
    [
        (PromptTooLongError("it needs 9 tokens"), "it needs 9 tokens", "提示词超出了模型的上下文，请缩短要求"),
        (CancelledError("the caller gave up"), "the caller gave up", "中途停止或超过了时限"),
        (ModelError("no logits"), "no logits", "模型报错（no logits）"),
        (PermissionError(13, "Permission denied", "x.npz"), "Permission denied", "没有写入的权限"),
        (OSError(28, "No space left on device"), "No space left on device", "系统报错：No space left on device"),
        (ValueError("{0}"), "{0}", "{0}"),
    ],
)  # fmt: skip
def test_an_error_is_named_in_the_language_of_the_note(error: Exception, english: str, chinese: str) -> None:
    assert note_text("en", "unwritable", path="x.npz", error=error).startswith(
        f"x.npz cannot be written ({english}"
    )
    assert note_text("zh", "unwritable", path="x.npz", error=error).startswith(f"x.npz 无法写入（{chinese}")
    assert english not in note_text("zh", "not_ranked", error=error) or english in chinese


def test_what_there_is_no_note_for_is_an_error() -> None:
    with pytest.raises(KeyError):
        note_text("en", "nothing")


def test_a_value_with_braces_is_shown_as_it_is() -> None:
    assert "{title} {0}" in note_text("zh", "template_reason_endless", title="{title} {0}")
