"""One connection that writes PostgreSQL: calls run on it together or alone, and again where that is safe.

When is it safe? A call has no effect outside its transaction, so it may be run again whenever that transaction
certainly did not commit: the server refused something before COMMIT or in answer to it, or the connection broke
before COMMIT was sent. A connection that breaks under COMMIT leaves the outcome unknown: no call of it is run
again, the callers are told Unavailable, as they are where COMMIT took longer than the deadline.
"""

import contextlib
import functools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from db import locks
from db.calls import Call, translate
from db.errors import Unavailable
from db.marked import MARKED, Due
from db.postgres_cursor import Cursor
from db.postgres_wire import OUTDATED
from db.statements import DRIVER, go_direct

BeforeCommit = Callable[[Connection, Sequence[Due]], None]

TRIES = 6  # of one call, at the most
# Somebody was faster, look again: how often. A unique violation that stays is the function's own fault.
RACES = {"40P01": TRIES, "40001": TRIES, "23505": 3}  # deadlock, serialization failure, unique violation
RACES |= dict.fromkeys(OUTDATED, 2)  # prepared anew
PAUSE_S = 0.01  # before a call is run again, times how often it was run, give or take
BEGIN, COMMIT = "BEGIN", "COMMIT"
# After a COMMIT that failed: certainly not committed.
DECIDED = (TransactionStatus.IDLE, TransactionStatus.INERROR, TransactionStatus.INTRANS)
# Calls that hold what another batch waits for, and wait for what it holds: found out sooner than PostgreSQL would.
SHORT_OF_PATIENCE = "SET LOCAL lock_timeout = '100ms'"


@dataclass(slots=True, eq=False)
class Seat:
    """One thread's connection, opened when it is needed and anew after it broke."""

    engine: Engine
    before_commit: Callable[[], BeforeCommit | None]
    _tx: Connection | None = None

    def serve(self, batch: list[Call]) -> bool:
        """Run the calls until something is decided about each; whether a mark was committed.

        Raises Undone if they did not commit together: then each is to be served alone.
        """
        if len(batch) == 1:
            return self._serve_alone(batch[0])
        try:
            return self._once(batch)
        except _OutcomeUnknown as error:
            return self._leave_unknown(batch, error)
        except BaseException as error:
            self._roll_back()
            raise Undone from error

    def _serve_alone(self, call: Call) -> bool:
        if call.abandoned:
            return False
        for tried in range(1, TRIES + 1):
            try:
                return self._once([call])
            except _OutcomeUnknown as error:
                return self._leave_unknown([call], error)
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                lost = self._roll_back()
                most = TRIES if lost else RACES.get(sqlstate(error) or "", 0)
                if tried >= most or call.abandoned:
                    call.error = Unavailable.because(error) if lost else _charged(error)
                    return False
            if tried > 1 or not lost:
                time.sleep(PAUSE_S * tried * random.uniform(0.5, 1.5))  # noqa: S311 - that two do not meet again
        return False

    def _leave_unknown(self, batch: list[Call], error: "_OutcomeUnknown") -> bool:
        for call in batch:
            call.error = Unavailable(f"the connection broke while committing: {error}")
        self.leave()
        return False

    def leave(self) -> None:
        if self._tx is not None:
            with contextlib.suppress(Exception):  # what broke may refuse to be closed
                self._tx.close()
        self._tx = None

    def _once(self, batch: list[Call]) -> bool:
        tx = self._tx = self._tx or self._connect()
        raw, driver = _raw(tx), _driver(tx)
        tx.info.pop(MARKED, None)
        locks.let_go(tx)
        driver.send(BEGIN)
        if len(batch) > 1:
            driver.send(SHORT_OF_PATIENCE)
        ran = [call for call in batch if not call.abandoned]
        if len(ran) > 1 and ran[0].abreast:
            with driver.abreast() as abreast:
                abreast.run(functools.partial(call.run, tx) for call in ran)
        else:
            for call in ran:
                call.run(tx)
        if (marks := tx.info.pop(MARKED, None)) and (before_commit := self.before_commit()):
            driver.flush()
            before_commit(tx, marks)
        if _is_lost(raw, driver):
            raise TransactionLost
        if all(call.abandoned for call in ran):  # not behind their callers' backs, where that is nobody else's loss
            raise Unavailable("the callers have left")
        _commit(raw, driver)
        for call in ran:
            call.decided = True
        return bool(marks)

    def _connect(self) -> Connection:
        tx = self.engine.connect()
        go_direct(tx)
        return tx

    def _roll_back(self) -> bool:
        """End the transaction; whether the connection is lost (then the transaction ended with it)."""
        try:
            if self._tx is not None and not self._tx.invalidated:
                _driver(self._tx).forget()
                raw = _raw(self._tx)
                raw.rollback()
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


class Undone(Exception):
    """Nothing of a batch was committed, and nobody knows yet whose fault that was: serve each call alone."""


class _OutcomeUnknown(Exception):
    """COMMIT was sent, its answer never came."""


def _is_lost(raw: psycopg.Connection, driver: Cursor) -> bool:
    """Whether there is no transaction, of ours and in order, that could be committed."""
    return driver.failed or (
        not driver.begins_with(BEGIN) and raw.info.transaction_status is not TransactionStatus.INTRANS
    )


def _commit(raw: psycopg.Connection, driver: Cursor) -> None:
    if driver.begins_with(BEGIN):
        driver.flush()  # a connection that died meanwhile is found before COMMIT is sent: all can be run again
    driver.send(COMMIT)
    try:
        driver.flush()
    except DBAPIError as error:
        if raw.closed or raw.info.transaction_status not in DECIDED:
            raise _OutcomeUnknown(str(error.orig).strip()) from error
        raise  # the server said no, or was never asked


def _raw(tx: Connection) -> psycopg.Connection:
    raw = tx.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def _driver(tx: Connection) -> Cursor:
    driver = tx.info[DRIVER]
    assert isinstance(driver, Cursor)
    return driver


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
