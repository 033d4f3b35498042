"""A read sees one moment, cannot write, and waits for nobody."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text

import db.postgres
import db.sqlite
from db.database import Database, Unavailable, transaction
from tests.db.calls import add, add_and_raise, busy

WRITES = [
    "INSERT INTO workspaces (slug, name, created_at) VALUES ('a', 'a', 0)",
    "DELETE FROM workspaces",
    "CREATE TABLE extra (id INTEGER)",
]


def count(tx: Connection) -> int:
    found: int = tx.execute(text("SELECT count(*) FROM workspaces")).scalar_one()
    return found


async def test_two_selects_of_one_read_see_the_same_while_writes_go_on(database: Database, database_url: str) -> None:
    def look_twice(tx: Connection) -> tuple[int, int]:
        first = count(tx)
        with transaction(database_url) as other:
            add(other, "meanwhile")
        return first, count(tx)

    assert await database.read(look_twice) == (1, 1)
    assert await database.read(count) == 2


async def test_a_read_sees_every_write_answered_before_it(database: Database) -> None:
    for number in range(20):
        await database.write(add, str(number))
        assert await database.read(count) == number + 2


@pytest.mark.parametrize("sql", WRITES)
async def test_a_read_cannot_write(database: Database, sql: str) -> None:
    def write(tx: Connection) -> None:
        tx.exec_driver_sql(sql)

    with pytest.raises(Unavailable, match=r"readonly|read-only"):
        await database.read(write)
    assert await database.read(count) == 1


async def test_reads_beyond_the_pool_all_get_their_turn(database: Database) -> None:
    assert await asyncio.gather(*(database.read(count) for _ in range(50))) == [1] * 50


async def test_a_read_does_not_wait_for_the_writer(database: Database) -> None:
    async with busy(database):
        assert await asyncio.wait_for(database.read(count), 5) == 1


@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("mine")])
async def test_what_a_read_raises_reaches_its_caller_and_costs_no_reader(database: Database, error: Exception) -> None:
    def fail(_tx: Connection) -> None:
        raise error

    for _ in range(db.sqlite.READERS + 1):
        with pytest.raises(type(error), match="mine"):
            await database.read(fail)
    assert await database.read(count) == 1


async def test_when_every_reader_is_taken_a_read_is_unavailable(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.sqlite, "READER_WAIT_S", 0.05)
    monkeypatch.setattr(db.postgres, "READER_WAIT_S", 0.05)
    async with Database(database_url) as database:
        await taken(database, database_url)
        assert await database.read(count) == 1


async def taken(database: Database, url: str) -> None:
    """Have as many reads as there are readers wait in the middle, and try one more."""
    readers = database._readers
    assert readers is not None
    held = [await readers.connect() for _ in range(db.sqlite.READERS)]
    with pytest.raises(Unavailable, match="every reader is busy"):
        await database.read(count)
    for connection in held:
        await connection.close()


async def test_a_cancelled_read_gives_its_reader_back(database: Database) -> None:
    def slow(tx: Connection) -> None:
        tx.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 300000) SELECT max(i) FROM n"
        )

    for _ in range(db.sqlite.READERS + 1):
        task = asyncio.create_task(database.read(slow))
        await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.wait_for(database.read(count), 5) == 1


def test_a_transaction_commits_or_leaves_nothing(database_url: str, rows: Callable[..., list[object]]) -> None:
    with transaction(database_url) as tx:
        add(tx, "kept")
    with pytest.raises(ValueError, match="mine"), transaction(database_url) as tx:
        add_and_raise(tx, "dropped", ValueError("mine"))
    assert rows("SELECT slug FROM workspaces WHERE id > 1") == [{"slug": "kept"}]
