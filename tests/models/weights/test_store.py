"""The folder of the weights and the hashes that are kept in it."""

import hashlib
import os
from pathlib import Path

import pytest

from tanqu.models.errors import WeightsError
from tanqu.models.weights.store import sha256_of, weights_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TANQU_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path / "models"


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


def test_the_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_folder() == tmp_path / "models"
    monkeypatch.delenv("TANQU_MODELS")
    assert weights_folder().parts[-2:] == ("tanqu", "models")
