"""Requests are spaced between all who share an integration, the late ones too; nobody holds a lease for long."""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from db import limits
from db.database import Database, transaction
from handlers.registry import Throttled
from service import limiter
from service.limiter import EARLY_MS, LONGEST_HOLD_MS, LONGEST_PUT_BACK_MS, ON_TIME_MS, Limiter, interval_ms

NOW = 1_000_000
Limit = Callable[..., Limiter]


@dataclass
class Time:
    """Time that passes only by sleeping; `while_asleep` happens during the next sleep, the next ones last too long."""

    now: int = NOW
    slept: list[int] = field(default_factory=list)
    while_asleep: list[Callable[[], object]] = field(default_factory=list)
    late: list[int] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if self.while_asleep:
            await asyncio.to_thread(self.while_asleep.pop(0))
        self.slept.append(round(seconds * 1000))
        self.now += round(seconds * 1000) + (self.late.pop(0) if self.late else 0)


@dataclass
class NoSleep:
    """`asyncio` as the limiter sees it."""

    sleep: Callable[[float], object]

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)


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
    for number in range(3):
        await limit().wait()
        assert time.now == NOW + number * 300


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
    assert throttled.value.retry_after_s == LONGEST_PUT_BACK_MS / 1000
    assert time.slept == []


async def test_a_slot_too_far_off_is_nobodys(database: Database, limit: Limit) -> None:
    await limit(LONGEST_HOLD_MS + 1).wait()
    for _ in range(3):
        with pytest.raises(Throttled):
            await limit(LONGEST_HOLD_MS + 1).wait()
    assert await database.write(limits.take, "notion", 0, NOW) == NOW + LONGEST_HOLD_MS + 1


async def test_a_slot_just_near_enough_is_waited_for(database: Database, limit: Limit, time: Time) -> None:
    await database.write(limits.block, "notion", NOW + LONGEST_HOLD_MS)
    await limit().wait()
    assert sum(time.slept) == LONGEST_HOLD_MS


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
    assert time.now == NOW + 3_000 - EARLY_MS


async def test_two_processes_share_one_limit(database_url: str, limit: Limit, time: Time) -> None:
    await limit().wait()
    async with Database(database_url) as other:
        await Limiter(other, "notion", 300, time).wait()
        await Limiter(other, "slack", 300, time).wait()
    assert sum(time.slept) == 300


async def test_a_clock_set_back_meanwhile_keeps_nobody_for_as_long_as_it_was_set(
    database: Database, limit: Limit, time: Time
) -> None:
    await database.write(limits.block, "notion", NOW + 300)

    def set_back() -> None:
        time.now -= 600_000

    time.while_asleep.append(set_back)
    with pytest.raises(Throttled) as raised:
        await limit().wait()
    assert time.slept == [300 - EARLY_MS]
    assert raised.value.retry_after_s == LONGEST_PUT_BACK_MS / 1000


# -- late for a slot -----------------------------------------------------------------------------------------


async def test_a_little_late_is_in_time(limit: Limit, time: Time) -> None:
    await limit().wait()
    turn = await limit().turn()
    time.late = [ON_TIME_MS]
    await turn.sending()
    assert time.now == NOW + 300 + ON_TIME_MS
    await limit().wait()
    assert time.now == NOW + 600, "those after it need not know"


async def test_who_is_late_moves_a_slot_that_nobody_follows(limit: Limit, time: Time) -> None:
    await limit().wait()
    turn = await limit().turn()
    time.now += 100  # the connection took that long
    await turn.sending()
    assert time.now == NOW + 380
    await limit().wait()
    assert time.now == NOW + 380 + 300


async def test_who_is_late_for_a_slot_that_others_follow_goes_after_them(
    database_url: str, limit: Limit, time: Time
) -> None:
    await limit().wait()
    turn = await limit().turn()
    async with Database(database_url) as other:
        assert await other.write(limits.take, "notion", 300, time.now) == NOW + 600
    time.now += 100
    await turn.sending()
    assert time.now == NOW + 900


class SlowDatabase:
    """Each commit takes 100 ms, and would be late for the slot it reserved at once."""

    def __init__(self, database: Database, time: Time) -> None:
        self._database, self._time = database, time
        self.read = database.read

    async def write(self, *what: Any) -> Any:
        answer = await self._database.write(*what)
        self._time.now += 100
        return answer


async def test_who_is_always_late_is_allowed_more_and_pays_for_it(database: Database, limit: Limit, time: Time) -> None:
    slow = limit()
    slow.database = cast(Database, SlowDatabase(database, time))
    turn = await slow.turn()
    await turn.sending()
    assert ON_TIME_MS < time.now - turn.at <= turn.tolerance
    assert await database.write(limits.take, "notion", 300, time.now) == turn.at + 300 + turn.tolerance - ON_TIME_MS


async def test_of_one_process_one_request_at_a_time_has_a_slot(database: Database, limit: Limit, time: Time) -> None:
    limiter = limit()
    first = await limiter.turn()
    second = asyncio.create_task(limiter.turn())
    await database.read(limits.gate, "notion")
    assert not second.done()
    first.over()
    assert (await second).at == NOW + 300


async def test_a_turn_that_fails_holds_nobody_up(database: Database, limit: Limit) -> None:
    limiter = limit()
    await database.write(limits.block, "notion", NOW + LONGEST_HOLD_MS + 1)
    with pytest.raises(Throttled):
        await limiter.turn()
    assert not limiter.queue.locked()


async def test_who_waits_too_long_behind_others_of_its_process_is_throttled(
    limit: Limit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter, "LONGEST_HOLD_MS", 10)
    one = limit()
    await one.turn()
    with pytest.raises(Throttled):
        await one.turn()


class Machine:
    """Processes in one simulated time, which passes when all of them sleep; each sleep ends late, drawn from `late`."""

    def __init__(self, seed: int, late: list[int]) -> None:
        self.now = NOW
        self._rng = random.Random(seed)
        self._late = late
        self._asleep: list[tuple[int, float, asyncio.Event]] = []

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until, awake = self.now + round(seconds * 1000) + self._rng.choice(self._late), asyncio.Event()
        heapq.heappush(self._asleep, (until, self._rng.random(), awake))
        await awake.wait()

    async def run(self, *processes: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.create_task(process) for process in processes]
        while alive := [task for task in tasks if not task.done()]:
            if len(self._asleep) == len(alive):
                self.now, _, awake = heapq.heappop(self._asleep)
                awake.set()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)


class InOneTransaction:
    """The statements of all processes, one after the other."""

    def __init__(self, tx: Connection) -> None:
        self._tx = tx

    async def write(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self._tx, *arguments)

    read = write


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("late", [[0, 1, 5, 15], [0, 0, 3, 25, 60], [40, 90, 150]], ids=["fast", "slow", "hopeless"])
async def test_however_late_processes_are_no_second_sees_more_than_the_limit(
    database_url: str, monkeypatch: pytest.MonkeyPatch, late: list[int], seed: int
) -> None:
    rate, each = 4, 50
    machine, sent = Machine(seed, late), list[int]()
    monkeypatch.setattr(limiter, "asyncio", NoSleep(machine.sleep))

    async def process(tx: Connection) -> None:
        mine = Limiter(cast(Database, InOneTransaction(tx)), "notion", interval_ms(rate), machine)
        for _ in range(each):
            turn = await mine.turn()
            await machine.sleep(0.005)  # a connection is found
            await turn.sending()
            sent.append(machine.now)

    with transaction(database_url) as tx:
        await machine.run(*(process(tx) for _ in range(3)))
    assert len(sent) == 3 * each
    assert min(later - first for first, later in zip(sent, sent[rate:], strict=False)) >= 1000
    used = (len(sent) - 1) / rate / (sent[-1] - sent[0]) * 1000
    print(f"\n{used:.1%} of the limit used")  # noqa: T201
    assert used > (0.97 if max(late) <= ON_TIME_MS else 0.2)
