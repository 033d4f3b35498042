"""PostgreSQL's job queue: a job goes with its mark, what is lost is swept up, and nothing is left lying about."""

import asyncio
import importlib.resources
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

import migrations
from db import limits, outbox
from db.database import Database, place, transaction
from db.jobs import wake_unserved
from db.marked import MARKED
from db.outbox import LEASE_MS
from db.postgres import PostgresServer
from handlers.registry import Context, Delivered
from service.clock import now_ms
from service.door import has_queue, open_database
from service.leases import Look, take_one
from service.queue import QueueRelay, defer
from service.settings import Settings
from tests.conftest import Rows
from tests.engines import until

pytestmark = pytest.mark.postgresql_only("SQLite has no job queue")

CONTEXT = Context(sinks=frozenset({"notion"}))
JOBS = """
    SELECT queue_name, args->>'key' AS key, scheduled_at FROM procrastinate_jobs WHERE task_name = 'deliver' ORDER BY id
"""
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
DIE = """
    WITH dead AS (
        INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') RETURNING id
    )
    INSERT INTO procrastinate_jobs (queue_name, task_name, status, worker_id, args)
    SELECT 'notion', 'deliver', 'doing', id, '{"workspace": 1, "key": "person:9"}' FROM dead RETURNING id
"""
KEY = "person:1"


@pytest.fixture
async def queued(database_url: str) -> AsyncIterator[Database]:
    """The database as every process opens it where workers deliver."""
    settings = Settings(_env_file=None, database_url=database_url, relay="worker")
    async with open_database(settings, deadline_s=10.0) as database:
        yield database


def raise_a_mark(tx: Connection, key: str = KEY) -> None:
    outbox.mark(tx, 1, ("notion",), key, now_ms())


def raise_many(tx: Connection) -> None:
    outbox.mark_many(tx, 1, "notion", [f"person:{number}" for number in range(50)], now_ms())
    outbox.post(tx, 1, "slack", "alert:1", {}, now_ms())
    raise_a_mark(tx)


def raise_and_fail(tx: Connection) -> None:
    raise_a_mark(tx)
    raise ZeroDivisionError


# -- a job goes with its mark --------------------------------------------------------------------------------------


async def test_a_mark_takes_its_job_along(queued: Database, rows: Rows) -> None:
    await queued.write(raise_a_mark)
    assert rows(JOBS) == [{"queue_name": "notion", "key": KEY, "scheduled_at": None}]


async def test_a_mark_that_is_rolled_back_takes_no_job_along(queued: Database, rows: Rows) -> None:
    with pytest.raises(ZeroDivisionError):
        await queued.write(raise_and_fail)
    assert rows(JOBS) == rows("SELECT * FROM sync_actions") == []


async def test_a_mark_that_is_due_later_has_its_job_then(queued: Database, rows: Rows) -> None:
    later = now_ms() + 90_000
    await queued.write(outbox.mark, 1, ("notion",), KEY, later)
    (job,) = rows(JOBS)
    assert round(job["scheduled_at"].timestamp() * 1000) == later


async def test_all_jobs_of_a_transaction_are_one_statement(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    execute = psycopg.Cursor.execute

    def counting(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(query)
        return execute(self, query, *args, **kwargs)

    with transaction(database_url) as tx:
        raise_many(tx)
        monkeypatch.setattr(psycopg.Cursor, "execute", counting)
        defer(tx, tx.info[MARKED])
        monkeypatch.undo()
        assert tx.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one() == 51
    assert len(calls) == 1


# -- one look at one mark ------------------------------------------------------------------------------------------


async def look(database: Database, now: int) -> Look:
    return await database.write(take_one, 1, "notion", KEY, "token", now)


async def test_a_job_that_finds_a_live_lease_comes_again_when_it_ends(queued: Database, rows: Rows) -> None:
    await queued.write(raise_a_mark)
    now = now_ms()
    assert (await look(queued, now)).claim is not None
    assert await look(queued, now + 1) == Look()
    assert [round(job["scheduled_at"].timestamp() * 1000) for job in rows(JOBS)[1:]] == [now + LEASE_MS]


async def test_a_job_waits_while_its_sink_is_shut(queued: Database) -> None:
    await queued.write(raise_a_mark)
    now = now_ms()
    await queued.write(limits.block, "notion", now + 3_000)
    assert await look(queued, now) == Look(again_at=now + 3_000)
    for _ in range(2):
        await queued.write(limits.pause, "notion", "down", now + 3_000)
    assert await look(queued, now + 3_000) == Look(again_at=now + 5_000)
    probe = await look(queued, now + 5_000)
    assert probe.probe
    assert await look(queued, now + 5_001) == Look(again_at=now + 5_000 + LEASE_MS)


async def test_a_job_ends_where_nothing_is_to_be_done(queued: Database, rows: Rows) -> None:
    now = now_ms()
    assert await look(queued, now) == Look()
    await queued.write(outbox.mark, 1, ("notion",), KEY, now + 60_000)
    assert await look(queued, now) == Look()
    assert await look(queued, now + 58_000) == Look(again_at=now + 60_000), "no two clocks agree"
    await queued.write(limits.switch_off, "notion", "the owner said so")
    assert await look(queued, now + 60_000) == Look()
    assert len(rows(JOBS)) == 1


# -- the sweep -----------------------------------------------------------------------------------------------------


def without_a_job(database_url: str) -> None:
    """As from a process that has not heard of workers, or a job that was lost with one."""
    with transaction(database_url) as tx:
        raise_a_mark(tx)


async def sweep(database: Database, now: int) -> int:
    return await database.write(wake_unserved, ["notion"], now, 100)


async def test_a_mark_without_a_job_gets_one_and_no_second(queued: Database, database_url: str, rows: Rows) -> None:
    without_a_job(database_url)
    assert [await sweep(queued, now_ms()) for _ in range(3)] == [1, 0, 0]
    assert [job["key"] for job in rows(JOBS)] == [KEY]


async def test_a_mark_whose_job_comes_later_than_it_is_due_gets_one_now(queued: Database, database_url: str) -> None:
    await queued.write(outbox.mark, 1, ("notion",), KEY, now_ms() + 60_000)
    assert await sweep(queued, now_ms()) == 0
    without_a_job(database_url)
    assert await sweep(queued, now_ms()) == 1


async def test_a_lease_is_swept_when_it_has_ended(queued: Database, database_url: str) -> None:
    without_a_job(database_url)
    now = now_ms()
    assert (await look(queued, now)).claim
    assert await sweep(queued, now + LEASE_MS - 1) == 0
    assert await sweep(queued, now + LEASE_MS) == 1


async def test_a_sink_that_is_off_is_not_swept(queued: Database, database_url: str) -> None:
    without_a_job(database_url)
    await queued.write(limits.switch_off, "notion", "the owner said so")
    assert await sweep(queued, now_ms()) == 0
    await queued.write(limits.switch_on, "notion")
    assert await sweep(queued, now_ms()) == 1


# -- the workers ---------------------------------------------------------------------------------------------------


class Puppet:
    """A sink that notes what it is given."""

    name = "notion"
    concurrency = 2

    def __init__(self) -> None:
        self.given: list[str] = []

    async def deliver(self, _database: Database, claim: outbox.Claim) -> Delivered:
        self.given.append(claim.key)
        return Delivered("done")

    async def close(self) -> None:
        return


@pytest.fixture
async def relay(queued: Database, database_url: str) -> AsyncIterator[QueueRelay]:
    server = place(database_url)
    assert isinstance(server, PostgresServer)
    relay = QueueRelay(queued, [Puppet()], CONTEXT, server.conninfo)
    relay.start()
    await until(lambda: relay.alive)
    yield relay
    await relay.stop(2.0)


def given(relay: QueueRelay) -> list[str]:
    sink = relay.loops["notion"].sink
    assert isinstance(sink, Puppet)
    return sink.given


async def test_nothing_is_kept_of_jobs_that_ended(queued: Database, relay: QueueRelay, rows: Rows) -> None:
    for number in range(5):
        await queued.write(raise_a_mark, f"person:{number}")
    await until(lambda: len(given(relay)) == 5)
    left = "SELECT count(*) AS n FROM procrastinate_jobs WHERE task_name = 'deliver'"
    events = "SELECT count(*) AS n FROM procrastinate_events LEFT JOIN procrastinate_jobs j ON j.id = job_id"
    await until(lambda: rows(left) == [{"n": 0}])
    assert rows(f"{events} WHERE j.id IS NULL OR task_name = 'deliver'") == [{"n": 0}]
    assert {mark["status"] for mark in rows("SELECT status FROM sync_actions")} == {"settled"}


async def test_workers_go_on_when_all_connections_are_cut(queued: Database, relay: QueueRelay, rows: Rows) -> None:
    await queued.write(raise_a_mark, "person:1")
    await until(lambda: given(relay) == ["person:1"])
    for number in range(2, 5):
        assert len(rows(CUT)) > 3
        await queued.write(raise_a_mark, f"person:{number}")
        await until(lambda: given(relay)[-1] == f"person:{number}")  # noqa: B023
    await until(lambda: relay.alive)


async def test_a_job_that_waits_for_its_sink_is_handed_on_when_the_worker_ends(
    queued: Database, relay: QueueRelay, rows: Rows
) -> None:
    await queued.write(limits.block, "notion", now_ms() + 60_000)
    await queued.write(raise_a_mark)
    doing = "SELECT 1 FROM procrastinate_jobs WHERE task_name = 'deliver' AND status = 'doing'"
    await until(lambda: rows(doing))
    await relay.stop(2.0)
    assert {job["scheduled_at"] for job in rows(JOBS)} == {None}
    assert rows(doing) == []
    assert given(relay) == []


async def test_jobs_of_a_worker_that_died_are_forgotten(queued: Database, relay: QueueRelay, rows: Rows) -> None:
    (job,) = rows(DIE)
    await until(lambda: rows("SELECT 1 FROM procrastinate_jobs WHERE id = :id", id=job["id"]) == [])
    assert rows("SELECT 1 FROM procrastinate_workers WHERE last_heartbeat < now() - interval '1 minute'") == []


async def test_a_mark_nobody_made_a_job_for_is_delivered_all_the_same(
    queued: Database, relay: QueueRelay, database_url: str
) -> None:
    without_a_job(database_url)
    await until(lambda: given(relay) == [KEY])


async def test_where_the_clock_was_set_back_it_is_noticed_and_swept_all_the_same(
    queued: Database, database_url: str, relay: QueueRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's own sweeps stop for as long as the clock was set back."""
    await until(lambda: relay._swept_at > 0)
    true, true_ns = time.time, time.time_ns
    with capture_logs() as said:
        monkeypatch.setattr(time, "time", lambda: true() - 600)
        monkeypatch.setattr(time, "time_ns", lambda: true_ns() - 600 * 10**9)
        await asyncio.sleep(2.5)  # a sweep of the package that was on its way has been made
        without_a_job(database_url)
        await until(lambda: given(relay) == [KEY], 20.0)
    assert "clock_was_set" in [line["event"] for line in said]


# -- the schema ----------------------------------------------------------------------------------------------------


def test_the_migration_has_the_schema_of_the_installed_package() -> None:
    """If not: lay the package's own migrations since then into a revision of ours, and its schema.sql beside this."""
    theirs = importlib.resources.files("procrastinate") / "sql" / "schema.sql"
    ours = migrations.HERE / "versions" / "005_job_queue.sql"
    assert ours.read_text(encoding="utf-8") == theirs.read_text(encoding="utf-8")


def test_taken_back_it_leaves_nothing_of_the_queue(database_url: str, rows: Rows) -> None:
    named = """
        SELECT proname::text AS name FROM pg_proc WHERE starts_with(proname, 'procrastinate')
        UNION ALL SELECT relname::text FROM pg_class WHERE relname LIKE '%procrastinate%'
        UNION ALL SELECT typname::text FROM pg_type WHERE typname LIKE '%procrastinate%'
    """
    assert len(rows(named)) > 30
    migrations.downgrade(database_url, "002")
    assert rows(named) == []
    migrations.upgrade(database_url)


@pytest.mark.parametrize(("relay", "queue"), [("worker", True), ("embedded", False)])
def test_there_is_a_queue_only_where_workers_deliver(database_url: str, relay: str, queue: bool) -> None:
    assert has_queue(Settings(_env_file=None, database_url=database_url, relay=relay)) is queue
