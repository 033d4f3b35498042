"""The real program as a process on one port and one database: started, signalled, starved and looked at."""

import asyncio
import json
import os
import resource
import signal
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).with_name("launcher.py")
# Every wait of the program, ten times shorter. The order is that of the imports.
QUICK: dict[str, Any] = {
    "db.limits.PROBE_AFTER_MS": [0, 200, 400, 800, 1_600],
    "db.limits.PROBE_EVERY_MS": 6_000,
    "db.outbox.LEASE_MS": 6_000,
    "db.inbox.RETRY_AFTER_MS": [500, 3_000, 30_000],
    "db.inbox.RETRY_EVERY_MS": 90_000,
    "handlers.notion.api.TIMEOUT_S": 2,
    "handlers.notion.sink.MARGIN_MS": 600,
    "handlers.slack.sink.TIMEOUT_S": 2,
    "service.limiter.LONGEST_HOLD_MS": 500,
    "service.leases.RETRY_AFTER_MS": [0, 200, 400, 800, 1_600],
    "service.relay.LONGEST_SLEEP_S": 0.5,
    "service.app.RETRY_LOOK_S": 0.5,
}


@dataclass
class Program:
    """`rollcall serve`, one process after the other. `environment` is all that they see."""

    environment: dict[str, str]
    port: int
    folder: Path
    constants: dict[str, Any] = field(default_factory=dict)
    started_in: list[float] = field(default_factory=list)
    pid: int = 0
    _starter: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "service.log"

    @property
    def clock(self) -> Path:
        return self.folder / "clock"

    async def prepare(self) -> None:
        self.step_clock(0)
        with self.log.open("ab") as log:
            self._starter = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(LAUNCHER), "serve", "--port", str(self.port), "--json"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={
                    **self.environment,
                    "CHAOS_CLOCK": str(self.clock),
                    "CHAOS_CONSTANTS": json.dumps(self.constants),
                },
                cwd=self.folder,
            )

    async def start(self) -> None:
        """Returns once it listens."""
        assert self._starter is not None
        assert self._starter.stdin is not None
        self._starter.stdin.write(b"\n")
        self.pid = int(await self._line())
        began = time.monotonic()
        assert self.url in await self._line(), self.log.read_text()[-2000:]
        self.started_in.append(time.monotonic() - began)

    def tell(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)

    async def ended(self) -> int:
        """Its exit code; minus the signal it died of."""
        code = int(await self._line())
        self.pid = 0
        return code

    async def end(self, how: signal.Signals) -> int:
        self.tell(how)
        return await self.ended()

    async def close(self) -> None:
        assert self._starter is not None
        assert self._starter.stdin is not None
        if self.pid:
            await self.end(signal.SIGKILL)
        self._starter.stdin.close()
        await self._starter.communicate()

    # -- what befalls it --

    def step_clock(self, seconds: float) -> None:
        """From this moment on its wall clock is off by so much."""
        with self.clock.open("r+b" if self.clock.exists() else "w+b") as file:
            file.write(struct.pack("q", round(seconds * 1e9)))

    def limit_files(self, size: int | None) -> None:
        """No file it writes may grow past `size` bytes (EFBIG); None: as large as it likes."""
        hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if size is None else size, hard))

    def limit_descriptors(self, count: int) -> None:
        """The processes to come may have so many files open, until they ask for what they are allowed."""
        assert self._starter is not None
        hard = resource.prlimit(self._starter.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(self._starter.pid, resource.RLIMIT_NOFILE, (count, hard))

    # -- what it shows --

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - entries of /proc come and go

    def rss(self) -> int:
        """Resident memory, bytes."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def said(self) -> list[dict[str, Any]]:
        """Its log lines so far, all lives together; what is no JSON is a line "raw"."""
        found = []
        for line in self.log.read_bytes().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"event": "raw", "text": line.decode(errors="replace")})
        return found

    def counts(self) -> Counter[str]:
        """How often it said what."""
        return Counter(str(line.get("event")) for line in self.said())

    async def _line(self) -> str:
        assert self._starter is not None
        assert self._starter.stdout is not None
        return (await self._starter.stdout.readline()).decode()
