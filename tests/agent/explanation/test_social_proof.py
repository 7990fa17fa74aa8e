"""What others did who did the same is counted, said in one sentence, and never points at a few people."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.explanation.evidence import MIN_CO_USERS, CoUserCount, CoUsers, PickEvidence
from tanqu.agent.explanation.templates import HistoryItem
from tanqu.agent.profile.history import HistoryEntry
from tanqu.agent.store.memory import Memory, Took
from tanqu.models.records import Action, Candidate, Event, Item, Language, Ranked
from tanqu.vectorstore.database import memory_database

ALIEN = Item(id="alien", title="Alien", kind="film")
PIER = Item(id="pier", title="The Locked Pier", kind="film")
LAMP = Item(id="lamp", title="Reading Lamp", kind="product")


@pytest.fixture
def memory() -> Iterator[Memory]:
    engine = memory_database()
    yield Memory(engine)
    engine.dispose()


def take(
    memory: Memory, item: str, *users: int, action: Action = "rating", value: float | None = 5.0
) -> None:
    memory.record(
        Event(id=f"{user}-{item}-{action}", user=f"u{user}", item=item, action=action, value=value)
        for user in users
    )


def thing(item: Item | None, action: Action = "rating", value: float | None = 5.0) -> HistoryItem:
    event = Event(
        id="e", user="u0", item=item.id if item else None, query=None if item else "x", action=action,
        value=value,
    )  # fmt: skip
    return HistoryItem.of([HistoryEntry(event, item, 1.0, item.title if item else "x")])


def pick(item: Item, **signals: float) -> Ranked:
    return Ranked(candidate=Candidate(item=item, channels={}), rank=1, score=1.0, signals=signals, raw={})


def test_the_cited_item_with_the_largest_share_of_co_users_is_chosen(memory: Memory) -> None:
    take(memory, "alien", *range(21))
    take(memory, "pier", *range(11))
    take(memory, "lamp", *range(8))
    found = CoUsers(memory, "u0").of(pick(LAMP, engagement=1.0), [thing(ALIEN), thing(PIER)])
    assert found == CoUserCount(thing(PIER), 10, 7)


def test_the_user_is_not_counted_and_low_stars_are_no_liking(memory: Memory) -> None:
    take(memory, "alien", *range(MIN_CO_USERS + 1))
    take(memory, "alien", 20, 21, value=3.0)
    take(memory, "pier", *range(MIN_CO_USERS + 1), 20, 21)
    found = CoUsers(memory, "u0").of(pick(PIER, engagement=1.0), [thing(ALIEN)])
    assert found is not None and (found.all, found.also) == (MIN_CO_USERS, MIN_CO_USERS)


@pytest.mark.parametrize(
    ("alien", "pier", "signal"),
    [
        (range(1, MIN_CO_USERS), range(1, MIN_CO_USERS), 1.0),  # too few
        (range(1, 40), range(1, 1 + MIN_CO_USERS), 1.0),  # too small a part
        (range(1, 20), range(1, 20), 0.0),  # others do not speak for it
        (range(1, 20), range(1, 20), -0.5),
    ],
)
def test_few_co_users_or_no_engagement_signal_give_no_social_proof(
    memory: Memory, alien: range, pier: range, signal: float
) -> None:
    take(memory, "alien", *alien)
    take(memory, "pier", *pier)
    assert CoUsers(memory, "u0").of(pick(PIER, co_engagement=signal), [thing(ALIEN)]) is None


def test_words_that_were_searched_for_have_no_company(memory: Memory) -> None:
    take(memory, "pier", *range(30))
    assert CoUsers(memory, "u0").of(pick(PIER, engagement=1.0), [thing(None, "search", None)]) is None


@pytest.mark.parametrize(
    ("item", "action", "value", "took", "en", "zh"),
    [
        (ALIEN, "rating", 5.0, "liked", "liked “Alien”, 7 liked", "喜欢《Alien》"),
        (ALIEN, "rating", 3.0, "seen", "watched “Alien”, 7 watched", "看过《Alien》"),
        (LAMP, "purchase", None, "bought", "bought “Reading Lamp”, 7 bought", "买过“Reading Lamp”"),
        (LAMP, "view", None, "seen", "looked at “Reading Lamp”, 7 looked at", "浏览过“Reading Lamp”"),
    ],
)
def test_the_sentence_says_what_was_done_in_either_language(
    item: Item, action: Action, value: float | None, took: Took, en: str, zh: str
) -> None:
    one = thing(item, action, value)
    assert one.took == took
    assert CoUserCount(one, 10, 7).sentence("en") == f"Of the 10 others who {en} this one too."
    did = zh.split("《")[0].split("“")[0]
    assert CoUserCount(one, 10, 7).sentence("zh") == f"{zh}的另外10人里，有7人也{did}它。"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_reason_ends_with_the_company_if_there_is_any(language: Language) -> None:
    company = CoUserCount(thing(ALIEN), 10, 7)
    alone = PickEvidence(PIER, "", (thing(ALIEN),), language)
    assert alone.with_social_proof("One.") == "One."
    told = PickEvidence(PIER, "", (thing(ALIEN),), language, co_users=company).with_social_proof("One.")
    assert told == "One." + (" " if language == "en" else "") + company.sentence(language)


@given(
    known=st.sets(st.integers(0, 30), max_size=25),
    also=st.sets(st.integers(0, 30), max_size=25),
)
def test_counts_are_those_of_the_events_and_never_below_the_least(known: set[int], also: set[int]) -> None:
    engine = memory_database()
    memory = Memory(engine)
    take(memory, "alien", *known)
    take(memory, "pier", *also)
    found = CoUsers(memory, "u0").of(pick(PIER, engagement=1.0), [thing(ALIEN)])
    engine.dispose()
    others, both = known - {0}, (known & also) - {0}
    if found is None:
        assert len(both) < MIN_CO_USERS or len(both) < len(others) / 5
    else:
        assert (found.all, found.also) == (len(others), len(both)) and found.also >= MIN_CO_USERS
