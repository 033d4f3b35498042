"""When the next request to an integration may be sent, agreed between all processes through one row.

A slot is a moment. Whoever uses it late comes closer to those after it, so lateness has a bound, and slots are further
apart than the limit asks by as much. It is measured when nothing is left to do but write to the connection. Later than
that the slot is given up and another one taken. Slots are reserved shortly before they begin: so one that was given up
delays the others, and is not lost, and whoever is told to wait holds none.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from db import limits
from db.database import Database
from handlers.registry import Throttled

ON_TIME_MS = 15
ON_THE_WAY_MS = 5  # how differently long two requests may take to arrive; nobody here can measure it
EARLY_MS = 20  # a slot is reserved this long before it begins, which is time to find a connection
LONGEST_HOLD_MS = 5_000  # whoever holds a lease waits no longer than this; a listing may
LONGEST_PUT_BACK_MS = 5_000  # a slot further off is from before the clock was set back; a 429 shuts the gate itself


def interval_ms(per_second: float) -> int:
    """How far apart slots are, so that no second sees more than `per_second` (rounded up); 0 is no limit of ours.

    n + 1 requests arrive within n intervals, less what the first is late.
    """
    return math.ceil((1000 + ON_TIME_MS + ON_THE_WAY_MS) / per_second) if per_second else 0


@dataclass(slots=True)
class Limiter:
    """`interval_ms` between two slots; 0 is no limit of ours, a 429 of theirs still holds.

    Of one process only one request at a time asks for slots, in the order in which they came.
    """

    database: Database
    name: str
    interval_ms: int
    clock: Callable[[], int]
    patient: bool = False
    queue: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def turn(self) -> "Turn":
        """Return shortly before a request may be sent. Throttled when that is too far off to hold a lease for."""
        turn = Turn(self)
        try:
            await turn.begin()
        except BaseException:
            turn.over()
            raise
        return turn

    async def wait(self) -> None:
        """As `turn`, for whoever cannot tell when the first byte is written."""
        turn = await self.turn()
        try:
            await turn.sending()
        finally:
            turn.over()


@dataclass(slots=True)
class Turn:
    """Leave to send one request from `at` (ms) until `tolerance` ms later."""

    limiter: Limiter
    at: int = 0
    tolerance: int = 0
    waited: int = 0  # ms; not by the clock, which may be set meanwhile
    _until: int = 0  # the next slot begins then, if nobody took one since
    _missed: int = 0
    _in_front: bool = False

    async def begin(self) -> None:
        if self.limiter.interval_ms:
            await self._come_to_the_front()
        await self._take()

    async def sending(self) -> None:
        """To be called when nothing is left to do but send: returns as soon as that is in time."""
        limiter = self.limiter
        while True:
            if (early := self.at - limiter.clock()) > 0:
                await asyncio.sleep(min(early, EARLY_MS) / 1000)
            if not limiter.interval_ms or limiter.clock() - self.at <= self.tolerance:
                break
            self._missed += 1
            await self._take()
        self.over()

    def over(self) -> None:
        """Sent or not, it is the next one's turn."""
        if self._in_front:
            self._in_front = False
            self.limiter.queue.release()

    async def _come_to_the_front(self) -> None:
        limiter, loop = self.limiter, asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(None if limiter.patient else LONGEST_HOLD_MS / 1000):
                await limiter.queue.acquire()
        except TimeoutError:
            raise Throttled("the rate limit is used up", limiter.interval_ms / 1000) from None
        self._in_front = True
        self.waited = round((loop.time() - began) * 1000)

    async def _take(self) -> None:
        """Reserve a slot, instead of the one that was not used, as soon as there is one that begins soon."""
        limiter = self.limiter
        while True:
            now = limiter.clock()
            await self._ask(now)
            ahead = self.at - now
            if ahead <= EARLY_MS:
                return
            self.waited += ahead
            if self.waited > LONGEST_HOLD_MS and not limiter.patient:
                raise Throttled("the rate limit is used up", min(ahead, LONGEST_PUT_BACK_MS) / 1000)
            await asyncio.sleep((ahead - EARLY_MS) / 1000)

    async def _ask(self, now: int) -> None:
        limiter = self.limiter
        # Who is always late must be allowed more, lest it never send; and pays for it: the slot after this one begins
        # that much later.
        self.tolerance = ON_TIME_MS * 4 ** max(0, min(self._missed, 4) - 1)
        interval = limiter.interval_ms and limiter.interval_ms + self.tolerance - ON_TIME_MS
        take = partial(limits.take, ahead_ms=EARLY_MS, unused_until=self._until)
        self.at = await limiter.database.write(take, limiter.name, interval, now)
        if self.at - now <= EARLY_MS:
            self._until = self.at + interval
