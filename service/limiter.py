"""When the next request to an integration may be sent, agreed between all processes through one row."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from db import limits
from db.database import Database
from handlers.registry import Throttled

LONGEST_HOLD_MS = 5_000  # whoever holds a lease waits no longer than this; a listing may


@dataclass(frozen=True, slots=True)
class Limiter:
    """`interval_ms` between two requests; 0 is no limit of ours, a 429 of theirs still holds."""

    database: Database
    name: str
    interval_ms: int
    clock: Callable[[], int]
    patient: bool = False

    async def wait(self) -> None:
        """Return when a request may be sent. Throttled when that is too far off to hold a lease for."""
        began = self.clock()
        while True:
            now = self.clock()
            slot = await self.database.write(limits.take, self.name, self.interval_ms, now)
            if slot <= now:
                return
            if slot - began > LONGEST_HOLD_MS and not self.patient:
                raise Throttled("the rate limit is used up", (slot - now) / 1000)
            await asyncio.sleep((slot - now) / 1000)
            gate = await self.database.read(limits.gate, self.name)
            if gate.blocked_until <= self.clock():
                return
