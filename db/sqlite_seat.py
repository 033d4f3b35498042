"""The connection that writes SQLite, and what becomes of a batch on it.

A batch in which a call raises is undone and run again with a savepoint a call, so that it rolls back alone.
If the transaction itself dies (a failed COMMIT, a full disk), each call is run in a transaction of its own.
"""

import contextlib
import itertools
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from db.calls import Call, translate
from db.marked import MARKED
from db.sqlite import SqliteFile
from db.statements import go_direct

LOCK_LOOK_S = (0.001, 0.01)  # how often to ask for the file's write lock: at first, and when somebody keeps it
LOCK_PATIENCE = 100  # looks, until somebody keeps it
OPENING_S = 0.25  # to wait while another process opens or closes the file
LONGEST_WAL = 16_000  # pages, where few calls write much


def looks_for_the_lock() -> Iterable[float]:
    """How long to wait after each look for the lock, seconds.

    We look ourselves: SQLite's own waiting sleeps ever longer, and passes over a lock that processes hand around.
    """
    return itertools.chain(itertools.repeat(LOCK_LOOK_S[0], LOCK_PATIENCE), itertools.repeat(LOCK_LOOK_S[1]))


class TransactionDied(Exception):
    """SQLite rolled the whole transaction back under us."""


@dataclass(slots=True, eq=False)
class Seat:
    """Any thread may use it, one at a time."""

    file: SqliteFile
    _engine: Engine | None = None
    _tx: Connection | None = None
    _seen_version: int = -1

    @property
    def is_open(self) -> bool:
        return self._tx is not None

    def open(self) -> None:
        self._engine = self._engine or self.file.writer_engine(timeout_s=OPENING_S)
        tx = self._engine.connect()
        raw = _raw(tx)
        raw.execute("PRAGMA busy_timeout=0")  # from here on we look for the lock ourselves
        raw.execute(f"PRAGMA wal_autocheckpoint={LONGEST_WAL}")  # we fold it ourselves, and earlier
        go_direct(tx)
        self._seen_version = -1  # versions of two connections cannot be compared
        self._tx = tx

    def close(self) -> None:
        """Whatever broke: what follows has a new connection."""
        tx, self._tx = self._tx, None
        if tx is not None:
            with contextlib.suppress(Exception):  # what broke may refuse to be closed
                tx.close()

    @property
    def tx(self) -> Connection:
        assert self._tx is not None
        return self._tx

    def begin(self) -> bool:
        """Take the file's write lock; False while somebody else has it. Raises sqlite3.Error."""
        try:
            _raw(self.tx).execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            # BUSY_SNAPSHOT: somebody keeps an unread result; waiting does not help, opening the file anew does.
            if "locked" not in str(error) or error.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT:
                raise
            return False
        return True

    def run(self, calls: Iterable[Call]) -> bool:
        """Run them in the transaction that was begun; False: one raised, and all is undone.

        Without savepoints, which cost SQLite a third: nearly no call raises.
        """
        raw = _raw(self.tx)
        try:
            for call in calls:
                if not call.abandoned:
                    call.run(self.tx)
                    if not raw.in_transaction:
                        return False
        except BaseException:  # noqa: BLE001 - it is raised again in the run that has savepoints
            self._roll_back()
            return False
        return True

    def commit(self, batch: list[Call], undone: bool) -> bool:
        """Run what is not short of a batch, and COMMIT; all of it once more where it is `undone`.

        Whether it made marks due.
        """
        raw = _raw(self.tx)
        try:
            if undone or not self.run(call for call in batch if not call.short):
                self._run_again(batch)
            raw.execute("COMMIT")
        except (TransactionDied, sqlite3.Error):
            self._roll_back()
            self._commit_alone(batch)
        for call in batch:
            call.decided = True
        return bool(self.tx.info.pop(MARKED, False))

    def _run_again(self, batch: list[Call]) -> None:
        raw = _raw(self.tx)
        raw.execute("BEGIN IMMEDIATE")
        for call in batch:
            if not call.abandoned:
                _run_in_savepoint(self.tx, raw, call)

    def _commit_alone(self, batch: list[Call]) -> None:
        raw = _raw(self.tx)
        for call in batch:
            if not self._begin_for(call):
                continue
            try:
                call.run(self.tx)
                raw.execute("COMMIT")
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                call.error = translate(error)
                self._roll_back()
            call.decided = True

    def _begin_for(self, call: Call) -> bool:
        for pause_s in looks_for_the_lock():
            if call.abandoned:
                return False
            if self.begin():
                return True
            time.sleep(pause_s)
        return False

    def _roll_back(self) -> None:
        raw = _raw(self.tx)
        if raw.in_transaction:
            raw.execute("ROLLBACK")

    def others_committed(self) -> bool:
        """Whether another process has, since we asked last; SQLite knows in 2 µs."""
        version: int = _raw(self.tx).execute("PRAGMA data_version").fetchone()[0]
        seen, self._seen_version = self._seen_version, version
        return version != seen

    def fold(self) -> bool:
        """Fold the WAL into the file; False where some of it stays (a full disk, a reader in the way)."""
        try:
            busy, pages, folded = _raw(self.tx).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except Exception:  # noqa: BLE001 - the writer must outlive it, and finds out by itself what is broken
            return False
        return not busy and pages == folded


def _raw(tx: Connection) -> sqlite3.Connection:
    raw = tx.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _run_in_savepoint(tx: Connection, raw: sqlite3.Connection, call: Call) -> None:
    raw.execute("SAVEPOINT call")
    try:
        call.run(tx)
    except BaseException as error:
        if not raw.in_transaction:
            raise TransactionDied from error
        raw.execute("ROLLBACK TO call")
        call.error = translate(error)
    raw.execute("RELEASE call")
