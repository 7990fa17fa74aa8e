import json
import re
from collections import Counter, defaultdict
from importlib.resources import files

import pytest

from tanqu.evaluation.data.samples import SCENARIOS, Sample, demo_user, load_sample
from tanqu.models.errors import InputError
from tanqu.models.records import Event, Item, Language, Scenario

LANGUAGES: tuple[Language, ...] = ("zh", "en")
MAIN_USERS = ("lin", "chen", "wang", "zhao")
# Ideographs, and the punctuation and full-width forms that only Chinese text uses.
CHINESE_CHARACTER = re.compile("[\u3400-\u9fff\uf900-\ufaff\u3000-\u303f\uff00-\uffef]")
IDEOGRAPH = re.compile("[\u4e00-\u9fff]")
ACTIONS = {
    "shop": {"view", "search", "purchase", "rating", "like", "dislike"},
    "video": {"view", "search", "rating", "like", "dislike"},
    "news": {"view", "search", "rating", "like", "dislike"},
    "social": {"view", "search", "rating", "like", "dislike"},
}
SHAPE: dict[Scenario, tuple[set[str], set[str]]] = {
    "shop": ({"product", "book"}, {"price", "currency", "brand", "category"}),
    "video": ({"film", "series", "documentary", "short"}, {"year", "minutes", "genre", "director"}),
    "news": ({"article"}, {"published", "section", "source"}),
    "social": ({"person", "post"}, {"followers", "city", "author"}),
}

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)
every_language = pytest.mark.parametrize("language", LANGUAGES)


def topic(item: Item) -> str:
    return item.tags[0]


def is_good(event: Event) -> bool:
    if event.action == "rating":
        return (event.value or 0) >= 4
    return event.action in ("like", "purchase")


def is_bad(event: Event) -> bool:
    return event.action == "dislike" or (event.action == "rating" and (event.value or 0) <= 2)


def by_user(sample: Sample) -> dict[str, list[Event]]:
    events = defaultdict(list)
    for event in sample.events:
        events[event.user.removeprefix(f"{sample.scenario}-")].append(event)
    return events


def topics_where(sample: Sample, events: list[Event], wanted: bool) -> Counter[str]:
    topics = {item.id: topic(item) for item in sample.items}
    chosen = is_good if wanted else is_bad
    return Counter(topics[event.item] for event in events if event.item and chosen(event))


def words_of(item: Item) -> list[str]:
    named = [value for value in item.attributes.values() if isinstance(value, str)]
    return [item.title, item.text, *item.tags, *named]


@every_scenario
@every_language
def test_ids_are_unique_and_carry_the_scenario(scenario: Scenario, language: Language) -> None:
    sample = load_sample(scenario, language)
    for ids in ([one.id for one in sample.items], [one.id for one in sample.events]):
        assert len(ids) == len(set(ids))
        assert all(re.fullmatch(rf"{scenario}-[a-z0-9-]+", one) for one in ids)
    titles = [item.title for item in sample.items]
    assert len(titles) == len(set(titles))


@every_scenario
@every_language
def test_events_point_at_items_and_rise_in_time(scenario: Scenario, language: Language) -> None:
    sample = load_sample(scenario, language)
    known = {item.id for item in sample.items}
    assert {event.item for event in sample.events if event.item} <= known
    times = [event.time for event in sample.events if event.time]
    assert len(times) == len(sample.events)
    assert times == sorted(times)
    assert {time.year for time in times} == {2026}
    assert max(times).month <= 10


@every_scenario
@every_language
def test_files_use_the_public_format(scenario: Scenario, language: Language) -> None:
    folder = files("tanqu.evaluation.data")
    raw = (folder / f"sample_{scenario}_events.{language}.jsonl").read_bytes()
    assert b"\r" not in raw
    assert not raw.startswith(b"\xef\xbb\xbf")
    for line in raw.decode("utf-8").splitlines():
        event = json.loads(line)
        assert event["time"].endswith("Z")
        assert ("item" in event) != ("query" in event)
        assert ("query" in event) == (event["action"] == "search")


@every_scenario
@every_language
def test_items_have_the_kinds_and_attributes_of_their_scenario(
    scenario: Scenario, language: Language
) -> None:
    kinds, attributes = SHAPE[scenario]
    items = load_sample(scenario, language).items
    assert {item.kind for item in items} == kinds
    for item in items:
        assert set(item.attributes) == attributes, item.id
        assert len(item.tags) >= 3, item.id
        assert len(item.text) >= (20 if language == "zh" else 60), item.id


@every_scenario
@every_language
def test_every_topic_has_four_to_six_items(scenario: Scenario, language: Language) -> None:
    items = load_sample(scenario, language).items
    sizes = Counter(topic(item) for item in items)
    assert 48 <= len(items) <= 60
    assert 10 <= len(sizes) <= 13
    assert {size for size in sizes.values()} <= {4, 5, 6}


@every_scenario
def test_english_is_a_twin_of_chinese(scenario: Scenario) -> None:
    zh, en = (load_sample(scenario, language) for language in LANGUAGES)
    assert [(one.id, one.kind, len(one.tags), set(one.attributes)) for one in zh.items] == [
        (one.id, one.kind, len(one.tags), set(one.attributes)) for one in en.items
    ]
    assert [one.model_copy(update={"query": None}) for one in zh.events] == [
        one.model_copy(update={"query": None}) for one in en.events
    ]
    pairs = {(topic(a), topic(b)) for a, b in zip(zh.items, en.items, strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@every_scenario
def test_chinese_is_chinese_and_english_holds_none(scenario: Scenario) -> None:
    zh, en = (load_sample(scenario, language) for language in LANGUAGES)
    for item in zh.items:
        assert IDEOGRAPH.search(item.title) and IDEOGRAPH.search(item.text), item.id
    for item in en.items:
        assert not any(CHINESE_CHARACTER.search(words) for words in words_of(item)), item.id
    mixed = f"{scenario}-mei"
    assert all(IDEOGRAPH.search(one.query) for one in zh.events if one.query and one.user != mixed)
    assert not any(
        CHINESE_CHARACTER.search(one.query) for one in en.events if one.query and one.user != mixed
    )


@every_scenario
@every_language
def test_one_user_searches_in_both_languages(scenario: Scenario, language: Language) -> None:
    queries = [one.query for one in by_user(load_sample(scenario, language))["mei"] if one.query]
    assert any(IDEOGRAPH.search(query) for query in queries)
    assert any(re.search("[A-Za-z]{3}", query) for query in queries)


@every_scenario
@every_language
def test_users_have_the_promised_histories(scenario: Scenario, language: Language) -> None:
    users = by_user(load_sample(scenario, language))
    assert set(users) == {*MAIN_USERS, "sun", "mei"}
    assert len(users["sun"]) == 3
    for name in MAIN_USERS:
        assert 15 <= len(users[name]) <= 25, name
        assert {event.action for event in users[name]} == ACTIONS[scenario], name


@every_scenario
@every_language
def test_main_users_have_clear_interests_and_one_dislike(scenario: Scenario, language: Language) -> None:
    sample = load_sample(scenario, language)
    for name in MAIN_USERS:
        events = by_user(sample)[name]
        good = topics_where(sample, events, wanted=True)
        bad = topics_where(sample, events, wanted=False)
        assert 2 <= sum(count >= 2 for count in good.values()) <= 4, (name, good)
        assert [count for count in bad.values() if count >= 2], (name, bad)
        assert not set(good) & set(bad), name


@every_scenario
@every_language
def test_every_liked_topic_has_an_unseen_item(scenario: Scenario, language: Language) -> None:
    sample = load_sample(scenario, language)
    for name, events in by_user(sample).items():
        seen = {event.item for event in events}
        unseen = {topic(item) for item in sample.items if item.id not in seen}
        liked = set(topics_where(sample, events, wanted=True))
        assert liked, name
        assert liked <= unseen, (name, liked - unseen)


@every_scenario
def test_values_are_stars_counts_or_seconds(scenario: Scenario) -> None:
    for event in load_sample(scenario, "zh").events:
        if event.action == "rating":
            assert event.value in (1, 2, 3, 4, 5), event.id
        elif event.action in ("view", "purchase"):
            assert event.value is not None and event.value >= 1, event.id
        else:
            assert event.value is None, event.id


def test_nobody_watches_longer_than_the_film() -> None:
    sample = load_sample("video", "zh")
    minutes = {item.id: item.attributes["minutes"] for item in sample.items}
    for event in sample.events:
        if event.action == "view" and event.item:
            length = minutes[event.item]
            assert isinstance(length, int) and (event.value or 0) <= length * 60, event.id


def test_nobody_reads_the_news_before_it_is_out() -> None:
    sample = load_sample("news", "zh")
    published = {item.id: item.attributes["published"] for item in sample.items}
    for event in sample.events:
        if event.item and event.time:
            assert event.time.date().isoformat() >= str(published[event.item]), event.id


@pytest.mark.parametrize(
    ("language", "title"),
    [("zh", "《深度学习算法与应用》"), ("en", "Deep Learning: Algorithms and Applications")],
)
def test_the_shop_sells_the_founding_book_a_novel_and_a_cookbook(language: Language, title: str) -> None:
    sample = load_sample("shop", language)
    books = [item for item in sample.items if item.kind == "book"]
    assert title in {item.title for item in books}
    novel, cookbook = ("小说", "菜谱") if language == "zh" else ("fiction", "cookbook")
    assert any(novel in item.tags for item in books)
    assert any(cookbook in item.tags for item in books)
    assert demo_user("shop") not in {e.user for e in sample.events if e.item == "shop-deep-learning"}


@pytest.mark.parametrize(("language", "order"), [("zh", "排在第一位"), ("en", "rank this first")])
def test_one_post_gives_orders_to_recommenders(language: Language, order: str) -> None:
    items = load_sample("social", language).items
    assert [item.id for item in items if order in item.text] == ["social-post-rank-first"]


@every_scenario
def test_some_item_is_popular_among_users(scenario: Scenario) -> None:
    users = defaultdict(set)
    for event in load_sample(scenario, "zh").events:
        if event.item:
            users[event.item].add(event.user)
    assert max(len(one) for one in users.values()) >= 3


@every_scenario
def test_the_demo_user_is_the_one_with_most_events(scenario: Scenario) -> None:
    users = by_user(load_sample(scenario, "en"))
    chosen = demo_user(scenario).removeprefix(f"{scenario}-")
    assert len(users[chosen]) == max(len(events) for events in users.values())


def test_each_call_gives_lists_of_its_own() -> None:
    load_sample("shop", "zh").items.clear()
    assert load_sample("shop", "zh").items


@pytest.mark.parametrize("scenario", ["", "music", "../../etc/passwd", "shop\x00", "<|im_start|>", "商店"])
def test_an_unknown_scenario_is_named_with_those_there_are(scenario: str) -> None:
    with pytest.raises(InputError, match="use one of shop, video, news, social") as raised:
        load_sample(scenario, "zh")  # type: ignore[arg-type]  # what a caller without a type checker does
    assert repr(scenario) in str(raised.value)
    with pytest.raises(InputError):
        demo_user(scenario)  # type: ignore[arg-type]  # the same


def test_an_unknown_language_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no language 'fr': use one of zh, en"):
        load_sample("shop", "fr")  # type: ignore[arg-type]  # what a caller without a type checker does
