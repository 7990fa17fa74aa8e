"""Words of Chinese and English, and BM25 over them."""

import math
import stat
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.vectorstore.lexical import LexicalIndex, tokens

DOCUMENTS = [
    ("kart", "Mario Kart Racing Game"),
    ("farm", "Farming game for the whole family"),
    ("deep", "深度学习算法与应用"),
    ("food", "猫粮和狗粮"),
    ("empty", "!!!"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Racing Games", ["racing", "game"]),
        ("Mario's kart, 64!", ["mario", "kart", "64"]),
        ("glass bus series analysis", ["glass", "bus", "series", "analysis"]),
        ("ＰＳ５ ① café", ["ps5", "1", "café"]),
        ("深度学习", ["深度", "度学", "学习"]),
        ("深度学习的算法与应用", ["深度", "度学", "学习", "算法", "应用"]),
        ("猫", ["猫"]),
        ("买PS5游戏机", ["买", "ps5", "游戏", "戏机"]),
        ("機械学習とゲーム", ["機械", "械学", "学習", "習と", "とゲ", "ゲー", "ーム"]),
        ("snake_case kebab-case", ["snake", "case", "kebab", "case"]),
        ("", []),
        ("the 的 of", []),
        ("🎮 \x00 \u202e", []),
    ],
)
def test_tokens_of_both_languages(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_documents_keep_single_characters_too() -> None:
    assert tokens("猫粮", singles=True) == ["猫粮", "猫", "粮"]
    assert tokens("cat food", singles=True) == ["cat", "food"]


@given(st.text(max_size=300))
def test_tokens_are_clean_whatever_the_text(text: str) -> None:
    found = tokens(text)
    assert all(token and token == token.lower().strip() for token in found)
    assert set(found) <= set(tokens(text, singles=True))
    assert found == tokens(text)


def test_a_huge_text_is_cut() -> None:
    started = time.perf_counter()
    assert len(tokens("word " * 20_000)) == 400
    assert len(tokens("字" * 100_000)) == 1_999
    assert time.perf_counter() - started < 1


@pytest.fixture(scope="module")
def index() -> LexicalIndex:
    return LexicalIndex.build(DOCUMENTS)


@pytest.mark.parametrize(
    ("text", "best"),
    [("racing games", "kart"), ("family", "farm"), ("学习深度", "deep"), ("猫", "food"), ("RACING", "kart")],
)
def test_the_document_that_shares_words_is_first(index: LexicalIndex, text: str, best: str) -> None:
    assert index.search(text, 3)[0][0] == best


def test_only_documents_that_share_a_word_are_found(index: LexicalIndex) -> None:
    assert {id_ for id_, _ in index.search("game", 10)} == {"kart", "farm"}
    assert index.search("quantum", 10) == []
    assert index.search("", 10) == []
    assert index.search("game", 0) == []


def test_documents_that_are_not_allowed_are_left_out(index: LexicalIndex) -> None:
    allowed = np.array([id_ != "kart" for id_, _ in DOCUMENTS])
    assert [id_ for id_, _ in index.search("game", 10, allowed)] == ["farm"]


def bm25(text: str) -> list[float]:
    """The formula of Lucene, word by word: the oracle."""
    bags = [Counter(tokens(document, singles=True)) for _, document in DOCUMENTS]
    mean = sum(bag.total() for bag in bags) / len(bags)
    scores = []
    for bag in bags:
        score = 0.0
        for word in tokens(text):
            among = sum(word in other for other in bags)
            idf = math.log(1 + (len(bags) - among + 0.5) / (among + 0.5))
            score += idf * bag[word] / (bag[word] + 1.5 * (0.25 + 0.75 * bag.total() / mean))
        scores.append(score)
    return scores


@pytest.mark.parametrize(
    "text", ["racing game game", "深度学习 game", "猫 狗粮", "family family family", "?"]
)
def test_scores_are_those_of_the_formula(index: LexicalIndex, text: str) -> None:
    np.testing.assert_allclose(index.scores(text), bm25(text), atol=1e-5)


def test_repeated_words_cost_no_more(index: LexicalIndex) -> None:
    np.testing.assert_allclose(index.scores("game " * 300), index.scores("game") * 300, rtol=1e-5)


def test_equal_scores_are_ordered_by_id() -> None:
    index = LexicalIndex.build((id_, "same words") for id_ in "cab")
    assert [id_ for id_, _ in index.search("words", 3)] == ["a", "b", "c"]


def test_the_last_place_among_equals_goes_to_the_smaller_id() -> None:
    index = LexicalIndex.build((f"{n:03d}", "same words") for n in reversed(range(200)))
    assert [id_ for id_, _ in index.search("words", 3)] == ["000", "001", "002"]


TEXTS = st.lists(st.sampled_from(["game", "racing", "farm", "family", "猫粮", "the"]), max_size=6).map(
    " ".join
)
BATCHES = st.lists(
    st.tuples(st.sets(st.sampled_from("abcdef")), st.dictionaries(st.sampled_from("abcdefgh"), TEXTS)),
    max_size=5,
)


@given(BATCHES, TEXTS)
def test_an_index_that_was_changed_is_that_of_what_is_left(
    batches: list[tuple[set[str], dict[str, str]]], query: str
) -> None:
    index, left = LexicalIndex.build([]), dict[str, str]()
    for gone, documents in batches:
        before = index.search(query, 9)
        after = index.changed(gone, documents.items())
        assert index.search(query, 9) == before
        left = {id_: text for id_, text in left.items() if id_ not in gone} | documents
        index = after
    fresh = LexicalIndex.build(left.items())
    assert sorted(index.ids) == sorted(left)
    assert index.search(query, 9) == fresh.search(query, 9)
    assert index.at_most(query) == fresh.at_most(query)
    assert dict(zip(index.ids, index.digests.tolist(), strict=True)) == dict(
        zip(fresh.ids, fresh.digests.tolist(), strict=True)
    )


@given(st.lists(TEXTS, max_size=40), TEXTS, st.integers(0, 5))
def test_the_best_and_the_scores_of_some_are_those_of_comparing_all(
    texts: list[str], query: str, k: int
) -> None:
    index = LexicalIndex.build((f"{at:02d}", text) for at, text in enumerate(texts))
    scores = index.scores(query).tolist()
    order = sorted(zip(scores, index.ids, strict=True), key=lambda one: (-one[0], one[1]))
    assert index.search(query, k) == [(id_, score) for score, id_ in order[:k] if score > 0]
    asked = ["unknown", *reversed(index.ids)]
    assert index.scores_of(query, asked).tolist() == [0, *reversed(scores)]


def test_an_index_that_was_changed_is_saved_without_words_that_came_later(tmp_path: Path) -> None:
    index = LexicalIndex.build(DOCUMENTS)
    index.changed(["kart"], [("new", "brand new words")])
    index.save(tmp_path / "words")
    loaded = LexicalIndex.load(tmp_path / "words")
    assert loaded is not None and loaded.search("kart words", 3) == index.search("kart words", 3)


@pytest.mark.parametrize("documents", [[], [("a", "")], [("a", "!!!"), ("b", "the")]])
def test_an_index_without_words_finds_nothing(documents: list[tuple[str, str]], tmp_path: Path) -> None:
    index = LexicalIndex.build(documents)
    assert index.search("anything", 5) == []
    assert index.scores("anything").tolist() == [0] * len(documents)
    index.save(tmp_path / "words")
    loaded = LexicalIndex.load(tmp_path / "words")
    assert loaded is not None and loaded.ids == index.ids


def test_what_was_saved_scores_the_same(index: LexicalIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "new" / "words")
    loaded = LexicalIndex.load(tmp_path / "new" / "words")
    assert loaded is not None and loaded.ids == index.ids
    np.testing.assert_array_equal(loaded.scores("深度学习 game"), index.scores("深度学习 game"))
    assert stat.S_IMODE((tmp_path / "new" / "words").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["words"]


def test_saving_over_another_process_changes_nothing(index: LexicalIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "words")
    LexicalIndex.build([("x", "y")]).save(tmp_path / "words")
    loaded = LexicalIndex.load(tmp_path / "words")
    assert loaded is not None and loaded.ids == index.ids


@pytest.mark.parametrize(
    "victim", ["ids.json", "vocabulary.json", "digests.npy", "starts.npy", "docs.npy", "lengths.npy"]
)
def test_a_damaged_file_is_not_loaded(index: LexicalIndex, tmp_path: Path, victim: str) -> None:
    index.save(tmp_path / "words")
    (tmp_path / "words" / victim).write_bytes(b'["half a file')
    assert LexicalIndex.load(tmp_path / "words") is None


def test_a_pickle_is_never_read(index: LexicalIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "words")
    np.save(tmp_path / "words" / "docs.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert LexicalIndex.load(tmp_path / "words") is None


def test_a_folder_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert LexicalIndex.load(tmp_path / "nowhere") is None
