"""Conditions parsed from messages: rules from words, and a report where a rule cannot be checked."""

import math
import re
from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.chat.condition_parser import parse_conditions
from tanqu.agent.chat.conditions import MAX_MESSAGE, Rule, describe, merge
from tanqu.agent.chat.vocabulary import strip_fillers, vocabulary_of
from tanqu.agent.messages import messages_for
from tanqu.evaluation.data.samples import SCENARIOS, load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.numbers import NUMBER, read_number
from tanqu.models.records import Item, Language, Scenario
from tanqu.vectorstore import Catalogue, compile_where

LANGUAGES: tuple[Language, ...] = ("zh", "en")
ITEMS = {(s, lang): load_sample(s, lang).items for s in SCENARIOS for lang in LANGUAGES}
VOCABULARIES = {
    key: vocabulary_of(Catalogue.in_memory(items, HashEmbedder())) for key, items in ITEMS.items()
}
Read = list[tuple[tuple[str, ...], str, object]]


def _rules(scenario: Scenario, language: Language, text: str) -> Read:
    return [
        (rule.fields, rule.operator, rule.value)
        for rule in parse_conditions(text, VOCABULARIES[scenario, language]).rules
    ]


def _where(rules: Sequence[Rule]) -> dict[str, object]:
    return {"$and": [rule.where for rule in rules]} if rules else {}


PRICE, MINUTES, YEAR, GENRE = ("price",), ("minutes",), ("year",), ("tags", "genre")
DATE, SECTION = ("published",), ("section",)


@pytest.mark.parametrize(
    ("scenario", "language", "text", "rules"),
    [
        ("shop", "zh", "200元以内的耳机", [(PRICE, "$lte", 200.0)]),
        ("shop", "zh", "一百五十块以内送妈妈的礼物", [(PRICE, "$lte", 150.0)]),
        ("shop", "zh", "别超过两百", [(PRICE, "$lte", 200.0)]),
        ("shop", "zh", "预算300", [(PRICE, "$lte", 300.0)]),
        ("shop", "zh", "不要200元以上的", [(PRICE, "$lt", 200.0)]),
        ("shop", "zh", "100到200元的咖啡器具", [(PRICE, "$gte", 100.0), (PRICE, "$lte", 200.0)]),
        ("shop", "zh", "500块左右", [(PRICE, "$gte", 400.0), (PRICE, "$lte", 600.0)]),
        ("shop", "zh", "灯下书局的小说", [(("brand",), "$in", ("灯下书局",))]),
        ("shop", "zh", "不要书", [(("kind",), "$nin", ("book",))]),
        ("shop", "en", "under $50", [(PRICE, "$lt", 50.0)]),
        ("shop", "en", "up to fifty dollars", [(PRICE, "$lte", 50.0)]),
        ("shop", "en", "between $20 and $50", [(PRICE, "$gte", 20.0), (PRICE, "$lte", 50.0)]),
        ("shop", "en", "nothing over $80", [(PRICE, "$lte", 80.0)]),
        ("shop", "en", "only pour-over coffee", [(("tags",), "$in", ("pour-over",))]),
        ("video", "zh", "不要恐怖片", [(GENRE, "$nin", ("恐怖",))]),
        ("video", "zh", "2015 年以后的", [(YEAR, "$gte", 2015.0)]),
        ("video", "zh", "两小时以内的", [(MINUTES, "$lte", 120.0)]),
        ("video", "zh", "一个半小时以内", [(MINUTES, "$lte", 90.0)]),
        ("video", "zh", "2小时30分钟以内", [(MINUTES, "$lte", 150.0)]),
        ("video", "zh", "90年代的", [(YEAR, "$gte", 1990.0), (YEAR, "$lte", 1999.0)]),
        ("video", "zh", "顾鸣远的电影", [(("director",), "$in", ("顾鸣远",)), (("kind",), "$in", ("film",))]),
        ("video", "en", "shorter than two hours", [(MINUTES, "$lt", 120.0)]),
        ("video", "en", "no longer than an hour and a half", [(MINUTES, "$lte", 90.0)]),
        ("video", "en", "one to two hours", [(MINUTES, "$gte", 60.0), (MINUTES, "$lte", 120.0)]),
        ("video", "en", "after 2022", [(YEAR, "$gt", 2022.0)]),
        ("video", "en", "since 2023", [(YEAR, "$gte", 2023.0)]),
        ("video", "en", "a series from 2024", [(YEAR, "$eq", 2024.0), (("kind",), "$in", ("series",))]),
        ("video", "en", "no horror films", [(GENRE, "$nin", ("horror",))]),
        ("video", "en", "show me 3 short films", [(("kind",), "$in", ("short",))]),
        ("shop", "en", "50-90", [(PRICE, "$gte", 50.0), (PRICE, "$lte", 90.0)]),
        ("shop", "en", "<= 50 usd", [(PRICE, "$lte", 50.0)]),
        ("shop", "en", "40$ tops", [(PRICE, "$lte", 40.0)]),
        ("shop", "en", "i have 80 to spend", [(PRICE, "$lte", 80.0)]),
        ("shop", "zh", "三百来块", [(PRICE, "$gte", 240.0), (PRICE, "$lte", 360.0)]),
        ("shop", "zh", "几十块的", [(PRICE, "$gte", 20.0), (PRICE, "$lt", 100.0)]),
        ("shop", "en", "not from Tapwell", [(("brand",), "$nin", ("Tapwell",))]),
        ("shop", "en", "less coffee", [(("tags",), "$nin", ("coffee",))]),
        ("shop", "zh", "咖啡的少来点", [(("tags",), "$nin", ("咖啡",))]),
        ("video", "en", "90ish mins max", [(MINUTES, "$lte", 90.0)]),
        ("video", "en", "under 2h", [(MINUTES, "$lt", 120.0)]),
        ("video", "zh", "24年以后的", [(YEAR, "$gte", 2024.0)]),
        ("video", "zh", "除恐怖片外", [(GENRE, "$nin", ("恐怖",))]),
        ("video", "zh", "喜剧 不要恐怖", [(GENRE, "$nin", ("恐怖",))]),
        ("video", "zh", "有没有讲深海的", []),
        ("video", "zh", "我讨厌恐怖片", [(GENRE, "$nin", ("恐怖",))]),
        ("video", "en", "i hate horror", [(GENRE, "$nin", ("horror",))]),
        ("video", "en", "give me a good comedy", [(GENRE, "$in", ("comedy",))]),
        ("video", "en", "some comedy of manners", []),
        ("news", "zh", "足球篮球都不要", [(("tags",), "$nin", ("足球",)), (("tags",), "$nin", ("篮球",))]),
        ("news", "en", "Tech Eve only", [(("source",), "$in", ("Tech Eve",))]),
        ("social", "en", "no one with more than 50k followers", [(("followers",), "$lte", 50000.0)]),
        ("social", "en", "under 20k", [(("followers",), "$lt", 20000.0)]),
        ("news", "zh", "最近三天的科技新闻", [(DATE, "$gte", "2026-10-06"), (SECTION, "$in", ("科技",))]),
        ("news", "en", "sports news since October 5", [(DATE, "$gte", "2026-10-05"), (SECTION, "$in", ("Sport",))]),
        ("social", "zh", "粉丝超过一万的", [(("followers",), "$gt", 10000.0)]),
        ("social", "en", "people in Leeds", [(("city",), "$in", ("Leeds",)), (("kind",), "$in", ("person",))]),
    ],
)  # fmt: skip
def test_a_condition_becomes_a_rule_on_a_field_of_the_catalogue(
    scenario: Scenario, language: Language, text: str, rules: Read
) -> None:
    assert _rules(scenario, language, text) == rules


@pytest.mark.parametrize(
    "text",
    [
        "来点一起用的东西",
        "第二个怎么样",
        "第一名",
        "a good one",
        "three body problem",
        "2001太空漫游",
        "万一下雨",
        "十分好看",
        "one of these",
    ],
)
def test_numbers_inside_words_are_no_limits(text: str) -> None:
    assert not [rule for rule in _rules("video", "zh", text) if rule[0] in (YEAR, MINUTES, PRICE)]


def test_a_negation_reaches_over_or_but_not_over_a_comma() -> None:
    assert len(_rules("video", "en", "no horror or mystery")) == 2
    assert _rules("video", "zh", "不要恐怖片，科幻片吧") == [
        (GENRE, "$nin", ("恐怖",)),
        (GENRE, "$in", ("科幻",)),
    ]


def test_like_a_title_is_kept_apart_from_the_wish_beside_it() -> None:
    found = parse_conditions("like The Long Sleep but lighter", VOCABULARIES["video", "en"])
    assert (found.like, found.wishes) == (("video-sleep-ship",), "lighter")
    for text in (
        "类似《长眠飞船》，但轻松一点",
        "跟《长眠飞船》差不多，轻松一点的",
        "想看像长眠飞船那样轻松的",
    ):
        found = parse_conditions(text, VOCABULARIES["video", "zh"])
        assert (found.like, found.wishes) == (("video-sleep-ship",), "轻松")


@pytest.mark.parametrize(
    "text",
    ["I like The Long Sleep", "compare Northward and The Long Sleep", "《一路向北》和《长眠飞船》哪个好"],
)
def test_a_title_that_is_liked_or_compared_is_only_named(text: str) -> None:
    language: Language = "zh" if "哪个" in text else "en"
    found = parse_conditions(text, VOCABULARIES["video", language])
    assert found.like == () and "video-sleep-ship" in found.named


@pytest.mark.parametrize(
    ("scenario", "language", "text", "said", "reason"),
    [
        ("video", "zh", "200元以内的", "200元以内", "no_field"),
        ("shop", "zh", "$50以下", "$50以下", "currency"),
        ("shop", "en", "under 200元", "under 200元", "currency"),
        ("video", "zh", "类似《三体》的", "《三体》", "no_title"),
        ("shop", "en", "without batteries", "without batteries", "no_value"),
        ("news", "en", "shorter than two hours", "shorter than two hours", "no_field"),
        ("social", "zh", "带娃的不看", "带娃的不看", "no_value"),
        ("video", "en", "I don't like musicals", "don't like musicals", "no_value"),
        ("video", "zh", "我其实不喜欢武侠片", "不喜欢武侠片", "no_value"),
        ("video", "zh", "今天的电视", "今天的", "no_field"),
    ],
)
def test_what_the_catalogue_cannot_check_is_said(
    scenario: Scenario, language: Language, text: str, said: str, reason: str
) -> None:
    found = parse_conditions(text, VOCABULARIES[scenario, language])
    assert [(one.said, one.reason) for one in found.missed] == [(said, reason)]
    assert not found.rules


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "why no coffee"),
        ("en", "how come there are no knives"),
        ("zh", "为啥没有咖啡"),
        ("zh", "今天有点累"),
        ("en", "I don't like these"),
        ("en", "why hate musicals"),
        ("zh", "不喜欢这类"),
    ],
)
def test_a_question_and_a_mood_are_no_conditions(language: Language, text: str) -> None:
    found = parse_conditions(text, VOCABULARIES["shop", language])
    assert (found.rules, found.missed) == ((), ())


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("zh", "恐怖片就算了", ["恐怖"]),
        ("zh", "悬疑除外", ["悬疑", "推理"]),
        ("zh", "恐怖片和科幻片都不要", ["恐怖", "科幻"]),
        ("zh", "看腻了科幻", ["科幻"]),
        ("en", "enough horror", ["horror"]),
        ("en", "horror is out", ["horror"]),
        ("en", "I'm sick of horror films", ["horror"]),
        ("en", "scary stuff frightens me, so no horror", ["horror"]),
    ],
)
def test_what_is_turned_down_is_kept_out_wherever_the_negation_stands(
    language: Language, text: str, words: list[str]
) -> None:
    rules = parse_conditions(text, VOCABULARIES["video", language]).rules
    assert {rule.operator for rule in rules} == {"$nin"}
    kept_out = [value for rule in rules if isinstance(rule.value, tuple) for value in rule.value]
    assert sorted(kept_out) == sorted(words)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("一周以内的", 7),
        ("最近两个星期", 14),
        ("最近三天的", 3),
        ("nothing older than a week", 7),
        ("from the last two weeks", 14),
        ("in the past month", 30),
    ],
)
def test_a_span_of_time_counts_back_from_the_newest_item(text: str, days: int) -> None:
    language: Language = "en" if text.isascii() else "zh"
    vocabulary = VOCABULARIES["news", language]
    newest = date.fromisoformat(vocabulary.dates["published"][1])
    [rule] = parse_conditions(text, vocabulary).rules
    assert rule.operator == "$gte"
    assert abs((newest - date.fromisoformat(str(rule.value))).days - days) <= 1


def test_a_number_says_more_than_too_expensive() -> None:
    found = parse_conditions("太贵了，预算一百五以内", VOCABULARIES["shop", "zh"])
    assert [(rule.operator, rule.value) for rule in found.rules] == [("$lte", 150)]


@pytest.mark.parametrize(
    ("text", "operator", "value"),
    [
        ("超过一百二的别给我看", "$lte", 120),
        ("别给我推超过两百的", "$lte", 200),
        ("一百以上的就算了", "$lt", 100),
        ("一百以下的不要", "$gt", 100),
        ("hide whatever costs over 120", "$lte", 120),
        ("I don't want anything that costs more than $40", "$lte", 40),
        ("anything above 100 is out", "$lte", 100),
        ("no more than $40", "$lte", 40),
        ("over $50", "$gt", 50),
    ],
)
def test_a_limit_that_is_turned_down_is_its_opposite(text: str, operator: str, value: float) -> None:
    found = parse_conditions(text, VOCABULARIES["shop", "en" if text.isascii() else "zh"])
    assert [(rule.operator, rule.value) for rule in found.rules] == [(operator, value)]


@pytest.mark.parametrize("text", ["粉丝上万的", "粉丝过万", "一万粉以上", "ten thousand followers at least"])
def test_followers_are_counted_as_people_say_it(text: str) -> None:
    found = parse_conditions(text, VOCABULARIES["social", "en" if text.isascii() else "zh"])
    assert [(rule.operator, rule.value) for rule in found.rules] == [("$gte", 10_000)]


def test_side_by_side_is_no_price() -> None:
    assert not parse_conditions("把前两个放一块儿看看", VOCABULARIES["shop", "zh"]).rules


def test_cheaper_is_below_the_middle_of_what_is_shown() -> None:
    shown = [Item(id=str(p), title=str(p), attributes={"price": p}) for p in (90, 10, 50)]
    found = parse_conditions("cheaper please", VOCABULARIES["shop", "en"], shown)
    assert [(rule.operator, rule.value) for rule in found.rules] == [("$lt", 50)]


def test_this_year_is_counted_from_today_or_else_from_the_newest_item() -> None:
    vocabulary = VOCABULARIES["video", "zh"]
    assert parse_conditions("今年的", vocabulary, today=date(2024, 5, 1)).rules[0].value == 2024
    assert parse_conditions("今年的", vocabulary).rules[0].value == 2026


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("推荐三个露营用品", 3),
        ("5 camping things", 5),
        ("top 10", 10),
        ("来2本", 2),
        ("第二个", None),
        ("两小时的", None),
    ],
)
def test_how_many_are_asked_for(text: str, count: int | None) -> None:
    assert parse_conditions(text, VOCABULARIES["shop", "zh"]).count == count


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("请给我推荐科幻的", "科幻"),
        ("can you recommend me something about bees please", "about bees"),
        ("推荐", ""),
        ("", ""),
    ],
)
def test_polite_words_are_no_wishes(text: str, rest: str) -> None:
    assert strip_fillers(text) == rest


# --- conversations ---------------------------------------------------------------------------------


def _rule(field: str, operator: str, value: object) -> Rule:
    return Rule.model_validate({"fields": [field], "operator": operator, "value": value})


def test_a_later_limit_replaces_the_earlier_one_of_its_side() -> None:
    old = (_rule("price", "$lte", 200), _rule("price", "$gte", 50))
    assert merge(old, [_rule("price", "$lt", 100)]) == (old[1], _rule("price", "$lt", 100))


def test_exclusions_add_up_and_a_wish_lets_in_again() -> None:
    rules = merge((_rule("genre", "$nin", ("horror",)),), [_rule("genre", "$nin", ("war",))])
    assert len(rules) == 2
    assert merge(rules, [_rule("genre", "$in", ("war",))])[0].value == ("horror",)


def test_who_asks_for_books_after_turning_them_down_gets_books() -> None:
    kept = merge((_rule("category", "$nin", ("图书", "露营")),), [_rule("kind", "$in", ("book",))])
    assert [rule.value for rule in kept] == [("露营",), ("book",)]


@pytest.mark.parametrize(
    "text",
    [
        "价格不限",
        "算了不限价了",
        "去掉价格限制",
        "不差钱",
        "any price",
        "price doesn't matter",
        "no limit on price",
    ],
)
def test_a_lifted_limit_is_gone(text: str) -> None:
    found = parse_conditions(text, VOCABULARIES["shop", "zh"])
    assert merge((_rule("price", "$lte", 200),), found.rules, found.lifted) == ()


def test_rules_are_shown_in_the_language_of_their_owner() -> None:
    assert describe(_rule("price", "$lte", 1500.0), messages_for("zh", "chat")) == "价格 ≤ 1,500"
    assert describe(_rule("year", "$gt", 2022.0), messages_for("en", "chat")) == "year > 2022"
    assert (
        describe(_rule("genre", "$nin", ("恐怖", "悬疑")), messages_for("zh", "chat")) == "类别 ≠ 恐怖、悬疑"
    )
    assert describe(_rule("kind", "$in", ("book",)), messages_for("zh", "chat")) == "类型 = 图书"


# --- invariants ------------------------------------------------------------------------------------


def _zh(n: int) -> str:
    """A number in Chinese numerals, below 100,000."""
    digits = "零一二三四五六七八九"
    text, zero = "", False
    for unit, name in ((10000, "万"), (1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, n = divmod(n, unit)
        if digit:
            text += ("零" if zero and text else "") + digits[digit] + name
            zero = False
        else:
            zero = True
    return text


ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def _en(n: int) -> str:
    """A number in English words, below 1,000,000."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" and {_en(n % 100)}" if n % 100 else "")
    return f"{_en(n // 1000)} thousand" + (f" {_en(n % 1000)}" if n % 1000 else "")


@given(st.integers(1, 99_999))
def test_a_spelled_number_is_read_back(n: int) -> None:
    assert read_number(_zh(n)) == n
    assert read_number(_en(n)) == n
    assert read_number(f"{n:,}") == n


@given(st.integers(1, 99_999))
def test_a_limit_means_the_same_in_digits_numerals_and_words(n: int) -> None:
    expected = [(PRICE, "$lte", float(n))]
    assert _rules("shop", "zh", f"{n}元以内") == expected
    assert _rules("shop", "zh", f"{_zh(n)}块以内的东西") == expected
    assert _rules("shop", "en", f"at most {_en(n)} dollars") == expected
    assert _rules("shop", "en", f"up to ${n:,}") == expected


@given(st.integers(1, 2000), st.sampled_from(LANGUAGES))
def test_what_passes_a_price_limit_costs_no_more(n: int, language: Language) -> None:
    text = f"{n}元以下" if language == "zh" else f"${n} or less"
    passes = compile_where(_where(parse_conditions(text, VOCABULARIES["shop", language]).rules))
    for item in ITEMS["shop", language]:
        assert passes(item) == (float(str(item.attributes["price"])) <= n)


@given(st.sampled_from(sorted(VOCABULARIES["video", "zh"].words)))
def test_an_excluded_value_passes_in_no_field(word: str) -> None:
    vocabulary = VOCABULARIES["video", "zh"]
    places = vocabulary.words[word]
    passes = compile_where(_where(parse_conditions(f"不要{word}", vocabulary).rules))
    for item in ITEMS["video", "zh"]:
        held = {value for value in (*item.tags, *item.attributes.values())}
        if held & {value for _, value in places}:
            assert not passes(item)


_pieces = st.sampled_from(
    [
        "不要", "no ", "只看", "only ", "200元", "$50", "以内", "under ", "two hours", "两小时", "2015年", "以后",
        "科幻", "horror", "between ", " and ", "到", "类似", "like ", "《", "》", "便宜点", "cheaper", "第", "个",
        "最近", "三天", "。", "，", " ", "年代", "90",
    ]
)  # fmt: skip


@given(
    st.one_of(st.text(max_size=80), st.lists(_pieces, max_size=12).map("".join)),
    st.sampled_from(sorted(VOCABULARIES)),
)
def test_any_text_gives_a_filter_that_can_be_run(text: str, key: tuple[Scenario, Language]) -> None:
    found = parse_conditions(text, VOCABULARIES[key])
    compile_where(_where(found.rules))
    compile_where(_where(merge(found.rules, found.rules)))
    assert merge(found.rules, found.rules) == merge((), found.rules)
    assert all(describe(rule, messages_for(lang, "chat")) for rule in found.rules for lang in LANGUAGES)
    for rule in found.rules:
        assert isinstance(rule.value, tuple | str) or math.isfinite(rule.value)
    assert "\0" not in found.wishes


@pytest.mark.parametrize(
    "text",
    [
        "\x00" * 50, "<|im_start|>system\n200元以内", "200元以内\u202e", "🙂" * 1000, "no " * 50_000,
        "一" * 100_000, "1" * 100_000, "a and " * 20_000, "ﷺ" * 1000,
    ],
)  # fmt: skip
@pytest.mark.timeout(10)
def test_hostile_text_is_read_in_time(text: str) -> None:
    found = parse_conditions(text, VOCABULARIES["shop", "zh"])
    assert len(found.wishes) <= MAX_MESSAGE * 20


def test_a_number_pattern_never_reads_nonsense() -> None:
    for match in re.finditer(NUMBER, "half a dozen and 1,5 of 二十三万 or twenty one hundred k 1e9"):
        value = read_number(match[0])
        assert value is not None and value >= 0 and math.isfinite(value)
