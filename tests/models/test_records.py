"""The records: what they accept, what they refuse, what they make of hostile texts."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tanqu.models.records import (
    MAX_ID,
    MAX_TEXT,
    Event,
    Explanation,
    Interest,
    Item,
    Profile,
    Ranked,
    Recommendation,
    Record,
    Run,
)

EVENT = {"id": "e1", "user": "u1", "item": "i1", "action": "view"}
ITEM = {"id": "i1", "title": "茶壶"}
INTEREST = {"keyword": "茶", "theme": "饮品", "weight": 1.0, "confidence": 0.5, "evidence": ["e1"]}
MADE_UP: dict[type[Record], dict[str, Any]] = {  # the smallest of each record
    Item: ITEM,
    Event: EVENT,
    Interest: INTEREST,
    Profile: {"user": "u1"},
    Explanation: {"text": "", "evidence": (), "grounded": True, "written_by": "model"},
}
plain_text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


def event(**values: object) -> Event:
    return Event.model_validate(EVENT | values)


def item(**values: object) -> Item:
    return Item.model_validate(ITEM | values)


# --- every record -----------------------------------------------------------------------------------


@pytest.mark.parametrize("record", MADE_UP, ids=lambda one: one.__name__)
def test_a_record_cannot_be_changed_and_knows_no_other_field(record: type[Record]) -> None:
    made = record.model_validate(MADE_UP[record])
    with pytest.raises(ValidationError, match="frozen"):
        made.id = "other"  # type: ignore[attr-defined]  # whatever its fields are
    with pytest.raises(ValidationError, match="extra_forbidden"):
        record.model_validate(MADE_UP[record] | {"price": 1})


@pytest.mark.parametrize(
    ("record", "missing"),
    [
        (Item, "id"),
        (Item, "title"),
        (Event, "user"),
        (Event, "action"),
        (Event, "id"),
        (Interest, "evidence"),
    ],
)
def test_what_is_required_is_required(record: type[Record], missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        record.model_validate({key: value for key, value in MADE_UP[record].items() if key != missing})


# --- ids --------------------------------------------------------------------------------------------


def test_a_number_may_be_an_id() -> None:
    assert event(id=7, user=8, item=9) == event(id="7", user="8", item="9")


@pytest.mark.parametrize(
    "bad", ["", "a\nb", "a\x00", "\x1b[31m", "\x7f", "\ud800", "x" * (MAX_ID + 1), True, 1.5]
)
@pytest.mark.parametrize("field", ["id", "user", "item"])
def test_an_id_that_could_not_be_stored_or_shown_is_refused(field: str, bad: object) -> None:
    with pytest.raises(ValidationError, match=field):
        event(**{field: bad})


@pytest.mark.parametrize("good", ["小明", "a b", "x" * MAX_ID, "🙂", "<|im_start|>", "../../etc/passwd"])
def test_an_id_may_be_any_printable_text(good: str) -> None:
    assert event(user=good).user == good


# --- texts ------------------------------------------------------------------------------------------


def test_a_long_text_is_cut() -> None:
    assert item(text="长" * 100_000).text == "长" * MAX_TEXT
    assert len(item(title="x" * 100_000).title) == MAX_TEXT
    assert event(item=None, query="x" * 100_000).query == "x" * MAX_TEXT


def test_what_no_database_takes_is_dropped_from_every_text() -> None:
    bad = "a\x00b\ud800c"
    made = item(title=bad, text=bad, tags=[bad], kind=bad, attributes={bad: bad, "list": [bad]})
    values = (made.title, made.text, *made.tags, made.kind, made.attributes["abc"])
    assert values == ("abc",) * 5
    assert made.attributes["list"] == ("abc",)
    assert event(item=None, query=bad).query == "abc"


@given(st.text(max_size=200))
def test_any_text_is_storable_afterwards(text: str) -> None:
    made = item(text=text, kind=text, tags=[text], attributes={text: text})
    assert "\x00" not in made.model_dump_json() and made.model_dump_json().encode()
    assert Item.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize("empty", ["", "\x00", "\ud800\x00"])
def test_a_title_with_nothing_left_is_refused(empty: str) -> None:
    with pytest.raises(ValidationError, match="title"):
        item(title=empty)


def test_the_content_is_what_words_an_item_has() -> None:
    assert item().content == "茶壶"
    assert item(tags=["a", "b"], text="t").content == "茶壶 a b t"


# --- attributes and numbers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [True, False, 0, 1, -(10**12), 1.5, 5.0, "7", "true", "", "a|b", ("a", "b")]
)
def test_an_attribute_keeps_its_value_and_its_type(value: object) -> None:
    found = item(attributes={"x": value}).attributes["x"]
    assert found == value and type(found) is type(value)
    again = Item.model_validate_json(item(attributes={"x": value}).model_dump_json()).attributes["x"]
    assert again == value and type(again) is type(value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e13, 10**13, 10**400, None, {"a": 1}, [1], b"\xff"])
def test_an_attribute_that_no_filter_could_compare_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError, match="attributes"):
        item(attributes={"x": bad})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e13, -1e13, 10**400, "much", [1]])
def test_a_number_that_is_not_finite_or_absurd_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError, match="value"):
        event(value=bad)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
@pytest.mark.parametrize("field", ["weight", "confidence"])
def test_weights_and_confidences_are_shares(field: str, bad: float) -> None:
    with pytest.raises(ValidationError, match=field):
        Interest.model_validate(INTEREST | {field: bad})


# --- events -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", [{}, {"query": ""}, {"query": " \n"}, {"query": "\x00"}, {"query": None}])
def test_an_event_about_nothing_is_refused(about: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="an event needs 'item'"):
        event(item=None, **about)


@pytest.mark.parametrize("bad", ["buy", "VIEW", "", 1, None])
def test_an_unknown_action_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError, match="action"):
        event(action=bad)


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-02T12:00:00Z",
        "2026-01-02T12:00:00",
        "2026-01-02 12:00:00+00:00",
        "2026-01-02T20:00:00+08:00",
        NOON.timestamp(),
        int(NOON.timestamp()),
        str(int(NOON.timestamp())),
        NOON.timestamp() * 1000,
        str(NOON.timestamp()),
        NOON,
        NOON.replace(tzinfo=None),
    ],
)
def test_a_time_is_read_from_iso_8601_and_from_epoch_seconds_and_milliseconds(written: object) -> None:
    found = event(time=written).time
    assert found == NOON and found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "bad",
    [
        math.nan, math.inf, 1e15, -1e14, 10**400, "1" * 400, "soon", "", "²", "--5", "2026-13-01", True,
        "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00",
    ],
)  # fmt: skip
def test_a_time_that_is_none_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError, match="time"):
        event(time=bad)


@given(
    st.builds(
        Event,
        id=st.just("e"),
        user=st.just("u"),
        item=st.none() | st.just("i"),
        query=plain_text.filter(str.strip),
        action=st.sampled_from(["view", "rating", "dislike"]),
        value=st.none() | st.floats(-1e12, 1e12),
        time=st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    )
)
def test_an_event_survives_json(made: Event) -> None:
    assert Event.model_validate_json(made.model_dump_json()) == made


# --- profiles and runs ------------------------------------------------------------------------------


def test_a_profile_tells_its_polarities_apart() -> None:
    for_, against = (
        Interest.model_validate(INTEREST),
        Interest.model_validate(INTEREST | {"polarity": "negative"}),
    )
    made = Profile(user="u1", interests=(for_, against))
    assert (made.positive, made.negative) == ((for_,), (against,))


def test_an_interest_without_evidence_is_refused() -> None:
    with pytest.raises(ValidationError, match="evidence"):
        Interest.model_validate(INTEREST | {"evidence": []})


@pytest.mark.parametrize("record", [Ranked, Recommendation])
def test_ranks_begin_with_one(record: type[Record]) -> None:
    with pytest.raises(ValidationError, match="rank\n"):
        record.model_validate({"rank": 0})


def test_a_run_has_the_fields_that_files_and_readers_rely_on() -> None:
    fields = set(Run.model_json_schema()["properties"])
    named = ["user", "request", "profile", "recommendations", "candidates", "calls", "fingerprints", "notes"]
    assert set(named) <= fields
    pick = set(Recommendation.model_fields)
    assert {"rank", "item", "score", "signals", "interest", "explanation"} <= pick
    assert set(Explanation.model_fields) == {"text", "evidence", "grounded", "written_by"}
    interest = {"keyword", "theme", "weight", "confidence", "evidence", "polarity", "horizon"}
    assert interest <= set(Interest.model_fields)


def test_the_schemas_are_json() -> None:
    records: list[type[Record]] = [*MADE_UP, Run]
    for record in records:
        assert json.loads(json.dumps(record.model_json_schema()))["additionalProperties"] is False
