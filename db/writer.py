"""The one thread that writes SQLite: it commits whatever waits together, and answers only after COMMIT.

A batch in which a call raises is undone and run again with a savepoint a call, so that it rolls back alone.
If the transaction itself dies (a failed COMMIT, a full disk), each call is run in a transaction of its own.
"""

import asyncio
import contextlib
import functools
import itertools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from db.calls import Call, deliver, expire, translate
from db.errors import Unavailable
from db.sqlite import SqliteFile
from db.statements import go_direct

QUEUE_LIMIT = 1_000  # calls waiting; past it a caller is told to come back
BATCH_LIMIT = 64  # calls in one commit: more gains nothing and delays the first
CROWD = 8  # calls in one batch that make the writer expect more
GATHER_S = 0.001  # how long a writer under load waits to see whether more calls come in,
GATHER_TURNS = 10  # and how often at the most
LOCK_LOOK_S = (0.0005, 0.01)  # how often to ask for the file's write lock: at first, and when somebody keeps it
OPENING_S = 0.25  # to wait while another process opens or closes the file
LOCK_PATIENCE = 100  # looks, until somebody keeps it
FOLD_AFTER = 1_000  # calls: about 30 MB of WAL
LONGEST_WAL = 16_000  # pages, where few calls write much
LOOK_AROUND_S = 0.05  # how often an idle writer asks whether another process committed
MARKED = "marked"  # in a connection's info: the marks its transaction made due
Due = tuple[int, str, str, int]  # workspace, sink, key, and when (ms)


@dataclass(slots=True, eq=False)
class Writer:
    """Owns the writing connection. `start` and `stop` bracket its life; `submit` is its only use."""

    file: SqliteFile
    deadline_s: float
    listeners: list[Callable[[], None]] = field(default_factory=list)
    _calls: "queue.SimpleQueue[Call | None]" = field(default_factory=queue.SimpleQueue)
    _waiting: int = 0
    _crowded: bool = False
    _busy_since: float = 0.0
    _seen_version: int = -1
    _unfolded: int = 0  # calls since the WAL was folded into the file
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name="rollcall-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued, then end the thread."""
        self._calls.put(None)
        assert self._thread is not None
        self._thread.join()

    def busy_for_s(self) -> float:
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    async def submit(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert self._loop is not None
        assert self._thread is not None
        if self._waiting >= QUEUE_LIMIT:
            raise Unavailable(f"{QUEUE_LIMIT} writes are waiting already")
        if not self._thread.is_alive():
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

    # --- on the writer thread ---

    def _run(self) -> None:
        engine = self.file.writer_engine(timeout_s=OPENING_S)
        tx: Connection | None = None
        while (batch := self._next_batch()) is not None:
            if not batch and not self.listeners:
                continue
            self._busy_since = time.monotonic() if batch else 0.0
            broken = True
            try:
                tx = tx or self._connect(engine)
                self._commit_together(tx, batch)
                self._look_around(tx)
                broken = any(isinstance(call.error, Unavailable) for call in batch)
            except BaseException as error:  # noqa: BLE001 - the thread must outlive whatever one batch meets
                _give_up(batch, error)
            if broken:
                _close(tx)  # a connection opened while the file was read-only stays read-only
                tx = None
            if batch:
                self._post(functools.partial(deliver, batch))
                self._fold(tx, len(batch))
            self._busy_since = 0.0
        _close(tx)
        engine.dispose()

    def _connect(self, engine: Engine) -> Connection:
        tx = engine.connect()
        _raw(tx).execute("PRAGMA busy_timeout=0")  # from here on we look for the lock ourselves
        _raw(tx).execute(f"PRAGMA wal_autocheckpoint={LONGEST_WAL}")  # we fold it ourselves, and earlier
        go_direct(tx)
        self._seen_version = -1  # versions of two connections cannot be compared
        return tx

    def _fold(self, tx: Connection | None, calls: int) -> None:
        """Now and then, fold the WAL into the file: when the answers are out, where SQLite would do it before."""
        self._unfolded += calls
        if tx is not None and self._unfolded >= FOLD_AFTER:
            self._unfolded = 0
            with contextlib.suppress(Exception):  # a full disk, a reader in the way: it stays in the WAL
                _raw(tx).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _next_batch(self) -> list[Call] | None:
        """The first that waits; nothing after LOOK_AROUND_S; None when it is time to end."""
        try:
            first = self._calls.get(timeout=LOOK_AROUND_S)
        except queue.Empty:
            return []
        if first is None:
            return None
        self._gather()
        return [first]

    def _fill(self, batch: list[Call]) -> None:
        """Take along whoever came while the lock was waited for."""
        while len(batch) < BATCH_LIMIT:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                break
            if call is None:
                self._calls.put(None)
                break
            batch.append(call)
        self._crowded = len(batch) >= CROWD

    def _gather(self) -> None:
        """Where calls come in crowds, let the crowd arrive: the two threads share one interpreter, and taking turns
        is far cheaper than getting in each other's way. A call that comes alone is not held up.
        """
        waiting = self._calls.qsize()
        for _ in range(GATHER_TURNS if self._crowded or waiting else 0):
            time.sleep(GATHER_S)
            before, waiting = waiting, self._calls.qsize()
            if waiting == before or waiting >= BATCH_LIMIT:
                return

    def _look_around(self, tx: Connection) -> None:
        """Has another process committed? `PRAGMA data_version` says so in 2 µs."""
        if not self.listeners:
            return
        version: int = _raw(tx).execute("PRAGMA data_version").fetchone()[0]
        if version != self._seen_version:
            self._seen_version = version
            self._notify()

    def _notify(self) -> None:
        for listener in self.listeners:
            self._post(listener)

    def _commit_together(self, tx: Connection, batch: list[Call]) -> None:
        raw = _raw(tx)
        if not _begin(raw, batch):
            return
        if batch:
            self._fill(batch)
        tx.info.pop(MARKED, None)
        try:
            if not _run_all(tx, raw, batch):
                raw.execute("BEGIN IMMEDIATE")
                for call in batch:
                    if not call.abandoned:
                        _run_in_savepoint(tx, raw, call)
            raw.execute("COMMIT")
        except (_TransactionDied, sqlite3.Error):
            _roll_back(raw)
            self._commit_alone(tx, raw, batch)
        for call in batch:
            call.decided = True
        if tx.info.pop(MARKED, False):
            self._notify()

    def _commit_alone(self, tx: Connection, raw: sqlite3.Connection, batch: list[Call]) -> None:
        for call in batch:
            if call.abandoned or not _begin(raw, [call]):
                continue
            try:
                call.run(tx)
                raw.execute("COMMIT")
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                call.error = translate(error)
                _roll_back(raw)
            call.decided = True

    def _post(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop closed before us: nobody waits for this any more
            return


class _TransactionDied(Exception):
    """SQLite rolled the whole transaction back under us."""


def _raw(tx: Connection) -> sqlite3.Connection:
    raw = tx.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _begin(raw: sqlite3.Connection, batch: list[Call]) -> bool:
    """Take the write lock for as long as anybody in the batch still waits for it.

    We look ourselves: SQLite's own waiting sleeps ever longer, and passes over a lock that other processes hand around.
    """
    for look in itertools.count():
        if all(call.abandoned for call in batch):
            return False
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            # BUSY_SNAPSHOT: somebody keeps an unread result; waiting does not help, opening the file anew does.
            if "locked" not in str(error) or error.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT:
                raise
            time.sleep(LOCK_LOOK_S[look >= LOCK_PATIENCE])
        else:
            return True
    return False


def _run_all(tx: Connection, raw: sqlite3.Connection, batch: list[Call]) -> bool:
    """Without savepoints, which cost SQLite a third: nearly no call raises. False: one did, and all is undone."""
    try:
        for call in batch:
            if not call.abandoned:
                call.run(tx)
                if not raw.in_transaction:
                    return False
    except BaseException:  # noqa: BLE001 - it is raised again in the run that has savepoints
        _roll_back(raw)
        return False
    return True


def _run_in_savepoint(tx: Connection, raw: sqlite3.Connection, call: Call) -> None:
    raw.execute("SAVEPOINT call")
    try:
        call.run(tx)
    except BaseException as error:
        if not raw.in_transaction:
            raise _TransactionDied from error
        raw.execute("ROLLBACK TO call")
        call.error = translate(error)
    raw.execute("RELEASE call")


def _roll_back(raw: sqlite3.Connection) -> None:
    if raw.in_transaction:
        raw.execute("ROLLBACK")


def _give_up(batch: list[Call], error: BaseException) -> None:
    """Every call that nothing became of yet."""
    for call in batch:
        if not call.decided:
            call.error = Unavailable.because(error)


def _close(tx: Connection | None) -> None:
    if tx is not None:
        with contextlib.suppress(Exception):  # what broke may refuse to be closed
            tx.close()


def marked(tx: Connection, due: Iterable[Due]) -> None:
    """Say which marks this transaction made due, and when: whoever delivers them is woken after the commit."""
    tx.info.setdefault(MARKED, []).extend(due)
