"""The benchmark itself runs and its bars hold, at a size a test can wait for."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "fairness.py"


@pytest.mark.timeout(300)
def test_the_short_benchmark_prints_its_bars_and_meets_them() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--short"], capture_output=True, text=True, check=False)  # noqa: S603  our own script
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASS") == 5
    assert "FAIL" not in done.stdout
    assert "proved optimum: 30.00 h, 30.00 h" in done.stdout
