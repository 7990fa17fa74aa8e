"""Seconds and memory are those of the work that was done."""

import subprocess
import sys
import time

from tanqu.evaluation.bench.measuring import timed

_CHILD = """
from tanqu.evaluation.bench.measuring import peak_mb
before = peak_mb()
held = b"x" * 100_000_000
during = peak_mb()
del held
print(before, during, peak_mb())
"""


def test_a_call_is_timed_and_made_once() -> None:
    calls: list[str] = []

    def work() -> None:
        calls.append("made")
        time.sleep(0.02)

    assert 0.02 <= timed(work) < 5 and calls == ["made"]


def test_the_peak_of_memory_stays_when_the_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    before, during, after = map(float, done.stdout.split())
    assert 0 < before < 500 and 85 < during - before < 120
    assert after > during - 5
