"""The one writer of SQLite: it commits together whatever waits together, and answers only after COMMIT.

What is short runs on the event loop; all else, and COMMIT, which waits for the disk, on a thread of its own, never
both at a time. Two threads that both have Python to run share one interpreter, and get in each other's way.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from db.calls import Call, deliver, expire
from db.errors import Unavailable
from db.sqlite import SqliteFile
from db.sqlite_seat import Seat, looks_for_the_lock

T = TypeVar("T")

QUEUE_LIMIT = 1_000  # calls waiting; past it a caller is told to come back
BATCH_LIMIT = 64  # calls in one commit: more gains nothing and delays the first
CROWD = 8  # calls in one batch that make the writer expect more
GATHER_S = 0.002  # how long a writer under load waits for company; while calls come one by one, none is held up
FOLD_AFTER = 1_000  # calls: about 30 MB of WAL
LOOK_AROUND_S = 0.05  # how often an idle writer asks whether another process committed


@dataclass(slots=True, eq=False)
class Writer:
    """Owns the writing connection. `start` and `stop` bracket its life; `submit` is its only use."""

    file: SqliteFile
    deadline_s: float
    listeners: list[Callable[[], None]] = field(default_factory=list)
    _calls: deque[Call] = field(default_factory=deque)
    _stirred: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: int = 0
    _crowded: bool = False
    _stopping: bool = False
    _busy_since: float = 0.0
    _unfolded: int = 0  # calls since the WAL was folded into the file
    _seat: Seat = field(init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: ThreadPoolExecutor = field(init=False)
    _serving: asyncio.Task[None] = field(init=False)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._seat = Seat(self.file)
        self._loop = loop
        self._stopping = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollcall-writer")
        self._thread.submit(lambda: None)  # a system that has no thread for us says so here, and not under load
        self._serving = loop.create_task(self._serve())

    async def stop(self) -> None:
        """Finish what is queued, then end."""
        self._stopping = True
        self._stirred.set()
        await asyncio.wait([self._serving])
        self._thread.shutdown(wait=False)

    def busy_for_s(self) -> float:
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    async def submit(self, fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]) -> T:
        if self._waiting >= QUEUE_LIMIT:
            raise Unavailable(f"{QUEUE_LIMIT} writes are waiting already")
        if self._stopping or self._serving.done():
            raise Unavailable("the writer has stopped")
        call = Call(fn, args, kwargs, self._loop.create_future())
        expiry = self._loop.call_later(self.deadline_s, expire, call, self.deadline_s)
        self._waiting += 1
        self._calls.append(call)
        self._stirred.set()
        try:
            return await call.future  # type: ignore[no-any-return]
        finally:
            self._waiting -= 1
            expiry.cancel()

    async def _serve(self) -> None:
        while self._calls or not self._stopping:
            if not self._calls:
                await self._pause()
            if self._crowded or 1 < len(self._calls) < BATCH_LIMIT:
                await asyncio.sleep(GATHER_S)
            batch = self._take(1)
            if batch or self.listeners:
                self._busy_since = time.monotonic() if batch else 0.0
                await self._serve_batch(batch)
                self._busy_since = 0.0
        await self._there(self._seat.close)

    async def _pause(self) -> None:
        """Until somebody calls, or it is time to look around."""
        timer = self._loop.call_later(LOOK_AROUND_S, self._stirred.set)
        self._stirred.clear()
        await self._stirred.wait()
        timer.cancel()

    def _take(self, most: int) -> list[Call]:
        return [self._calls.popleft() for _ in range(min(most, len(self._calls)))]

    async def _serve_batch(self, batch: list[Call]) -> None:
        """Bring these calls, and who joins them, to their end; without any, look around."""
        try:
            if not self._seat.is_open:
                await self._there(self._seat.open)
            if batch:
                await self._commit(batch)
            self._look_around()
            broken = any(isinstance(call.error, Unavailable) for call in batch)
        except Exception as error:  # noqa: BLE001 - the writer must outlive whatever one batch meets
            _give_up(batch, error)
            broken = True
        if broken:
            await self._there(self._seat.close)  # a connection opened while the file was read-only stays read-only
        deliver(batch)
        await self._fold(len(batch))

    async def _commit(self, batch: list[Call]) -> None:
        if not await self._begin(batch):
            return
        batch += self._take(BATCH_LIMIT - len(batch))  # whoever came while the lock was waited for
        self._crowded = len(batch) >= CROWD
        # Who waits together has no order among themselves: each is answered after the COMMIT of all.
        undone = not self._seat.run(call for call in batch if call.short)
        if await self._there(self._seat.commit, batch, undone):
            self._notify()

    async def _begin(self, batch: list[Call]) -> bool:
        """Take the write lock, for as long as anybody in the batch still waits for it."""
        for pause_s in looks_for_the_lock():
            if all(call.abandoned for call in batch):
                return False
            if self._seat.begin():
                return True
            await asyncio.sleep(pause_s)
        return False

    def _look_around(self) -> None:
        """Has another process committed?"""
        if self.listeners and self._seat.others_committed():
            self._notify()

    async def _fold(self, calls: int) -> None:
        """Now and then, fold the WAL into the file: when the answers are out, where SQLite would do it before."""
        self._unfolded += calls
        if self._unfolded >= FOLD_AFTER and self._seat.is_open:
            self._unfolded = 0
            await self._there(self._seat.fold)

    async def _there(self, fn: Callable[..., T], *args: object) -> T:
        """Run it on the thread."""
        return await self._loop.run_in_executor(self._thread, fn, *args)

    def _notify(self) -> None:
        for listener in self.listeners:
            self._loop.call_soon(listener)


def _give_up(batch: list[Call], error: Exception) -> None:
    """Every call that nothing became of yet."""
    for call in batch:
        if not call.decided:
            call.error = Unavailable.because(error)
