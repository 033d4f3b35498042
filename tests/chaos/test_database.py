"""The database taken away while events stream in: locked, its readers used up, the disk full. Each heals by itself."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from service.sandbox.story_oracle import ExpectedPerson
from tests.chaos.conftest import Chaos
from tests.chaos.report import HERE, LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import a_day

pytestmark = HERE

TIMES = 6 if LONG else 1
AWAY_S = 3.0  # longer than a write may wait


@pytest.mark.timeout(400)
async def test_a_database_locked_by_another_process(chaos: Chaos) -> None:
    async with chaos() as scene:
        deliveries, expected = a_day(scene.report.seed, scene.world)
        await scene.start()
        scene.platforms.begin(deliveries, TIMES * (AWAY_S + 1))
        scene.report.must_bite = {"database locked": TIMES, "answered 503": TIMES}
        for _ in range(TIMES):
            await asyncio.sleep(scene.rng.uniform(0.2, 0.8))
            with locked(scene.url):
                await asyncio.sleep(AWAY_S)
            scene.report.faults["database locked"] += 1
        await _finish(scene, expected)


@pytest.mark.timeout(400)
async def test_readers_used_up(chaos: Chaos) -> None:
    """One reader for everybody, and next to no patience for it: what four and two seconds are to a thousand sinks."""
    few = {f"db.{kind}.READERS": 1 for kind in ("sqlite", "postgres")}
    impatient = {f"db.{kind}.READER_WAIT_S": 0.0005 for kind in ("sqlite", "postgres")}
    # What could not be settled goes again when its lease ends: that is most of what there is to wait for.
    soon = {"db.outbox.LEASE_MS": 2_000, "handlers.notion.api.TIMEOUT_S": 1, "handlers.slack.api.TIMEOUT_S": 1}
    async with chaos({**few, **impatient, **soon}) as scene:
        deliveries, expected = a_day(scene.report.seed, scene.world)
        await scene.start()
        scene.report.must_bite = {"no reader was free": 1}
        scene.platforms.begin(deliveries, 2)
        await scene.platforms.done()
        await scene.idle()
        busy = [line for line in scene.program.said() if "every reader is busy" in str(line.get("reason"))]
        scene.report.faults["no reader was free"] = len(busy)
        await _finish(scene, expected)


@pytest.mark.sqlite_only("of PostgreSQL the disk is the server's")
@pytest.mark.timeout(400)
async def test_a_full_disk(chaos: Chaos) -> None:
    """No file may grow (RLIMIT_FSIZE: a write fails with EFBIG): neither the database's nor the log."""
    async with chaos() as scene:
        deliveries, expected = a_day(scene.report.seed, scene.world)
        await scene.start()
        scene.platforms.begin(deliveries, TIMES * (AWAY_S + 1))
        scene.report.must_bite = {"disk full": TIMES, "answered 503": TIMES, "unready": TIMES}
        async with httpx.AsyncClient(base_url=scene.url_of_web()) as client:
            for _ in range(TIMES):
                await asyncio.sleep(scene.rng.uniform(0.2, 0.8))
                scene.program.limit_files(1)
                await asyncio.sleep(AWAY_S)
                scene.report.bites["unready"] += (await client.get("/readyz")).status_code == 503
                scene.program.limit_files(None)
                scene.report.faults["disk full"] += 1
        await _finish(scene, expected)
        assert scene.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


async def _finish(scene: Scene, expected: list[ExpectedPerson]) -> None:
    await scene.platforms.done()
    scene.report.bites["answered 503"] = scene.platforms.refused[503]
    other = {status: count for status, count in scene.platforms.refused.items() if status != 503}
    scene.report.harm["answered otherwise"] = list(other.items())
    await scene.finish(expected)


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process holds what every write needs."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with psycopg.connect(url) as raw:
        raw.execute("LOCK TABLE webhook_events, users, sync_actions IN ACCESS EXCLUSIVE MODE")
        yield
        raw.rollback()
