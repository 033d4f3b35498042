"""Messages out: claims due marks, has their sink deliver them, settles. One loop a sink, in this process."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import uuid4

import structlog

from db import limits
from db.database import Database, Unavailable
from db.outbox import LEASE_MS
from handlers.registry import Context, Refused, Sink, SinkDown, Throttled
from service.clock import Watch, now_ms
from service.leases import Attempt, Work, blame_mark, clock_was_set, pause_sink, put_back, settle, take_work

log = structlog.get_logger()

LONGEST_SLEEP_S = 5.0  # a wake-up may be lost, a mark may not
UNAVAILABLE_PAUSE_S = 1.0
STOP_DEADLINE_S = 10.0  # for deliveries under way when the process is told to end


@dataclass(slots=True, eq=False)
class SinkLoop:
    """Delivers the marks of one sink until told to stop."""

    database: Database
    sink: Sink
    context: Context
    clock: Callable[[], int] = now_ms
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    alive_at: float = field(default_factory=time.monotonic)
    stopping: bool = False
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _watch: Watch = field(default_factory=Watch)
    _step: int = 0

    async def run(self) -> None:
        """Until `stopping`; what is under way then is for `finish`."""
        while not self.stopping:
            self.alive_at = time.monotonic()
            self.wake.clear()
            free = self.sink.concurrency - len(self._under_way)
            try:
                await self.allow_for_the_clock()
                work = await self._take(free) if free else Work([])
            except Unavailable as error:
                log.warning("relay_waits_for_database", sink=self.sink.name, reason=str(error))
                await asyncio.sleep(UNAVAILABLE_PAUSE_S)
                continue
            for claim in work.claims:
                self._start(Attempt(claim, work.probe, self.clock()))
            if not work.claims or len(self._under_way) >= self.sink.concurrency:
                await self._sleep(work.next_at if free else None)

    async def drain(self) -> None:
        """Deliver what can be delivered now; return when nothing is due, or the sink is off or paused."""
        while True:
            work = await self._take(self.sink.concurrency)
            tasks = [
                asyncio.create_task(self.deliver(Attempt(claim, work.probe, self.clock()))) for claim in work.claims
            ]
            if tasks:
                await asyncio.gather(*tasks)
                continue
            if work.next_at is None or work.next_at > self.clock() + LEASE_MS:
                return
            gate = await self.database.read(limits.gate, self.sink.name)
            if gate.off or gate.paused:
                return
            await self._sleep(work.next_at)

    async def finish(self, deadline_s: float) -> None:
        """Wait for what is under way, at most this long; a lease cut off is due again when it ends."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=deadline_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def allow_for_the_clock(self) -> None:
        """Before anything is claimed by it: was the clock set?"""
        self._step += self._watch.step()
        if step := self._step:
            await self.database.write(clock_was_set, self.sink.name, step, self.clock())
            log.warning("clock_was_set", sink=self.sink.name, by_s=round(step / 1000))
            self._step = 0

    async def _take(self, most: int) -> Work:
        return await self.database.write(take_work, self.sink.name, uuid4().hex, self.clock(), most)

    async def _sleep(self, until: int | None) -> None:
        if self.stopping:
            return
        seconds = LONGEST_SLEEP_S
        if until is not None:
            seconds = min(max((until - self.clock()) / 1000, 0.001), seconds)
        try:
            await asyncio.wait_for(self.wake.wait(), seconds)
        except TimeoutError:
            return

    def _start(self, attempt: Attempt) -> None:
        task = asyncio.create_task(self.deliver(attempt))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.wake.set()

    async def deliver(self, attempt: Attempt) -> None:
        """One attempt, and what follows from it. Nothing it meets may end whoever called."""
        claim = attempt.claim
        try:
            outcome, settled = await self._attempt(attempt)
        except Unavailable as error:
            log.warning("lease_left", sink=claim.sink, key=claim.key, reason=str(error))
            return
        log.info(
            "delivery",
            sink=claim.sink,
            key=claim.key,
            generation=claim.generation,
            outcome=outcome if settled else "late",
            ms=attempt.duration_ms,
        )

    async def _attempt(self, attempt: Attempt) -> tuple[str, bool]:
        write = self.database.write
        try:
            done = await self.sink.deliver(self.database, attempt.claim)
        except Throttled as wait:
            return "throttled", await write(put_back, attempt, wait, self.clock())
        except SinkDown as error:
            return "sink down", await write(pause_sink, attempt, str(error), self.context, self.clock())
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a refusal, or a fault of ours: either way this mark's
            reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"[:500]
            return "refused", await write(blame_mark, attempt, reason, self.context, self.clock())
        return done.operation, await write(settle, attempt, done, self.clock())


class Relay:
    """All sinks of this process, woken after every commit that raised a mark."""

    def __init__(
        self, database: Database, sinks: Iterable[Sink], context: Context, clock: Callable[[], int] = now_ms
    ) -> None:
        self.loops = [SinkLoop(database, sink, context, clock) for sink in sinks]
        self._tasks: list[asyncio.Task[None]] = []
        database.on_commit(self._wake)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(loop.run()) for loop in self.loops]

    async def stop(self, deadline_s: float) -> None:
        """Claim nothing more, finish what is under way within the deadline, close the connections."""
        for loop in self.loops:
            loop.stopping = True
            loop.wake.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(loop.finish(deadline_s) for loop in self.loops))
        await asyncio.gather(*(loop.sink.close() for loop in self.loops))

    async def drain(self) -> None:
        """Deliver everything that can be delivered now (command line, tests)."""
        await asyncio.gather(*(loop.drain() for loop in self.loops))

    @property
    def alive(self) -> bool:
        """Whether every loop runs and looked into the outbox lately."""
        limit = time.monotonic() - 2 * LONGEST_SLEEP_S
        return all(not task.done() for task in self._tasks) and all(loop.alive_at > limit for loop in self.loops)

    def _wake(self) -> None:
        for loop in self.loops:
            loop.wake.set()
