"""PostgreSQL: calls that wait share a transaction, and statements nobody asks anything of share a round trip."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
import sqlalchemy.exc
from sqlalchemy import Connection, bindparam, insert, select, text, update
from sqlalchemy.exc import IntegrityError, InternalError, ProgrammingError

from db import locks, postgres_seat, postgres_writer, statements
from db.calls import side_by_side
from db.database import Database, Unavailable, savepoint, transaction
from db.postgres_cursor import Cursor
from db.postgres_wire import Query, Wire
from db.postgres_writer import BATCH_LIMIT
from db.statements import Statement
from db.tables import workspaces as t
from tests.db.calls import SLUGS, WRITERS, add, busy

pytestmark = pytest.mark.postgresql_only("threads of a server, and its round trips")

Rows = Callable[..., list[dict[str, Any]]]
ADD = Statement(insert(t), columns=["slug", "name", "created_at"])
COUNT = Statement(select(t.c.slug).where(t.c.slug == bindparam("slug")))
NAME = Statement(select(t.c.name).where(t.c.slug == bindparam("slug")))
NAMED = Statement(update(t).where(t.c.slug == bindparam("of_slug")).values(name=bindparam("new_name")))
TRANSACTION = text("SELECT pg_current_xact_id()::text")
WAITING = 40


def slugs(rows: Rows) -> list[str]:
    return [row["slug"] for row in rows(SLUGS)]


def backend_of(tx: Connection) -> int:
    return int(tx.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


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


# --- side by side (db/postgres_abreast.py) ---


@side_by_side
def look_and_send(tx: Connection, slug: str) -> list[Any]:
    before = COUNT.rows(tx, {"slug": slug})
    send(tx, slug)
    return [before, COUNT.rows(tx, {"slug": slug})]


async def test_side_by_side_all_share_the_round_trips(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanged: list[int] = []
    exchange = Wire.exchange

    def count(wire: Wire, queries: Sequence[Query]) -> None:
        exchanged.append(len(queries))
        exchange(wire, queries)

    monkeypatch.setattr(Wire, "exchange", count)
    found = await crowd(database, look_and_send)
    assert found == [[[], [(str(number),)]] for number in range(WAITING)]
    assert len(slugs(rows)) == WAITING
    assert max(exchanged) > WAITING / 4
    assert len(exchanged) < WAITING


async def test_side_by_side_who_holds_something_is_not_come_between(database: Database, rows: Rows) -> None:
    """Each adds to what it read, which without the lock all would read before anybody writes."""

    @side_by_side
    def add_one(tx: Connection, _slug: str) -> None:
        locks.hold(tx, ("clerk", "one"))
        name = NAME.scalar(tx, {"slug": "one"})
        NAMED.send(tx, {"of_slug": "one", "new_name": str(int(name) + 1)})

    await database.write(add, "one")
    await database.write(lambda tx: NAMED.send(tx, {"of_slug": "one", "new_name": "0"}))
    assert await crowd(database, add_one) == [None] * WAITING
    assert [row["name"] for row in rows("SELECT name FROM workspaces WHERE slug = 'one'")] == [str(WAITING)]


async def test_side_by_side_what_goes_another_way_keeps_its_place(database: Database) -> None:
    @side_by_side
    def both_ways(tx: Connection, slug: str) -> int:
        send(tx, slug)
        return len(tx.exec_driver_sql("SELECT 1 FROM workspaces WHERE slug = %s", (slug,)).all())

    assert await crowd(database, both_ways) == [1] * WAITING


async def test_side_by_side_each_fault_is_its_own(database: Database, rows: Rows) -> None:
    @side_by_side
    def sometimes(tx: Connection, slug: str) -> None:
        send(tx, slug)
        if slug == "3":
            raise ValueError(slug)
        if slug == "5":
            send(tx, slug)  # the name is taken
        if slug == "7":
            locks.hold_everybody(tx)
        if slug == "9":
            with contextlib.suppress(ValueError), savepoint(tx):
                send(tx, "undone")
                raise ValueError(slug)
        COUNT.rows(tx, {"slug": slug})

    found = await crowd(database, sometimes)
    assert {number: type(one) for number, one in enumerate(found) if one is not None} == {
        3: ValueError,
        5: IntegrityError,
    }
    assert len(slugs(rows)) == WAITING - 2
    assert "undone" not in slugs(rows)


# --- found by attacking it ---


async def test_what_was_prepared_in_a_transaction_that_was_undone_is_prepared_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver prepares a statement as it is sent for the sixth time; a failure before it in the same round trip
    keeps it from being prepared, and a rollback the driver does not notice lets it believe otherwise for ever.
    """
    runs: list[str] = []

    def look(tx: Connection) -> None:
        runs.append("look")
        COUNT.rows(tx, {"slug": "a"})

    def raise_early(tx: Connection) -> None:
        tx.exec_driver_sql("SELECT 1")
        raise ValueError("undone")

    def fail_before_looking(tx: Connection) -> None:
        send(tx, "a")
        send(tx, "a")
        COUNT.rows(tx, {"slug": "a"})

    monkeypatch.setattr(postgres_writer, "WRITERS", 1)  # so that all of it meets the same connection
    async with Database(database.url, deadline_s=10.0) as one:
        with pytest.raises(ValueError, match="undone"):
            await one.write(raise_early)
        for _ in range(5):
            await one.write(look)
        with pytest.raises(IntegrityError):
            await one.write(fail_before_looking)
        for _ in range(5):
            await one.write(look)
    assert len(runs) == 10


@pytest.mark.parametrize("change", ["ALTER TABLE workspaces ALTER slug TYPE varchar(200)", "DEALLOCATE ALL"])
async def test_what_is_prepared_and_no_longer_fits_is_prepared_anew(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def look(tx: Connection) -> list[Any]:
        return COUNT.rows(tx, {"slug": "a"})

    monkeypatch.setattr(postgres_writer, "WRITERS", 1)
    async with Database(database.url, deadline_s=10.0) as one:
        await one.write(send, "a")
        await one.write(look)
        if change == "DEALLOCATE ALL":
            await one.write(lambda tx: tx.exec_driver_sql(change))
        else:
            with transaction(database_url) as tx:
                tx.exec_driver_sql(change)
        assert [await one.write(look) for _ in range(3)] == [[("a",)]] * 3
        assert len(await asyncio.gather(*(one.write(look_and_send, str(n)) for n in range(20)))) == 20


async def test_what_was_prepared_in_a_savepoint_that_was_undone_is_prepared_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(tx: Connection) -> list[Any]:
        return COUNT.rows(tx, {"slug": "before"})

    def half(tx: Connection) -> list[Any]:
        with contextlib.suppress(IntegrityError), savepoint(tx):
            send(tx, "same")
            send(tx, "same")
            look(tx)
        return look(tx)

    def undone(tx: Connection) -> None:
        with contextlib.suppress(ValueError), savepoint(tx):
            raise ValueError("undone")

    monkeypatch.setattr(postgres_writer, "WRITERS", 1)
    async with Database(database.url, deadline_s=10.0) as one:
        await one.write(undone)
        for _ in range(5):
            await one.write(look)
        assert await one.write(half) == []


async def test_a_connection_that_died_idle_is_found_before_commit_is_sent(
    database: Database, database_url: str, rows: Rows
) -> None:
    """What only sends runs again like all others: nothing is unknown."""
    for number in range(2 * WRITERS):
        await database.write(send, f"before {number:02}")
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    for number in range(2 * WRITERS):
        await database.write(send, f"after {number:02}")
    assert len(slugs(rows)) == 4 * WRITERS


async def test_who_waits_for_a_lock_in_company_keeps_nobody_else(database_url: str, rows: Rows) -> None:
    def hold(tx: Connection, slug: str) -> None:
        locks.hold(tx, ("clerk", slug))
        add(tx, slug)

    async with Database(database_url, deadline_s=1.5) as database:
        with transaction(database_url) as other:
            locks.hold(other, ("clerk", "7"))
            found = await crowd(database, hold)
        assert [number for number, one in enumerate(found) if one is not None] == [7]
        assert isinstance(found[7], Unavailable)
    assert len(slugs(rows)) == WAITING - 1


async def test_nothing_is_committed_behind_the_back_of_a_caller_who_left(database_url: str, rows: Rows) -> None:
    release = threading.Event()

    def slow(tx: Connection, slug: str) -> None:
        add(tx, slug)
        release.wait(10)

    async with Database(database_url, deadline_s=0.4) as database:
        found = await crowd(database, slow)
        release.set()
    assert all(isinstance(one, Unavailable) for one in found)
    assert slugs(rows) == []


async def test_after_a_statement_that_cannot_even_be_prepared_nothing_runs(database: Database, rows: Rows) -> None:
    """It is prepared before BEGIN is sent: what came after it would be committed by itself."""

    def swallow(tx: Connection) -> None:
        with contextlib.suppress(ProgrammingError):
            Statement(text("SELECT 1 FROM no_such_table")).rows(tx, {})
        with contextlib.suppress(InternalError):
            add(tx, "through SQLAlchemy")
        with contextlib.suppress(InternalError):
            COUNT.rows(tx, {"slug": "a"})
        send(tx, "sent")

    with pytest.raises(RuntimeError, match="nothing was committed"):
        await database.write(swallow)
    assert slugs(rows) == []
    await database.write(add, "next")
    assert slugs(rows) == ["next"]


async def test_a_failure_in_company_costs_no_connection(database: Database) -> None:
    @side_by_side
    def through_sqlalchemy(tx: Connection, slug: str) -> int:
        send(tx, slug)
        backend = backend_of(tx)
        if slug == "7":
            raise ValueError(slug)
        return backend

    before = await crowd(database, lambda tx, _slug: backend_of(tx))
    found = await crowd(database, through_sqlalchemy)
    assert [type(one) for one in found if not isinstance(one, int)] == [ValueError]
    assert len({*before, *found}) <= WRITERS + 1  # and the error


async def test_who_left_takes_nobody_along(database_url: str, rows: Rows) -> None:
    """Some were asked long ago: the transaction they are in is late for them, and in time for the others."""
    entered, release = threading.Event(), threading.Event()

    @side_by_side
    def slow(tx: Connection, slug: str) -> str:
        send(tx, slug)
        entered.set()
        release.wait(10)
        return str(tx.execute(TRANSACTION).scalar_one())

    async with Database(database_url, deadline_s=0.6) as database:
        async with busy(database):
            early = [asyncio.create_task(database.write(slow, f"early {n}")) for n in range(4)]
            await asyncio.sleep(0.4)
            late = [asyncio.create_task(database.write(slow, f"late {n}")) for n in range(8)]
            await asyncio.sleep(0)
        await asyncio.to_thread(entered.wait, 10)
        await asyncio.sleep(0.3)  # now the early ones have left
        release.set()
        found = await asyncio.gather(*early, *late, return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable] * 4 + [str] * 8
    assert len(set(found[4:])) <= WRITERS
    assert [slug for slug in slugs(rows) if slug.startswith("late")] == [f"late {n}" for n in range(8)]


async def test_a_value_the_driver_refuses_is_refused_as_it_is_sent(database: Database, rows: Rows) -> None:
    def write(tx: Connection, slug: str) -> None:
        with pytest.raises(UnicodeEncodeError):
            send(tx, slug)
        send(tx, "behind it")

    with pytest.raises(sqlalchemy.exc.DataError):
        await database.write(send, "a\0b")
    await database.write(write, "\ud800")
    assert slugs(rows) == ["behind it"]
