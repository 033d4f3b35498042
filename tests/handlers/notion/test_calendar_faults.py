"""Notion fails while shifts are delivered and moved: no page twice, none lost, agreement in the end (S2.7, S2.10)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from db import outbox
from service.sandbox.faults import notion_mix
from tests.rota import MONDAY, agreed, at, current, cycle, days, every_slot, go_to, past, put_many, rota
from tests.stage import Stage

NEXT_MONDAY = MONDAY + timedelta(days=7)
SLOTS = every_slot(days(MONDAY, 10))
FEW = every_slot(days(MONDAY + timedelta(days=3), 4))  # two days of each week: more than are on their way at once
FAULTS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "retry_after": 1},
    "409": {"status": 409},
    "503": {"status": 503},
    "503 committed": {"status": 503, "committed": True},
    "503 committed and named": {"status": 503, "committed": True, "named": True},
    "504 committed": {"status": 504, "committed": True},
    "dropped": {"kind": "drop"},
    "dropped after commit": {"kind": "drop", "committed": True},
    "not JSON, committed": {"kind": "garbage", "committed": True},
    "HTML, committed": {"kind": "html", "status": 502, "committed": True},
}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with rota(tmp_path) as stage:
        yield stage


async def nothing_is_lost_or_doubled(stage: Stage, each: int = 15) -> None:
    """So many shifts in each of the calendars, once."""
    await agreed(stage)
    assert (len(current(stage)), len(past(stage))) == (each, each)
    assert current(stage, trashed=True) == past(stage, trashed=True) == []
    assert [one for one in await stage.alerts() if "dead" in one] == []


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("step", ["create", "move", "re-assert"])
async def test_a_failure_at_each_step_leaves_one_page_a_shift(stage: Stage, step: str, how: str) -> None:
    where = {
        "create": {"method": "POST", "path_prefix": "/v1/pages", "contains": "Rotation"},
        "move": {"method": "POST", "path_prefix": "/v1/pages/"},
        "re-assert": {"method": "PATCH", "path_prefix": "/v1/pages/"},
    }[step]
    stage.world.faults.add(platform="notion", times=3, skip=1, **where, **FAULTS[how])
    await put_many(stage, FEW)
    await stage.run(500)
    go_to(stage, at(NEXT_MONDAY))
    await cycle(stage)
    assert len([one for one in stage.world.requests if one.fault]) == 3
    await nothing_is_lost_or_doubled(stage, 6)


@pytest.mark.parametrize("seed", range(3))
async def test_a_bad_day_of_every_fault_at_random_ends_in_agreement(stage: Stage, seed: int) -> None:
    chance = stage.world.faults.random(seed=seed, probability=0.4, platform="notion", mix=notion_mix())
    stage.world.notion.store.lost_in_moves = None
    await put_many(stage, SLOTS)
    await stage.run(2000)
    go_to(stage, max(at(NEXT_MONDAY), stage.clock()))
    await cycle(stage)
    assert chance.hits > 12
    stage.world.faults.calm()
    await cycle(stage)
    await agreed(stage)
    assert len([*current(stage), *past(stage)]) == 30


async def test_s2_10_a_429_during_moves_spends_no_attempt_and_waits_as_told(stage: Stage) -> None:
    await put_many(stage, SLOTS)
    await stage.run(500)
    go_to(stage, at(NEXT_MONDAY))
    stage.world.faults.add(platform="notion", path_prefix="/v1/pages/", status=429, retry_after=30, times=2)
    began = stage.clock()
    await cycle(stage)
    assert stage.clock() - began >= 30_000
    await nothing_is_lost_or_doubled(stage)
    assert {mark["attempts"] for mark in (await stage.marks()).values()} == {0}


@pytest.mark.parametrize("step", ["create", "move"])
async def test_killed_between_the_request_and_remembering_it(stage: Stage, step: str) -> None:
    """The process is gone after Notion did it: its leases end, and whoever comes next looks first."""
    await put_many(stage, SLOTS)
    if step == "move":
        await stage.run(500)
        go_to(stage, at(NEXT_MONDAY))
        await stage.database.write(_mark_all, stage.clock())
    path = "/v1/pages/" if step == "move" else "/v1/pages"
    stage.world.faults.add(
        platform="notion", method="POST", path_prefix=path, kind="hang", seconds=30, committed=True, times=4
    )
    work = await stage.take()
    dying = asyncio.create_task(stage.deliver(work))
    while len([one for one in stage.world.requests if one.fault]) < 4:  # noqa: ASYNC110 - the sandbox has no event
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    stage.clock.skip(61_000)
    await stage.run(500)
    go_to(stage, max(at(NEXT_MONDAY), stage.clock()))
    await cycle(stage)
    await nothing_is_lost_or_doubled(stage)


def _mark_all(tx: Connection, now: int) -> None:
    outbox.mark_many(tx, 1, "notion", [f"shift:{day}:{rotation}" for day, rotation in SLOTS[:15]], now)


async def test_s2_10_two_processes_move_the_same_week_once(stage: Stage) -> None:
    await put_many(stage, SLOTS)
    await stage.run(500)
    other = await stage.second()
    go_to(stage, at(NEXT_MONDAY))
    stage.world.requests.clear()
    await asyncio.gather(cycle(stage), cycle(other))
    await nothing_is_lost_or_doubled(stage)
    moves = [one for one in stage.world.requests if one.path.endswith("/move")]
    assert len(moves) == 15


async def test_s2_10_at_least_99_of_100_syncs_succeed_on_a_day_without_faults(stage: Stage) -> None:
    await put_many(stage, SLOTS)
    await stage.run(500)
    go_to(stage, at(NEXT_MONDAY))
    await cycle(stage)
    found = await stage.rows("SELECT outcome, count(*) AS n FROM sync_logs WHERE key LIKE 'shift:%' GROUP BY outcome")
    assert {row["outcome"]: row["n"] for row in found} == {"delivered": 45}


async def test_a_notion_that_may_not_be_written_where_the_past_is_pauses_and_loses_nothing(stage: Stage) -> None:
    await put_many(stage, SLOTS)
    await stage.run(500)
    stage.world.notion.unshare(stage.calendars.past if stage.calendars else "")
    go_to(stage, at(NEXT_MONDAY))
    await stage.database.write(_mark_all, stage.clock())
    for _ in range(4):
        await stage.round()
        stage.clock.skip(60_000)
    assert "not there, or not shared" in ((await stage.gate()).reason or "")
    stage.world.notion.store.unshared.clear()
    await stage.run(500)
    await cycle(stage)
    await nothing_is_lost_or_doubled(stage)
