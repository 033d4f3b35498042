"""The relay when all goes well: who gets a page, when a request is sent, and how a loop lives and ends."""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from db import limits, outbox
from db.database import Database
from db.outbox import LEASE_MS
from handlers.registry import Delivered, Throttled
from service.leases import Attempt, Work, settle, take_work
from service.limiter import LONGEST_PUT_BACK_MS
from service.relay import Relay
from tests.stage import CONTEXT, Stage, staged

Change = Callable[[Stage], Awaitable[None]]


@pytest.fixture
async def stage(tmp_path: Path, database_kind: str) -> AsyncIterator[Stage]:
    async with staged(tmp_path, database_kind) as stage:
        yield stage


# -- one person ----------------------------------------------------------------------------------------------


async def test_a_new_person_gets_one_page_with_every_property_and_our_key(stage: Stage) -> None:
    await stage.say("user_1", "Grace", preferences={"timezone": "Europe/London"}, admin=True)
    await stage.run()
    assert stage.pages() == [
        {
            "Name": "Grace Byron",
            "E-mail": "user_1@example.com",
            "Title": "",
            "Time zone": "Europe/London",
            "Role": "admin",
            "Status": "active",
            "Person": [],
            "Slack id": "",
            "Clerk id": "user_1",
            "Rollcall key": await stage.key("user_1"),
        }
    ]
    assert len(stage.world.requests) == 1


async def test_a_change_updates_the_page_with_one_request(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    await stage.run()
    await stage.say("user_1", "Augusta")
    await stage.run()
    assert [row["Name"] for row in stage.pages()] == ["Augusta Byron"]
    assert (stage.creates, stage.updates, len(stage.world.requests)) == (1, 1, 2)


async def test_a_mark_without_a_change_sends_nothing(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    await stage.run()
    key = await stage.key("user_1")
    for _ in range(3):
        await stage.database.write(outbox.mark, 1, ("notion",), key, stage.clock())
        await stage.run()
    assert len(stage.world.requests) == 1
    assert (await stage.marks())[key]["status"] == "settled"


async def test_a_change_that_was_taken_back_before_delivery_sends_nothing(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    await stage.run()
    await stage.say("user_1", "Augusta")
    await stage.say("user_1", "Ada")
    await stage.run()
    assert len(stage.world.requests) == 1


async def test_a_deleted_persons_page_is_trashed_and_forgotten(stage: Stage) -> None:
    await stage.say("user_1")
    await stage.run()
    key = await stage.key("user_1")
    await stage.remove("user_1")
    await stage.run()
    assert stage.pages() == []
    assert [row["Rollcall key"] for row in stage.pages(trashed=True)] == [key]
    assert (stage.updates, await stage.known(key)) == (1, {})


async def test_a_person_who_came_and_went_before_delivery_leaves_no_request(stage: Stage) -> None:
    await stage.say("user_1")
    await stage.remove("user_1")
    await stage.run()
    assert len(stage.world.requests) == 0


async def test_many_marks_become_one_request(stage: Stage) -> None:
    for number in range(20):
        await stage.say("user_1", f"Ada {number}")
    await stage.run()
    assert [row["Name"] for row in stage.pages()] == ["Ada 19 Byron"]
    assert len(stage.world.requests) == 1
    assert (await stage.marks())[await stage.key("user_1")]["generation"] == 20


async def test_every_attempt_leaves_a_line_in_sync_logs(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    await stage.run()
    await stage.say("user_1", "Augusta")
    await stage.run()
    logs = await stage.rows("SELECT operation, outcome, attempt, generation FROM sync_logs ORDER BY id")
    assert [tuple(row.values()) for row in logs] == [("create", "delivered", 1, 1), ("update", "delivered", 1, 2)]


async def test_the_log_of_a_delivery_names_the_key_and_no_address(stage: Stage) -> None:
    await stage.say("user_1")
    with capture_logs() as logs:
        await stage.run()
    (line,) = [line for line in logs if line["event"] == "delivery"]
    assert (line["key"], line["outcome"]) == (await stage.key("user_1"), "create")
    assert "user_1@" not in str(logs)


# -- a mark raised while its page is on its way --------------------------------------------------------------


async def rename(stage: Stage) -> None:
    await stage.say("user_1", "Augusta")


async def rename_and_back(stage: Stage) -> None:
    await stage.say("user_1", "Augusta")
    await stage.say("user_1", "Ada")


async def leave(stage: Stage) -> None:
    await stage.remove("user_1")


async def after_the_claim(stage: Stage, change: Change) -> None:
    work = await stage.take()
    await change(stage)
    await stage.deliver(work)


async def after_the_read(stage: Stage, change: Change) -> None:
    """The limiter is asked once the state was read and before the request leaves."""
    api = stage.loop.sink._api  # type: ignore[attr-defined]
    waits = api._wait

    async def wait() -> None:
        api._wait = waits
        await change(stage)
        await waits()

    api._wait = wait
    await stage.round()


async def during_the_request(stage: Stage, change: Change, *, committed: bool = False) -> None:
    slow = stage.world.faults.add(kind="slow", seconds=0.4, committed=committed)
    delivery = asyncio.create_task(stage.round())
    while not slow.hits:  # noqa: ASYNC110 - the sandbox has no event for it
        await asyncio.sleep(0.001)
    await change(stage)
    assert not delivery.done()
    await delivery


async def during_the_answer(stage: Stage, change: Change) -> None:
    await during_the_request(stage, change, committed=True)


async def before_settling(stage: Stage, change: Change) -> None:
    work = await stage.take()
    attempt = Attempt(work.claims[0], work.probe, stage.clock())
    done = await stage.loop.sink.deliver(stage.database, attempt.claim)
    await change(stage)
    assert await stage.database.write(settle, attempt, done, stage.clock())


STEPS = (after_the_claim, after_the_read, during_the_request, during_the_answer, before_settling)


@pytest.mark.parametrize("change", [rename, rename_and_back, leave])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("known", [False, True], ids=["create", "update"])
async def test_a_mark_raised_at_any_step_leaves_no_stale_page_and_no_second_one(
    stage: Stage, known: bool, step: Callable[[Stage, Change], Awaitable[None]], change: Change
) -> None:
    if known:
        await stage.say("user_1", "Nobody")
        await stage.run()
    await stage.say("user_1", "Ada")
    await step(stage, change)
    await stage.run()
    await stage.agreed()
    assert stage.creates <= 1
    assert {mark["status"] for mark in (await stage.marks()).values()} == {"settled"}


async def test_a_mark_raised_before_the_state_is_read_costs_one_request_not_two(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    await after_the_claim(stage, rename)
    await stage.run()
    assert len(stage.world.requests) == 1


# -- leases --------------------------------------------------------------------------------------------------


async def test_a_leased_mark_is_taken_by_nobody_else_until_its_lease_ends(stage: Stage) -> None:
    await stage.say("user_1")
    other = await stage.second()
    now = stage.clock()
    first = await stage.database.write(take_work, "notion", "a", now, 4)
    assert len(first.claims) == 1
    assert await other.database.write(take_work, "notion", "b", now + LEASE_MS - 1, 4) == Work(
        [], next_at=now + LEASE_MS
    )
    again = await other.database.write(take_work, "notion", "b", now + LEASE_MS, 4)
    assert [claim.key for claim in again.claims] == [claim.key for claim in first.claims]


async def test_a_late_worker_settles_nothing(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    late = await stage.take()
    attempt = Attempt(late.claims[0], late.probe, stage.clock())
    done = await stage.loop.sink.deliver(stage.database, attempt.claim)
    stage.clock.skip(LEASE_MS)
    await stage.say("user_1", "Augusta")
    await (await stage.second()).run()
    before = await stage.known(attempt.claim.key)
    assert not await stage.database.write(settle, attempt, done, stage.clock())
    assert await stage.known(attempt.claim.key) == before
    await stage.run()
    await stage.agreed()
    assert stage.creates == 1


async def test_a_worker_that_lost_its_lease_sends_nothing_any_more(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    late = await stage.take()
    stage.clock.skip(LEASE_MS)
    other = await stage.second()
    taken = await other.take()
    assert taken.claims
    with capture_logs() as logs:
        await stage.deliver(late)
    assert len(stage.world.requests) == 0
    assert [line["outcome"] for line in logs if line["event"] == "delivery"] == ["late"]
    await other.deliver(taken)
    await stage.agreed()


async def test_a_worker_whose_lease_is_nearly_over_begins_no_request(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    work = await stage.take()
    api = stage.loop.sink._api  # type: ignore[attr-defined]
    find = stage.world.faults.add(method="POST", path_prefix="/v1/pages", kind="drop", committed=True)
    await stage.deliver(work)  # created, unanswered
    assert find.hits == 1
    work, waits = await stage.take(), api._wait

    async def stall() -> None:
        await waits()
        stage.clock.skip(LEASE_MS - 20_000)  # the look for the page took that long

    api._wait = stall
    await stage.deliver(work)
    assert stage.updates == 0
    api._wait = waits
    await stage.run()
    await stage.agreed()
    assert stage.creates == 1


async def test_a_refresh_of_the_due_time_belongs_to_the_holder_alone(stage: Stage) -> None:
    """Neither a late 429 nor a late settlement moves a mark that somebody else holds."""
    await stage.say("user_1")
    late = (await stage.take()).claims[0]
    stage.clock.skip(LEASE_MS)
    holder = (await (await stage.second()).take()).claims[0]
    before = await stage.marks()
    now = stage.clock()
    for status in ("settled", "due", "dead"):
        assert not await stage.database.write(outbox.settle, late, now, status=status)
    assert await stage.marks() == before
    assert before[holder.key]["lease_token"] == holder.token


# -- a loop that runs ----------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.001)


@pytest.fixture
async def relay(stage: Stage) -> AsyncIterator[Relay]:
    relay = Relay(stage.database, [stage.loop.sink], CONTEXT, stage.clock)
    relay.start()
    await asyncio.sleep(0.05)
    yield relay
    await relay.stop(1.0)


async def test_a_commit_that_raises_a_mark_wakes_the_idle_relay(stage: Stage, relay: Relay) -> None:
    waits = []
    for number in range(30):
        await asyncio.sleep(0.01)
        sent = len(stage.world.requests)
        await stage.say("user_1", f"Ada {number}")
        committed = time.monotonic()
        await until(lambda sent=sent: len(stage.world.requests) > sent)  # type: ignore[misc]
        waits.append(stage.world.requests[-1].monotonic - committed)
    p50, worst = statistics.median(waits) * 1000, max(waits) * 1000
    print(f"\nidle commit to first request: p50 {p50:.1f} ms, worst {worst:.1f} ms")  # noqa: T201
    assert p50 < 60


async def test_a_mark_committed_by_another_process_wakes_the_idle_relay(stage: Stage, relay: Relay) -> None:
    await stage.say("user_1", "Ada")
    await until(lambda: stage.creates == 1)
    key = await stage.key("user_1")
    await asyncio.sleep(0.2)

    def rename(tx: Connection) -> None:
        tx.execute(text("UPDATE users SET name = 'Grace Hopper'"))
        outbox.mark(tx, 1, ("notion",), key, stage.clock())

    async with Database(stage.url, deadline_s=10.0) as elsewhere:
        began = time.monotonic()
        await elsewhere.write(rename)
    await until(lambda: stage.updates == 1, 2.0)
    assert time.monotonic() - began < 1.0, "the loop's longest sleep is 5 s: it was not woken"


async def test_a_mark_due_later_is_delivered_when_it_is_due(stage: Stage, relay: Relay) -> None:
    await stage.say("user_1", "Ada")
    await until(lambda: stage.creates == 1)
    due = stage.clock() + 300
    await stage.database.write(outbox.mark, 1, ("notion",), "users", due)
    await until(lambda: stage.sent("GET", "/v1/users") == 1, 3.0)
    assert 0 <= stage.clock() - due < 1_000


async def test_the_relay_works_at_several_pages_at_once(stage: Stage, relay: Relay) -> None:
    slow = stage.world.faults.add(kind="slow", seconds=0.5, times=None)
    for number in range(5):
        await stage.say(f"user_{number}")
    await until(lambda: slow.hits == 4)
    assert stage.pages() == []
    await until(lambda: len(stage.pages()) == 5)


async def test_stopping_finishes_what_is_under_way_and_claims_nothing_more(stage: Stage, relay: Relay) -> None:
    slow = stage.world.faults.add(kind="slow", seconds=0.3, times=None)
    for number in range(6):
        await stage.say(f"user_{number}")
    await until(lambda: slow.hits == 4)
    await relay.stop(5.0)
    assert len(stage.pages()) == 4
    statuses = sorted(mark["status"] for mark in (await stage.marks()).values())
    assert statuses == ["due", "due", "settled", "settled", "settled", "settled"]


async def test_a_delivery_that_hangs_is_cut_off_at_the_deadline_and_due_again_when_its_lease_ends(
    stage: Stage, relay: Relay
) -> None:
    hang = stage.world.faults.add(kind="hang", seconds=10.0, committed=True)
    await stage.say("user_1")
    await until(lambda: hang.hits == 1)
    began = time.monotonic()
    await relay.stop(0.3)
    assert 0.25 < time.monotonic() - began < 2.0
    key = await stage.key("user_1")
    mark = (await stage.marks())[key]
    assert (mark["status"], mark["attempts"]) == ("leased", 0)
    assert mark["available_at"] <= stage.clock() + LEASE_MS

    other = await stage.second()
    assert (await other.take()).claims == []
    await other.run()
    await stage.agreed()
    assert stage.creates == 1


async def test_an_idle_relay_costs_next_to_nothing(stage: Stage, relay: Relay) -> None:
    await stage.say("user_1")
    await until(lambda: stage.creates == 1)
    began, used = time.monotonic(), time.process_time()
    await asyncio.sleep(2.0)
    share = (time.process_time() - used) / (time.monotonic() - began)
    print(f"\nidle: {share:.2%} of one core")  # noqa: T201
    assert share < 0.05


class Puppet:
    """A sink that does what a test says."""

    name = "notion"
    concurrency = 2

    def __init__(self, act: Callable[[], Awaitable[Delivered]]) -> None:
        self.act = act

    async def deliver(self, _database: object, _claim: object) -> Delivered:
        return await self.act()

    async def close(self) -> None:
        return


async def test_nothing_a_sink_raises_ends_the_loop(stage: Stage) -> None:
    calls = []

    async def act() -> Delivered:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("a fault of ours")
        return Delivered("done")

    relay = Relay(stage.database, [Puppet(act)], CONTEXT, stage.clock)
    relay.start()
    await stage.say("user_1")
    await until(lambda: len(calls) == 2)
    await asyncio.sleep(0.05)
    assert relay.alive
    await relay.stop(1.0)
    marks = await stage.marks()
    assert [(mark["status"], mark["attempts"]) for mark in marks.values()] == [("settled", 0)]


async def test_a_mark_that_re_arms_itself_is_due_again_at_its_time(stage: Stage) -> None:
    again_at = stage.clock() + 3_600_000
    await stage.database.write(outbox.mark, 1, ("notion",), "chore", stage.clock())
    work = await stage.take()
    attempt = Attempt(work.claims[0], work.probe, stage.clock())
    assert await stage.database.write(settle, attempt, Delivered("chore", again_at=again_at), stage.clock())
    mark = (await stage.marks())["chore"]
    assert (mark["status"], mark["available_at"]) == ("due", again_at)
    assert (await stage.take()).next_at == again_at


async def test_drain_delivers_what_is_due_and_returns(stage: Stage) -> None:
    for number in range(10):
        await stage.say(f"user_{number}")
    relay = Relay(stage.database, [stage.loop.sink], CONTEXT, stage.clock)
    await asyncio.wait_for(relay.drain(), 10)
    await stage.agreed()
    assert len(stage.pages()) == 10


async def test_drain_returns_while_the_sink_is_paused(stage: Stage) -> None:
    stage.world.faults.add(status=500, times=None)
    await stage.say("user_1")
    relay = Relay(stage.database, [stage.loop.sink], CONTEXT, stage.clock)
    await asyncio.wait_for(relay.drain(), 1.5)
    assert (await stage.gate()).paused


def _switch_off(tx: Connection) -> None:
    limits.switch_off(tx, "notion", "the owner said so")


async def test_a_sink_that_is_off_sends_nothing_until_it_is_resumed(stage: Stage) -> None:
    await stage.database.write(_switch_off)
    await stage.say("user_1")
    await stage.run()
    stage.clock.skip(3_600_000)
    await stage.run()
    assert len(stage.world.requests) == 0
    await stage.database.write(limits.resume, "notion")
    await stage.run()
    await stage.agreed()


async def test_a_probe_that_succeeds_does_not_switch_on_what_was_switched_off_meanwhile(stage: Stage) -> None:
    stage.world.faults.add(status=500)
    await stage.say("user_1")
    await stage.round()
    probe = await stage.take()
    assert probe.probe
    await stage.database.write(_switch_off)
    await stage.deliver(probe)
    assert (await stage.gate()).off


# -- the limiter ---------------------------------------------------------------------------------------------


async def test_requests_keep_their_interval_under_the_platforms_own_window(tmp_path: Path, database_kind: str) -> None:
    interval = 0.05
    async with staged(tmp_path, database_kind, interval_ms=50) as stage:
        # 20 a second are sent; what a loaded machine delays arrives closer to the next.
        limit = stage.world.faults.limit("notion", requests=14, seconds=0.5)
        for number in range(16):
            await stage.say(f"user_{number}")
        relay = Relay(stage.database, [stage.loop.sink], CONTEXT, stage.clock)
        relay.start()
        await until(lambda: len(stage.pages()) == 16)
        await relay.stop(1.0)
        times = [request.monotonic for request in stage.world.requests]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        print(f"\nshortest gap of 50 ms: {min(gaps) * 1000:.0f} ms")  # noqa: T201
        assert limit.refused == 0
        assert len(times) == 16
        assert [at for at, time_ in enumerate(times) if time_ - times[0] < at * interval - 0.1] == []
        assert statistics.median(gaps) > interval * 0.9


async def test_an_idle_time_earns_no_burst(stage: Stage) -> None:
    now = stage.clock()
    slots = [await stage.database.write(limits.take, "elsewhere", 50, at) for at in (now, now + 9_000, now + 9_000)]
    assert slots == [now, now + 9_000, now + 9_050]


async def test_two_processes_share_one_limit(tmp_path: Path, database_kind: str) -> None:
    async with staged(tmp_path, database_kind, interval_ms=50) as stage:
        other = await stage.second(interval_ms=50)
        for number in range(12):
            await stage.say(f"user_{number}")
        relays = [Relay(one.database, [one.loop.sink], CONTEXT, stage.clock) for one in (stage, other)]
        for relay in relays:
            relay.start()
        await until(lambda: len(stage.pages()) == 12)
        for relay in relays:
            await relay.stop(1.0)
        times = [request.monotonic for request in stage.world.requests]
        assert len(times) == 12
        assert times[-1] - times[0] > 0.05 * 11 - 0.1


async def test_a_slot_too_far_off_to_hold_a_lease_for_is_given_back(stage: Stage) -> None:
    await stage.say("user_1")
    await stage.database.write(limits.block, "elsewhere", stage.clock() + 60_000)
    limiter = stage.limiter("elsewhere")
    with pytest.raises(Throttled) as raised:
        await limiter.wait()
    assert raised.value.retry_after_s == LONGEST_PUT_BACK_MS / 1000


async def test_whoever_waits_for_a_slot_waits_on_when_the_platform_asks_for_more(stage: Stage) -> None:
    limiter = stage.limiter("elsewhere", 200)
    await limiter.wait()
    began = time.monotonic()
    waiting = asyncio.create_task(limiter.wait())
    await asyncio.sleep(0.05)
    await stage.database.write(limits.block, "elsewhere", stage.clock() + 500)
    await waiting
    assert time.monotonic() - began > 0.5


async def test_waiting_for_slots_never_adds_up_past_what_a_lease_allows(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.limiter.LONGEST_HOLD_MS", 300)
    limiter = stage.limiter("elsewhere", 250)
    await limiter.wait()
    waiting = asyncio.create_task(limiter.wait())
    await asyncio.sleep(0.05)
    await stage.database.write(limits.block, "elsewhere", stage.clock() + 450)
    with pytest.raises(Throttled):
        await waiting
