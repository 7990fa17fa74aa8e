"""Kept prefixes: bounded, private, found only by what they are, and gone when forgotten."""

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.models.engine.prefix_cache import PrefixCache
from tanqu.models.errors import ModelError

MB = 1 << 20


def _cache(folder: Path | None = None, *, memory: int = MB, disk: int = MB, kind: str = "k") -> PrefixCache:
    return PrefixCache(kind, memory, folder, disk)


def _state(size: int, fill: int = 7) -> bytearray:
    return bytearray([fill]) * size


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_put_comes_back_from_memory_and_disk(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    cache.put([1, 2, 3], [3], "ann", _state(1000))
    assert cache.get([1, 2, 3], [3], "ann") == _state(1000)
    other = _cache(tmp_path)
    assert other.get([1, 2, 3], [3], "ann") == _state(1000)
    assert other.get([1, 2, 3], [3], "ann") == _state(1000)
    assert other.hits == {"memory": 1, "disk": 1, "miss": 0}


def test_other_tokens_steps_kinds_and_owners_find_nothing(tmp_path: Path) -> None:
    _cache(tmp_path).put([1, 2, 3], [3], "ann", _state(1000))
    fresh = _cache(tmp_path)
    assert fresh.get([1, 2], [3], "ann") is None
    assert fresh.get([1, 2, 4], [3], "ann") is None
    assert fresh.get([1, 2, 3], [2, 3], "ann") is None
    assert fresh.get([1, 2, 3], [3], "bob") is None
    assert _cache(tmp_path, kind="other").get([1, 2, 3], [3], "ann") is None


def test_files_are_for_their_owner_alone_and_name_nobody(tmp_path: Path) -> None:
    _cache(tmp_path).put([1], [1], "ann", _state(10))
    (file,) = _files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "ann" not in str(file.relative_to(tmp_path))


@given(sizes=st.lists(st.integers(1, 60), max_size=30), limit=st.integers(1, 100))
def test_memory_stays_within_its_bound_and_drops_the_oldest(sizes: list[int], limit: int) -> None:
    cache = _cache(memory=limit)
    for at, size in enumerate(sizes):
        cache.put([at], [1], "", _state(size))
        assert cache.held_bytes <= limit
    kept = [at for at in range(len(sizes)) if cache.get([at], [1], "") is not None]
    assert sum(sizes[at] for at in kept) == cache.held_bytes
    if sizes and sizes[-1] <= limit:
        assert kept[-1] == len(sizes) - 1


def test_what_was_used_last_stays_on_disk(tmp_path: Path) -> None:
    cache = _cache(tmp_path, memory=0, disk=2500)
    for at in range(2):
        cache.put([at], [1], "", _state(1000))
    first, second = (path for _, path in sorted((path.stat().st_mtime_ns, path) for path in _files(tmp_path)))
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    assert cache.get([0], [1], "") is not None  # now the older file is the more recently used
    cache.put([2], [1], "", _state(1000))
    assert [cache.get([at], [1], "") is not None for at in range(3)] == [True, False, True]


@pytest.mark.parametrize("harm", [b"", b"TANQU", b"TANQUKV2" + bytes(40), None])
def test_a_damaged_file_is_removed(tmp_path: Path, harm: bytes | None) -> None:
    _cache(tmp_path).put([1], [1], "ann", _state(500))
    (file,) = _files(tmp_path)
    file.write_bytes(file.read_bytes()[:-1] + b"\x00" if harm is None else harm)
    assert _cache(tmp_path).get([1], [1], "ann") is None
    assert not file.exists()


def test_a_file_of_another_prefix_is_not_taken_for_this_one(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    cache.put([1], [1], "ann", _state(500, 1))
    (first,) = _files(tmp_path)
    cache.put([2], [1], "ann", _state(500, 2))
    second = next(path for path in _files(tmp_path) if path != first)
    second.replace(first)
    assert _cache(tmp_path).get([1], [1], "ann") is None


def test_forgetting_removes_one_owner_from_memory_and_disk(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    for owner in ("ann", "bob", ""):
        cache.put([1, len(owner)], [2], owner, _state(100))
    cache.put([5], [1], "ann", _state(100))
    cache.forget("ann")
    cache.forget("nobody")
    assert len(_files(tmp_path)) == cache.held_bytes // 100
    for found in (cache, _cache(tmp_path)):
        assert found.get([5], [1], "ann") is None
        assert found.get([1, 3], [2], "ann") is None
        assert found.get([1, 3], [2], "bob") is not None
        assert found.get([1, 0], [2], "") is not None


def test_what_cannot_be_forgotten_is_an_error(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    cache.put([1], [1], "ann", _state(10))
    (folder,) = tmp_path.iterdir()
    (file,) = folder.iterdir()
    file.unlink()
    folder.rmdir()
    folder.write_text("a file where the folder was")
    with pytest.raises(ModelError, match="cannot be removed"):
        cache.forget("ann")


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = _cache(tmp_path / "file" / "prefixes")
    cache.put([1], [1], "ann", _state(10))
    assert cache.get([1], [1], "ann") == _state(10)
    assert cache.get([2], [1], "ann") is None


def test_half_written_files_of_a_crash_are_cleared_away(tmp_path: Path) -> None:
    old, new = tmp_path / "shared" / "old.part", tmp_path / "shared" / "new.part"
    old.parent.mkdir()
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    _cache(tmp_path).put([1], [1], "", _state(10))
    assert (old.exists(), new.exists()) == (False, True)


def test_two_processes_may_share_a_folder(tmp_path: Path) -> None:
    caches = [_cache(tmp_path, memory=0, disk=5000) for _ in range(2)]
    failures: list[Exception] = []

    def work(cache: PrefixCache) -> None:
        try:
            for at in range(150):
                cache.put([at % 12], [1], "ann", _state(1000, at % 12))
                found = cache.get([(at * 5) % 12], [1], "ann")
                assert found is None or found == _state(1000, (at * 5) % 12)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_more_than_there_is_room_for_is_not_worth_handing_over(tmp_path: Path) -> None:
    assert _cache(memory=10).takes(10)
    assert not _cache(memory=10, disk=20).takes(11)
    assert _cache(tmp_path, memory=10, disk=20).takes(20)
    assert not _cache(tmp_path, memory=10, disk=20).takes(21)
