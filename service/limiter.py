"""When the next request to an integration may be sent, agreed between all processes through one row."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from db import limits
from db.database import Database
from handlers.registry import Throttled

LONGEST_HOLD_MS = 5_000  # whoever holds a lease waits no longer than this; a listing may
LONGEST_PUT_BACK_MS = 60_000  # a slot further off was reserved before the clock was set back


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
        waited = 0  # not by the clock, which may be set meanwhile
        while True:
            now = self.clock()
            slot = await self.database.write(limits.take, self.name, self.interval_ms, now)
            if slot <= now:
                return
            waited += slot - now
            if waited > LONGEST_HOLD_MS and not self.patient:
                raise Throttled("the rate limit is used up", min(slot - now, LONGEST_PUT_BACK_MS) / 1000)
            await asyncio.sleep((slot - now) / 1000)
            gate = await self.database.read(limits.gate, self.name)
            if gate.blocked_until <= self.clock():
                return
