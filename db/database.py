"""The only door to the database: two verbs, and nobody else begins, commits or rolls back.

`write` runs a function on the one writer thread, many callers to a commit; `read` runs it on a snapshot
that cannot write. Such a function is ordinary (`def`), takes `tx: sqlalchemy.Connection` first, has no
effect outside it, and so may be run again.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoReaderFree
from sqlalchemy.ext.asyncio import AsyncEngine

from db.errors import Unavailable, WrongDatabase
from db.sqlite import SqliteFile
from db.writer import Writer

__all__ = [
    "Database",
    "TxFunction",
    "Unavailable",
    "WrongDatabase",
    "database_file",
    "savepoint",
    "transaction",
]

P = ParamSpec("P")
T = TypeVar("T")
TxFunction = Callable[Concatenate[Connection, P], T]

DEADLINE_S = 2.0  # under Slack's 3 s to acknowledge


def database_file(url: str) -> SqliteFile:
    """The database a DATABASE_URL names. WrongDatabase says what the URL must look like."""
    return SqliteFile.from_url(url)


class Database:
    """An open database. `deadline_s` bounds how long one write may wait; past it the caller gets Unavailable."""

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._file = database_file(url)
        self._writer = Writer(self._file, deadline_s=deadline_s)
        self._readers: AsyncEngine | None = None

    async def __aenter__(self) -> Self:
        self._writer.start(asyncio.get_running_loop())
        self._readers = self._file.reader_engine()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self._writer.stop)
        assert self._readers is not None
        await self._readers.dispose()

    async def write(self, fn: TxFunction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a transaction; return once it is durable. Raises Unavailable when the database cannot take it."""
        return await self._writer.submit(fn, args, kwargs)  # type: ignore[no-any-return]

    async def read(self, fn: TxFunction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` on one consistent snapshot in which nothing can be written."""
        assert self._readers is not None
        try:
            async with self._readers.connect() as connection:
                return await connection.run_sync(_snapshot, fn, args, kwargs)
        except DBAPIError as error:
            raise Unavailable.because(error) from error
        except NoReaderFree as error:
            raise Unavailable("every reader is busy") from error

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the event loop whenever marks may have appeared: after our own commit that
        raised one, and after any commit of another process.
        """
        self._writer.listeners.append(listener)

    @property
    def stuck_for_s(self) -> float:
        """How long the writer has been at its present batch, seconds; 0.0 when it is idle."""
        return self._writer.busy_for_s()


def _snapshot(tx: Connection, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    tx.exec_driver_sql("BEGIN")
    try:
        return fn(tx, *args, **kwargs)
    finally:
        with suppress(DBAPIError):  # a broken connection has its own error to tell, the first one
            tx.exec_driver_sql("ROLLBACK")


@contextmanager
def transaction(url: str, *, foreign_keys: bool = True) -> Iterator[Connection]:
    """One transaction outside any event loop: for migrations and for tests that look at the rows."""
    engine = database_file(url).writer_engine(timeout_s=30.0)
    try:
        with engine.connect() as tx:
            if not foreign_keys:
                tx.exec_driver_sql("PRAGMA foreign_keys=OFF")
            tx.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield tx
            except BaseException:
                tx.exec_driver_sql("ROLLBACK")
                raise
            tx.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


@contextmanager
def savepoint(tx: Connection) -> Iterator[None]:
    """Undo what the block did if it raises, and nothing else. Not to be nested under the same transaction."""
    tx.exec_driver_sql("SAVEPOINT inner_work")
    try:
        yield
    except BaseException:
        tx.exec_driver_sql("ROLLBACK TO inner_work")
        tx.exec_driver_sql("RELEASE inner_work")
        raise
    tx.exec_driver_sql("RELEASE inner_work")
