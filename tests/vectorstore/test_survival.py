"""A home survives a process that dies at any moment, and an index that is dropped and made again."""

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tanqu.models.embedder import HashEmbedder
from tanqu.models.errors import CatalogueError
from tanqu.models.records import Item
from tanqu.vectorstore import Catalogue

CALLS = 15_000
"""About how many calls within the vector store a writer makes from its first item to its last."""

# Writes in steps, says after each how far it is, and dies at the n-th call within the vector store.
MORTAL = """
import os, signal, sys, threading
from pathlib import Path
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Item
from tanqu.vectorstore import Catalogue, catalogue

folder, left = str(Path(catalogue.__file__).parent), [int(sys.argv[2])]

def count(frame, event, _):
    if event == "call" and frame.f_code.co_filename.startswith(folder):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.setprofile(count)
threading.setprofile(count)
with Catalogue.open(Path(sys.argv[1]), HashEmbedder(int(sys.argv[3])), rebuild=sys.argv[4] == "rebuild") as store:
    for step in range(int(sys.argv[5]), 1200, 100):
        store.upsert(Item(id=f"w{n}", title=f"written by {n % 7} and {n:04d}") for n in range(step, step + 100))
        store.delete([f"w{step}"])
        print(step, flush=True)
print("calls", int(sys.argv[2]) - left[0], file=sys.stderr)
"""


def dies(home: Path, at: int, dimensions: int = 64, mode: str = "open", start: int = 0) -> int:
    """How far a writer came, -1 for nowhere, that is killed at a call."""
    command = [sys.executable, "-c", MORTAL, str(home), str(at), str(dimensions), mode, str(start)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (-signal.SIGKILL, 0), done.stderr
    return int(done.stdout.split()[-1]) if done.stdout.split() else -1


def answers(store: Catalogue, where: dict[str, object] | None = None) -> list[list[tuple[str, float]]]:
    """What a few questions find, by meaning and by words; similarities to four digits, as HNSW gives them."""
    vectors = store.embed(["written by 3", "and 0700", "story of a lantern"])
    found = [*store.search_many(vectors, 10, where=where), store.search_words("written 0700 by 3", 10)]
    return [[(id_, round(score, 4)) for id_, score in one] for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_is_there_after_a_kill_at_any_moment(tmp_path: Path, seed: int) -> None:
    draw, home, reached = random.Random(seed), tmp_path / "home", -1
    for _ in range(2):
        reached = max(
            reached, dies(home, draw.randrange(1, CALLS), start=reached + 100 if reached >= 0 else 0)
        )
        with Catalogue.open(home, HashEmbedder()) as store:
            assert store.check() == []
            ids = set(store.ids())
            kept = {f"w{n}" for n in range(reached + 100) if reached >= 0 and n % 100}
            assert kept <= ids
            assert not ids & {f"w{n}" for n in range(0, reached + 1, 100)}
            for id_ in draw.sample(sorted(kept), min(len(kept), 5)):
                assert store.search(store.vectors([id_])[0], 1)[0][1] == pytest.approx(1, abs=1e-4)
                assert store.search_words(id_.replace("w", "").zfill(4), 1)[0][0] == id_


@pytest.mark.slow
def test_a_home_is_whole_or_as_it_was_when_another_embedder_dies_while_moving_in(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Catalogue.open(home, HashEmbedder(64)) as store:
        store.upsert(Item(id=f"w{n}", title=f"written by {n % 7} and {n:04d}") for n in range(1, 1200))
        before = answers(store)
    draw, old = random.Random(1), 0
    for _ in range(3):
        dies(home, draw.randrange(1, 4_000), 32, "rebuild")
        if embedder_of(home) == "hash:64:300":
            old += 1
            with Catalogue.open(home, HashEmbedder(64)) as store:
                assert store.check() == [] and answers(store) == before
        else:
            with Catalogue.open(home, HashEmbedder(32)) as store:
                assert store.check() == []
    assert old, "no writer died while it built aside"
    with Catalogue.open(home, HashEmbedder(32), rebuild=True) as store:
        assert store.check() == []
    assert len(list((home / "chroma").iterdir())) == len(list((home / "vectors").iterdir())) == 1


def embedder_of(home: Path) -> str:
    """The embedder whose index a home uses."""
    for dimensions in (64, 32):
        try:
            with Catalogue.open(home, HashEmbedder(dimensions)) as store:
                return store.embedder.fingerprint
        except CatalogueError as error:
            assert "--rebuild" in str(error)
    raise AssertionError


@pytest.mark.parametrize("victims", [["chroma", "vectors"], ["words"], ["chroma", "vectors", "words"]])
def test_an_index_that_is_dropped_and_made_again_answers_the_same(
    tmp_path: Path, victims: Sequence[str]
) -> None:
    items = [
        Item(id=f"w{n}", title=f"written by {n % 7} and {n:04d}", attributes={"n": n}) for n in range(900)
    ]
    where: dict[str, object] = {"n": {"$gte": 600}}
    with Catalogue.open(tmp_path, HashEmbedder()) as store:
        store.upsert(items)
        before, filtered, vectors = answers(store), answers(store, where), store.vectors(store.ids())
    for victim in victims:
        shutil.rmtree(tmp_path / victim)
    with Catalogue.open(tmp_path, HashEmbedder(), rebuild="chroma" in victims) as store:
        assert answers(store) == before
        assert answers(store, where) == filtered
        np.testing.assert_allclose(store.vectors(store.ids()), vectors, atol=1e-6)
