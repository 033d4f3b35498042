"""Whatever befalls the file, a write is refused within its deadline, nothing is half-written, and it heals."""

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from db.database import Database, Unavailable
from tests.db.calls import SLUGS, add, driver, pragma, together

pytestmark = pytest.mark.sqlite_only("locks, pages and files are SQLite's; test_postgres_faults.py is the other")

Rows = Callable[..., list[dict[str, Any]]]
NEVER = 3600.0  # seconds; nothing of the test's own waits for this
BIG = 100_000  # bytes


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def slugs(rows: Rows) -> list[str]:
    return [row["slug"] for row in rows(SLUGS)]


def add_big(tx: Connection, slug: str) -> None:
    add(tx, slug)
    add(tx, slug + "x" * BIG)


def appear(folder: Path, url: str) -> None:
    """The folder, and our file in it, at one moment."""
    ready = folder.with_name("ready")
    ready.mkdir()
    shutil.copy(file_of(url), ready / "rollcall.db")
    ready.rename(folder)


def other_connection(url: str) -> sqlite3.Connection:
    return sqlite3.connect(file_of(url), isolation_level=None)


# --- locked ---


async def test_a_lock_held_past_the_deadline_is_unavailable_at_the_deadline(database_url: str, rows: Rows) -> None:
    async with Database(database_url, deadline_s=0.4) as database:
        with closing(other_connection(database_url)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            found = await asyncio.gather(*(database.write(add, slug) for slug in "abc"), return_exceptions=True)
            took = time.monotonic() - began
        assert all(isinstance(one, Unavailable) for one in found)
        assert 0.4 <= took < 1.4
        assert slugs(rows) == []


async def test_after_a_lock_writing_goes_on_by_itself_and_what_was_refused_stays_undone(
    database_url: str, rows: Rows
) -> None:
    async with Database(database_url, deadline_s=0.1) as impatient:
        with closing(other_connection(database_url)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable):
                await impatient.write(add, "refused")
        for _ in range(20):  # the writer may be in its last try for the lock
            try:
                await impatient.write(add, "served")
            except Unavailable:
                continue
            break
    assert slugs(rows) == ["served"]


async def test_a_short_lock_is_waited_out(database: Database, database_url: str, rows: Rows) -> None:
    with closing(other_connection(database_url)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(database.write(add, "a"))
        await asyncio.sleep(0.4)  # longer than one try
        assert not task.done()
        other.execute("COMMIT")
        assert await task == "a"
    assert slugs(rows) == ["a"]


async def test_reading_goes_on_beside_a_lock(database: Database, database_url: str) -> None:
    with closing(other_connection(database_url)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await database.read(lambda tx: tx.exec_driver_sql("SELECT count(*) FROM workspaces").scalar()) == 1


# --- full ---


async def test_on_a_full_disk_a_write_is_unavailable_and_leaves_nothing(database: Database, rows: Rows) -> None:
    await database.write(lambda tx: pragma(tx, f"max_page_count={pragma(tx, 'page_count')}"))
    found = await together(database, (add, "a"), (add_big, "big"), (add, "b"))
    assert (found[0], found[2]) == ("a", "b")  # they fit into pages there are
    assert isinstance(found[1], Unavailable)
    assert slugs(rows) == ["a", "b"]


async def test_when_the_disk_has_room_again_the_same_write_succeeds(database: Database, rows: Rows) -> None:
    await database.write(lambda tx: pragma(tx, f"max_page_count={pragma(tx, 'page_count')}"))
    with pytest.raises(Unavailable, match="full"):
        await database.write(add_big, "big")
    await database.write(lambda tx: pragma(tx, "max_page_count=100000"))
    await database.write(add_big, "big")
    assert len(slugs(rows)) == 2


# --- not to be written, not there, not a database, broken ---


async def test_a_connection_that_must_not_write_is_unavailable(database: Database, rows: Rows) -> None:
    await database.write(lambda tx: pragma(tx, "query_only=ON"))
    with pytest.raises(Unavailable, match="readonly"):
        await database.write(add, "a")
    await database.write(lambda tx: pragma(tx, "query_only=OFF"))
    await database.write(add, "a")
    assert slugs(rows) == ["a"]


async def test_a_folder_that_appears_later_is_found(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "mounted late"
    async with Database(f"sqlite:///{folder}/rollcall.db", deadline_s=10.0) as database:
        with pytest.raises(Unavailable, match="unable to open database file"):
            await database.write(add, "a")
        appear(folder, database_url)
        assert await database.write(add, "a") == "a"


async def test_an_idle_writer_survives_a_file_it_cannot_open(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "mounted late"
    async with Database(f"sqlite:///{folder}/rollcall.db", deadline_s=10.0) as database:
        database.on_commit(lambda: None)
        await asyncio.sleep(0.15)  # it looks around, and cannot
        appear(folder, database_url)
        assert await database.write(add, "a") == "a"


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "letter.db").write_text("Dear Sir or Madam, " * 100)
    async with Database(f"sqlite:///{tmp_path}/letter.db", deadline_s=10.0) as database:
        with pytest.raises(Unavailable, match="not a database"):
            await database.write(add, "a")
        with pytest.raises(Unavailable, match="not a database"):
            await database.read(lambda tx: pragma(tx, "user_version"))


async def test_a_connection_that_broke_is_replaced(database: Database, rows: Rows) -> None:
    found = await together(database, (add, "lost"), (lambda tx: driver(tx).close(),), (add, "lost too"))
    assert all(isinstance(one, Unavailable) for one in found)
    await database.write(add, "a")
    assert slugs(rows) == ["a"]


async def test_what_goes_wrong_after_a_commit_does_not_deny_it(database: Database, rows: Rows) -> None:
    """The first call commits alone; then the connection breaks under the others."""

    def kill(tx: Connection) -> None:
        tx.exec_driver_sql("ROLLBACK")
        if len(attempts) == 2:  # after together, and with savepoints: alone
            driver(tx).close()
        attempts.append(1)

    attempts: list[int] = []
    found = await together(database, (add, "a"), (kill,), (add, "b"))
    assert found[0] == "a"
    assert isinstance(found[1], Unavailable)
    assert isinstance(found[2], Unavailable)
    assert slugs(rows) == ["a"]


async def test_an_idle_writer_survives_a_failing_look_around(database: Database, rows: Rows) -> None:
    failing, failed = threading.Event(), threading.Event()

    def fail() -> int:
        if failing.is_set():
            failed.set()
        return failing.is_set()

    database.on_commit(lambda: None)
    await database.write(lambda tx: driver(tx).set_progress_handler(fail, 1))
    failing.set()
    assert await asyncio.to_thread(failed.wait, 10)
    await database.write(add, "a")  # on a connection without that handler
    assert slugs(rows) == ["a"]
