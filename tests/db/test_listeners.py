"""Whoever delivers marks is woken when there may be some, and left alone otherwise."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection

from db import outbox
from db.database import Database, transaction
from db.marked import marked as say_marked
from tests.db.calls import add, add_and_raise, break_a_deferred_key, together

SOON_S = 4.0  # it takes 0.05 s, 1 s after a lost connection; the rest is for a loaded machine
LONG_ENOUGH_S = 0.2  # for a wake-up that must not come
Tx = Callable[[Connection], object]
CUT_BELLS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN rollcall_marks'"


@dataclass
class Wakes:
    """Counts wake-ups and waits for the next."""

    count: int = 0
    one: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> None:
        self.count += 1
        self.one.set()

    async def next(self) -> None:
        await asyncio.wait_for(self.one.wait(), SOON_S)
        self.one.clear()


@pytest.fixture
async def wakes(database: Database) -> Wakes:
    """Past the wake-up that comes with opening the file, when nobody knows what happened before."""
    wakes = Wakes()
    database.on_commit(wakes)
    await wakes.next()
    wakes.count = 0
    return wakes


def marked(tx: Connection) -> None:
    say_marked(tx, [(1, "notion", "person:1", 0)])


def mark(tx: Connection) -> None:
    outbox.mark(tx, 1, ("notion",), "person:1", 0)


def mark_many(tx: Connection) -> None:
    outbox.mark_many(tx, 1, "notion", ["person:1"], 0)


def post(tx: Connection) -> None:
    outbox.post(tx, 1, "slack", "alert:1", {}, 0)


def retry(tx: Connection) -> None:
    with_a_mark = tx.exec_driver_sql("SELECT id FROM sync_actions").scalars().all()
    assert outbox.retry(tx, with_a_mark, 0) == 1


@pytest.mark.parametrize("fn", [marked, mark, mark_many, post])
async def test_a_commit_that_raised_a_mark_wakes(database: Database, wakes: Wakes, fn: Tx) -> None:
    await database.write(fn)
    await wakes.next()


async def test_a_mark_made_due_again_wakes(database: Database, wakes: Wakes) -> None:
    await database.write(mark)
    await wakes.next()
    await database.write(retry)
    await wakes.next()


@pytest.mark.sqlite_only("PostgreSQL wakes once a call")
async def test_a_batch_wakes_once(database: Database, wakes: Wakes) -> None:
    await together(database, *[(mark,)] * 10)
    await asyncio.sleep(LONG_ENOUGH_S)
    assert wakes.count == 1


@pytest.mark.parametrize("place", range(3))
async def test_a_mark_wakes_when_its_batch_had_to_run_call_by_call(
    database: Database, wakes: Wakes, place: int
) -> None:
    calls: list[tuple[Any, ...]] = [(break_a_deferred_key,), (add, "a")]
    calls.insert(place, (mark,))
    await together(database, *calls)
    await wakes.next()


async def test_a_commit_without_marks_does_not_wake(database: Database, wakes: Wakes) -> None:
    await together(database, (add, "a"), (add_and_raise, "b", ValueError()), (add, "c"))
    await asyncio.sleep(LONG_ENOUGH_S)
    assert wakes.count == 0


@pytest.mark.sqlite_only("any commit is noticed; PostgreSQL's processes tell each other of marks, see below")
async def test_another_process_commit_wakes(database_url: str, wakes: Wakes) -> None:
    with transaction(database_url) as tx:
        add(tx, "other")
    await wakes.next()


async def test_a_mark_of_another_process_wakes(database_url: str, wakes: Wakes) -> None:
    async with Database(database_url, deadline_s=10.0) as other:
        await other.write(mark)
        await wakes.next()


async def test_a_process_that_ends_at_once_has_told_of_its_marks(database_url: str, wakes: Wakes) -> None:
    async with Database(database_url, deadline_s=10.0) as other:
        await other.write(mark)
    await wakes.next()


@pytest.mark.postgresql_only("SQLite has no connection to lose")
async def test_a_bell_that_was_cut_off_hears_again(database_url: str, wakes: Wakes) -> None:
    with transaction(database_url) as tx:
        tx.exec_driver_sql(CUT_BELLS)
    await wakes.next()  # connected anew, for nobody knows what was missed
    async with Database(database_url, deadline_s=10.0) as other:
        await other.write(mark)
    await wakes.next()


@pytest.mark.sqlite_only("as above")
async def test_another_process_commit_wakes_beside_steady_writing(
    database: Database, database_url: str, wakes: Wakes
) -> None:
    async def keep_writing() -> None:
        number = 0
        while True:
            await database.write(add, f"ours {number}")
            await asyncio.sleep(0.01)
            number += 1

    writing = asyncio.create_task(keep_writing())
    await asyncio.sleep(0.1)
    assert wakes.count == 0
    await asyncio.to_thread(commit, database_url)
    await wakes.next()
    writing.cancel()


def commit(url: str) -> None:
    with transaction(url) as tx:
        add(tx, "other")
