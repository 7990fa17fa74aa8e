"""Centring keeps what tells vectors apart; tables keep rows; a Chroma collection finds neighbours."""

import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tanqu.models.embedder import Vectors, unit
from tanqu.models.errors import CatalogueError
from tanqu.vectorstore.vectors import ChromaIndex, VectorTable, centred, shrunk_mean, uncentred

rows = arrays(np.float32, st.tuples(st.integers(1, 12), st.just(6)), elements=st.floats(-1, 1, width=16)).map(
    unit
)


def some_vectors(count: int, dimensions: int = 16, seed: int = 0) -> Vectors:
    """Unit vectors about a common direction, as encoders give them."""
    noise = np.random.default_rng(seed).standard_normal((count, dimensions))
    return unit((noise + 1).astype(np.float32))


@given(rows, st.integers(0, 50))
def test_centring_can_be_undone(raw: Vectors, extra: int) -> None:
    mean = shrunk_mean(raw, len(raw) + extra)
    middle = centred(raw, mean)
    known = middle.any(axis=1)  # a vector that is the mean itself has no direction left
    np.testing.assert_allclose(uncentred(middle, mean)[known], raw[known], atol=1e-3)


@given(rows)
def test_centred_rows_are_units_or_zero(raw: Vectors) -> None:
    lengths = np.linalg.norm(centred(raw, shrunk_mean(raw, len(raw))), axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-4) | (lengths == 0))
    blank = ~raw.any(axis=1)
    assert not lengths[blank].any()


def test_few_vectors_are_hardly_centred_and_many_almost_fully() -> None:
    raw = some_vectors(2_000)
    mean = raw.mean(axis=0)
    for count, share in ((1, 1 / 6), (5, 0.5), (2_000, 0.9975)):
        np.testing.assert_allclose(shrunk_mean(raw, count), mean * share, rtol=1e-3)
    assert not shrunk_mean(raw[:0], 0).any()


def test_centring_spreads_vectors_that_share_a_direction() -> None:
    raw = some_vectors(500)
    middle = centred(raw, shrunk_mean(raw, 500))
    assert (raw @ raw.T).mean() > 0.4
    assert abs((middle @ middle.T).mean()) < 0.01


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_table_gives_back_what_was_written(tmp_path: Path, on_disk: bool) -> None:
    table = VectorTable(tmp_path / "v" / "1.f32" if on_disk else None, 16)
    vectors = some_vectors(3)
    assert table.read(np.array([0, 5])).tolist() == np.zeros((2, 16)).tolist()
    table.write(np.array([7, 2, 5_000]), vectors)
    table.write(np.zeros(0, dtype=np.int64), vectors[:0])
    np.testing.assert_array_equal(
        table.read(np.array([5_000, 7, 3, 99_999])), [vectors[2], vectors[0], *np.zeros((2, 16))]
    )
    np.testing.assert_allclose(
        table.similarities(np.array([7, 2, 3]), vectors),
        vectors @ np.array([vectors[0], vectors[1], np.zeros(16)]).T,
        atol=1e-6,
    )
    assert table.similarities(np.zeros(0, dtype=np.int64), vectors).shape == (3, 0)


def test_a_table_on_disk_is_private_and_seen_by_other_readers(tmp_path: Path) -> None:
    path = tmp_path / "v" / "1.f32"
    writer, reader = VectorTable(path, 16), VectorTable(path, 16)
    vectors = some_vectors(4)
    writer.write(np.arange(2), vectors[:2])
    np.testing.assert_array_equal(reader.read(np.arange(2)), vectors[:2])
    writer.write(np.array([9_000, 1]), vectors[2:])
    np.testing.assert_array_equal(reader.read(np.array([9_000, 1])), vectors[2:])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_table_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "1.f32").mkdir()
    with pytest.raises(CatalogueError, match=r"1\.f32 cannot be used .*--rebuild"):
        VectorTable(tmp_path / "1.f32", 16)


def test_a_collection_finds_neighbours_with_cosine_similarity(tmp_path: Path) -> None:
    vectors = some_vectors(50)
    index = ChromaIndex(tmp_path / "c", "items-test", create=True, embedder="test")
    index.put([str(n) for n in range(50)], vectors)
    [found] = index.query(vectors[3:4], 5)
    expected = np.argsort(-(vectors @ vectors[3]))[:5]
    assert [id_ for id_, _ in found] == [str(n) for n in expected]
    np.testing.assert_allclose(
        [score for _, score in found], np.sort(vectors @ vectors[3])[::-1][:5], atol=1e-5
    )
    index.put(["3", "4"], np.stack([vectors[0] * 0, vectors[3]]))
    assert index.count() == 49
    assert index.query(vectors[3:4], 1)[0][0][0] == "4"
    index.delete(["4", "unknown"])
    assert index.count() == 48
    index.close()
    index.close()
    again = ChromaIndex(tmp_path / "c", "items-test", create=False)
    assert again.count() == 48
    again.close()


def test_more_vectors_than_one_batch_of_chroma_takes(tmp_path: Path) -> None:
    index = ChromaIndex(tmp_path / "c", "items-test", create=True)
    index._batch = 7
    index.put([str(n) for n in range(20)], some_vectors(20))
    index.delete([str(n) for n in range(10)])
    assert index.count() == 10
    index.close()


def test_a_collection_that_is_missing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"cannot be used .*--rebuild"):
        ChromaIndex(tmp_path / "c", "items-test", create=False)


def test_a_collection_that_names_an_embedding_function_is_refused(tmp_path: Path) -> None:
    import chromadb
    from chromadb.config import Settings

    (tmp_path / "c").mkdir()
    client = chromadb.PersistentClient(str(tmp_path / "c"), settings=Settings(anonymized_telemetry=False))
    client.create_collection("items-test")  # Chroma's default function, which would fetch a model
    client.close()  # type: ignore[attr-defined]  # the class that is returned has it
    with pytest.raises(CatalogueError, match=r"names an embedding function \(default\).*--rebuild"):
        ChromaIndex(tmp_path / "c", "items-test", create=False)


def test_neither_the_environment_nor_an_env_file_moves_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = {
        "CHROMA_API_IMPL": "chromadb.api.fastapi.FastAPI",
        "CHROMA_SERVER_HOST": "127.0.0.1",
        "CHROMA_SERVER_HTTP_PORT": "9",
        "CHROMA_PRODUCT_TELEMETRY_IMPL": "somebody_elses.Telemetry",
        "ANONYMIZED_TELEMETRY": "true",
    }
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in hostile.items()))
    ChromaIndex(tmp_path / "file", "items", create=True, embedder="e")
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    ChromaIndex(tmp_path / "environment", "items", create=True, embedder="e")
    assert all((tmp_path / home / "chroma.sqlite3").is_file() for home in ("file", "environment"))
