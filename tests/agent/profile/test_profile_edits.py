"""A profile belongs to the person it is about: what they change holds, and what they forget is gone."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from tanqu.agent.profile.profile_edits import (
    PIN_FLOOR,
    apply_edits,
    compare_profiles,
    edit_payload,
    find_interest,
    forgotten_events,
    pinned_events,
    without_interests,
)
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.agent.store import Edit, EditKind, reports_folder
from tanqu.models.embedder import HashEmbedder
from tanqu.models.engine.prefix_cache import PrefixCache
from tanqu.models.errors import InputError, ModelError, NotFoundError
from tanqu.models.language_model import Prompt
from tanqu.models.records import Interest, Item, Profile
from tanqu.models.scripted_model import ScriptedModel

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = ("chess endgame", "violin music", "garden roses", "space rockets")
ITEMS = [
    Item(id=f"{topic.split()[0]}{at}", title=f"{topic} volume {at}", tags=tuple(topic.split()))
    for topic in TOPICS
    for at in range(6)
]


def interest(keyword: str, weight: float, *evidence: str, negative: bool = False) -> Interest:
    return Interest(
        keyword=keyword,
        theme="t",
        weight=weight,
        confidence=0.5,
        evidence=evidence or (f"of {keyword}",),
        polarity="negative" if negative else "positive",
    )


PROFILE = Profile(
    user="u",
    interests=(
        interest("chess", 0.6, "c1", "c2", "c3"),
        interest("violin", 0.3, "v1", "v2"),
        interest("roses", 0.1, "r1"),
        interest("romance", 1.0, "x1", negative=True),
    ),
    fingerprint="f",
)


def edit(kind: EditKind, keyword: str = "", *evidence: str, to: str = "") -> Edit:
    payload: dict[str, JsonValue] = {"keyword": keyword, "evidence": list(evidence), "to": to}
    return Edit(kind=kind, payload=payload, created=START)


def weights(profile: Profile) -> dict[str, float]:
    return {one.keyword: one.weight for one in profile.positive}


# --- edits on a profile -----------------------------------------------------------------------------


def test_a_muted_interest_weighs_nothing_and_the_others_share_its_weight() -> None:
    changed = apply_edits(PROFILE, [edit("mute", "chess", "c1", "c2", "c3")])
    assert weights(changed) == pytest.approx({"violin": 0.75, "roses": 0.25, "chess": 0.0})
    assert [one.keyword for one in changed.interests if one.muted] == ["chess"]
    assert "chess" not in changed.summary and "violin" in changed.summary
    assert changed.negative == PROFILE.negative and changed.fingerprint != PROFILE.fingerprint


def test_a_pinned_interest_reaches_the_floor_and_the_others_make_room() -> None:
    changed = apply_edits(PROFILE, [edit("pin", "roses", "r1")])
    assert weights(changed) == pytest.approx({"chess": 0.5, "violin": 0.25, "roses": PIN_FLOOR})
    assert [one.keyword for one in changed.interests if one.pinned] == ["roses"]


def test_a_renamed_interest_has_the_name_of_its_owner() -> None:
    [first, *_] = apply_edits(PROFILE, [edit("rename", "chess", "c1", to="棋类")]).interests
    assert (first.keyword, first.named_by, first.confidence) == ("棋类", "owner", 1.0)


def test_two_interests_never_get_the_same_name() -> None:
    changed = apply_edits(PROFILE, [edit("rename", "chess", "c1", to="Violin")])
    assert [one.keyword for one in changed.positive] == ["Violin · 2", "violin", "roses"]


def test_a_change_follows_its_events_when_groups_and_names_change() -> None:
    later = Profile(
        user="u", interests=(interest("board games", 0.7, "c1", "c3", "n1"), interest("endgames", 0.3, "c2"))
    )
    muted = apply_edits(later, [edit("mute", "chess", "c1", "c2", "c3")])
    assert [one.muted for one in muted.interests] == [True, True]  # both rest mostly on what was muted
    pinned = apply_edits(later, [edit("pin", "chess", "c1", "c2", "c3")])
    assert [one.keyword for one in pinned.interests if one.pinned] == ["board games"]


def test_a_change_goes_by_name_where_its_events_are_gone() -> None:
    changed = apply_edits(PROFILE, [edit("mute", "Violin", "deleted")])
    assert [one.keyword for one in changed.interests if one.muted] == ["violin"]
    assert apply_edits(PROFILE, [edit("mute", "sailing", "deleted")]) is PROFILE


def test_the_last_of_mute_and_pin_holds() -> None:
    both = [edit("mute", "chess", "c1"), edit("pin", "chess", "c1")]
    first = apply_edits(PROFILE, both).interests[0]
    assert (first.muted, first.pinned) == (False, True)
    [*_, last] = apply_edits(PROFILE, both[::-1]).positive
    assert (last.keyword, last.muted, last.pinned) == ("chess", True, False)


@pytest.mark.parametrize(
    "payload", [{}, {"evidence": "c1"}, {"evidence": [1, None]}, {"evidence": ["c1"], "to": 7}]
)
def test_a_foreign_payload_is_no_crash(payload: dict[str, JsonValue]) -> None:
    kinds: tuple[EditKind, ...] = ("mute", "pin", "rename", "forget")
    for kind in kinds:
        changed = apply_edits(PROFILE, [Edit(kind=kind, payload=payload, created=START)])
        assert len(changed.interests) == len(PROFILE.interests)


edits = st.lists(
    st.builds(
        edit,
        st.sampled_from(["mute", "pin", "rename", "forget"]),
        st.sampled_from(["chess", "violin", "roses", "romance", "gone"]),
        st.sampled_from(["c1", "v2", "r1", "x1", "gone"]),
        to=st.sampled_from(["new", "chess", ""]),
    ),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(made=edits)
def test_weights_sum_to_one_unless_all_are_muted(made: list[Edit]) -> None:
    changed = apply_edits(PROFILE, made)
    live = [one for one in changed.positive if not one.muted]
    assert sum(one.weight for one in changed.positive) == pytest.approx(1.0 if live else 0.0)
    assert all(one.weight == 0 for one in changed.interests if one.muted)
    floor = min(PIN_FLOOR, 1 / max(1, len(live)))
    assert all(one.weight >= floor - 1e-9 for one in live if one.pinned)
    assert len({one.keyword.casefold() for one in changed.interests}) == len(PROFILE.interests)
    assert apply_edits(PROFILE, made) == changed


# --- what is kept of a change -----------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["chess", "CHESS", "ches", "1", "  chess "])
def test_an_interest_is_found_by_its_name_a_part_of_it_or_its_number(wanted: str) -> None:
    assert find_interest(PROFILE, wanted).keyword == "chess"


@pytest.mark.parametrize("wanted", ["sailing", "o", "9", "", "\x00", "<|im_start|>", "x" * 100_000])
def test_what_is_not_one_interest_is_an_error_that_lists_them(wanted: str) -> None:
    with pytest.raises(NotFoundError, match="chess, violin, roses, romance") as caught:
        find_interest(PROFILE, wanted)
    assert len(str(caught.value)) < 300


def test_of_what_is_forgotten_no_word_is_kept() -> None:
    payload = edit_payload(PROFILE, "forget", "chess")
    assert payload == {"evidence": ["c1", "c2", "c3"]}
    made = [Edit(kind="forget", payload=payload, created=START), edit("pin", "roses", "r1")]
    assert forgotten_events(made) == {"c1", "c2", "c3"} and pinned_events(made) == {"r1"}


@pytest.mark.parametrize("new", ["", " \x00\u202e", "Violin"])
def test_a_name_that_is_empty_or_taken_is_refused(new: str) -> None:
    with pytest.raises(InputError, match="give another one"):
        edit_payload(PROFILE, "rename", "chess", new)


def test_a_name_is_cleaned_of_what_cannot_be_seen_and_capped() -> None:
    name = edit_payload(PROFILE, "rename", "chess", "\u202e棋\x00类\n" + "x" * 100_000)["to"]
    assert isinstance(name, str) and name.startswith("棋") and len(name) <= 40 and "\n" not in name


# --- two versions -----------------------------------------------------------------------------------


def test_versions_are_compared_by_what_interests_rest_on() -> None:
    later = Profile(user="u", interests=(interest("board games", 0.5, "c2", "n"), interest("sea", 0.5, "s")))
    told = [
        (one.keyword, one.before_keyword, one.before, one.after) for one in compare_profiles(PROFILE, later)
    ]
    assert ("board games", "chess", 0.6, 0.5) in told and ("sea", None, None, 0.5) in told
    assert ("violin", None, 0.3, None) in told and len(told) == 5
    assert compare_profiles(PROFILE, PROFILE) == () and len(compare_profiles(None, PROFILE)) == 4


def test_a_version_loses_the_interests_that_rest_on_forgotten_events() -> None:
    left = without_interests(PROFILE, {"c2"})
    assert weights(left) == pytest.approx({"violin": 0.75, "roses": 0.25}) and "chess" not in left.summary
    assert without_interests(PROFILE, {"other"}) is PROFILE


# --- through the recommender ------------------------------------------------------------------------


def reply(prompt: Prompt) -> str:
    """A name from the first word of what is listed; reasons are left to the template."""
    if not prompt.messages[0].segments[0].text.startswith("You name"):
        msg = "only names are scripted"
        raise ModelError(msg)
    word = prompt.messages[-2].segments[1].text.split()[0].lower()
    return json.dumps({"keyword": f"{word} things", "theme": "leisure"})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tanqu" / "prefixes"


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(reply=reply)


@pytest.fixture
def recommender(tmp_path: Path, cache: Path, model: ScriptedModel) -> Iterator[Recommender]:
    chosen = Settings(home=tmp_path / "home", language="en", model_scores=0)
    with Recommender.open(model=model, settings=chosen, embedder=HashEmbedder(256)) as opened:
        opened.add_items(ITEMS)
        for user in ("ann", "bob"):
            opened.record(
                {
                    "id": f"{user}-{item}",
                    "user": user,
                    "item": item,
                    "action": "purchase",
                    "time": (START + timedelta(days=at)).isoformat(),
                }
                for at, item in enumerate(["chess0", "chess1", "violin0", "violin1", "garden0"])
            )
        yield opened


def named(profile: Profile) -> set[str]:
    return {one.keyword for one in profile.interests}


def test_nothing_of_a_muted_interest_is_recommended(recommender: Recommender) -> None:
    before = recommender.recommend("ann", n=6)
    assert any("chess" in pick.item.title for pick in before.recommendations)
    profile = recommender.mute("ann", "chess things")
    assert [one.keyword for one in profile.interests if one.muted] == ["chess things"]
    after = recommender.recommend("ann", n=6)
    assert after.recommendations and not any("chess" in pick.item.title for pick in after.recommendations)
    recommender.undo("ann")
    assert not any(one.muted for one in recommender.profile("ann").interests)


def test_a_change_is_of_one_user_alone(recommender: Recommender) -> None:
    other = recommender.profile("bob")
    recommender.rename("ann", "chess things", "Board games")
    assert recommender.profile("bob") == other and "Board games" in named(recommender.profile("ann"))


def test_forgotten_events_count_no_more_until_it_is_undone(recommender: Recommender) -> None:
    first = recommender.profile("ann")
    left = recommender.forget_interest("ann", "chess things")
    assert named(left) == named(first) - {"chess things"}
    run = recommender.recommend("ann", n=10)
    assert not {"chess0", "chess1"} & {pick.item.id for pick in run.recommendations}  # still used
    assert all("endgame" not in event.text for event in run.history)
    assert recommender.undo("ann") == first


def test_what_is_forgotten_leaves_versions_runs_names_and_prompts(
    recommender: Recommender, model: ScriptedModel, cache: Path
) -> None:
    recommender.recommend("ann", n=3)
    prefixes = PrefixCache("kind", 1000, cache, 1_000_000)
    prefixes.put([1, 2], [2], "ann", bytearray(b"the texts of ann"))
    prefixes.put([1, 2], [2], "bob", bytearray(b"the texts of bob"))
    recommender.forget_interest("ann", "chess things")
    versions = [
        recommender.memory.profile("ann", one.version) for one in recommender.memory.profile_versions("ann")
    ]
    assert versions and all("chess" not in one.model_dump_json() for one in versions if one)
    assert recommender.memory.runs("ann") == [] and "ann" in model.forgotten
    assert [path.read_bytes()[-8:] for path in cache.glob("*/*.kv")] == [b"s of bob"]


def test_versions_of_two_dates_are_compared(recommender: Recommender) -> None:
    recommender.profile("ann")
    then = datetime.now(UTC)
    recommender.mute("ann", "chess things")
    changes = {one.keyword: one.after for one in recommender.diff("ann", then)}
    assert changes["chess things"] == 0.0
    assert recommender.diff("ann", then, then) == ()


def test_an_export_taken_in_again_is_the_same_export(recommender: Recommender) -> None:
    recommender.mute("ann", "chess things")
    recommender.rename("ann", "violin things", "小提琴 \u202e🎻")
    exported = json.loads(json.dumps(recommender.export_user("ann")))
    recommender.forget_user("ann")
    assert recommender.import_user(exported) == "ann"
    assert recommender.export_user("ann") == exported
    assert {one.keyword for one in recommender.profile("ann").interests if one.muted} == {"chess things"}


def test_nothing_of_a_forgotten_user_is_left_in_any_file(
    recommender: Recommender, cache: Path, tmp_path: Path
) -> None:
    secret = "a query that nobody else has typed"
    recommender.record([{"id": "ann-secret", "user": "ann", "query": secret, "action": "search"}])
    recommender.recommend("ann", n=3)
    recommender.mute("ann", "violin things")
    PrefixCache("kind", 1000, cache, 1_000_000).put([1], [1], "ann", bytearray(secret.encode()))
    reports = reports_folder(recommender.settings.home, "ann")
    (reports / "20260101-120000.html").write_text(secret)
    (reports / ".tanqu-killed.part").write_text(secret)  # of a process killed while it wrote
    assert traces(tmp_path, secret) and traces(tmp_path, "ann-secret")
    recommender.forget_user("ann")
    recommender.recommend("bob", n=3)  # counts anew what users have in common
    for trace in (secret, "ann-secret", "ann-chess0"):
        assert traces(tmp_path, trace) == []
    assert traces(tmp_path, "bob-chess0")
    with pytest.raises(NotFoundError):
        recommender.profile("ann")


def traces(folder: Path, text: str) -> list[str]:
    """The files of a folder that hold a text, in UTF-8 or UTF-16."""
    wanted = (text.encode(), text.encode("utf-16-le"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(one in path.read_bytes() for one in wanted)]


def test_only_groups_that_changed_are_named_again(recommender: Recommender, model: ScriptedModel) -> None:
    recommender.profile("ann")
    asked = len(model.history)
    recommender.record(
        [{"id": "new", "user": "ann", "item": "chess2", "action": "view", "time": "2026-01-09"}]
    )
    recommender.profile("ann")
    new = model.history[asked:]
    assert len(new) == 1 and "chess endgame volume 2" in new[0].text
    recommender.mute("ann", "violin things")
    recommender.undo("ann")
    assert len(model.history) == asked + 1


def test_undo_without_a_change_is_an_error(recommender: Recommender) -> None:
    with pytest.raises(NotFoundError, match="no change"):
        recommender.undo("ann")


@pytest.mark.parametrize("user", ["\ud800", "", "x" * 10_000, "a\x00b"])
def test_an_id_that_nobody_can_have_is_an_error_that_says_so(tmp_path: Path, user: str) -> None:
    with Recommender.open(settings=Settings(home=tmp_path), embedder=HashEmbedder()) as recommender:
        for act in (
            recommender.profile, recommender.export_user, recommender.forget_user, recommender.undo,
            lambda one: recommender.diff(one, START),
        ):  # fmt: skip
            with pytest.raises(InputError, match="cannot be used"):
                act(user)
