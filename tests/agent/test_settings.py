import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqu.agent.profile.event_weights import ABSENCE, decayed_weights, event_weight, newest_time
from tanqu.agent.settings import (
    ACTION_WEIGHTS,
    ENVIRONMENT_PREFIX,
    HALF_LIFE,
    SETTINGS_FILE,
    Settings,
    keep_scenario,
    load_settings,
)
from tanqu.models.engine_settings import EngineSettings
from tanqu.models.errors import InputError
from tanqu.models.records import Action, Event, Scenario

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCENARIOS = st.sampled_from(get_args(Scenario))
ACTIONS = st.sampled_from(get_args(Action))
AGES = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=60))


def an_event(action: Action, value: float | None = None, time: datetime | None = None) -> Event:
    return Event(id="e", user="u", item="i", action=action, value=value, time=time)


def write_file(home: Path, text: str) -> Path:
    path = home / SETTINGS_FILE
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
        monkeypatch.delenv(name)


def set_variables(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


# Reading


def test_defaults_are_complete(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    assert settings == Settings(home=tmp_path)
    assert (settings.n_candidates, settings.model_scores) == (200, 20)
    assert (settings.model, settings.language, settings.scenario) == ("qwen2.5-coder-1.5b", "auto", "shop")
    assert settings.action_weights == dict(ACTION_WEIGHTS)
    assert settings.half_life_hours["news"] == 48
    assert settings.half_life_hours["video"] == 6 * 7 * 24


def test_the_default_home_is_in_the_users_data_folder() -> None:
    assert load_settings().home.name == "tanqu"


def test_arguments_win_over_the_environment_over_the_file_over_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(tmp_path, 'model = "file"\nlanguage = "zh"\nn_candidates = 50\n')
    set_variables(monkeypatch, TANQU_HOME=tmp_path, TANQU_MODEL="environment", TANQU_LANGUAGE="en")
    settings = load_settings(model="argument", language=None)
    assert settings.model == "argument"
    assert settings.language == "en"
    assert settings.n_candidates == 50
    assert settings.model_scores == 20


def test_numbers_are_read_from_the_environment_and_empty_variables_count_as_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, TANQU_HOME=tmp_path, TANQU_N_CANDIDATES=7, TANQU_MODEL="")
    settings = load_settings()
    assert settings.n_candidates == 7
    assert settings.model == "qwen2.5-coder-1.5b"


def test_a_table_in_the_environment_is_a_json_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, TANQU_HOME=tmp_path, TANQU_ACTION_WEIGHTS='{"view": 0.25}')
    assert load_settings().action_weights == {**ACTION_WEIGHTS, "view": 0.25}
    set_variables(monkeypatch, TANQU_ACTION_WEIGHTS="view = 0.25")
    with pytest.raises(InputError, match=r"action_weights.*JSON"):
        load_settings()


def test_a_file_of_variables_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("TANQU_MODEL=other\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings(home=tmp_path) == Settings(home=tmp_path)


def test_a_file_with_a_byte_order_mark_and_chinese_is_read(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes("\ufeffmodel = '模型'\n".encode())
    assert load_settings(home=tmp_path).model == "模型"


def test_relative_paths_in_the_file_are_relative_to_the_home(tmp_path: Path) -> None:
    write_file(tmp_path, f'prompts = "mine"\nsignal_weights = "{(tmp_path / "w.toml").as_posix()}"\n')
    settings = load_settings(home=tmp_path)
    assert settings.prompts == tmp_path / "mine"
    assert settings.signal_weights == tmp_path / "w.toml"


def test_a_tilde_is_the_users_own_folder(tmp_path: Path) -> None:
    write_file(tmp_path, 'prompts = "~/prompts"\n')
    assert load_settings(home=tmp_path).prompts == Path("~/prompts").expanduser()


def test_tables_in_the_file_name_only_what_they_change(tmp_path: Path) -> None:
    write_file(tmp_path, "[action_weights]\nview = 0.25\n[half_life_hours]\nnews = 12\n")
    settings = load_settings(home=tmp_path)
    assert settings.action_weights == {**ACTION_WEIGHTS, "view": 0.25}
    assert settings.half_life_hours["news"] == 12
    assert settings.half_life_hours["social"] == 21 * 24


def test_a_home_remembers_its_scenario_unless_it_has_settings_of_its_own(tmp_path: Path) -> None:
    assert keep_scenario(tmp_path, "video") == tmp_path / SETTINGS_FILE
    assert load_settings(home=tmp_path).scenario == "video"
    assert keep_scenario(tmp_path, "news") is None
    assert load_settings(home=tmp_path).scenario == "video"


def test_the_engine_is_set_in_the_file(tmp_path: Path) -> None:
    write_file(tmp_path, "[engine]\nthreads = 3\ngpu_layers = 10\n")
    assert load_settings(home=tmp_path).engine == EngineSettings(threads=3, gpu_layers=10)


@pytest.mark.parametrize(("line", "named"), [("threads = 0", "threads"), ("speed = 1", "speed")])
def test_an_engine_that_cannot_run_is_refused_by_name(tmp_path: Path, line: str, named: str) -> None:
    path = write_file(tmp_path, f"[engine]\n{line}\n")
    with pytest.raises(InputError, match=named) as caught:
        load_settings(home=tmp_path)
    assert str(path) in str(caught.value) and "kv_type" in str(caught.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().model = "other"  # type: ignore[misc]  # this is the error under test


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("n_candidates", 0, "1 to 100,000"),
        ("n_candidates", "many", "1 to 100,000"),
        ("n_candidates", True, "1 to 100,000"),
        ("n_candidates", 2.5, "1 to 100,000"),
        ("model_scores", -1, "0 to 10,000"),
        ("language", "fr", "auto, zh or en"),
        ("scenario", "bank", "shop, video, news or social"),
        ("model", "  ", ".gguf"),
        ("model", "a\x00b", ".gguf"),
        ("prompts", "a\x00b", "folder"),
        ("prompts", "~nobody-of-that-name/x", "folder"),
        ("home", "", "folder"),
        ("home", 5, "folder"),
        ("abandon_seconds", float("nan"), "86,400"),
        ("action_weights", {"view": float("inf")}, "purchase"),
        ("action_weights", {"view": True}, "purchase"),
        ("action_weights", {"stare": 1}, "purchase"),
        ("action_weights", {"purchase": -1}, "purchase"),
        ("action_weights", {"dislike": 1}, "purchase"),
        ("action_weights", {"rating_1": 90}, "purchase"),
        ("action_weights", {"view": 101}, "purchase"),
        ("action_weights", 3, "purchase"),
        ("half_life_hours", {"news": 0}, "above 0"),
        ("half_life_hours", {"radio": 5}, "above 0"),
    ],
)
def test_a_bad_value_is_refused_with_its_key_the_value_and_what_is_allowed(
    key: str, value: object, allowed: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_settings(**{key: value})
    message = str(caught.value)
    assert f"setting {key} = {value!r} (argument)" in message
    assert allowed in message.split("allowed:")[1]


def test_an_error_names_the_file_that_it_comes_from(tmp_path: Path) -> None:
    write_file(tmp_path, 'scenario = "bank"\n')
    with pytest.raises(InputError, match=r"settings\.toml"):
        load_settings(home=tmp_path)


def test_an_error_names_the_variable_that_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, TANQU_SCENARIO="bank")
    with pytest.raises(InputError, match="environment variable TANQU_SCENARIO"):
        load_settings(home=tmp_path)


def test_a_bad_value_that_is_overruled_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, TANQU_SCENARIO="bank")
    assert load_settings(home=tmp_path, scenario="news").scenario == "news"


def test_an_unknown_key_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    write_file(tmp_path, "n_candidate = 5\n")
    with pytest.raises(InputError, match=r"n_candidate = 5 .*did you mean n_candidates"):
        load_settings(home=tmp_path)


def test_the_file_cannot_move_the_home(tmp_path: Path) -> None:
    write_file(tmp_path, 'home = "/elsewhere"\n')
    with pytest.raises(InputError, match="TANQU_HOME"):
        load_settings(home=tmp_path)


@pytest.mark.parametrize("content", [b"model = ", b"model = '\xff'", b"\x00"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"settings\.toml is not TOML"):
        load_settings(home=tmp_path)


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_settings(home=tmp_path)


# Weights of events


@given(scenario=SCENARIOS, age=AGES)
def test_at_the_same_age_actions_outweigh_each_other_in_the_order_of_the_table(
    scenario: Scenario, age: timedelta
) -> None:
    time = NOW - age
    ordered = [
        an_event("purchase", time=time),
        an_event("like", time=time),
        an_event("rating", 5, time),
        an_event("rating", 4, time),
        an_event("search", time=time),
        an_event("view", time=time),
        an_event("rating", 3, time),
    ]
    weights = [event_weight(event, scenario, NOW) for event in ordered]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == len(weights)
    assert weights[-1] > 0


@given(scenario=SCENARIOS, age=AGES, stars=st.floats(-1e12, 2))
def test_dislikes_low_ratings_and_returns_are_negative(
    scenario: Scenario, age: timedelta, stars: float
) -> None:
    time = NOW - age
    assert event_weight(an_event("dislike", time=time), scenario, NOW) < 0
    assert event_weight(an_event("rating", stars, time), scenario, NOW) < 0
    assert event_weight(an_event("purchase", -1, time), scenario, NOW) < 0


@given(low=st.floats(-10, 10), high=st.floats(-10, 10))
def test_more_stars_never_weigh_less_and_half_stars_lie_between(low: float, high: float) -> None:
    low, high = sorted((low, high))
    less, more = (event_weight(an_event("rating", stars), "shop") for stars in (low, high))
    assert less <= more + 1e-12
    assert ACTION_WEIGHTS["rating_1"] <= less <= ACTION_WEIGHTS["rating_5"]


@pytest.mark.parametrize("stars", [1, 2, 3, 4, 5])
def test_whole_stars_have_the_weight_of_the_table(stars: int) -> None:
    assert event_weight(an_event("rating", stars), "shop") == ACTION_WEIGHTS[f"rating_{stars}"]


def test_a_rating_without_stars_counts_as_three() -> None:
    assert event_weight(an_event("rating"), "shop") == ACTION_WEIGHTS["rating_3"]


@given(scenario=SCENARIOS, action=ACTIONS)
def test_an_event_counts_half_after_one_half_life(scenario: Scenario, action: Action) -> None:
    fresh = event_weight(an_event(action, time=NOW), scenario, NOW)
    old = event_weight(an_event(action, time=NOW - HALF_LIFE[scenario]), scenario, NOW)
    assert old == pytest.approx(fresh / 2)


@given(scenario=SCENARIOS, action=ACTIONS, younger=AGES, older=AGES)
def test_age_only_ever_weakens(
    scenario: Scenario, action: Action, younger: timedelta, older: timedelta
) -> None:
    younger, older = sorted((younger, older))
    near, far = (
        abs(event_weight(an_event(action, time=NOW - age), scenario, NOW)) for age in (younger, older)
    )
    assert far <= near <= abs(event_weight(an_event(action), scenario))


def test_no_time_no_now_and_the_future_mean_no_decay() -> None:
    assert event_weight(an_event("like"), "news", NOW) == ACTION_WEIGHTS["like"]
    assert event_weight(an_event("like", time=NOW - timedelta(days=9)), "news") == ACTION_WEIGHTS["like"]
    assert event_weight(an_event("like", time=NOW + timedelta(days=9)), "news", NOW) == ACTION_WEIGHTS["like"]


def test_one_event_after_years_does_not_blot_out_all_before_it() -> None:
    then, half = NOW - timedelta(days=9000), HALF_LIFE["video"]
    events = [an_event("like", time=then - half), an_event("like", time=then), an_event("like", time=NOW)]
    older, old, new = decayed_weights(events, "video")
    assert old == pytest.approx(new / 2**ABSENCE)
    assert older == pytest.approx(old / 2)


@given(scenario=SCENARIOS, gaps=st.lists(st.floats(0, ABSENCE), max_size=6))
def test_without_long_absences_weights_are_those_of_each_event(scenario: Scenario, gaps: list[float]) -> None:
    ages = [sum(gaps[:end]) for end in range(len(gaps) + 1)]
    events = [an_event("view", time=NOW - age * HALF_LIFE[scenario]) for age in ages]
    alone = [event_weight(event, scenario, NOW) for event in events]
    assert decayed_weights(events, scenario) == pytest.approx(alone, rel=1e-6)


def test_news_are_forgotten_faster_than_what_shops_sell() -> None:
    event = an_event("view", time=NOW - timedelta(days=7))
    news, social, video, shop = (event_weight(event, one, NOW) for one in ("news", "social", "video", "shop"))
    assert news < social < video < shop


def test_the_newest_event_is_the_present_so_a_history_does_not_fade_by_itself() -> None:
    history = [an_event("view", time=NOW - timedelta(hours=48)), an_event("view", time=NOW), an_event("view")]
    assert newest_time(history) == NOW
    assert decayed_weights(history, "news") == pytest.approx([0.5, 1.0, 1.0])
    assert decayed_weights(history, "news", NOW + timedelta(hours=48)) == pytest.approx([0.25, 0.5, 1.0])
    assert newest_time([an_event("view")]) is None
    assert decayed_weights([], "news") == []


def test_settings_change_weights_and_half_lives() -> None:
    settings = Settings(action_weights={"view": 2.0}, half_life_hours={"news": 1.0}, abandon_seconds=3)
    old = an_event("view", time=NOW - timedelta(hours=1))
    assert event_weight(old, "news", NOW, settings) == pytest.approx(1.0)


def test_quick_views_count_against_only_where_the_owner_says_what_quick_is() -> None:
    glance = an_event("view", 2.0)
    assert event_weight(glance, "news") == ACTION_WEIGHTS["view"]
    settings = Settings(abandon_seconds=3)
    assert event_weight(glance, "news", settings=settings) == ACTION_WEIGHTS["abandon"]
    assert event_weight(an_event("view", 3.0), "news", settings=settings) == ACTION_WEIGHTS["view"]
    assert event_weight(an_event("view"), "news", settings=settings) == ACTION_WEIGHTS["view"]


def test_commands_need_to_name_a_home_only_where_it_is_not_the_default_one() -> None:
    assert Settings().named_home == ""
    assert Settings(home=Path("shop")).named_home == "shop"
