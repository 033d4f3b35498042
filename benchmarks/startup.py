"""How long it takes to start and how much memory that needs, beside an empty handler under the same server."""

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from targets import Target, memory_mb, reference, rollcall, running

ROUNDS = 5


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="rollcall-start-") as name:
        folder = Path(name)
        with running(reference("notion", folder / "notion")) as (notion, _):
            ready = rollcall(folder / "rollcall", notion)
            with running(ready):  # migrates, and writes the byte code
                pass
            ready = replace(ready, before=())
            targets = {"empty": reference("empty", folder / "empty"), "rollcall": ready}
            figures = {name: [started(target) for _ in range(ROUNDS)] for name, target in targets.items()}
    for name, each in figures.items():
        seconds, megabytes = (statistics.median(column) for column in zip(*each, strict=True))
        print(f"{name:9} {seconds:5.2f} s from start to first answer, {megabytes:4.0f} MB at rest")
    return 0


def started(target: Target) -> tuple[float, float]:
    """Seconds to the first answer, and MB then."""
    began = time.perf_counter()
    with running(target) as (_, pid):
        return time.perf_counter() - began, memory_mb(pid) or 0.0


if __name__ == "__main__":
    sys.exit(main())
