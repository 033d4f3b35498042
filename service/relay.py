"""Messages out: claims due marks, has their sink deliver them, settles. One loop a sink, in this process.

Whose failure is it? The sink's (time-out, 5xx, 401): the sink is paused and probed with one mark at once,
after 2, 4, 8, 16 s, then every minute, one alert after the 16 s step; no mark spends an attempt. A refusal
of one mark: that mark again at once, after 2, 4, 8, 16 s, then dead, one alert, kept for replay (S2.7).
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import uuid4

import structlog
from sqlalchemy import Connection

from db import limits, outbox, sync
from db.database import Database, Unavailable
from db.outbox import LEASE_MS, Claim
from handlers.alerts import CHANNEL, alert
from handlers.registry import Context, Delivered, Refused, Sink, SinkDown, Throttled
from service.clock import now_ms

log = structlog.get_logger()

RETRY_AFTER_MS = (0, 2_000, 4_000, 8_000, 16_000)  # after each refusal of one mark
LONGEST_SLEEP_S = 5.0  # a wake-up may be lost, a mark may not
UNAVAILABLE_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What one look into the outbox gave: leased marks, whether they are a probe, and when to look again (ms)."""

    claims: list[Claim]
    probe: bool = False
    next_at: int | None = None


def take_work(tx: Connection, sink: str, token: str, now: int, most: int) -> Work:
    """Claim due marks, unless the sink is off, paused or told us to wait."""
    gate = limits.gate(tx, sink)
    if gate.off:
        return Work([])
    if gate.blocked_until > now:
        return Work([], next_at=gate.blocked_until)
    if gate.paused:
        if gate.probe_at > now:
            return Work([], next_at=gate.probe_at)
        claims = outbox.claim(tx, sink, token, now, 1)
        if claims:
            limits.probing(tx, sink, now + LEASE_MS)
        return Work(claims, probe=True, next_at=outbox.next_at(tx, sink))
    return Work(outbox.claim(tx, sink, token, now, most), next_at=outbox.next_at(tx, sink))


@dataclass(slots=True, eq=False)
class Attempt:
    """One leased mark on its way; `probe`: its outcome decides whether a paused sink works again."""

    claim: Claim
    probe: bool
    began_at: int
    began: float = field(default_factory=time.perf_counter)

    @property
    def duration_ms(self) -> int:
        return round((time.perf_counter() - self.began) * 1000)


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

    async def run(self) -> None:
        """Until `stopping`; what is under way then is for `finish`."""
        while not self.stopping:
            self.alive_at = time.monotonic()
            self.wake.clear()
            free = self.sink.concurrency - len(self._under_way)
            try:
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
                asyncio.create_task(self._deliver(Attempt(claim, work.probe, self.clock()))) for claim in work.claims
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
        task = asyncio.create_task(self._deliver(attempt))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.wake.set()

    async def _deliver(self, attempt: Attempt) -> None:
        """One attempt, and what follows from it. Nothing it meets may end the loop."""
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


def settle(tx: Connection, attempt: Attempt, done: Delivered, now: int) -> bool:
    """Delivered: remember what the other side holds. Not if the lease went to somebody else meanwhile."""
    claim = attempt.claim
    status = "settled" if done.again_at is None else "due"
    if not outbox.settle(tx, claim, now, status=status, next_at=done.again_at, rearmed=done.again_at is not None):
        return False
    if done.known is not None:
        sync.remember(tx, claim.workspace_id, claim.sink, claim.key, done.known, now)
    _resume(tx, claim.sink)
    _log(tx, attempt, done.operation, "delivered")
    return True


def put_back(tx: Connection, attempt: Attempt, wait: Throttled, now: int) -> bool:
    """Nobody's failure: due again when the other side will listen."""
    claim, until = attempt.claim, now + round(wait.retry_after_s * 1000)
    limits.block(tx, claim.sink, until)
    if attempt.probe:
        limits.probing(tx, claim.sink, until)
    _log(tx, attempt, "deliver", "throttled", str(wait))
    return outbox.settle(tx, claim, now, status="due", next_at=until, attempts=claim.attempts)


def pause_sink(tx: Connection, attempt: Attempt, reason: str, context: Context, now: int) -> bool:
    """The sink's own failure: the mark is due again as it was, the sink is paused and will be probed."""
    claim = attempt.claim
    # What was under way when the sink went down says nothing new.
    counts = attempt.probe or not limits.gate(tx, claim.sink).paused
    if counts and limits.pause(tx, claim.sink, reason, now) == limits.ALERT_AT:
        _alert_paused(tx, claim.sink, reason, context, now)
    _log(tx, attempt, "deliver", "sink down", reason)
    return outbox.settle(tx, claim, now, status="due", attempts=claim.attempts, error=reason)


def _alert_paused(tx: Connection, sink: str, reason: str, context: Context, now: int) -> None:
    text = (
        f"{sink} does not take what Rollcall sends ({reason}). It is paused and tried every minute: `rollcall doctor`."
    )
    quiet = Context(context.workspace_id) if sink == CHANNEL else context  # no alert through what is broken
    alert(tx, quiet, f"paused:{sink}:{now}", text, now)


def blame_mark(tx: Connection, attempt: Attempt, reason: str, context: Context, now: int) -> bool:
    """The other side refused this one mark: again a few times, then dead."""
    claim = attempt.claim
    refusals = claim.attempts + 1
    dead = refusals > len(RETRY_AFTER_MS)
    wait = 0 if dead else RETRY_AFTER_MS[refusals - 1]
    if attempt.probe:
        _resume(tx, claim.sink)  # it answered: it is this mark that is wrong
    _log(tx, attempt, "deliver", "refused", reason)
    held = outbox.settle(
        tx, claim, now, status="dead" if dead else "due", next_at=now + wait, attempts=refusals, error=reason
    )
    if held and claim.sink != CHANNEL and _is_dead(tx, claim):
        text = f"{claim.sink} refused {claim.key} {refusals} times: `rollcall actions show {claim.id}`."
        alert(tx, context, f"dead:{claim.sink}:{claim.id}:{claim.generation}", text, now)
    return held


def _is_dead(tx: Connection, claim: Claim) -> bool:
    """Not if the mark moved while it was refused: then it goes again, from the first attempt."""
    found = outbox.detail(tx, claim.id)
    return found is not None and found["status"] == "dead"


def _resume(tx: Connection, sink: str) -> None:
    """The sink works again. What somebody switched off meanwhile stays off."""
    gate = limits.gate(tx, sink)
    if gate.paused and not gate.off:
        limits.resume(tx, sink)
        log.info("sink_resumed", sink=sink)


def _log(tx: Connection, attempt: Attempt, operation: str, outcome: str, error: str | None = None) -> None:
    sync.log(
        tx,
        attempt.claim,
        at=attempt.began_at,
        duration_ms=attempt.duration_ms,
        operation=operation,
        outcome=outcome,
        error=error,
    )


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
