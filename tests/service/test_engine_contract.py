"""The contract of delivery, kept by whatever wakes the marks: a loop in the web process, or workers beside it.

Every test runs real processes against the sandbox. Time that must pass (a lease, a backoff) is passed in the rows.
"""

import asyncio
import itertools
import random
import signal
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from db import outbox
from service.clock import now_ms
from service.sandbox.faults import Fault
from tests.engines import Engine, engine, until
from tests.processes import Starter

SLOW_S = 0.25
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(params=["embedded", "worker"])
async def rollcall(
    request: pytest.FixtureRequest, database_url: str, processes: Starter, tmp_path: Path
) -> AsyncIterator[Engine]:
    async with engine(database_url, request.param, tmp_path, processes) as found:
        yield found


# -- due -----------------------------------------------------------------------------------------------------------


async def test_what_is_due_is_delivered_once(rollcall: Engine) -> None:
    await rollcall.start(2)
    await rollcall.hear("user_0")
    for number in range(1, 6):
        await rollcall.say(f"user_{number}")
    await until(lambda: len(rollcall.pages()) == 6)
    await rollcall.settled()
    await asyncio.sleep(0.6)  # longer than any look into the queue
    assert (len(rollcall.sent("POST")), len(rollcall.sent("PATCH"))) == (6, 0)
    await rollcall.agreed()


async def test_what_became_due_while_nobody_delivered_is_delivered_at_the_start(rollcall: Engine) -> None:
    await rollcall.say("user_1")
    await rollcall.start()
    await until(lambda: len(rollcall.pages()) == 1)


async def test_what_is_due_later_is_delivered_then(rollcall: Engine) -> None:
    await rollcall.start()
    await rollcall.idle()
    reads = len(rollcall.world.requests.to("notion", "GET", "/v1/users"))
    due = now_ms() + 1_500
    await rollcall.database.write(outbox.mark, 1, ("notion",), "users", due)
    await until(lambda: len(rollcall.world.requests.to("notion", "GET", "/v1/users")) > reads)
    assert 0 <= now_ms() - due < 3_000


async def test_a_commit_is_followed_by_its_delivery(rollcall: Engine) -> None:
    await rollcall.start()
    await rollcall.hear("user_1", "Ada")
    await rollcall.settled()
    waits = []
    for number in range(8):
        await asyncio.sleep(0.05)
        sent = len(rollcall.sent())
        answered = await rollcall.hear("user_1", f"Ada {number}")
        await until(lambda sent=sent: len(rollcall.sent()) > sent)  # type: ignore[misc]
        waits.append(max(0.0, rollcall.sent()[sent].monotonic - answered))
        await rollcall.settled()
    p50, worst = statistics.median(waits) * 1000, max(waits) * 1000
    print(f"\nanswered to first request: p50 {p50:.0f} ms, worst {worst:.0f} ms")  # noqa: T201
    assert p50 < 1_000, waits


# -- one at a time -------------------------------------------------------------------------------------------------


async def test_no_key_is_ever_delivered_by_two_at_once(rollcall: Engine) -> None:
    await rollcall.start(2)
    rollcall.world.faults.add(platform="notion", path_prefix="/v1/pages", kind="slow", seconds=SLOW_S, times=None)
    for number in range(12):
        await rollcall.say("user_1", f"Ada {number}")
        await rollcall.say("user_2", f"Eve {number}")
        await asyncio.sleep(0.1)
    await rollcall.settled()
    for path in {request.path for request in rollcall.sent("PATCH")}:
        begun = [request.monotonic for request in rollcall.sent("PATCH", path)]
        assert [b - a for a, b in itertools.pairwise(begun) if b - a < SLOW_S] == []
    assert len(rollcall.sent("POST")) == 2
    await rollcall.agreed()


@pytest.mark.parametrize("committed", [False, True], ids=["during the request", "during the answer"])
@pytest.mark.parametrize("known", [False, True], ids=["create", "update"])
async def test_a_mark_raised_under_way_is_delivered_after(rollcall: Engine, known: bool, committed: bool) -> None:
    await rollcall.start()
    if known:
        await rollcall.say("user_1", "Nobody")
        await rollcall.settled()
    slow = rollcall.world.faults.add(path_prefix="/v1/pages", kind="slow", seconds=SLOW_S, committed=committed)
    await rollcall.say("user_1", "Ada")
    await until(lambda: slow.hits)
    await rollcall.say("user_1", "Augusta")
    await rollcall.settled()
    await rollcall.agreed()
    assert len(rollcall.sent("POST")) == 1


async def test_marks_raised_at_every_step_of_a_delivery_end_in_the_newest_state(rollcall: Engine) -> None:
    """Changes come every few milliseconds, so that they fall before, between and after all steps."""
    await rollcall.start(2)
    rng = random.Random(7)
    rollcall.world.faults.random(
        seed=1, probability=1.0, mix=[_slow(s, c) for s in (0.005, 0.02) for c in (True, False)], platform="notion"
    )
    for number in range(60):
        await rollcall.say(f"user_{rng.randrange(2)}", f"Ada {number}")
        await asyncio.sleep(rng.uniform(0, 0.02))
    await rollcall.settled()
    await rollcall.agreed()
    assert len(rollcall.sent("POST")) == 2
    assert {mark["status"] for mark in await rollcall.person_marks()} == {"settled"}


def _slow(seconds: float, committed: bool) -> Fault:
    return Fault(kind="slow", seconds=seconds, committed=committed)


# -- refusals and outages ------------------------------------------------------------------------------------------


async def refused(rollcall: Engine) -> None:
    """Notion refuses one person until they are dead."""
    rollcall.world.faults.add(platform="notion", path_prefix="/v1/pages", status=400, times=None)
    await rollcall.say("user_1")
    deadline = time.monotonic() + 30
    while (await rollcall.person_marks())[0]["status"] != "dead":
        assert time.monotonic() < deadline, rollcall.told()[-3000:]
        await asyncio.sleep(0.1)
        await rollcall.hurry()


async def test_a_mark_is_dead_after_its_sixth_refusal_with_one_alert(rollcall: Engine) -> None:
    await rollcall.start(2)
    await refused(rollcall)
    assert len(rollcall.sent()) == 6
    await rollcall.settled()
    assert ["refused person:1 6 times" in message["text"] for message in rollcall.world.slack.messages] == [True]
    await rollcall.hurry()
    await asyncio.sleep(0.6)
    assert len(rollcall.sent()) == 6


async def test_a_dead_mark_is_delivered_when_it_is_retried(rollcall: Engine) -> None:
    await rollcall.start()
    await refused(rollcall)
    rollcall.world.faults.calm()
    (mark,) = await rollcall.person_marks()
    assert await rollcall.database.write(outbox.retry, [mark["id"]], now_ms()) == 1
    await rollcall.settled()
    await rollcall.agreed()


async def test_a_sink_that_fails_is_paused_and_probed_and_no_mark_is_blamed(rollcall: Engine) -> None:
    await rollcall.start(2)
    await rollcall.settled()
    rollcall.world.faults.add(platform="notion", status=500, times=None)
    for number in range(10):
        await rollcall.say(f"user_{number}")
    await until(lambda: len(rollcall.sent()) >= 2)
    await asyncio.sleep(1.0)
    (gate,) = await rollcall.rows("SELECT * FROM limits WHERE name = 'notion'")
    assert gate["paused_at"] is not None
    assert len(rollcall.sent()) <= 10  # what was under way at first, and the probe at once
    assert {mark["attempts"] for mark in await rollcall.person_marks()} == {0}
    rollcall.world.faults.calm()
    await rollcall.pass_time()
    await until(lambda: len(rollcall.pages()) == 10)
    await rollcall.settled()
    await rollcall.agreed()
    (gate,) = await rollcall.rows("SELECT * FROM limits WHERE name = 'notion'")
    assert gate["paused_at"] is None


async def test_a_connection_that_drops_in_the_middle_of_a_delivery_makes_no_second_page(rollcall: Engine) -> None:
    await rollcall.start(2)
    rollcall.world.faults.add(method="POST", path_prefix="/v1/pages", kind="drop", committed=True)
    await rollcall.say("user_1")
    await rollcall.settled()
    await rollcall.agreed()


@pytest.mark.postgresql_only("a file has no connection to cut")
async def test_database_connections_cut_in_the_middle_of_a_delivery_make_no_second_page(rollcall: Engine) -> None:
    await rollcall.start(2)
    await rollcall.idle()
    slow = rollcall.world.faults.add(path_prefix="/v1/pages", kind="slow", seconds=SLOW_S, committed=True, times=4)
    for number in range(4):
        await rollcall.say(f"user_{number}")
    await until(lambda: slow.hits)
    assert len(await rollcall.rows(CUT)) > 4
    await rollcall.say("user_5")
    await asyncio.sleep(1.0)
    await rollcall.pass_time()  # what could not be settled has a lease to its end
    await rollcall.settled()
    await rollcall.agreed()
    assert len(rollcall.sent("POST")) == 5


# -- ends ----------------------------------------------------------------------------------------------------------


async def test_sigterm_finishes_what_is_under_way_and_leaves_the_rest(rollcall: Engine) -> None:
    await rollcall.start()
    await rollcall.settled()
    slow = rollcall.world.faults.add(path_prefix="/v1/pages", kind="slow", seconds=0.5, times=None)
    for number in range(8):
        await rollcall.say(f"user_{number}")
    await until(lambda: slow.hits == 4)
    began = time.monotonic()
    assert rollcall.end_deliverers(signal.SIGTERM) == [0]
    assert time.monotonic() - began < 8
    under_way = slow.hits  # on a slow machine some are done, and others begun, before the signal arrives
    assert 4 <= under_way < 8
    statuses = sorted(mark["status"] for mark in await rollcall.person_marks())
    assert statuses == ["due"] * (8 - under_way) + ["settled"] * under_way
    assert len(rollcall.pages()) == under_way
    await rollcall.start_deliverer()
    await rollcall.settled()
    await rollcall.agreed()
    assert "Traceback" not in rollcall.told()


async def test_what_a_killed_process_held_goes_again_when_its_lease_ends(rollcall: Engine) -> None:
    await rollcall.start()
    await rollcall.settled()
    slow = rollcall.world.faults.add(
        method="POST", path_prefix="/v1/pages", kind="slow", seconds=0.3, committed=True, times=None
    )
    await rollcall.say("user_1")
    await until(lambda: slow.hits)
    assert rollcall.end_deliverers(signal.SIGKILL) == [-signal.SIGKILL]
    await rollcall.start_deliverer()
    await asyncio.sleep(1.0)
    assert [mark["status"] for mark in await rollcall.person_marks()] == ["leased"]
    assert slow.hits == 1
    await rollcall.pass_time()
    await rollcall.settled()
    await rollcall.agreed()
    assert len(rollcall.sent("POST")) == 1
