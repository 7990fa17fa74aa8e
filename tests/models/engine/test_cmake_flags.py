"""Which flags llama.cpp is compiled with: none but where the processor has AMX and the compiler takes them."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
SCRIPT = ROOT / "models" / "engine" / "cmake_flags.sh"
FLAGS = "-fno-tree-dse -fno-dse"
WITH_AMX = "processor : 0\nflags : fpu avx512f amx_bf16 amx_tile amx_int8\n"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="make and sh")


@pytest.fixture
def compiler(tmp_path: Path) -> Path:
    """A compiler that takes every flag."""
    return _program(tmp_path / "gcc", "cat > /dev/null")


def _program(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def flags(cpuinfo: Path, compiler: Path | str) -> list[str]:
    command = ["sh", str(SCRIPT), str(cpuinfo), str(compiler), str(compiler)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return shlex.split(done.stdout)


def cpuinfo(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    return path


def test_a_processor_with_amx_gets_the_flags(tmp_path: Path, compiler: Path) -> None:
    expected = [f"-DCMAKE_C_FLAGS={FLAGS}", f"-DCMAKE_CXX_FLAGS={FLAGS}"]
    assert flags(cpuinfo(tmp_path, WITH_AMX), compiler) == expected


@pytest.mark.parametrize("text", ["flags : fpu avx2 avx512f\n", "flags : amx_tile_of_another_name\n", ""])
def test_another_processor_gets_none(tmp_path: Path, compiler: Path, text: str) -> None:
    assert flags(cpuinfo(tmp_path, text), compiler) == []


def test_a_system_without_cpuinfo_gets_none(tmp_path: Path, compiler: Path) -> None:
    assert flags(tmp_path / "missing", compiler) == []


def test_a_compiler_that_refuses_the_flags_gets_none(tmp_path: Path) -> None:
    clang = _program(tmp_path / "clang", "cat > /dev/null; echo unknown argument >&2; exit 1")
    assert flags(cpuinfo(tmp_path, WITH_AMX), clang) == []
    assert flags(cpuinfo(tmp_path, WITH_AMX), "/no/such/compiler") == []


def test_what_the_user_set_stays() -> None:
    command = ["make", "-n", "-p", "help"]
    environment = os.environ | {"CMAKE_ARGS": "-DMINE=1"}
    database = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "CMAKE_ARGS = -DMINE=1" in database.stdout.splitlines()
