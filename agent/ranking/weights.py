"""The weights of the signals: those of `ranking.toml` beside this file, unless a home or its settings have others."""

import hashlib
import json
import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import Field, ValidationError

from ...models.errors import InputError
from ...models.files import write_text
from ...models.records import Number, Record
from ..settings import Settings
from .signals import SIGNALS

WEIGHTS_FILE = "ranking.toml"
"""The file in a home with the weights that `tanqu tune` fitted there."""


class RankingWeights(Record):
    """The weight of each signal, and `alpha`: the share of the model's prior that is subtracted."""

    alpha: Number = 0.3
    weights: dict[str, Number] = Field(default_factory=dict)
    provenance: str = ""

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change with any of the numbers."""
        numbers = sorted({**self.weights, "alpha": self.alpha}.items())
        return hashlib.sha256(repr(numbers).encode()).hexdigest()[:12]


def load_weights(path: Path | None = None) -> RankingWeights:
    """The weights in a TOML file; without a path, those that come with Tanqu.

    Returns:
        The weights; a signal that the file does not name has none and counts 0.

    Raises:
        InputError: the file cannot be read, or names an unknown signal.
    """
    source = path or files(__package__) / WEIGHTS_FILE
    try:
        loaded = RankingWeights.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        msg = f"the signal weights in {source} cannot be used: {place}: {first['msg']}"
        raise InputError(msg) from error
    except (OSError, ValueError) as error:  # not there, not UTF-8, not TOML
        msg = f"the signal weights in {source} cannot be read: {error}"
        raise InputError(msg) from error
    unknown = set(loaded.weights) - set(SIGNALS)
    if unknown:
        msg = f"{source} has weights for unknown signals {sorted(unknown)}; known: {', '.join(SIGNALS)}"
        raise InputError(msg)
    return loaded


def weights_in_force(settings: Settings) -> tuple[RankingWeights, Path | None]:
    """The weights that an installation ranks with, and the file that they come from.

    Returns:
        The weights of the file that the settings name, else of the home (fitted by `tanqu tune`), else those that
        come with Tanqu, for which the path is None.

    Raises:
        InputError: the file cannot be used.
    """
    fitted = settings.home / WEIGHTS_FILE
    path = settings.signal_weights or (fitted if fitted.is_file() else None)
    return load_weights(path), path


def save_weights(weights: RankingWeights, home: Path) -> Path:
    """Write weights into a home, where they hold from its next opening on.

    Returns:
        The path of the file.
    """
    path = home / WEIGHTS_FILE
    write_text(path, as_toml(weights))
    return path


def as_toml(weights: RankingWeights) -> str:
    """The text of a file that `load_weights` reads back."""
    head = [f"provenance = {json.dumps(weights.provenance)}", f"alpha = {weights.alpha}", "", "[weights]"]
    return "\n".join([*head, *(f"{name} = {value}" for name, value in weights.weights.items())]) + "\n"
