"""PostgreSQL: calls that wait share a transaction, and statements nobody asks anything of share a round trip."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, bindparam, insert, select, text
from sqlalchemy.exc import IntegrityError

from db import postgres_seat, statements
from db.database import Database, Unavailable, savepoint
from db.postgres_cursor import Cursor
from db.postgres_writer import BATCH_LIMIT
from db.statements import Statement
from db.tables import workspaces as t
from tests.db.calls import SLUGS, add, busy

pytestmark = pytest.mark.postgresql_only("threads of a server, and its round trips")

Rows = Callable[..., list[dict[str, Any]]]
ADD = Statement(insert(t), columns=["slug", "name", "created_at"])
COUNT = Statement(select(t.c.slug).where(t.c.slug == bindparam("slug")))
TRANSACTION = text("SELECT pg_current_xact_id()::text")
WAITING = 40


def slugs(rows: Rows) -> list[str]:
    return [row["slug"] for row in rows(SLUGS)]


def send(tx: Connection, slug: str) -> None:
    ADD.send(tx, {"slug": slug, "name": slug, "created_at": 0})


def transaction_of(tx: Connection, slug: str) -> str:
    add(tx, slug)
    return str(tx.execute(TRANSACTION).scalar_one())


def picky(tx: Connection, slug: str) -> str:
    add(tx, slug)
    if slug == "7":
        raise ValueError(slug)
    return str(tx.execute(TRANSACTION).scalar_one())


async def crowd(database: Database, fn: Callable[..., Any]) -> list[Any]:
    async with busy(database):
        calls = [asyncio.create_task(database.write(fn, str(number))) for number in range(WAITING)]
        await asyncio.sleep(0)
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_calls_that_wait_are_committed_together(database: Database, rows: Rows) -> None:
    transactions = await crowd(database, transaction_of)
    assert len(set(transactions)) < WAITING / 2
    assert max(transactions.count(one) for one in transactions) <= BATCH_LIMIT
    assert len(slugs(rows)) == WAITING


async def test_while_threads_are_idle_each_call_has_a_transaction_of_its_own(database: Database) -> None:
    found = [await database.write(transaction_of, str(number)) for number in range(5)]
    assert len(set(found)) == 5


async def test_who_raises_in_company_is_rolled_back_alone(database: Database, rows: Rows) -> None:
    found = await crowd(database, picky)
    assert [str(one) for one in found if isinstance(one, Exception)] == ["7"]
    assert len(slugs(rows)) == WAITING - 1


async def test_in_company_nobody_waits_long_for_a_lock(database: Database) -> None:
    """Two batches may wait for each other crosswise: they are run again alone, long before PostgreSQL looks."""

    def patience(tx: Connection, _slug: str) -> str:
        return str(tx.exec_driver_sql("SHOW lock_timeout").scalar_one())

    assert set(await crowd(database, patience)) == {"100ms"}
    assert await database.write(patience, "alone") == "10s"  # the deadline


async def test_a_batch_whose_commit_got_no_answer_is_not_run_again(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    commit = postgres_seat._commit

    def answerless(raw: psycopg.Connection[Any], driver: Cursor) -> None:
        commit(raw, driver)
        if runs:
            raw.close()
            commit(raw, driver)

    def count(tx: Connection, slug: str) -> None:
        runs.append(slug)
        add(tx, slug)

    monkeypatch.setattr(postgres_seat, "_commit", answerless)
    found = await crowd(database, count)
    monkeypatch.undo()
    assert all(isinstance(one, Unavailable) for one in found)
    assert len(runs) == len(set(runs)) == WAITING
    assert len(slugs(rows)) == WAITING


async def test_what_was_sent_is_seen_by_whatever_comes_after_it(database: Database) -> None:
    def look(tx: Connection) -> list[Any]:
        send(tx, "a")
        direct = COUNT.rows(tx, {"slug": "a"})
        send(tx, "b")
        return [direct, tx.exec_driver_sql("SELECT slug FROM workspaces WHERE slug = 'b'").all()]

    assert await database.write(look) == [[("a",)], [("b",)]]


async def test_what_was_sent_last_is_committed(database: Database, rows: Rows) -> None:
    await database.write(send, "a")
    assert slugs(rows) == ["a"]


async def test_what_was_sent_and_fails_fails_its_call_and_no_other(database: Database, rows: Rows) -> None:
    def twice(tx: Connection, slug: str) -> None:
        send(tx, slug)
        if slug == "7":
            send(tx, slug)

    found = await crowd(database, twice)
    assert [type(one) for one in found if one is not None] == [IntegrityError]
    assert len(slugs(rows)) == WAITING - 1


async def test_a_savepoint_undoes_what_was_sent_in_it(database: Database, rows: Rows) -> None:
    def half(tx: Connection) -> None:
        send(tx, "before")
        for slug, error in (("fails", "before"), ("raises", "raises")):
            try:
                with savepoint(tx):
                    send(tx, slug)
                    send(tx, error)  # the name is taken
            except IntegrityError:
                continue
        send(tx, "after")

    await database.write(half)
    assert slugs(rows) == ["after", "before"]


async def test_an_error_that_comes_late_says_no_more_than_one_in_time(database: Database) -> None:
    def twice(tx: Connection) -> None:
        send(tx, "ada@example.com")
        send(tx, "ada@example.com")

    with pytest.raises(IntegrityError) as raised:
        await database.write(twice)
    assert "ada@example.com" not in str(raised.value)
    assert statements.DRIVER not in str(raised.value)
