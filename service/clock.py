"""The one clock: milliseconds since the epoch, UTC; and a watch that notices when somebody set it."""

import time

STEP_MS = 2_000  # what NTP corrects without setting the clock is far less


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Watch:
    """Compares the wall clock with the one nobody can set."""

    def __init__(self) -> None:
        self._apart = _apart_ms()

    def step(self) -> int:
        """By how much the clock was set since the last look, ms: forward is positive; 0 for less than STEP_MS."""
        before, self._apart = self._apart, _apart_ms()
        step = self._apart - before
        return step if abs(step) >= STEP_MS else 0


def _apart_ms() -> int:
    return (time.time_ns() - time.monotonic_ns()) // 1_000_000
