"""How Rollcall opens its SQLite file: durable, foreign keys on, transactions begun by us alone."""

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from db.errors import WRITE_POSTGRESQL, WRITE_SQLITE, WrongDatabase
from db.json import from_json, to_json

CACHED_STATEMENTS = 512
# Savepoints' page journals in memory, 64 MB of pages kept, the WAL folded into the file every 32 MB
# (the writer does it by itself).
PACE = ("temp_store=MEMORY", "cache_size=-65536", "wal_autocheckpoint=8000")
READERS = 4
READER_WAIT_S = 2.0  # for one of them to be free


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """One database file."""

    path: Path

    @classmethod
    def from_url(cls, url: str) -> "SqliteFile":
        """Accepts `sqlite:///file.db` with or without a driver suffix such as `+aiosqlite`."""
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise WrongDatabase(f"it is no database URL; {WRITE_SQLITE}, or {WRITE_POSTGRESQL}") from None
        if parsed.get_backend_name() != "sqlite":
            raise WrongDatabase(f"{parsed.get_backend_name()} is not supported; {WRITE_SQLITE}, or {WRITE_POSTGRESQL}")
        if parsed.host:
            raise WrongDatabase(f"after sqlite: come three slashes and the file; {WRITE_SQLITE}")
        if parsed.query:
            raise WrongDatabase(f"options after '?' are not supported; {WRITE_SQLITE}")
        if not parsed.database or parsed.database == ":memory:":
            raise WrongDatabase(f"it must name a file, or nothing survives a restart; {WRITE_SQLITE}")
        return cls(Path(parsed.database))

    def connect(self, *, timeout_s: float) -> sqlite3.Connection:
        """A raw connection that starts no transaction by itself."""
        with contextlib.suppress(OSError):  # it is there already; what is wrong with the path, SQLite says below
            # It holds personal data: whoever makes it, nobody else reads it. O_EXCL: a file that is there must not
            # be opened here, for its close would drop the locks this process holds on it (sqlite.org/howtocorrupt).
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o600))
        raw = sqlite3.connect(
            self.path,
            isolation_level=None,
            check_same_thread=False,
            timeout=timeout_s,
            cached_statements=CACHED_STATEMENTS,
        )
        try:
            for pragma in ("synchronous=FULL", "foreign_keys=ON", *PACE):
                raw.execute(f"PRAGMA {pragma}")
            # WAL is a property of the file: whoever first opens it unlocked and writable sets it.
            with contextlib.suppress(sqlite3.OperationalError):
                raw.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error:
            raw.close()
            raise
        return raw

    def writer_engine(self, *, timeout_s: float) -> Engine:
        """An engine whose connections leave BEGIN and COMMIT to the caller."""
        return create_engine(
            "sqlite://",
            creator=lambda: self.connect(timeout_s=timeout_s),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,  # an error's text is logged; addresses are not
            json_serializer=to_json,
            json_deserializer=from_json,
        )

    def reader_engine(self) -> AsyncEngine:
        """A small pool of connections that cannot write."""
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self.path)),
            connect_args={"isolation_level": None, "cached_statements": CACHED_STATEMENTS},
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=READER_WAIT_S,
            json_serializer=to_json,
            json_deserializer=from_json,
        )
        event.listen(engine.sync_engine, "connect", _prepare_reader)
        return engine


def _prepare_reader(raw: Any, _record: object) -> None:
    cursor = raw.cursor()
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "query_only=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
