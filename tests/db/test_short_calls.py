"""What is short runs on the event loop, beside what does not: wherever a call runs, the same becomes of it."""

import asyncio
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

import service.intake
from db import calls
from db.database import Database, Unavailable
from tests.db.calls import (
    SLUGS,
    add,
    add_and_raise,
    ask_and_leave,
    break_a_deferred_key,
    driver,
    pragma,
    together,
)

pytestmark = pytest.mark.sqlite_only("on PostgreSQL nothing runs on the event loop")

Rows = Callable[..., list[dict[str, Any]]]
Shorten = Callable[..., None]
RAISING = [SystemExit, KeyboardInterrupt, StopIteration, asyncio.CancelledError]


def roll_back(tx: Connection) -> None:
    tx.exec_driver_sql("ROLLBACK")


ALL = (add, add_and_raise, break_a_deferred_key, roll_back)
SOME_OF_THEM = [some for many in range(5) for some in itertools.combinations(ALL, many)]


@pytest.fixture
def shorten(monkeypatch: pytest.MonkeyPatch) -> Shorten:
    """Only these functions are short."""
    return lambda *functions: monkeypatch.setattr(calls, "SHORT", set(functions))


def slugs(rows: Rows) -> list[str]:
    return [row["slug"] for row in rows(SLUGS)]


def here(_tx: Connection) -> int:
    return threading.get_ident()


def there(_tx: Connection) -> int:
    return threading.get_ident()


def test_taking_a_webhook_in_is_short() -> None:
    assert service.intake.accept in calls.SHORT


async def test_short_calls_and_others_share_a_commit_which_is_off_the_event_loop(
    database: Database, shorten: Shorten
) -> None:
    shorten(here)
    said: list[tuple[str, int]] = []
    await database.write(
        lambda tx: driver(tx).set_trace_callback(lambda one: said.append((one, threading.get_ident())))
    )
    said.clear()
    found = await together(database, (there,), (here,), (there,), (here,))
    loop = threading.get_ident()
    assert [one == loop for one in found] == [False, True, False, True]
    committed_on = [thread for statement, thread in said if statement == "COMMIT"]
    assert len(committed_on) == 2  # the call that kept the writer busy, then these four
    assert loop not in committed_on


@pytest.mark.parametrize("short", SOME_OF_THEM)
@pytest.mark.parametrize("third", [add, break_a_deferred_key, roll_back])
async def test_wherever_they_run_each_fails_alone_and_is_applied_once(
    database: Database, rows: Rows, shorten: Shorten, short: tuple[Any, ...], third: Any
) -> None:
    shorten(*short)
    mine = ValueError("mine")
    found = await together(
        database, (add, "a"), (add_and_raise, "b", mine), (third, "c") if third is add else (third,), (add, "default")
    )
    assert found[:2] == ["a", mine]
    assert found[2] == "c" or (third is not add and isinstance(found[2], Exception))
    assert isinstance(found[3], IntegrityError)
    await database.write(add, "d")
    assert slugs(rows) == [*"acd"] if third is add else [*"ad"]


@pytest.mark.parametrize("error", RAISING)
async def test_what_would_end_a_program_does_not_end_the_event_loop(
    database: Database, rows: Rows, shorten: Shorten, error: type[BaseException]
) -> None:
    shorten(add, add_and_raise)
    with pytest.raises(RuntimeError) as raised:
        await database.write(add_and_raise, "a", error())
    assert isinstance(raised.value.__cause__, error)
    await database.write(add, "b")
    assert slugs(rows) == ["b"]


async def test_a_lock_that_somebody_keeps_does_not_hold_up_the_event_loop(
    database: Database, database_url: str, rows: Rows, shorten: Shorten
) -> None:
    shorten(add)
    await database.write(add, "a")
    with closing(sqlite3.connect(Path(database_url.removeprefix("sqlite:///")), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(database.write(add, "b"))
        longest, until = 0.0, time.monotonic() + 0.3
        while (began := time.monotonic()) < until:
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - began)
        assert not task.done()
        assert longest < 0.2
        other.execute("COMMIT")
    assert await task == "b"
    assert slugs(rows) == ["a", "b"]


async def test_on_a_full_disk_a_short_call_is_unavailable_and_the_next_is_not(
    database: Database, rows: Rows, shorten: Shorten
) -> None:
    def add_big(tx: Connection, slug: str) -> None:
        add(tx, slug)
        add(tx, slug + "x" * 100_000)

    shorten(add, add_big)
    await database.write(lambda tx: pragma(tx, f"max_page_count={pragma(tx, 'page_count')}"))
    found = await together(database, (add, "a"), (add_big, "big"), (add, "b"))
    assert (found[0], found[2]) == ("a", "b")
    assert isinstance(found[1], Unavailable)
    await database.write(add, "c")
    assert slugs(rows) == ["a", "b", "c"]


async def test_a_connection_that_a_short_call_broke_is_replaced(
    database: Database, rows: Rows, shorten: Shorten
) -> None:
    def break_it(tx: Connection) -> None:
        driver(tx).close()

    shorten(add, break_it)
    found = await together(database, (add, "lost"), (break_it,), (add, "lost too"))
    assert all(isinstance(one, Unavailable) for one in found)
    await database.write(add, "a")
    assert slugs(rows) == ["a"]


async def test_a_short_call_whose_caller_left_is_never_run(database: Database, rows: Rows, shorten: Shorten) -> None:
    shorten(add)
    await ask_and_leave(database, "left")
    await database.write(add, "next")
    assert slugs(rows) == ["next"]
