"""The real program as a process on one database: started, signalled, starved and looked at."""

import asyncio
import json
import os
import resource
import signal
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import GREETING, Running, Starter

START_S = 20.0
# Every wait of the program, ten times shorter. The order is that of the imports.
QUICK: dict[str, Any] = {
    "db.limits.PROBE_AFTER_MS": (0, 200, 400, 800, 1_600),
    "db.limits.PROBE_EVERY_MS": 6_000,
    "db.outbox.LEASE_MS": 6_000,
    "db.inbox.RETRY_AFTER_MS": (500, 3_000, 30_000),
    "db.inbox.RETRY_EVERY_MS": 90_000,
    "handlers.notion.api.TIMEOUT_S": 2,
    "handlers.notion.remote.MARGIN_MS": 600,
    "handlers.slack.api.TIMEOUT_S": 2,
    "service.limiter.LONGEST_HOLD_MS": 500,
    "service.limiter.LONGEST_PUT_BACK_MS": 500,
    "service.leases.RETRY_AFTER_MS": (0, 200, 400, 800, 1_600),
    "service.relay.LONGEST_SLEEP_S": 0.5,
    "service.platforms.SLACK_INTERVAL_MS": 100,
    "service.app.RETRY_LOOK_S": 0.5,
}


def prelude(clock: Path, constants: dict[str, Any]) -> str:
    """What a starter runs before it imports Rollcall."""
    return f"conditions.apply({str(clock)!r}, {constants!r})\n"


def step_clock(clock: Path, seconds: float) -> None:
    """From this moment on the wall clock of whoever follows this file is off by so much."""
    with clock.open("r+b" if clock.exists() else "w+b") as file:
        file.write(struct.pack("q", round(seconds * 1e9)))


@dataclass
class Program:
    """`rollcall …`, one process after the other. `environment` is all that they see."""

    starter: Starter
    folder: Path
    environment: dict[str, str]
    words: tuple[str, ...]
    started_in: list[float] = field(default_factory=list)
    running: Running | None = None

    @property
    def name(self) -> str:
        return self.words[0]

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    async def start(self) -> None:
        """Returns once it is at work."""
        running = await asyncio.to_thread(self.starter.start, self.folder, self.environment, *self.words)
        began = time.monotonic()
        while not running.ready():
            assert time.monotonic() < began + START_S, running.said()[-2000:]
            await asyncio.sleep(0.005)
        self.started_in.append(time.monotonic() - began)
        self.running = running

    def tell(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)

    async def ended(self) -> int:
        """Its exit code; minus the signal it died of."""
        assert self.running is not None
        self.running.code = int(await asyncio.to_thread(self.starter.ask, {"wait": self.pid}))
        return self.running.code

    async def end(self, how: signal.Signals) -> int:
        self.tell(how)
        return await self.ended()

    # -- what befalls it --

    def limit_files(self, size: int | None) -> None:
        """No file it writes may grow past `size` bytes (EFBIG); None: as large as it likes."""
        hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if size is None else size, hard))

    def limit_descriptors(self, count: int) -> None:
        """The processes to come may have so many files open, until they ask for what they are allowed."""
        pid = self.starter.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))

    # -- what it shows --

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - entries of /proc come and go

    def rss(self) -> int:
        """Resident memory, bytes."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def said(self) -> list[dict[str, Any]]:
        """Its log lines so far, all lives together; what is no JSON is a line "raw"."""
        lines = [line for one in self.starter.started for line in one.log.read_bytes().splitlines()]
        return [_parsed(line) for line in lines if not line.startswith(GREETING.encode())]

    def counts(self) -> Counter[str]:
        """How often it said what."""
        return Counter(str(line.get("event")) for line in self.said())


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"event": "raw", "text": line.decode(errors="replace")}
    return found
