"""Which items a message speaks of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.chat.references import find_references, interest_number
from tanqu.agent.chat.vocabulary import vocabulary_of
from tanqu.evaluation.data.samples import load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.records import Language
from tanqu.vectorstore import Catalogue

ITEMS = {language: load_sample("video", language).items for language in ("zh", "en")}
VOCABULARIES = {
    language: vocabulary_of(Catalogue.in_memory(items, HashEmbedder())) for language, items in ITEMS.items()
}


def _shown(language: Language) -> list[str]:
    return [ITEMS[language][at].id for at in (0, 2, 5, 10, 24)]


def _places(language: Language, text: str, last: int | None = None) -> tuple[list[int], tuple[int, ...]]:
    """The places in the list that a text refers to, and the numbers that no item has."""
    shown = [ITEMS[language][at] for at in (0, 2, 5, 10, 24)]
    spoken_of = shown[last - 1].id if last else None
    found = find_references(text, shown, spoken_of, VOCABULARIES[language])
    return [_shown(language).index(item) + 1 for item in found.items], found.wrong


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("第二个为什么", [2]),
        ("第1部和第三部比一比", [1, 3]),
        ("最后一个看过了", [5]),
        ("倒数第二个", [4]),
        ("前两个哪个好", [1, 2]),
        ("最后三个都不要", [3, 4, 5]),
        ("1和3哪个好", [1, 3]),
        ("头一部是谁拍的", [1]),
        ("3号不错", [3]),
        ("《猎手》怎么样", [3]),
        ("长眠飞船不错", [2]),
        ("这些都不要", [1, 2, 3, 4, 5]),
        ("讲狼的那部", [4]),
        ("那部狼的我看过", [4]),
        ("最短的那部讲什么", [5]),
        ("那部最长的", [3]),
        ("最短的是哪个", []),
        ("三号凭啥排在这儿", [3]),
        ("一号跟四号有啥不一样", [1, 4]),
        ("二和四哪个更适合我", [2, 4]),
        ("最上面那部和最下面那部", [1, 5]),
        ("中间那部是讲什么的", [3]),
        ("十月五号以后的", []),
        ("一和一等于几百", []),
        ("三四个就够了", []),
        ("200元以内", []),
        ("两小时以内的", []),
        ("推荐三个", []),
        ("最近三天的", []),
        ("把吉他置顶", []),
    ],
)
def test_chinese_references_are_places_in_the_list(text: str, places: list[int]) -> None:
    assert _places("zh", text) == (places, ())


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("why the third one", [3]),
        ("number 2 and #4", [2, 4]),
        ("the last one", [5]),
        ("first or last, which is better", [1, 5]),
        ("two or four, which suits me", [2, 4]),
        ("how are one and three different", [1, 3]),
        ("run me through the top one", [1]),
        ("the one in the middle", [3]),
        ("three looks like my cup of tea", [3]),
        ("one or two hours", []),
        ("part two is out", []),
        ("twenty one and three hundred", []),
        ("second to last", [4]),
        ("compare the first two", [1, 2]),
        ("1 or 2?", [1, 2]),
        ("what about Letters from Mars", [1]),
        ("the first and the last", [1, 5]),
        ("all of these are bad", [1, 2, 3, 4, 5]),
        ("the robot one", [5]),
        ("the shortest one, what's it like", [5]),
        ("seen the oldest of these", [2]),
        ("the cheapest one", []),
        ("the last ten days", []),
        ("under 90 minutes", []),
        ("give me 3 more", []),
    ],
)
def test_english_references_are_places_in_the_list(text: str, places: list[int]) -> None:
    assert _places("en", text) == (places, ())


@pytest.mark.parametrize(
    ("language", "text"),
    [("zh", "它讲什么"), ("zh", "这个多长"), ("en", "seen it"), ("en", "tell me about that one")],
)
def test_it_is_what_was_spoken_of_last(language: Language, text: str) -> None:
    assert _places(language, text, last=4) == ([4], ())
    assert _places(language, text) == ([], ())


@pytest.mark.parametrize(
    ("language", "text", "number"),
    [("zh", "第九个", 9), ("zh", "第十二个为什么", 12), ("en", "the 9th", 9), ("en", "number 0", 0)],
)
def test_a_number_that_no_item_has_is_wrong_and_refers_to_nothing(
    language: Language, text: str, number: int
) -> None:
    assert _places(language, text) == ([], (number,))


def test_references_are_made_alike_for_the_comparison_with_examples() -> None:
    found = find_references("第一个和《火星来信》哪个好", [], None, VOCABULARIES["zh"])
    assert found.plain == "第一个和这个哪个好"
    shown = [ITEMS["en"][0], ITEMS["en"][2]]
    assert (
        find_references("is number 2 any good", shown, None, VOCABULARIES["en"]).plain
        == "is this one any good"
    )


@given(st.text(max_size=60), st.sampled_from(["zh", "en"]))
def test_nothing_is_ever_referred_to_that_is_not_shown_or_in_the_catalogue(
    text: str, language: Language
) -> None:
    shown = ITEMS[language][:5]
    found = find_references(text, shown, None, VOCABULARIES[language])
    assert set(found.items) <= {item.id for item in ITEMS[language]}
    assert all(not 1 <= number <= len(shown) for number in found.wrong)


@pytest.mark.parametrize(
    "text", ["第" * 500, "the first " * 100, "1 " * 300, "\x00\u202e", "《" * 400, "🙂" * 200]
)
@pytest.mark.timeout(10)
def test_hostile_text_is_read_in_time(text: str) -> None:
    assert set(_places("zh", text)[0]) <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("text", "named", "number"),
    [
        ("forget the second interest", "the second interest", 2),
        ("mute my 3rd interest please", "my 3rd interest", 3),
        ("pin interest number 12", "interest number 12", 12),
        ("忘掉第一个兴趣", "第一个兴趣", 1),
        ("屏蔽我的第十二个兴趣", "我的第十二个兴趣", 12),
        ("置顶兴趣3", "兴趣3", 3),
    ],
)
def test_an_interest_may_be_named_by_its_place(text: str, named: str, number: int) -> None:
    found = interest_number(text)
    assert found and (text[found[0] : found[1]], found[2]) == (named, number)


@pytest.mark.parametrize("text", ["the second one interests me", "my interests", "第二个我没兴趣"])
def test_an_item_that_interests_is_no_interest(text: str) -> None:
    assert interest_number(text) is None
