"""The machine's clock is set: no lease ends by that, nothing waits for a time that is over, and it is noticed."""

import time

import pytest
from structlog.testing import capture_logs

from db import limits, outbox
from db.database import Database
from handlers.registry import Context
from service.clock import STEP_MS, Watch, now_ms
from service.leases import clock_was_set, take_work
from service.relay import SinkLoop

NOW = 1_800_000_000_000
STEP = 600_000
KEYS = ("person:1", "person:2")


def set_clock(monkeypatch: pytest.MonkeyPatch, by_ms: int) -> None:
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + by_ms * 1_000_000)


@pytest.mark.parametrize("by", [STEP, -STEP])
def test_a_clock_that_was_set_is_noticed_once(monkeypatch: pytest.MonkeyPatch, by: int) -> None:
    watch = Watch()
    set_clock(monkeypatch, by)
    assert watch.step() == pytest.approx(by, abs=STEP_MS)
    assert watch.step() == 0


def test_a_clock_that_is_corrected_a_little_at_a_time_was_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    for _ in range(10):
        set_clock(monkeypatch, STEP_MS // 2)
        assert watch.step() == 0


async def marked(database: Database, sink: str = "notion") -> None:
    for key in KEYS:
        await database.write(outbox.mark, 1, (sink,), key, NOW)


async def test_set_forward_a_lease_is_still_held(database: Database) -> None:
    await marked(database)
    assert len((await database.write(take_work, "notion", "holder", NOW, 4)).claims) == 2
    await database.write(clock_was_set, "notion", STEP, NOW + STEP)
    assert (await database.write(take_work, "notion", "other", NOW + STEP, 4)).claims == []


async def test_set_back_a_lease_ends_no_later_than_a_lease_takes(database: Database) -> None:
    await marked(database)
    await database.write(take_work, "notion", "dead", NOW, 4)
    await database.write(clock_was_set, "notion", -STEP, NOW - STEP)
    later = NOW - STEP + outbox.LEASE_MS
    assert len((await database.write(take_work, "notion", "other", later, 4)).claims) == 2


async def test_set_back_what_was_due_is_due(database: Database) -> None:
    await marked(database)
    await database.write(clock_was_set, "notion", -STEP, NOW - STEP)
    assert len((await database.write(take_work, "notion", "holder", NOW - STEP, 4)).claims) == 2


async def test_set_back_a_job_keeps_its_time_on_the_wall(database: Database) -> None:
    await marked(database, "clock")
    await database.write(clock_was_set, "clock", -STEP, NOW - STEP)
    assert (await database.write(take_work, "clock", "holder", NOW - STEP, 4)).claims == []


async def test_set_back_a_rate_limit_holds_nobody_up(database: Database) -> None:
    await database.write(limits.take, "notion", 300, NOW)
    await database.write(limits.block, "notion", NOW + 1_000)
    await database.write(clock_was_set, "notion", -STEP, NOW - STEP)
    assert await database.write(limits.take, "notion", 300, NOW - STEP) == NOW - STEP + 1_000


async def test_set_back_twice_over_by_two_processes_nothing_is_due_before_now(database: Database) -> None:
    await marked(database)
    for _ in range(2):
        await database.write(clock_was_set, "notion", -STEP, NOW - STEP)
    assert len((await database.write(take_work, "notion", "holder", NOW - STEP, 4)).claims) == 2
    assert (await database.read(limits.gate, "notion")).probe_at == 0


async def test_a_loop_allows_for_it_before_it_claims(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        name = "notion"
        concurrency = 1

    loop = SinkLoop(database, Nobody(), Context())  # type: ignore[arg-type]
    await database.write(outbox.mark, 1, ("notion",), KEYS[0], now_ms())
    await database.write(take_work, "notion", "holder", now_ms(), 1)
    set_clock(monkeypatch, STEP)
    with capture_logs() as said:
        await loop.allow_for_the_clock()
    assert [(line["event"], line["by_s"]) for line in said] == [("clock_was_set", STEP // 1000)]
    assert (await loop._take(1)).claims == []
