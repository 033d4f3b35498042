"""The threads that write PostgreSQL: each owns a connection and runs one call a transaction, again where that is safe.

When is it safe? A call has no effect outside its transaction, so it may be run again whenever that transaction
certainly did not commit: the server refused something before COMMIT or in answer to it, or the connection broke
before COMMIT was sent. A connection that breaks under COMMIT leaves the outcome unknown: the call is not run
again, its caller is told Unavailable, as one is whose COMMIT took longer than the deadline.
"""

import asyncio
import contextlib
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from db import writer
from db.errors import Unavailable
from db.postgres import PostgresServer
from db.postgres_bell import Bell
from db.statements import go_direct
from db.writer import MARKED, Call, expire, translate

WRITERS = 8
TRIES = 6  # of one call, at the most
# Somebody was faster, look again: how often. A unique violation that stays is the function's own fault.
RACES = {"40P01": TRIES, "40001": TRIES, "23505": 3}  # deadlock, serialization failure, unique violation
PAUSE_S = 0.01  # before a call is run again, times how often it was run, give or take
STOP_GRACE_S = 5.0  # beyond the deadline; a thread that hangs for longer is left behind


@dataclass(slots=True, eq=False)
class PostgresWriter:
    """Owns the writing connections. `start` and `stop` bracket its life; `submit` is its only use."""

    server: PostgresServer
    deadline_s: float
    listeners: list[Callable[[], None]] = field(default_factory=list)
    _calls: "queue.SimpleQueue[Call | None]" = field(default_factory=queue.SimpleQueue)
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

    def stop(self) -> None:
        """Finish what is queued, then end the threads."""
        self._stopping = True
        for _ in self._threads:
            self._calls.put(None)
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
        seat = _Seat(engine)
        while (call := self._calls.get()) is not None:
            if call.abandoned:
                continue
            self._busy_since[me] = time.monotonic()
            marked = False
            try:
                marked = seat.serve(call)
            except BaseException as error:  # noqa: BLE001 - the thread must outlive whatever one call meets
                call.error = Unavailable.because(error)
            if marked:
                self._notify()
                assert self._bell is not None
                self._bell.ring()
            self._post(call.deliver)
            self._busy_since.pop(me, None)
        seat.leave()

    def _notify(self) -> None:
        for listener in self.listeners:
            self._post(listener)

    def _post(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop closed before us: nobody waits for this any more
            return


@dataclass(slots=True, eq=False)
class _Seat:
    """One thread's connection, opened when it is needed and anew after it broke."""

    engine: Engine
    _tx: Connection | None = None

    def serve(self, call: Call) -> bool:
        """Run the call until something is decided; whether it committed a mark. The call holds result or error."""
        for tried in range(1, TRIES + 1):
            try:
                return self._once(call)
            except _OutcomeUnknown as error:
                call.error = Unavailable(f"the connection broke while committing: {error}")
                return False
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                lost = self._roll_back()
                most = TRIES if lost else RACES.get(sqlstate(error) or "", 0)
                if tried >= most or call.abandoned:
                    call.error = Unavailable.because(error) if lost else _charged(error)
                    return False
            if tried > 1 or not lost:
                time.sleep(PAUSE_S * tried * random.uniform(0.5, 1.5))  # noqa: S311 - that two do not meet again
        return False

    def leave(self) -> None:
        if self._tx is not None:
            with contextlib.suppress(Exception):  # what broke may refuse to be closed
                self._tx.close()
        self._tx = None

    def _once(self, call: Call) -> bool:
        tx = self._tx = self._tx or self._connect()
        raw = _raw(tx)
        tx.info.pop(MARKED, None)
        raw.execute("BEGIN")
        call.run(tx)
        if raw.info.transaction_status is not TransactionStatus.INTRANS:
            raise TransactionLost
        if call.abandoned:
            raise Unavailable("the caller has left")
        _commit(raw)
        call.decided = True
        return bool(tx.info.pop(MARKED, False))

    def _connect(self) -> Connection:
        tx = self.engine.connect()
        go_direct(tx)
        return tx

    def _roll_back(self) -> bool:
        """End the transaction; whether the connection is lost (then the transaction ended with it)."""
        try:
            if self._tx is not None and not self._tx.invalidated:
                raw = _raw(self._tx)
                if raw.info.transaction_status is not TransactionStatus.IDLE:
                    raw.execute("ROLLBACK")
                if raw.info.transaction_status is TransactionStatus.IDLE:
                    return False
        except Exception:  # noqa: BLE001, S110 - as good as lost
            pass
        self.leave()
        return True


class TransactionLost(RuntimeError):
    """The function left no transaction to commit: it went on after a statement failed, or ended it itself."""

    def __init__(self) -> None:
        super().__init__("a statement failed and was not undone with a savepoint: nothing was committed")


class _OutcomeUnknown(Exception):
    """COMMIT was sent, its answer never came."""


def _commit(raw: psycopg.Connection[Any]) -> None:
    try:
        raw.execute("COMMIT")
    except psycopg.Error as error:
        if raw.closed or raw.info.transaction_status is not TransactionStatus.IDLE:
            raise _OutcomeUnknown(str(error).strip()) from error
        raise  # the server said no: it is rolled back


def _raw(tx: Connection) -> psycopg.Connection[Any]:
    raw = tx.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's code for what went wrong, however deep what was raised wraps it."""
    while error is not None:
        said = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(said, psycopg.Error):
            return said.sqlstate
        error = error.__cause__
    return None


def _charged(error: BaseException) -> Exception:
    """Whose fault it is: as on SQLite, and a race lost too often is the database's."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable.because(error)
    if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.InterfaceError | psycopg.InternalError):
        return Unavailable.because(error)
    return translate(error)
