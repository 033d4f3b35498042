"""Requests are spaced between all who share an integration, and nobody holds a lease for a slot too far off."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from db import limits
from db.database import Database
from handlers.registry import Throttled
from service import limiter
from service.limiter import LONGEST_HOLD_MS, LONGEST_PUT_BACK_MS, Limiter

NOW = 1_000_000
Limit = Callable[..., Limiter]


@dataclass
class Time:
    """Time that passes only by sleeping; `while_asleep` happens during the next sleep."""

    now: int = NOW
    slept: list[int] = field(default_factory=list)
    while_asleep: list[Callable[[], object]] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if self.while_asleep:
            await asyncio.to_thread(self.while_asleep.pop(0))
        self.slept.append(round(seconds * 1000))
        self.now += round(seconds * 1000)


@dataclass
class NoSleep:
    """`asyncio` as the limiter sees it."""

    sleep: Callable[[float], object]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(limiter, "asyncio", NoSleep(time.sleep))
    return time


@pytest.fixture
def limit(database: Database, time: Time) -> Limit:
    def make(interval_ms: int = 300, *, patient: bool = False) -> Limiter:
        return Limiter(database, "notion", interval_ms, time, patient=patient)

    return make


async def test_the_first_request_goes_at_once(limit: Limit, time: Time) -> None:
    await limit().wait()
    assert time.slept == []


async def test_the_next_waits_for_its_slot(limit: Limit, time: Time) -> None:
    for _ in range(3):
        await limit().wait()
    assert time.slept == [300, 300]
    assert time.now == NOW + 600


async def test_without_an_interval_nobody_waits(limit: Limit, time: Time) -> None:
    for _ in range(10):
        await limit(0).wait()
    assert time.slept == []


async def test_a_block_holds_even_without_an_interval(database: Database, limit: Limit, time: Time) -> None:
    await database.write(limits.block, "notion", NOW + 2_000)
    await limit(0).wait()
    assert time.now == NOW + 2_000


async def test_a_slot_too_far_off_is_throttled_and_says_for_how_long(
    database: Database, limit: Limit, time: Time
) -> None:
    await database.write(limits.block, "notion", NOW + LONGEST_HOLD_MS + 1)
    with pytest.raises(Throttled) as throttled:
        await limit().wait()
    assert throttled.value.retry_after_s == (LONGEST_HOLD_MS + 1) / 1000
    assert time.slept == []


async def test_a_slot_just_near_enough_is_waited_for(database: Database, limit: Limit, time: Time) -> None:
    await database.write(limits.block, "notion", NOW + LONGEST_HOLD_MS)
    await limit().wait()
    assert time.slept == [LONGEST_HOLD_MS]


async def test_the_patient_wait_however_long_it_takes(database: Database, limit: Limit, time: Time) -> None:
    await database.write(limits.block, "notion", NOW + 600_000)
    await limit(patient=True).wait()
    assert time.now == NOW + 600_000


def told_to_wait(database: Database, loop: asyncio.AbstractEventLoop, until: int) -> Callable[[], object]:
    """Another request's 429, while ours sleeps."""
    return lambda: asyncio.run_coroutine_threadsafe(database.write(limits.block, "notion", until), loop).result(10)


async def test_a_block_that_came_while_asleep_is_respected(database: Database, limit: Limit, time: Time) -> None:
    await limit().wait()
    time.while_asleep.append(told_to_wait(database, asyncio.get_running_loop(), NOW + 3_000))
    await limit().wait()
    assert time.now == NOW + 3_000


async def test_sleeping_again_and_again_holds_a_lease_no_longer_than_once(
    database: Database, limit: Limit, time: Time
) -> None:
    await limit(3_000).wait()
    time.while_asleep.append(told_to_wait(database, asyncio.get_running_loop(), NOW + LONGEST_HOLD_MS + 1))
    with pytest.raises(Throttled):
        await limit(3_000).wait()
    assert time.now == NOW + 3_000


async def test_two_processes_share_one_limit(database_url: str, limit: Limit, time: Time) -> None:
    await limit().wait()
    async with Database(database_url) as other:
        await Limiter(other, "notion", 300, time).wait()
        await Limiter(other, "slack", 300, time).wait()
    assert time.slept == [300]


async def test_a_clock_set_back_meanwhile_keeps_nobody_for_as_long_as_it_was_set(
    database: Database, limit: Limit, time: Time
) -> None:
    await database.write(limits.block, "notion", NOW + 300)

    def set_back() -> None:
        time.now -= 600_000

    time.while_asleep.append(set_back)
    with pytest.raises(Throttled) as raised:
        await limit().wait()
    assert time.slept == [300]
    assert raised.value.retry_after_s == LONGEST_PUT_BACK_MS / 1000
