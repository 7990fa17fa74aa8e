"""The guard before llama.cpp: what is no whole GGUF file is refused, and nothing is taken down."""

import ctypes
import importlib.util
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tanqu.models.errors import WeightsError
from tanqu.models.weights import gguf as layout
from tanqu.models.weights.gguf import check_gguf

Pair = tuple[str, int, bytes]


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


ARCHITECTURE: Pair = ("general.architecture", 8, text("llama"))
VOCABULARY: Pair = (
    "tokenizer.ggml.tokens",
    9,
    struct.pack("<IQ", 8, 3) + text("<s>") + text("书") + text(""),
)
SCORES: Pair = ("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 3) + bytes(12))


def tensor(name: str, sides: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, kind, offset)


TENSORS = (tensor("a", (3,), 0, 0), tensor("b", (32, 2), 2, 32))
DATA = bytes(range(68))  # 12 bytes of a, 20 of padding, 36 of b


def gguf(
    pairs: tuple[Pair, ...] = (ARCHITECTURE, VOCABULARY, SCORES),
    tensors: tuple[bytes, ...] = TENSORS,
    data: bytes = DATA,
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    head += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in pairs)
    head += b"".join(tensors)
    return head + bytes(-len(head) % alignment) + data


WHOLE = gguf()
HEADER_END = len(WHOLE) - len(DATA)
LAST_OFFSET = WHOLE.index(TENSORS[1]) + len(TENSORS[1]) - 8


@pytest.fixture
def check(tmp_path: Path) -> Callable[[bytes], None]:
    def write_and_check(content: bytes) -> None:
        path = tmp_path / "file.gguf"
        path.write_bytes(content)
        check_gguf(path)

    return write_and_check


@pytest.mark.parametrize("version", [2, 3])
def test_a_whole_file_passes(check: Callable[[bytes], None], version: int) -> None:
    check(gguf(version=version))


def test_an_alignment_of_its_own_is_followed(check: Callable[[bytes], None]) -> None:
    aligned = ("general.alignment", 4, struct.pack("<I", 64))
    tensors = (tensor("a", (3,), 0, 0), tensor("b", (32, 2), 2, 64))
    check(gguf((ARCHITECTURE, aligned), tensors, bytes(100), alignment=64))
    with pytest.raises(WeightsError, match="is at 32 instead of 64"):
        check(gguf((ARCHITECTURE, aligned), TENSORS, bytes(100), alignment=64))


def test_no_beginning_of_a_file_passes(check: Callable[[bytes], None]) -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(WeightsError, match=r"truncated|too few"):
            check(WHOLE[:length]) if length else check(b"x")


def test_an_empty_file_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    for path in (tmp_path / "empty.gguf", tmp_path, tmp_path / "no.gguf"):
        with pytest.raises(WeightsError, match="cannot be used as a model"):
            check_gguf(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(WeightsError, match="not a file"):
        check_gguf(tmp_path / "pipe.gguf")


HUGE = struct.pack("<Q", 1 << 62)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"GGML" + WHOLE[4:], "does not start with 'GGUF'"),
        (b"<html>" + bytes(100), "does not start with 'GGUF'"),
        (gguf(version=1), "version is 1"),
        (WHOLE[:4] + struct.pack(">I", 3) + WHOLE[8:], "version is 50331648"),
        (gguf(tensors=()), "claims to hold 0 tensors"),
        (gguf(pairs=()), "claims to hold 0 metadata values"),
        (WHOLE[:8] + HUGE + WHOLE[16:], "tensors"),
        (WHOLE[:16] + HUGE + WHOLE[24:], "metadata values"),
        (WHOLE[:24] + HUGE + WHOLE[32:], "a name in its header has"),
        (gguf((("general.name", 8, HUGE),)), "truncated"),
        (gguf((("k", 9, struct.pack("<I", 8) + HUGE),)), "strings"),
        (gguf((("k", 9, struct.pack("<I", 6) + HUGE),)), "truncated"),
        (gguf((("k", 9, struct.pack("<IQ", 9, 1) + bytes(64)),)), "unknown type 9"),
        (gguf((("k", 77, bytes(64)),)), "unknown type 77"),
        (gguf((ARCHITECTURE, ARCHITECTURE)), "twice"),
        (gguf((VOCABULARY,)), "does not say which architecture"),
        (gguf((("general.architecture", 4, bytes(4)),)), "architecture is not a text"),
        (gguf((ARCHITECTURE, ("general.alignment", 10, bytes(8)))), "alignment is not a number"),
        (gguf((ARCHITECTURE, ("general.alignment", 4, bytes(4)))), "alignment is 0"),
        (gguf((ARCHITECTURE, ("general.alignment", 4, struct.pack("<I", 48)))), "alignment is 48"),
        (gguf(tensors=(TENSORS[0], tensor("a", (32,), 2, 32))), "twice"),
        (gguf(tensors=(tensor("n" * 64, (3,), 0, 0),)), "a name in its header has 64"),
        (gguf(tensors=(tensor("a", (), 0, 0),)), "0 dimensions"),
        (gguf(tensors=(tensor("a", (1,) * 5, 0, 0),)), "5 dimensions"),
        (gguf(tensors=(tensor("a", (0,), 0, 0),)), "the sides"),
        (gguf(tensors=(tensor("a", (33,), 2, 0),)), "the sides"),
        (gguf(tensors=(tensor("a", (1 << 40, 1 << 40), 0, 0),)), "the sides"),
        (gguf(tensors=(tensor("a", (1 << 62,), 0, 0),)), "truncated"),
        (gguf(tensors=(tensor("a", (3,), 4, 0),)), "unknown type 4"),
        (gguf(tensors=(tensor("a", (3,), 99, 0),)), "unknown type 99"),
        (gguf(tensors=(TENSORS[0], tensor("b", (32, 2), 2, 1 << 40))), "instead of 32"),
    ],
)
def test_damage_is_named(check: Callable[[bytes], None], content: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        check(content)


def test_the_sizes_of_blocks_are_those_of_ggml() -> None:
    spec = importlib.util.find_spec("llama_cpp")
    assert spec and spec.origin
    library = next((Path(spec.origin).parent / "lib").glob("*ggml-base*"))
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_type_size.restype, ggml.ggml_blck_size.restype = ctypes.c_size_t, ctypes.c_int64
    theirs = {kind: (ggml.ggml_blck_size(kind), ggml.ggml_type_size(kind)) for kind in layout._BLOCKS}
    assert theirs == layout._BLOCKS


any_file = settings(
    max_examples=100, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def refuses_or_passes(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        check_gguf(path)
    except WeightsError:
        return False
    return True


@any_file
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    assert not refuses_or_passes(tmp_path / "x.gguf", content)
    assert not refuses_or_passes(tmp_path / "x.gguf", b"GGUF" + struct.pack("<I", 3) + content)


@any_file
@given(st.integers(0, HEADER_END - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_header_never_does_more_than_be_refused(tmp_path: Path, at: int, content: bytes) -> None:
    refuses_or_passes(tmp_path / "x.gguf", WHOLE[:at] + content + WHOLE[at + len(content) :])


@any_file
@given(st.integers(0, LAST_OFFSET), st.binary(max_size=300))
def test_a_header_that_goes_on_at_random_is_refused(tmp_path: Path, at: int, content: bytes) -> None:
    assert not refuses_or_passes(tmp_path / "x.gguf", WHOLE[:at] + content)
