"""The threads that write PostgreSQL: each takes its share of the calls that wait to its connection (postgres_seat)."""

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from db import writer
from db.call_queue import CallQueue
from db.calls import Call, deliver, expire
from db.errors import Unavailable
from db.postgres import PostgresServer
from db.postgres_bell import Bell
from db.postgres_seat import BeforeCommit, Seat, Undone

WRITERS = 2  # while the server works for one, the other prepares; more take turns on one interpreter
BATCH_LIMIT = 64  # calls in one transaction: they share its locks, its round trips and its flush to disk
STOP_GRACE_S = 5.0  # beyond the deadline; a thread that hangs for longer is left behind


@dataclass(slots=True, eq=False)
class PostgresWriter:
    """Owns the writing connections. `start` and `stop` bracket its life; `submit` is its only use."""

    server: PostgresServer
    deadline_s: float
    listeners: list[Callable[[], None]] = field(default_factory=list)
    before_commit: BeforeCommit | None = None
    _calls: CallQueue = field(default_factory=CallQueue)
    _waiting: int = 0
    _busy_since: dict[int, float] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None
    _threads: list[threading.Thread] = field(default_factory=list)
    _bell: Bell | None = None
    _stopping: bool = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._bell = Bell(self.server, self._notify, wanted=lambda: bool(self.listeners))
        engine = self.server.writer_engine(timeout_s=self.deadline_s, statement_s=self.deadline_s)
        self._threads = [
            threading.Thread(target=self._run, args=(engine,), name=f"rollcall-writer-{number}", daemon=True)
            for number in range(WRITERS)
        ]
        for thread in self._threads:
            thread.start()
        self._bell.start()

    async def stop(self) -> None:
        """Finish what is queued, then end the threads."""
        self._stopping = True
        self._calls.end()
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        until = time.monotonic() + self.deadline_s + STOP_GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        assert self._bell is not None
        self._bell.stop()

    def busy_for_s(self) -> float:
        """How long not one of the threads has been free."""
        since = list(self._busy_since.values())
        return time.monotonic() - max(since) if len(since) >= WRITERS else 0.0

    async def submit(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert self._loop is not None
        if self._waiting >= writer.QUEUE_LIMIT:
            raise Unavailable(f"{writer.QUEUE_LIMIT} writes are waiting already")
        if self._stopping:
            raise Unavailable("the writer has stopped")
        call = Call(fn, args, kwargs, self._loop.create_future())
        expiry = self._loop.call_later(self.deadline_s, expire, call, self.deadline_s)
        self._waiting += 1
        self._calls.put(call)
        try:
            return await call.future
        finally:
            self._waiting -= 1
            expiry.cancel()

    # --- on a writer thread ---

    def _run(self, engine: Engine) -> None:
        me = threading.get_ident()
        seat = Seat(engine, lambda: self.before_commit)
        while batch := self._calls.take(self._share):
            self._busy_since[me] = time.monotonic()
            marked = False
            try:
                marked = seat.serve(batch)
            except Undone:
                self._calls.give_back(batch)
                batch = []
            except BaseException as error:  # noqa: BLE001 - the thread must outlive whatever one batch meets
                for call in batch:
                    if not call.decided:
                        call.error = Unavailable.because(error)
            if marked:
                self._notify()
                assert self._bell is not None
                self._bell.ring()
            self._busy_since.pop(me, None)  # before the answers: whoever writes next finds this thread free
            self._post(functools.partial(deliver, batch))
        seat.leave()

    def _share(self, waiting: int) -> int:
        """What a thread takes of them: while threads are idle each call has a transaction of its own."""
        idle = max(1, WRITERS - len(self._busy_since))  # this one among them
        return min(BATCH_LIMIT, -(-waiting // idle))

    def _notify(self) -> None:
        for listener in self.listeners:
            self._post(listener)

    def _post(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop closed before us: nobody waits for this any more
            return
