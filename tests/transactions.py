"""`transaction` as in db/database.py, for what nearly every test does: begun at once, the statements compiled before.

An engine for each look at the rows costs more than the look. Here one serves them all: on PostgreSQL on a
connection that is kept, on SQLite with one that is opened as ever.
"""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from db import database
from db.database import BEGIN, database_file
from db.sqlite import SqliteFile
from tests.postgres_databases import kept

_busy: set[str] = set()


@contextmanager
def transaction(url: str) -> Iterator[Connection]:
    """As `db.database.transaction`; a second one while the first is open gets a connection of its own."""
    if file := database_file(url):
        with _opening(file).connect() as tx:
            yield from _begun(tx)
    elif url in _busy:
        with database.transaction(url) as tx:
            yield tx
    else:
        _busy.add(url)
        try:
            yield from _begun(kept(url))
        finally:
            _busy.discard(url)


def _begun(tx: Connection) -> Iterator[Connection]:
    tx.exec_driver_sql(BEGIN[tx.dialect.name])
    try:
        yield tx
    except BaseException:
        with suppress(DBAPIError):
            tx.exec_driver_sql("ROLLBACK")
        raise
    finally:
        tx.info.clear()  # whoever is next may go another way to the driver
    tx.exec_driver_sql("COMMIT")


class _Wherever(threading.local):
    """Stands for a SqliteFile: the one that this thread is about to open."""

    path: Path

    def connect(self, *, timeout_s: float) -> object:
        return SqliteFile(self.path).connect(timeout_s=timeout_s)


_wherever = _Wherever()


def _opening(file: Path) -> Engine:
    _wherever.path = file
    return _engine()


@functools.cache
def _engine() -> Engine:
    return SqliteFile.writer_engine(_wherever, timeout_s=30.0)  # type: ignore[arg-type]
