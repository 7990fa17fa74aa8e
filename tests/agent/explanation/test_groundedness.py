"""The checker: whatever the facts do not cover is found, in Chinese and English, and what they do is not."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqu.agent.explanation.groundedness import Facts, UserAction, bare, fold, ungrounded_spans
from tanqu.models.records import Language

EN = Facts(
    item="“The Train in the Snow”",
    texts=(
        "The Train in the Snow",
        "Snow stops a train between two tunnels, and somebody has put the clock in the dining car eleven minutes "
        "forward. An ensemble piece in the manner of the old mysteries.",
        "mystery",
        "train",
        "whodunit",
        "The Locked Pier",
        "The Hunter",
    ),
    actions=(
        UserAction("“The Locked Pier”", "rating", 5.0),
        UserAction("“The Hunter”", "like"),
        UserAction("“snow films”", "search"),
    ),
    attributes=(("year", "2020"), ("minutes", "114"), ("director", "Lu Wen"), ("price", "9.5")),
    shared=frozenset({("director", "the hunter")}),
    kind="film",
)
ZH = Facts(
    item="《雪夜列车》",
    texts=(
        "《雪夜列车》",
        "大雪封路，列车停在两座隧道之间，餐车里的钟被人拨快了十一分钟。向老派推理致敬的群戏。",
        "悬疑",
        "列车",
        "推理",
        "《上锁的码头》",
        "《猎手》",
    ),
    actions=(
        UserAction("《上锁的码头》", "rating", 5.0),
        UserAction("《猎手》", "like"),
        UserAction("“雪夜电影”", "search"),
    ),
    attributes=(("year", "2020"), ("minutes", "114"), ("director", "陆闻"), ("price", "9.5")),
    shared=frozenset({("director", "猎手")}),
    kind="film",
)
FACTS: dict[Language, Facts] = {"en": EN, "zh": ZH}
LEADS: dict[Language, str] = {
    "en": "You gave “The Locked Pier” five stars and liked “The Hunter”, and “The Train in the Snow” ",
    "zh": "你给《上锁的码头》打了五分，也喜欢《猎手》，《雪夜列车》",
}

TRUE = {
    "en": [
        "is a mystery from 2020.",
        "lasts 114 minutes.",
        "is directed by Lu Wen, as “The Hunter” was.",
        "has the same director as “The Hunter”.",
        "keeps an ensemble in a train that the snow has stopped.",
        "turns on a clock put eleven minutes forward.",
        "costs 9.5 dollars.",
        "is a whodunit in the manner of the old mysteries.",
        "follows people who cannot leave the dining car.",
    ],
    "zh": [
        "是 2020 年的悬疑片。",
        "片长 114 分钟。",
        "同样由陆闻执导。",
        "和《猎手》是同一位导演。",
        "把一群人困在大雪里的列车上。",
        "从餐车里被拨快十一分钟的钟讲起。",
        "售价 9.5 元。",
        "也是向老派推理致敬的群戏。",
    ],
}
FALSE = {
    "en": [
        ("title", "is like “Murder on the Express”."),
        ("title", "borrows from Murder on the Express."),
        ("title", "is as good as the orient killer."),
        ("person", "stars Kenneth Brown."),
        ("person", "is the work of Mo."),
        ("number", "has eight episodes."),
        ("number", "lasts 90 minutes."),
        ("number", "hangs on a clock put twelve minutes forward."),
        ("number", "is for children under ten."),
        ("date", "was made in 1998."),
        ("date", "comes out in May."),
        ("date", "appeared last week."),
        ("quality", "is an award-winning film."),
        ("quality", "is cheap."),
        ("quality", "costs $5."),
        ("quality", "is a must-see."),
        ("quality", "is the best mystery."),
        ("quality", "is the newest mystery."),
        ("quality", "is based on a true story."),
        ("relation", "has the same director as “The Locked Pier”."),
        ("markup", "is <b>old</b>."),
        ("markup", "is at https://example.org."),
    ],
    "zh": [
        ("title", "像《东方快车谋杀案》。"),
        ("title", "和流浪地球一样。"),
        ("person", "由张译主演。"),
        ("person", "讲老莫和小林的故事。"),
        ("person", "由高远执导。"),
        ("number", "有八集。"),
        ("number", "片长 90 分钟。"),
        ("number", "从被拨快十二分钟的钟讲起。"),
        ("date", "拍于一九九八年。"),
        ("date", "五月上映。"),
        ("date", "是上周的节目。"),
        ("quality", "是获奖作品。"),
        ("quality", "很便宜。"),
        ("quality", "只要 5 元。"),
        ("quality", "必看。"),
        ("quality", "是最好的推理片。"),
        ("quality", "全新上线。"),
        ("quality", "口碑极好。"),
        ("relation", "和《上锁的码头》是同一位导演。"),
        ("markup", "是<b>旧</b>的。"),
    ],
}


@pytest.mark.parametrize(
    ("language", "ending"), [(one, text) for one, texts in TRUE.items() for text in texts]
)
def test_what_the_facts_cover_passes(language: Language, ending: str) -> None:
    assert ungrounded_spans(LEADS[language] + ending, FACTS[language], language) == []


@pytest.mark.parametrize(
    ("language", "kind", "ending"), [(one, *pair) for one, pairs in FALSE.items() for pair in pairs]
)
def test_what_the_facts_do_not_cover_is_found(language: Language, kind: str, ending: str) -> None:
    lead = LEADS[language]
    assert ungrounded_spans(lead, FACTS[language], language) == []
    found = ungrounded_spans(lead + ending, FACTS[language], language)
    assert found, kind
    assert all(one.start >= len(lead) - 1 for one in found)


DEEDS = {
    "en": [
        ("You liked “The Hunter”", True),
        ("You watched “The Hunter”", True),
        ("You rated “The Locked Pier” highly", True),
        ("You searched for “snow films” and liked “The Hunter”", True),
        ("You gave “The Locked Pier” four stars", False),
        ("You gave “The Hunter” five stars", False),
        ("You bought “The Hunter”", False),
        ("You liked “snow films”", False),
        ("You liked “The Hunter” and bought “The Locked Pier”", False),
        ("You've watched “The Train in the Snow”", False),
        ("You saved “The Hunter”", False),
        ("You finished “The Hunter”", False),
        ("“The Train in the Snow”, which you have already watched, stops", False),
    ],
    "zh": [
        ("你喜欢《猎手》", True),
        ("你看过《猎手》", True),
        ("你给《上锁的码头》打过高分", True),
        ("你搜索过“雪夜电影”，也喜欢《猎手》", True),
        ("因为你喜欢《猎手》", True),
        ("你给《上锁的码头》打了四分", False),
        ("你给《猎手》打了五分", False),
        ("你购买过《猎手》", False),
        ("您下单了《猎手》", False),
        ("你喜欢“雪夜电影”", False),
        ("你喜欢《猎手》，也购买过《上锁的码头》", False),
        ("你看过《雪夜列车》", False),
        ("你收藏过《猎手》", False),
        ("你看完了《猎手》", False),
        ("《雪夜列车》你已经看过", False),
    ],
}


@pytest.mark.parametrize(
    ("language", "text", "is_true"), [(one, *pair) for one, pairs in DEEDS.items() for pair in pairs]
)
def test_a_claimed_action_has_to_have_happened_to_the_thing_named(
    language: Language, text: str, is_true: bool
) -> None:
    found = [one for one in ungrounded_spans(text, FACTS[language], language) if one.kind == "action"]
    assert (found == []) is is_true


def test_an_event_that_was_not_given_cannot_be_cited() -> None:
    assert ungrounded_spans(
        "You liked “Breath in the Attic”, and “The Train in the Snow” is a mystery.", EN, "en"
    )
    assert ungrounded_spans("你喜欢《阁楼的呼吸》，《雪夜列车》是悬疑片。", ZH, "zh")


def test_words_of_the_item_are_not_actions_of_the_reader() -> None:
    facts = Facts("“Ten gadgets”", ("I used ten gadgets for a month and kept two.",))
    assert ungrounded_spans("“Ten gadgets” kept two of the ten gadgets used for a month.", facts, "en") == []


def test_a_span_starts_at_its_place_in_the_sentence() -> None:
    text = "《雪夜列车》ＡＢＣ…讲一位侦探王小明。"
    found = ungrounded_spans(text, ZH, "zh")
    assert text[found[0].start] == "Ａ"
    assert any(text[one.start :].startswith(one.text) for one in found if one.kind == "word")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "hostile",
    [
        "\x00",
        "<|im_start|>system",
        "\u202eevil",
        "🎬" * 50,
        "a" * 100_000,
        "一" * 20_000,
        "“" * 1000,
        "《" * 1000,
        "[](){}|`",
    ],
)
def test_hostile_text_is_checked_without_error(language: Language, hostile: str) -> None:
    assert isinstance(ungrounded_spans(LEADS[language] + hostile, FACTS[language], language), list)
    facts = Facts(hostile, (hostile,), (UserAction(hostile, "view"),), (("price", hostile),))
    assert isinstance(ungrounded_spans(LEADS[language], facts, language), list)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["en", "zh"]))
def test_no_text_breaks_the_checker(text: str, language: Language) -> None:
    found = ungrounded_spans(text, FACTS[language], language)
    assert all(0 <= one.start <= len(text) for one in found)
    assert len(fold(text)) == len(text)


@given(st.sampled_from(["title", "《title》", "“title”", '"Title"']))
def test_quotation_marks_are_not_part_of_a_title(title: str) -> None:
    assert bare(title) == "title"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("《按钮是“再看”》", "按钮是“再看”"),
        ("“say ‘hi’”", "say 'hi'"),
        ("“", "“"),
        ("《甲》", "甲"),
        ("“乙", "“乙"),
    ],
)
def test_quotation_marks_within_a_title_stay(title: str, expected: str) -> None:
    assert bare(title) == expected


def test_a_title_that_ends_in_a_quotation_is_known() -> None:
    facts = Facts("《按钮是“再看”》", ("按钮是“再看”", "三家医院用了一年。"))
    assert ungrounded_spans("《按钮是“再看”》讲三家医院。", facts, "zh") == []
    found = ungrounded_spans("《按钮是“再看”吗》讲三家医院。", facts, "zh")
    assert [str(one) for one in found] == ["title 按钮是“再看”吗"]


@pytest.mark.parametrize(
    ("sentence", "kinds"),
    [
        ("“Winter” tells the famine of 1816.", []),
        ("“Winter” tells the famine of 1817.", ["number"]),
        ("“Winter” costs 1816 dollars.", ["number"]),
        ("“Winter” counts sixty.", ["number"]),
    ],
)
def test_a_year_counts_nothing_and_needs_no_unit(sentence: str, kinds: list[str]) -> None:
    facts = Facts("“Winter”", ("A village in the famine of 1816 told from its register.", "sixty pages"))
    assert [one.kind for one in ungrounded_spans(sentence, facts, "en") if one.kind == "number"] == kinds


@pytest.mark.parametrize(
    ("language", "tags", "good", "bad"),
    [
        (
            "en",
            ("action", "sci-fi", "comedy"),
            "“Timecop” adds sci-fi and comedy.",
            "“Timecop” travels to solve problems.",
        ),
        ("zh", ("动作", "科幻", "喜剧"), "“时空警察”加入科幻和喜剧元素。", "“时空警察”用时间解决问题。"),
    ],
)
def test_an_item_without_a_description_may_only_be_described_by_its_tags(
    language: Language, tags: tuple[str, ...], good: str, bad: str
) -> None:
    facts = Facts(good[: good.index("”") + 1], tags, described=False)
    assert ungrounded_spans(good, facts, language) == []
    assert ungrounded_spans(bad, facts, language)
    assert ungrounded_spans(bad, replace(facts, described=True), language) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_search_for_a_title_in_its_own_brackets_may_be_claimed(language: Language) -> None:
    text = {
        "en": "You searched for “《三体》”, and “《雪夜列车》” follows a train.",
        "zh": "你搜索过《三体》，《雪夜列车》是列车故事。",
    }[language]
    known = Facts("《雪夜列车》", ("《雪夜列车》 a train, 列车故事",), (UserAction("“《三体》”", "search"),))
    assert ungrounded_spans(text, known, language) == []
    assert ungrounded_spans(text, replace(known, actions=()), language)


def test_an_action_on_a_quoted_phrase_that_is_no_title_is_no_true_claim() -> None:
    facts = Facts("“Alien”", ("Alien, a tale of “《deep space》”",), (UserAction("“Heat”", "like"),))
    spans = ungrounded_spans("You searched for “《deep space》”, and “Alien” is a tale.", facts, "en")
    assert [span.kind for span in spans if span.kind == "action"]
