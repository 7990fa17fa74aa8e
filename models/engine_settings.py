"""How the model is run, and how many cores there are for it."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

KVType = Literal["f16", "q8_0"]

MAX_SEQUENCES = 256
"""How many sequences llama.cpp lets one context hold (LLAMA_MAX_SEQ)."""

STRIDE = 64
"""From so many tokens on, llama.cpp computes each exactly as it would among more of them."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the model is run. The defaults suit a laptop.

    `threads` None is one per physical core; `gpu_layers` None is all of them where llama.cpp was built for a
    GPU, as is -1; `batch` is how many tokens one decode takes, `rows` for how
    many of them it can return logits (0.6 MB each with a vocabulary of 150,000), which is also how many
    sequences there are (sequence 0 is the shared prefix). Memory-mapping is off
    because quantised weights are repacked when loaded, and a map would hold them twice. `extra_buffers` holds
    weights repacked for the processor; None is what a trial at the first opening found to work and to be faster.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")  # read by pydantic, not by dataclasses

    threads: Annotated[int, Field(ge=1, le=512)] | None = None
    context: Annotated[int, Field(ge=512, le=1 << 20)] = 4096
    batch: Annotated[int, Field(ge=2 * STRIDE, le=8192)] = 512
    rows: Annotated[int, Field(ge=2, le=MAX_SEQUENCES)] = 80
    kv_type: KVType = "f16"
    flash_attention: bool = True
    gpu_layers: Annotated[int, Field(ge=-1, le=10_000)] | None = None
    lora: Path | None = None
    memory_map: bool = False
    extra_buffers: bool | None = None
    prefix_memory_mb: Annotated[int, Field(ge=0, le=1 << 16)] = 64
    prefix_disk_mb: Annotated[int, Field(ge=0, le=1 << 20)] = 512


def physical_cores() -> int:
    """Cores without their hyper-threads, within what this process may use; at least 1."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = set()
    for info in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list"):
        with contextlib.suppress(OSError):  # a core that went offline while we looked
            cores.add(info.read_text())
    with contextlib.suppress(OSError, ValueError):  # a container's share; "max" is no number
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        usable = min(usable, -(-int(quota) // int(period)))
    return max(1, min(usable, len(cores) or usable))
