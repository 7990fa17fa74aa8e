"""The settings: one `Settings` model, and the weight of each action and the half-lives as two tables.

A value is taken from the first place that has it: explicit arguments, the environment (`TANQU_HOME`,
`TANQU_MODEL`, ...), `settings.toml` in the home folder, the defaults below.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from ..models.engine_settings import EngineSettings
from ..models.errors import InputError
from ..models.records import Scenario

ACTION_WEIGHTS: Mapping[str, float] = {
    "purchase": 4.0,
    "like": 3.0,
    "rating_5": 2.75,
    "rating_4": 2.25,
    "search": 2.0,
    "view": 1.0,
    "rating_3": 0.5,
    "abandon": -0.5,  # a view that ended before `abandon_seconds`
    "rating_2": -1.5,
    "return": -2.0,  # a purchase with a count below 0
    "rating_1": -2.5,
    "dislike": -3.0,
}
"""What one event adds to its interest, before decay: here the weight of a purchase is set.

A home changes it in its `settings.toml` (`[action_weights]`); `agent/profile/event_weights.py` applies it. Negative
weights make negative interests. Half stars lie between their neighbours; a rating without stars counts as three.
"""

HALF_LIFE: Mapping[Scenario, timedelta] = {
    "news": timedelta(hours=48),
    "social": timedelta(weeks=3),
    "video": timedelta(weeks=6),
    "shop": timedelta(days=182.5),
}
"""The time after which an event counts half, shorter where tastes change faster."""

RUNS_KEPT = 20
"""Runs that are stored of each user, unless `runs_kept` says otherwise; older ones go when one is saved."""

SETTINGS_FILE = "settings.toml"
ENVIRONMENT_PREFIX = "TANQU_"

_AT_LEAST_ZERO = ("purchase", "like", "search", "view")
_AT_MOST_ZERO = ("dislike", "return", "abandon")
_STARS = ("rating_1", "rating_2", "rating_3", "rating_4", "rating_5")


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        msg = "a number is needed, not true or false"
        raise ValueError(msg)
    return value


def _filled(value: str) -> str:
    if not value.strip() or any(ord(char) < 32 for char in value):
        msg = "it is empty or holds a control character"
        raise ValueError(msg)
    return value.strip()


def _folder(value: object) -> object:
    if not isinstance(value, str | Path):
        return value
    try:
        return Path(_filled(str(value))).expanduser()
    except RuntimeError as error:  # `~name` of somebody who is not there
        raise ValueError(str(error)) from error


def _with_default_weights(value: object) -> object:
    """Fill up a partial table, so that a file names only what it changes."""
    return {**ACTION_WEIGHTS, **value} if isinstance(value, Mapping) else value


def _with_default_half_lives(value: object) -> object:
    return {**_hours(), **value} if isinstance(value, Mapping) else value


def _hours() -> dict[Scenario, float]:
    return {scenario: life / timedelta(hours=1) for scenario, life in HALF_LIFE.items()}


def _check_weights(weights: dict[str, float]) -> dict[str, float]:
    """Refuse weights with which a purchase could lower an interest, or a dislike raise one."""
    stars = [weights[key] for key in _STARS]
    wrong = {
        f"unknown actions {sorted(set(weights) - set(ACTION_WEIGHTS))}": set(weights) > set(ACTION_WEIGHTS),
        "weights must be finite numbers within 100": not all(abs(one) <= 100 for one in weights.values()),
        f"{', '.join(_AT_LEAST_ZERO)} must be 0 or more": any(weights[key] < 0 for key in _AT_LEAST_ZERO),
        f"{', '.join(_AT_MOST_ZERO)} must be 0 or less": any(weights[key] > 0 for key in _AT_MOST_ZERO),
        "more stars must not weigh less": stars != sorted(stars),
    }
    for reason, holds in wrong.items():
        if holds:
            raise ValueError(reason)
    return weights


Count = Annotated[int, BeforeValidator(_no_bool)]
Amount = Annotated[float, BeforeValidator(_no_bool)]
Folder = Annotated[Path, BeforeValidator(_folder)]


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("tanqu"))


class Settings(BaseModel):
    """Everything an installation can choose; frozen, and complete once it exists.

    The constructor knows only its arguments and the defaults; `load_settings` also reads the environment
    and the file. Each description says what is allowed, and error messages print it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    home: Folder = Field(default_factory=_default_home, description="a folder for all data of Tanqu")
    model: Annotated[str, AfterValidator(_filled)] = Field(
        "qwen2.5-coder-1.5b",
        description="a name from `tanqu models list`, a Hub id, or a path to a .gguf file",
    )
    language: Literal["auto", "zh", "en"] = Field("auto", description="auto, zh or en")
    scenario: Scenario = Field("shop", description="shop, video, news or social")
    n_candidates: Count = Field(200, ge=1, le=100_000, description="how many items are ranked, 1 to 100,000")
    runs_kept: Count = Field(
        RUNS_KEPT, ge=1, le=100_000, description="how many runs are kept of each user, 1 to 100,000"
    )
    model_scores: Count = Field(20, ge=0, le=10_000, description="how many the model scores, 0 to 10,000")
    explore: Amount = Field(0.0, ge=0, le=1, description="the share of each list that is new, 0 to 1")
    action_weights: Annotated[
        dict[str, Amount], BeforeValidator(_with_default_weights), AfterValidator(_check_weights)
    ] = Field(
        default_factory=lambda: dict(ACTION_WEIGHTS), description=f"numbers for {', '.join(ACTION_WEIGHTS)}"
    )
    half_life_hours: Annotated[
        dict[Scenario, Annotated[Amount, Field(gt=0, le=1e6)]], BeforeValidator(_with_default_half_lives)
    ] = Field(default_factory=_hours, description=f"hours, above 0, for {', '.join(HALF_LIFE)}")
    abandon_seconds: Amount = Field(
        # Off by default: many data sets write 1 as the value of a plain view.
        0.0,
        ge=0,
        le=86_400,
        description="views shorter than this count as abandoned, 0 (never) to 86,400 seconds",
    )
    engine: EngineSettings = Field(
        default_factory=EngineSettings,
        description=f"{', '.join(one.name for one in dataclasses.fields(EngineSettings))}, as docs/models.md says",
    )
    signal_weights: Folder | None = Field(None, description="a file with the weights of the ranking signals")
    prompts: Folder | None = Field(None, description="a folder with templates of your own")

    @property
    def named_home(self) -> str:
        """The home folder as commands must name it; empty for the default one, which needs no naming."""
        return "" if self.home == _default_home() else str(self.home)


class _Environment(BaseSettings, Settings):
    """The variables that set a value: `TANQU_` and the name of the setting; a table is a JSON object."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True)


def load_settings(**given: object) -> Settings:
    """The settings in force: `given` (None means not given), the environment, the file, the defaults.

    An empty variable counts as not set, and `.env` files are not read. Relative paths in the file are relative
    to the home folder.

    Args:
        given: settings by name, such as `home` or `model`; they override all other sources.

    Returns:
        The settings, validated; a table (`action_weights`, `half_life_hours`) has every key.

    Raises:
        InputError: a value is not allowed, a key is unknown, or the file cannot be read.
    """
    arguments = {key: value for key, value in given.items() if value is not None}
    above_file = {"argument": arguments, **_from_environment()}
    home = _build(above_file).home
    return _build({**above_file, str(home / SETTINGS_FILE): _from_file(home)})


def keep_scenario(home: Path, scenario: Scenario) -> Path | None:
    """Let a home remember its scenario; the file that says so, None where it has settings of its own."""
    path = home / SETTINGS_FILE
    if path.exists():
        return None
    path.write_text(f'scenario = "{scenario}"\n', encoding="utf-8")
    return path


def _from_environment() -> dict[str, dict[str, Any]]:
    """A source for each variable, so that an error can name it."""
    try:
        values = EnvSettingsSource(_Environment)()
    except SettingsError as error:
        msg = f"an environment variable cannot be used: {error}; tables are JSON objects"
        raise InputError(msg) from error
    return {
        f"environment variable {ENVIRONMENT_PREFIX}{key.upper()}": {key: value}
        for key, value in values.items()
    }


def _from_file(home: Path) -> dict[str, object]:
    """What `settings.toml` says; nothing if there is none."""
    path = home / SETTINGS_FILE
    try:
        # A byte order mark is what some editors on Windows write.
        values: dict[str, object] = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror or error}): make it a readable file or remove it"
        raise InputError(msg) from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both ValueErrors
        msg = f"{path} is not TOML in UTF-8: {error}; correct the line or remove the file"
        raise InputError(msg) from error
    if "home" in values:
        msg = f"{path}: home = {values['home']!r} cannot be set in the home itself; use TANQU_HOME"
        raise InputError(msg)
    for key in ("signal_weights", "prompts"):
        value = values.get(key)
        if isinstance(value, str) and value.strip() and not value.startswith("~"):
            values[key] = home / value
    return values


def _build(sources: Mapping[str, Mapping[str, object]]) -> Settings:
    """The settings that the named sources give, the first of them going before the others."""
    origin = {key: name for name, values in reversed(list(sources.items())) for key in values}
    merged: dict[str, Any] = {key: sources[name][key] for key, name in origin.items()}
    try:
        return Settings(**merged)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        msg = _complaint(key, merged.get(key), origin.get(key, "default"), _reason(first))
        raise InputError(msg) from error


def _reason(error: ErrorDetails) -> str:
    """What is wrong, and in a table with which of its values."""
    inner = ".".join(str(part) for part in error["loc"][1:])
    return f"{inner}: {error['msg']}" if inner else error["msg"]


def _complaint(key: str, value: object, origin: str, reason: str) -> str:
    shown = repr(value) if len(repr(value)) <= 200 else repr(value)[:199] + "…"
    field = Settings.model_fields.get(key)
    if field is None:
        near = difflib.get_close_matches(key, Settings.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(Settings.model_fields)}"
        return f"unknown setting {key} = {shown} ({origin}); {hint}"
    return f"setting {key} = {shown} ({origin}) cannot be used: {reason}; allowed: {field.description}"
