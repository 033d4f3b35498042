"""Calls that are written: who fails alone, who is let go; on SQLite, who shares a commit."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

import db.writer
from db.database import Database, Unavailable, savepoint, transaction
from tests.db.calls import (
    SLUGS,
    add,
    add_and_raise,
    ask_and_leave,
    break_a_deferred_key,
    busy,
    driver,
    together,
    writers,
)

Rows = Callable[..., list[dict[str, Any]]]

TRIGGER = (
    "CREATE TRIGGER deadly BEFORE INSERT ON workspaces WHEN NEW.slug = 'deadly'"
    " BEGIN SELECT RAISE(ROLLBACK, 'deadly'); END"
)
ONE_THREAD = pytest.mark.sqlite_only("one thread commits what waits together")
BASE_EXCEPTIONS = [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError]


def slugs(rows: Rows) -> list[str]:
    return [row["slug"] for row in rows(SLUGS)]


def roll_back(tx: Connection) -> None:
    tx.exec_driver_sql("ROLLBACK")


def roll_back_and_raise(tx: Connection) -> None:
    roll_back(tx)
    raise ValueError("gone")


def break_a_trigger(tx: Connection) -> None:
    add(tx, "deadly")


# --- folding the WAL ---


@ONE_THREAD
async def test_the_wal_is_folded_into_the_file_every_so_many_calls(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.writer, "FOLD_AFTER", 3)
    said: list[str] = []
    await database.write(lambda tx: driver(tx).set_trace_callback(said.append))
    for number in range(6):
        await database.write(add, f"{number}")
    await database.write(lambda _tx: None)  # what comes after an answer is over by the next
    assert said.count("PRAGMA wal_checkpoint(PASSIVE)") == 2


@ONE_THREAD
async def test_a_wal_that_cannot_be_folded_now_holds_nobody_up(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.writer, "FOLD_AFTER", 1)
    refused: list[str | None] = []

    def refuse(action: int, one: str | None, *_: object) -> int:
        if (action, one) == (sqlite3.SQLITE_PRAGMA, "wal_checkpoint"):
            refused.append(one)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    await database.write(lambda tx: driver(tx).set_authorizer(refuse))
    await database.write(add, "a")
    await database.write(add, "b")
    assert refused
    assert slugs(rows) == ["a", "b"]


# --- sharing a commit ---


@ONE_THREAD
@pytest.mark.parametrize(("calls", "commits"), [(1, 1), (64, 1), (65, 2)])
async def test_writes_that_wait_together_share_a_commit(
    database: Database, rows: Rows, calls: int, commits: int
) -> None:
    statements: list[str] = []
    await database.write(lambda tx: driver(tx).set_trace_callback(statements.append))
    async with busy(database):
        tasks = [asyncio.create_task(database.write(add, f"{number:02}")) for number in range(calls)]
        await asyncio.sleep(0)
        statements.clear()
    await asyncio.gather(*tasks)
    assert statements.count("COMMIT") == 1 + commits  # the one that held the writer up, then these
    assert len(slugs(rows)) == calls


async def test_a_write_returns_what_its_function_returned(database: Database) -> None:
    assert await together(database, (add, "a"), (add, "b")) == ["a", "b"]


async def test_an_answered_write_is_seen_by_other_connections(database: Database, rows: Rows) -> None:
    for number in range(20):
        slug = await database.write(add, f"{number:02}")
        assert slugs(rows)[-1] == slug


@ONE_THREAD
async def test_no_write_is_answered_before_the_commit_of_its_batch(database: Database, rows: Rows) -> None:
    async with busy(database):
        first = asyncio.create_task(database.write(add, "a"))
        await asyncio.sleep(0)
        blocker = busy(database)
        entering = asyncio.create_task(blocker.__aenter__())
        await asyncio.sleep(0.05)
    await entering  # the writer is in the second call of the batch, the first has run
    await asyncio.sleep(0.05)
    assert not first.done()
    await blocker.__aexit__(None, None, None)
    assert await first == "a"
    assert slugs(rows) == ["a"]


# --- failing alone ---


async def test_a_call_that_raises_rolls_back_alone(database: Database, rows: Rows) -> None:
    error = ValueError("mine")
    found = await together(database, (add, "a"), (add_and_raise, "b", error), (add, "c"))
    assert found == ["a", error, "c"]
    assert slugs(rows) == ["a", "c"]


async def test_a_broken_constraint_is_its_callers_and_not_the_databases_fault(database: Database, rows: Rows) -> None:
    found = await together(database, (add, "a"), (add, "default"), (add, "c"))
    assert isinstance(found[1], IntegrityError)
    assert slugs(rows) == ["a", "c"]


@ONE_THREAD
@pytest.mark.parametrize("deadly", [roll_back, roll_back_and_raise, break_a_trigger])
async def test_when_the_transaction_dies_its_other_calls_are_applied_exactly_once(
    database: Database, database_url: str, rows: Rows, deadly: Callable[[Connection], None]
) -> None:
    with transaction(database_url) as tx:
        tx.exec_driver_sql(TRIGGER)
    found = await together(database, (add, "a"), (deadly,), (add, "b"))
    assert (found[0], found[2]) == ("a", "b")
    assert isinstance(found[1], Exception)
    assert slugs(rows) == ["a", "b"]


async def test_a_commit_that_fails_is_charged_to_the_call_that_made_it_fail(database: Database, rows: Rows) -> None:
    found = await together(database, (add, "a"), (break_a_deferred_key,), (add, "b"))
    assert (found[0], found[2]) == ("a", "b")
    assert isinstance(found[1], sqlite3.IntegrityError | IntegrityError)
    assert slugs(rows) == ["a", "b"]
    assert rows("SELECT * FROM workspace_members") == []


async def test_a_call_run_again_alone_keeps_its_own_error(database: Database, rows: Rows) -> None:
    found = await together(database, (break_a_deferred_key,), (add, "default"), (add, "a"))
    assert isinstance(found[1], IntegrityError)
    assert slugs(rows) == ["a"]


@pytest.mark.parametrize("error", BASE_EXCEPTIONS)
async def test_what_would_end_a_program_ends_neither_the_writer_nor_its_neighbours(
    database: Database, rows: Rows, error: type[BaseException]
) -> None:
    found = await together(database, (add, "a"), (add_and_raise, "b", error()), (add, "c"))
    assert (found[0], found[2]) == ("a", "c")
    assert isinstance(found[1], RuntimeError)
    assert isinstance(found[1].__cause__, error)
    await database.write(add, "d")
    assert slugs(rows) == ["a", "c", "d"]


@pytest.mark.parametrize("error", BASE_EXCEPTIONS)
async def test_nor_does_it_when_each_call_runs_alone(
    database: Database, rows: Rows, error: type[BaseException]
) -> None:
    found = await together(database, (add, "a"), (break_a_deferred_key,), (add_and_raise, "b", error()), (add, "c"))
    assert (found[0], found[3]) == ("a", "c")
    assert isinstance(found[2], RuntimeError)
    assert slugs(rows) == ["a", "c"]


@ONE_THREAD
async def test_an_unread_result_that_somebody_keeps_costs_one_batch_at_most(
    database: Database, database_url: str, rows: Rows
) -> None:
    kept = await database.write(lambda tx: driver(tx).execute("SELECT value FROM json_each('[1, 2]'), workspaces"))
    with transaction(database_url) as tx:
        add(tx, "other")  # now the unread result is of a past snapshot, in which nobody can write
    with pytest.raises(Unavailable):
        await database.write(add, "a")
    await database.write(add, "b")
    assert slugs(rows) == ["b", "other"]
    del kept


# --- being let go ---


async def test_a_call_whose_deadline_passed_in_the_queue_is_never_run(database_url: str, rows: Rows) -> None:
    async with Database(database_url, deadline_s=0.1) as database:
        async with busy(database):
            with pytest.raises(Unavailable, match=r"no commit within 0\.1 s"):
                await database.write(add, "late")
        await database.write(add, "next")
    assert slugs(rows) == ["next"]


async def test_a_call_whose_caller_left_is_never_run(database: Database, rows: Rows) -> None:
    await ask_and_leave(database, "left")
    await database.write(add, "next")
    assert slugs(rows) == ["next"]


async def test_past_the_queue_limit_a_caller_is_refused_at_once(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with busy(database):
        monkeypatch.setattr(db.writer, "QUEUE_LIMIT", writers(database) + 2)
        tasks = [asyncio.create_task(database.write(add, f"{number}")) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=r"\d+ writes are waiting already"):
            await database.write(add, "refused")
    await asyncio.gather(*tasks)
    await database.write(add, "2")
    assert slugs(rows) == ["0", "1", "2"]


async def test_closing_finishes_what_is_queued(database_url: str, rows: Rows) -> None:
    database = await Database(database_url, deadline_s=10.0).__aenter__()
    async with busy(database):
        tasks = [asyncio.create_task(database.write(add, f"{number:03}")) for number in range(100)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.__aexit__(None, None, None))
        await asyncio.sleep(0.02)
        assert not closing.done()
    await closing
    assert Counter(await asyncio.gather(*tasks)) == Counter(slugs(rows))
    assert len(slugs(rows)) == 100


async def test_a_write_after_closing_is_refused_at_once(database_url: str) -> None:
    async with Database(database_url) as database:
        await database.write(add, "a")
    with pytest.raises(Unavailable, match="stopped"):
        await database.write(add, "b")


# --- savepoints, idleness ---


async def test_a_savepoint_undoes_its_block_and_nothing_else(database: Database, rows: Rows) -> None:
    def work(tx: Connection) -> None:
        add(tx, "before")
        with pytest.raises(ValueError, match="inner"), savepoint(tx):
            add_and_raise(tx, "inner", ValueError("inner"))
        with savepoint(tx):
            add(tx, "after")

    await database.write(work)
    assert slugs(rows) == ["after", "before"]


async def test_stuck_for_s_tells_how_long_the_present_batch_takes(database: Database) -> None:
    await database.write(add, "a")
    async with busy(database):
        await asyncio.sleep(0.05)
        assert 0.05 <= database.stuck_for_s < 5
    await database.write(add, "b")
    await asyncio.sleep(0.05)
    assert database.stuck_for_s == 0.0


async def test_an_idle_writer_leaves_the_processor_alone(database: Database) -> None:
    database.on_commit(lambda: None)
    await database.write(add, "a")
    began = time.process_time()
    await asyncio.sleep(1)
    assert time.process_time() - began < 0.05
