"""`/readyz`: 503 only where a webhook would be refused, `degraded` for whatever else is wrong, and no secrets."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json
from sqlalchemy import Connection, text

import migrations
from db import inbox, limits, outbox
from db.database import Database
from service import health as health_module
from service.clock import now_ms
from service.health import BEAT, BEAT_MISSED_MS, Health, is_worked
from service.relay import Relay
from tests.databases import locked
from tests.db.calls import WRITERS
from tests.stage import CONTEXT, Stage, staged


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url, deadline_s=0.4) as database:
        yield database


@pytest.fixture
async def health(database: Database) -> Health:
    return Health(database, Relay(database, [], CONTEXT), migrations.head())


async def test_a_service_that_is_well_says_ok_and_how_it_is(health: Health) -> None:
    status, body = await health.report()
    assert (status, body) == (
        200,
        {
            "status": "ok",
            "oldest_due_mark_s": None,
            "paused_sinks": {},
            "dead_marks": 0,
            "failed_events": 0,
            "coverage": {"people": 0, "with_both_ids": 0, "share": 1.0},
            "relay_alive": True,
        },
    )


def _late(tx: Connection) -> None:
    outbox.mark(tx, 1, ("notion",), "person:1", now_ms() - 61_000)


def _not_late(tx: Connection) -> None:
    outbox.mark(tx, 1, ("notion",), "person:1", now_ms() - 30_000)


def _dead(tx: Connection) -> None:
    outbox.mark(tx, 1, ("notion",), "person:1", now_ms())
    (claim,) = outbox.claim(tx, "notion", "token", now_ms(), 1)
    outbox.settle(tx, claim, now_ms(), status="dead")


def _paused(tx: Connection) -> None:
    limits.pause(tx, "notion", "Notion 500", now_ms())


def _off(tx: Connection) -> None:
    limits.switch_off(tx, "slack", "the app was uninstalled")


def _failed(tx: Connection) -> None:
    inbox.refuse(tx, "clerk", "msg_1", b"{", "no JSON", now_ms())


@pytest.mark.parametrize("wrong", [_late, _dead, _paused, _off, _failed])
async def test_what_is_wrong_without_refusing_webhooks_is_degraded(health: Health, wrong: Any) -> None:
    await health.database.write(wrong)
    status, body = await health.report()
    assert (status, body["status"]) == (200, "degraded")


async def test_a_mark_that_waited_for_half_a_minute_is_nothing_to_report(health: Health) -> None:
    await health.database.write(_not_late)
    status, body = await health.report()
    assert (status, body["status"]) == (200, "ok")
    assert 30 <= body["oldest_due_mark_s"] <= 31


async def test_a_relay_whose_loop_ended_is_degraded(tmp_path: Path, database_kind: str) -> None:
    async with staged(tmp_path, database_kind) as stage:
        relay = Relay(stage.database, [stage.loop.sink], CONTEXT)
        health = Health(stage.database, relay, migrations.head())
        relay.start()
        await asyncio.sleep(0.05)
        assert (await health.report())[1]["status"] == "ok"
        relay._tasks[0].cancel()
        await asyncio.sleep(0.05)
        health._seen = None
        status, body = await health.report()
        assert (status, body["status"], body["relay_alive"]) == (200, "degraded", False)


async def test_coverage_counts_the_active_people_with_both_ids(tmp_path: Path, database_kind: str) -> None:
    async with staged(tmp_path, database_kind) as stage:
        for number in range(4):
            await stage.say(f"user_{number}")
        await stage.database.write(_give_ids)
        body = (await Health(stage.database, Relay(stage.database, [], CONTEXT), migrations.head()).report())[1]
        assert body["coverage"] == {"people": 3, "with_both_ids": 1, "share": 0.333}


def _give_ids(tx: Connection) -> None:
    tx.execute(text("UPDATE users SET slack_user_id = 'U' || id WHERE id < 3"))
    tx.execute(text("UPDATE users SET notion_person_id = 'N' || id WHERE id IN (1, 3)"))
    tx.execute(text("UPDATE users SET status = 'banned' WHERE id = 4"))


# -- 503 -----------------------------------------------------------------------------------------------------------


async def test_a_locked_database_is_unavailable_until_it_is_let_go(health: Health, url: str) -> None:
    with locked(url):
        began = time.monotonic()
        assert await health.report() == (
            503,
            {"status": "unavailable", "reason": "the database cannot be written"},
        )
        assert time.monotonic() - began < 2
    health._seen = None
    assert (await health.report())[0] == 200


def _behind(tx: Connection) -> None:
    tx.execute(text("UPDATE alembic_version SET version_num = '001'"))


async def test_a_database_behind_this_version_says_to_migrate(health: Health) -> None:
    await health.database.write(_behind)
    status, body = await health.report()
    assert (status, body["status"]) == (503, "unavailable")
    assert "rollcall migrate" in body["reason"]


@pytest.mark.parametrize("revision", ["base", "001"])
async def test_a_database_without_our_tables_says_to_migrate(health: Health, url: str, revision: str) -> None:
    await asyncio.to_thread(migrations.downgrade, url, revision)
    status, body = await health.report()
    assert (status, body["status"]) == (503, "unavailable")
    assert "rollcall migrate" in body["reason"]


async def test_a_writer_that_is_stuck_is_unavailable_at_once(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "STUCK_S", 0.1)
    release = threading.Event()
    stuck = asyncio.gather(*(_ignore(health.database.write(_wait_for, release)) for _ in range(WRITERS)))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    assert await health.report() == (503, {"status": "unavailable", "reason": "the writer is stuck"})
    assert time.monotonic() - began < 0.1
    release.set()
    await stuck


def _wait_for(_tx: Connection, release: threading.Event) -> None:
    release.wait(10)


async def _ignore(coroutine: Any) -> None:
    await asyncio.gather(coroutine, return_exceptions=True)


# -- asked often, by anybody ------------------------------------------------------------------------------------------


async def test_however_many_ask_it_looks_once_a_second(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = Health._look

    async def counted(self: Health) -> tuple[int, dict[str, Any]]:
        looks.append(time.monotonic())
        return await look(self)

    monkeypatch.setattr(Health, "_look", counted)
    answers = await asyncio.gather(*(health.report() for _ in range(200)))
    assert len(looks) == 1
    assert all(answer == answers[0] for answer in answers)
    health._seen_at -= 1.01
    await health.report()
    assert len(looks) == 2


async def test_while_it_is_unavailable_it_looks_no_oftener(health: Health, url: str) -> None:
    with locked(url):
        await health.report()
        began = time.monotonic()
        for _ in range(20):
            assert (await health.report())[0] == 503
        assert time.monotonic() - began < 0.2


async def test_it_tells_no_secret_and_no_address(tmp_path: Path, database_kind: str) -> None:
    async with staged(tmp_path, database_kind) as stage:
        token = stage.world.notion.token
        await break_everything(stage)
        health = Health(stage.database, Relay(stage.database, [stage.loop.sink], CONTEXT), migrations.head())
        status, body = await health.report()
        told = to_json(body).decode()
        assert (status, body["status"]) == (200, "degraded")
        assert body["paused_sinks"]
        assert token not in told
        assert "example.com" not in told
        assert "@" not in told
        assert stage.data_source_id not in told
        assert "http" not in told


async def break_everything(stage: Stage) -> None:
    await stage.say("user_1")
    stage.world.faults.add(status=400, times=6)
    await stage.run()
    stage.world.notion.unshare(stage.data_source_id)
    await stage.say("user_2")
    await stage.round()
    await stage.database.write(_failed)


@pytest.mark.parametrize("step", [-600_000, 600_000])
async def test_a_worker_is_missed_although_the_clock_was_set(database: Database, step: int) -> None:
    """And one at work is not: its next beat has the new time, also where that is earlier."""
    began, now = 1_790_000_000_000, 1_790_000_000_000 + step
    await database.write(limits.beat, BEAT, began)
    assert await database.read(is_worked, began + 5_000)
    assert not await database.read(is_worked, now)
    await database.write(limits.beat, BEAT, now)
    assert await database.read(is_worked, now + 5_000)
    assert not await database.read(is_worked, now + BEAT_MISSED_MS)
