"""What all users did together is learnt once per state of the events."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tanqu.agent.ranking.engagement_cache import STALE, EngagementCache, clear_engagement
from tanqu.agent.run_trace import RunTrace
from tanqu.agent.store.memory import Memory
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Action, Event, Item
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.database import memory_database
from tanqu.vectorstore.engagement import MIN_USERS, Engagement

USERS = MIN_USERS + 1


@pytest.fixture
def memory() -> Iterator[Memory]:
    engine = memory_database()
    yield Memory(engine)
    engine.dispose()


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    with Catalogue.in_memory([Item(id=one, title=one) for one in "abc"], HashEmbedder()) as made:
        yield made


def take(memory: Memory, item: str, *users: int, action: Action = "view") -> None:
    memory.record(
        Event(id=f"{user}-{item}-{action}", user=f"u{user}", item=item, action=action) for user in users
    )


def learnt(memory: Memory, catalogue: Catalogue, home: Path) -> tuple[Engagement, bool, list[str]]:
    """The engagement, whether it was built now, and what was noted."""
    trace = RunTrace(None)
    found = EngagementCache(memory, catalogue, home).load(trace)
    return found, "engagement" in trace.seconds, trace.notes


def test_popularity_counts_the_users_who_took_to_an_item(
    memory: Memory, catalogue: Catalogue, tmp_path: Path
) -> None:
    take(memory, "a", *range(USERS))
    take(memory, "b", 0, 1)
    take(memory, "c", *range(USERS), action="dislike")
    take(memory, "gone", *range(USERS))
    found, _, _ = learnt(memory, catalogue, tmp_path)
    assert found.popularity(["a", "b", "c", "gone"]).tolist() == [USERS, 2, 0, 0]


def test_the_same_events_are_learnt_from_once(memory: Memory, catalogue: Catalogue, tmp_path: Path) -> None:
    take(memory, "a", *range(USERS))
    first, built, _ = learnt(memory, catalogue, tmp_path)
    again, rebuilt, notes = learnt(memory, catalogue, tmp_path)
    assert built and not rebuilt and notes == []
    assert first.popularity(["a"]).tolist() == again.popularity(["a"]).tolist() == [USERS]


MANY = round(1 / STALE)


def test_an_event_among_many_does_not_have_all_counted_again(
    memory: Memory, catalogue: Catalogue, tmp_path: Path
) -> None:
    take(memory, "a", *range(2 * MANY))
    learnt(memory, catalogue, tmp_path)
    take(memory, "b", 0)
    again, rebuilt, _ = learnt(memory, catalogue, tmp_path)
    assert not rebuilt and again.popularity(["b"]).tolist() == [0]
    take(memory, "b", 1, 2)
    now, rebuilt, _ = learnt(memory, catalogue, tmp_path)
    assert rebuilt and now.popularity(["b"]).tolist() == [3]


def test_a_process_holds_what_it_counted_until_another_counted_anew(
    memory: Memory, catalogue: Catalogue, tmp_path: Path
) -> None:
    take(memory, "a", *range(USERS))
    others = EngagementCache(memory, catalogue, tmp_path)
    first = others.load(RunTrace(None))
    assert others.load(RunTrace(None)) is first
    take(memory, "b", *range(USERS))
    counted, _, _ = learnt(memory, catalogue, tmp_path)
    trace = RunTrace(None)
    assert others.load(trace).popularity(["b"]).tolist() == counted.popularity(["b"]).tolist()
    assert "engagement" not in trace.seconds


def test_what_was_removed_is_out_of_the_counts_at_once(
    memory: Memory, catalogue: Catalogue, tmp_path: Path
) -> None:
    take(memory, "a", *range(3 * MANY))
    others = EngagementCache(memory, catalogue, tmp_path)
    others.load(RunTrace(None))
    memory.forget_events("u0", ["0-a-view"])
    assert others.load(RunTrace(None)).popularity(["a"]).tolist() == [3 * MANY - 1]
    memory.forget_user("u1")
    assert others.load(RunTrace(None)).popularity(["a"]).tolist() == [3 * MANY - 2]


def test_all_are_counted_again_on_demand(memory: Memory, catalogue: Catalogue, tmp_path: Path) -> None:
    take(memory, "a", *range(2 * MANY))
    others = EngagementCache(memory, catalogue, tmp_path)
    others.load(RunTrace(None))
    take(memory, "b", 0)
    clear_engagement(memory, tmp_path)
    assert others.load(RunTrace(None)).popularity(["b"]).tolist() == [1]


def test_new_events_and_new_items_are_taken_up(memory: Memory, catalogue: Catalogue, tmp_path: Path) -> None:
    take(memory, "a", *range(USERS))
    take(memory, "d", *range(USERS))
    learnt(memory, catalogue, tmp_path)
    take(memory, "b", *range(USERS))
    found, built, _ = learnt(memory, catalogue, tmp_path)
    assert built and found.popularity(["b", "d"]).tolist() == [USERS, 0]
    catalogue.upsert([Item(id="d", title="d")])
    found, built, _ = learnt(memory, catalogue, tmp_path)
    assert built and found.popularity(["d"]).tolist() == [USERS]


def test_what_was_forgotten_does_not_count_any_more(
    memory: Memory, catalogue: Catalogue, tmp_path: Path
) -> None:
    take(memory, "a", *range(USERS))
    learnt(memory, catalogue, tmp_path)
    memory.forget_user("u0")
    assert learnt(memory, catalogue, tmp_path)[0].popularity(["a"]).tolist() == [USERS - 1]


def test_a_few_users_say_nothing(memory: Memory, catalogue: Catalogue, tmp_path: Path) -> None:
    take(memory, "a", *range(MIN_USERS - 1))
    assert not learnt(memory, catalogue, tmp_path)[0].known


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01.", "short"])
def test_a_damaged_file_is_built_again_and_said(
    memory: Memory, catalogue: Catalogue, tmp_path: Path, content: bytes | str
) -> None:
    take(memory, "a", *range(USERS))
    learnt(memory, catalogue, tmp_path)
    [path] = tmp_path.glob("*.npz")
    path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:-100])
    found, built, notes = learnt(memory, catalogue, tmp_path)
    assert built and found.popularity(["a"]).tolist() == [USERS]
    assert len(notes) == 1 and "built again" in notes[0]
    assert learnt(memory, catalogue, tmp_path)[2] == []


def test_a_missing_file_is_built_again(memory: Memory, catalogue: Catalogue, tmp_path: Path) -> None:
    take(memory, "a", *range(USERS))
    learnt(memory, catalogue, tmp_path)
    [path] = tmp_path.glob("*.npz")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    assert learnt(memory, catalogue, tmp_path)[1]


def test_a_file_that_cannot_be_written_is_noted_and_nothing_is_lost(
    memory: Memory, catalogue: Catalogue, tmp_path: Path
) -> None:
    take(memory, "a", *range(USERS))
    (tmp_path / "engagement.npz").mkdir()
    for _ in range(2):
        found, built, notes = learnt(memory, catalogue, tmp_path)
        assert built and found.popularity(["a"]).tolist() == [USERS]
        assert len(notes) == 1 and "engagement.npz cannot be written" in notes[0]
