"""Functions for the writer to run, and ways to make it wait for a test."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, text

from db.database import Database

ADD = text("INSERT INTO workspaces (slug, name, created_at) VALUES (:slug, :slug, 0)")
SLUGS = "SELECT slug FROM workspaces WHERE id > 1 ORDER BY slug"
PATIENCE_S = 10.0


def add(tx: Connection, slug: str) -> str:
    """One row, and a result."""
    tx.execute(ADD, {"slug": slug})
    return slug


def add_and_raise(tx: Connection, slug: str, error: BaseException) -> None:
    add(tx, slug)
    raise error


def driver(tx: Connection) -> sqlite3.Connection:
    raw = tx.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def pragma(tx: Connection, name: str) -> Any:
    """`foreign_keys` reads it, `max_page_count=9` sets it."""
    found = tx.exec_driver_sql(f"PRAGMA {name}")
    return found.scalar() if found.returns_rows else None


@asynccontextmanager
async def busy(database: Database) -> AsyncIterator[None]:
    """Inside, the writer is held up by a call; what is written meanwhile makes up its next batch."""
    entered, leave = threading.Event(), threading.Event()

    def wait(_tx: Connection) -> None:
        entered.set()
        assert leave.wait(PATIENCE_S)

    call = asyncio.create_task(database.write(wait))
    assert await asyncio.to_thread(entered.wait, PATIENCE_S)
    try:
        yield
    finally:
        leave.set()
        await asyncio.gather(call, return_exceptions=True)


async def together(database: Database, *calls: tuple[Any, ...]) -> list[Any]:
    """Run these calls `(fn, *args)` in one batch; what each returned or raised."""
    async with busy(database):
        tasks = [asyncio.create_task(database.write(*call)) for call in calls]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)
