"""Whether llama.cpp runs a model on this machine, and whether its extra weight buffers are faster here.

Extra buffers hold weights repacked for the processor (AVX-512, AMX, NEON). Some builds crash in them, and on
some processors reading is faster without. So the first opening of a model tries both in child processes, one
after the other and before the weights are loaded here; the result is kept in the user's cache folder.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import llama_cpp as L
import platformdirs
from pydantic import ValidationError

from ..engine_settings import STRIDE, EngineSettings
from ..errors import InputError, ModelError
from ..files import write_text
from ..records import Record
from ..weights import sha256_of

TRIAL = (sys.executable or "", "-P", "-m", "tanqu.models.engine.trial")
TIMEOUT = 120.0  # seconds for one child; a 1.5B model takes about five on a quiet machine
_FASTER = 0.9  # without extra buffers only if a request takes at most this share of the time
_CRASHES = {
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGILL", "SIGBUS", "SIGFPE", "SIGABRT", "SIGTRAP")
    if hasattr(signal, name)
}


class ModelCheck(Record):
    """What the trial found. Seconds are processor time of a typical request, None where not measured.

    `crashed_with` names the signal that ended the child which used extra buffers, empty if none did.
    """

    extra_buffers: bool
    crashed_with: str = ""
    seconds_with: float | None = None
    seconds_without: float | None = None


@dataclass(frozen=True, slots=True)
class _Trial:
    """How a child ended: by which signal, if any; whether it decoded; how fast a request was."""

    crashed_with: str = ""
    decoded: bool = False
    seconds: float | None = None


class ModelChecker:
    """Tries models in child processes and keeps the results in a folder."""

    def __init__(
        self, folder: Path | None = None, command: Sequence[str] = TRIAL, timeout: float = TIMEOUT
    ) -> None:
        """Set up the checks.

        Args:
            folder: where results are kept; None is `tanqu/engine` in the user's cache folder.
            command: what starts the child; the model file and its settings as JSON are appended.
            timeout: seconds that one child may take.
        """
        self._folder = folder or platformdirs.user_cache_path("tanqu") / "engine"
        self._command = command
        self._timeout = timeout

    def check(self, path: Path, settings: EngineSettings) -> ModelCheck:
        """The result for this file, library and processor, kept or tried now.

        A child that cannot start, runs out of memory, or fails with an exception decides nothing: extra
        buffers stay on, nothing is kept, and opening the model shows the cause.

        Returns:
            Whether to use extra buffers, and why.

        Raises:
            ModelError: the child crashed with and without extra buffers.
        """
        kept = self.kept(path, settings)
        if kept is not None:
            return kept
        trial_settings = replace(
            settings, context=512, batch=2 * STRIDE, rows=2 * STRIDE // 8, threads=1, lora=None
        )
        used = self._try(path, replace(trial_settings, extra_buffers=True))
        if not used.crashed_with and not used.decoded:
            return ModelCheck(extra_buffers=True)
        unused = _Trial()
        if used.crashed_with or used.seconds is not None:
            unused = self._try(path, replace(trial_settings, extra_buffers=False))
        if used.crashed_with and unused.crashed_with:
            msg = f"llama.cpp crashes ({unused.crashed_with}) when it runs {path.name} on this processor: compile "
            msg += (
                "it here with `pip install --force-reinstall --no-binary llama-cpp-python llama-cpp-python`"
            )
            raise ModelError(msg)
        result = _decide(used, unused)
        self.keep(path, settings, result)
        return result

    def kept(self, path: Path, settings: EngineSettings) -> ModelCheck | None:
        """The result of an earlier check, if this file, library and processor had one."""
        with suppress(OSError, ValidationError):
            return ModelCheck.model_validate_json(self._file(path, settings).read_bytes())
        return None

    def keep(self, path: Path, settings: EngineSettings, result: ModelCheck) -> None:
        """Keep a result for later openings on this machine.

        Args:
            path: the model's file.
            settings: how the model is run; what counts is whether layers go to a GPU.
            result: what the trial found.
        """
        with suppress(OSError, InputError):  # a folder that cannot be written to costs a trial each time
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_text(self._file(path, settings), result.model_dump_json())

    def _file(self, path: Path, settings: EngineSettings) -> Path:
        offloads = bool(L.llama_supports_gpu_offload()) and settings.gpu_layers != 0
        parts = (_machine(), sha256_of(path), str(offloads))
        return self._folder / f"{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:24]}.json"

    def _try(self, path: Path, settings: EngineSettings) -> _Trial:
        """Run one child to its end."""
        if not self._command[0] or getattr(sys, "frozen", False):  # an embedded or bundled interpreter
            return _Trial()
        try:
            ended = subprocess.run(  # noqa: S603 - our own interpreter, no shell
                [*self._command, str(path), json.dumps(asdict(settings))],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return _Trial(decoded=b"decoded" in (error.stdout or b""))
        except OSError:
            return _Trial()
        return _outcome(ended.returncode, ended.stdout.decode(errors="replace").split())


def _outcome(code: int, words: Sequence[str]) -> _Trial:
    if -code in _CRASHES:
        return _Trial(signal.Signals(-code).name)
    if code >= 0xC0000000:  # Windows: an NTSTATUS such as an access violation
        return _Trial(hex(code))
    if code != 0 or words[:1] != ["decoded"]:
        return _Trial()
    return _Trial(decoded=True, seconds=float(words[1]) if words[1:] else None)


def _decide(used: _Trial, unused: _Trial) -> ModelCheck:
    measured = used.seconds is not None and unused.seconds is not None
    faster = measured and (unused.seconds or 0.0) <= _FASTER * (used.seconds or 0.0)
    return ModelCheck(
        extra_buffers=not used.crashed_with and not faster,
        crashed_with=used.crashed_with,
        seconds_with=used.seconds,
        seconds_without=unused.seconds,
    )


@functools.cache
def _machine() -> str:
    """A hash over the files of llama.cpp and the features of the processor."""
    folder = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(L.__file__).parent / "lib")
    states = [(path.name, path.stat()) for path in sorted(folder.glob("*")) if path.is_file()]
    library = [(name, status.st_size, status.st_mtime_ns) for name, status in states]
    processor = [platform.machine(), platform.processor()]
    with suppress(OSError):  # Linux only
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = ("model name", "flags", "Features")
        processor += sorted({line for line in lines if line.startswith(names)})
    version = importlib.metadata.version("llama-cpp-python")
    return hashlib.sha256(repr((version, library, processor)).encode()).hexdigest()
