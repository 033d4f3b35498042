"""The only door to the database: two verbs, and nobody else begins, commits or rolls back.

`write` runs a function in a transaction (SQLite: one at a time, many callers to a commit; PostgreSQL: on one of
a few threads, some callers to a commit when there is a crowd); `read` runs it on a snapshot that cannot write. Such a
function is ordinary (`def`), takes `tx: sqlalchemy.Connection` first, has no effect outside it, and so may be
run again.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoReaderFree
from sqlalchemy.ext.asyncio import AsyncEngine

from db import statements
from db.errors import Unavailable, WrongDatabase
from db.marked import Due
from db.sqlite import SqliteFile
from db.writer import Writer

if TYPE_CHECKING:
    from db.postgres import PostgresServer
    from db.postgres_writer import PostgresWriter

__all__ = [
    "Database",
    "TxFunction",
    "Unavailable",
    "WrongDatabase",
    "database_file",
    "place",
    "savepoint",
    "transaction",
]

P = ParamSpec("P")
T = TypeVar("T")
TxFunction = Callable[Concatenate[Connection, P], T]

DEADLINE_S = 2.0  # under Slack's 3 s to acknowledge


def place(url: str) -> "SqliteFile | PostgresServer":
    """The database a DATABASE_URL names. WrongDatabase says what the URL must look like."""
    if not url.startswith("postgres"):
        return SqliteFile.from_url(url)
    from db.postgres import PostgresServer  # noqa: PLC0415 - psycopg takes 70 ms that SQLite need not wait for

    return PostgresServer.from_url(url)


def database_file(url: str) -> Path | None:
    """The file a DATABASE_URL names; None where it names a database of a server. WrongDatabase as `place`."""
    found = place(url)
    return found.path if isinstance(found, SqliteFile) else None


def _writer(where: "SqliteFile | PostgresServer", deadline_s: float) -> "Writer | PostgresWriter":
    if isinstance(where, SqliteFile):
        return Writer(where, deadline_s=deadline_s)
    from db.postgres_writer import PostgresWriter  # noqa: PLC0415 - as above

    return PostgresWriter(where, deadline_s=deadline_s)


class Database:
    """An open database. `deadline_s` bounds how long one write may wait; past it the caller gets Unavailable."""

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self.url = url
        self._place = place(url)
        self._writer = _writer(self._place, deadline_s)
        self._readers: AsyncEngine | None = None

    async def __aenter__(self) -> Self:
        self._writer.start(asyncio.get_running_loop())
        self._readers = self._place.reader_engine()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._writer.stop()
        assert self._readers is not None
        await self._readers.dispose()

    async def write(self, fn: TxFunction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a transaction; return once it is durable. Raises Unavailable when the database cannot take it."""
        return await self._writer.submit(fn, args, kwargs)

    async def read(self, fn: TxFunction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` on one consistent snapshot in which nothing can be written."""
        try:
            return await self._read(fn, args, kwargs)
        except DBAPIError as error:
            if error.connection_invalidated:  # the server was restarted: all other connections are gone with it
                return await self._read_again(fn, args, kwargs)
            raise Unavailable.because(error) from error
        except NoReaderFree as error:
            raise Unavailable("every reader is busy") from error

    async def _read(self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        assert self._readers is not None
        async with self._readers.connect() as connection:
            return await connection.run_sync(_snapshot, fn, args, kwargs)

    async def _read_again(self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        try:
            return await self._read(fn, args, kwargs)
        except DBAPIError as error:
            raise Unavailable.because(error) from error

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the event loop whenever marks may have appeared: after our own commit that raised
        one, and after any commit of another process (PostgreSQL: any such commit that raised one).
        """
        self._writer.listeners.append(listener)

    def before_commit(self, fn: Callable[[Connection, Sequence[Due]], None]) -> None:
        """Call `fn` with the marks a transaction made due, in that transaction and last of all. PostgreSQL only:
        the job queue that needs it is there.
        """
        from db.postgres_writer import PostgresWriter  # noqa: PLC0415 - as above

        assert isinstance(self._writer, PostgresWriter)
        self._writer.before_commit = fn

    @property
    def stuck_for_s(self) -> float:
        """How long the writer has been at its present batch, seconds; 0.0 when it is idle. (PostgreSQL: how long
        not one of the writers has been free.)
        """
        return self._writer.busy_for_s()


SNAPSHOT = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"}
BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN"}


def _snapshot(tx: Connection, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    tx.exec_driver_sql(SNAPSHOT[tx.dialect.name])
    try:
        return fn(tx, *args, **kwargs)
    finally:
        with suppress(DBAPIError):  # a broken connection has its own error to tell, the first one
            tx.exec_driver_sql("ROLLBACK")


@contextmanager
def transaction(url: str, *, foreign_keys: bool = True) -> Iterator[Connection]:
    """One transaction outside any event loop: for migrations and for tests that look at the rows.

    `foreign_keys`: False has SQLite look the other way for a while (see migrations).
    """
    engine = place(url).writer_engine(timeout_s=30.0)
    try:
        with engine.connect() as tx:
            if not foreign_keys and tx.dialect.name == "sqlite":
                tx.exec_driver_sql("PRAGMA foreign_keys=OFF")
            tx.exec_driver_sql(BEGIN[tx.dialect.name])
            try:
                yield tx
            except BaseException:
                statements.forget(tx)
                with suppress(DBAPIError):
                    tx.exec_driver_sql("ROLLBACK")
                raise
            tx.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


@contextmanager
def savepoint(tx: Connection) -> Iterator[None]:
    """Undo what the block did if it raises, and nothing else. Not to be nested under the same transaction.

    What was only sent before is run first: an error of that is raised as the block is entered.
    """
    if here := statements.company(tx):
        with here.undone_together():
            yield
        return
    tx.exec_driver_sql("SAVEPOINT inner_work")
    try:
        yield
        statements.flush(tx)
    except BaseException:
        statements.forget(tx)
        tx.exec_driver_sql("ROLLBACK TO inner_work")
        tx.exec_driver_sql("RELEASE inner_work")
        raise
    tx.exec_driver_sql("RELEASE inner_work")
