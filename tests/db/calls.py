"""Functions for the writer to run, and ways to make it wait for a test."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, text

from db import postgres_writer
from db.database import Database, database_file

ADD = text("INSERT INTO workspaces (slug, name, created_at) VALUES (:slug, :slug, 0)")
SLUGS = "SELECT slug FROM workspaces WHERE id > 1 ORDER BY slug"
PATIENCE_S = 10.0
WRITERS = postgres_writer.WRITERS


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


def break_a_deferred_key(tx: Connection) -> None:
    """Nothing is wrong with it until COMMIT."""
    if tx.dialect.name == "sqlite":
        pragma(tx, "defer_foreign_keys=ON")
    else:
        tx.exec_driver_sql(
            "ALTER TABLE workspace_members ALTER CONSTRAINT fk_workspace_members_user_id DEFERRABLE INITIALLY DEFERRED"
        )
    tx.exec_driver_sql("INSERT INTO workspace_members VALUES (1, 99, 'AM')")


def writers(database: Database) -> int:
    """How many calls it takes to hold all of the writing up."""
    return 1 if database_file(database.url) else WRITERS


@asynccontextmanager
async def busy(database: Database, holders: int | None = None) -> AsyncIterator[None]:
    """Inside, every writer is held up by a call; what is written meanwhile waits (SQLite: for one batch)."""
    leave, entered = threading.Event(), threading.Semaphore(0)
    number = writers(database) if holders is None else holders

    def wait(_tx: Connection) -> None:
        entered.release()
        assert leave.wait(PATIENCE_S)

    def all_entered() -> bool:
        return all(entered.acquire(timeout=PATIENCE_S) for _ in range(number))

    calls = [asyncio.create_task(database.write(wait)) for _ in range(number)]
    assert await asyncio.to_thread(all_entered)
    try:
        yield
    finally:
        leave.set()
        await asyncio.gather(*calls, return_exceptions=True)


async def together(database: Database, *calls: tuple[Any, ...]) -> list[Any]:
    """Run these calls `(fn, *args)` at one time (SQLite: in one batch); what each returned or raised."""
    async with busy(database):
        tasks = [asyncio.create_task(database.write(*call)) for call in calls]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def ask_and_leave(database: Database, slug: str) -> None:
    """A caller who is gone before the turn of the call comes."""
    async with busy(database):
        task = asyncio.create_task(database.write(add, slug))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
