"""What running a model costs in memory and on disk, computed from the header of its file."""

from dataclasses import asdict, dataclass
from pathlib import Path

from ..engine_settings import EngineSettings
from ..errors import WeightsError
from ..weights import check_gguf
from .llama import Weights

_CELL_BITS = {"f16": 16.0, "q8_0": 8.5}  # a block of 32 values in q8_0 has a scale of two bytes


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a model takes with its settings; None where the header does not say.

    `kv_cache` are the cells of the whole context, reserved when the model is opened; `kv_cache_per_token` is
    also what a kept prefix takes. `logit_rows` is one row of the vocabulary for each sequence. The
    `kept_prefixes_*` are upper limits.
    """

    context: int
    weights: int
    kv_cache: int | None
    kv_cache_per_token: int | None
    logit_rows: int
    kept_prefixes_in_memory: int
    kept_prefixes_on_disk: int

    @property
    def memory(self) -> int:
        """Everything in memory together, without Python and the embedder."""
        return self.weights + (self.kv_cache or 0) + self.logit_rows + self.kept_prefixes_in_memory

    @property
    def bytes(self) -> dict[str, int | None]:
        """Each cost by its name; `memory` is the last."""
        costs = asdict(self)
        del costs["context"]
        return {**costs, "memory": self.memory}


def footprint(path: Path, settings: EngineSettings) -> Footprint:
    """What a model costs, by the header of its file (0.2 s); no tensors are loaded.

    Args:
        path: a GGUF file.
        settings: the context, cache type, rows and cache limits to compute for.

    Returns:
        Bytes by purpose, None where the header does not say.

    Raises:
        WeightsError: the file is missing, damaged, or of an unknown kind.
    """
    check_gguf(path)
    weights = Weights(path, EngineSettings(), vocabulary_only=True)
    try:
        trained = _number(weights, "context_length")
        values = _cell_values(weights)
        context = min(settings.context, trained) if trained else settings.context
        per_token = None if values is None else int(values * _CELL_BITS[settings.kv_type] / 8)
        return Footprint(
            context,
            path.stat().st_size + (_size(settings.lora) if settings.lora else 0),
            None if per_token is None else per_token * context,
            per_token,
            settings.rows * weights.size * 4,
            settings.prefix_memory_mb << 20,
            settings.prefix_disk_mb << 20,
        )
    finally:
        weights.close()


def _size(adapter: Path) -> int:
    try:
        return adapter.stat().st_size
    except OSError as error:
        msg = f"the LoRA adapter {adapter} cannot be read ({error.strerror or error}): correct its path"
        raise WeightsError(msg) from error


def _cell_values(weights: Weights) -> int | None:
    """Keys and values of one token over all layers; None for an architecture that keeps something else."""
    layers, heads = _number(weights, "block_count"), _number(weights, "attention.head_count")
    width, shared = _number(weights, "embedding_length"), _number(weights, "attention.head_count_kv")
    if not (layers and heads and width):
        return None
    key = _number(weights, "attention.key_length") or width // heads
    value = _number(weights, "attention.value_length") or width // heads
    return layers * (shared or heads) * (key + value)


def _number(weights: Weights, key: str) -> int | None:
    """A number of the header under the architecture's name; None where it is missing or a list."""
    value = weights.metadata(f"{weights.metadata('general.architecture')}.{key}")
    return int(value) if value and value.isdigit() else None
