"""S2.10: how much a whole cycle asks of Notion, what it says of the agreement, and when it runs."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from db.database import Database
from handlers.notion.calendar_cycle import AFTER_PLAN_MS, CHECK, JOB, daily_cycle, shown_after
from handlers.oncall import settings
from handlers.oncall.daily import daily_plan, next_run
from handlers.oncall.hours import local
from handlers.oncall.keys import CYCLE
from handlers.schedule import CLOCK, Job, Schedule, arm
from service.relay import SinkLoop
from service.settings import Settings
from tests.rota import (
    BERLIN,
    MONDAY,
    TODAY,
    agreed,
    at,
    compared,
    current,
    cycle,
    days,
    every_slot,
    go_to,
    past,
    put_many,
    rota,
)
from tests.stage import CONTEXT, Stage

NEXT_MONDAY = MONDAY + timedelta(days=7)
TWO_MINUTES_AT_3 = 2 * 60 * 3


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with rota(tmp_path) as stage:
        yield stage


async def test_s2_10_a_cycle_of_14_days_and_60_moves_fits_into_two_minutes_of_requests(tmp_path: Path) -> None:
    """14 days with 3 rotations to make, 60 pages of four weeks to move: counted at the sandbox."""
    four_weeks_ago = MONDAY - timedelta(days=28)
    async with rota(tmp_path, today=four_weeks_ago) as stage:
        await put_many(stage, every_slot(days(four_weeks_ago, 20)))
        await stage.run(500)
        assert len(current(stage)) == 60
        go_to(stage, at(TODAY))
        stage.world.requests.clear()
        await put_many(stage, every_slot(days(TODAY, 14, weekends=True)))
        await cycle(stage)
        asked = len(stage.world.requests)
        await agreed(stage)
        assert (len(current(stage)), len(past(stage))) == (42, 60)
        # 42 made; 60 moved and written again; the calendars read for the cycle, and again for its check
        assert 42 + 2 * 60 + 4 <= asked <= 42 + 2 * 60 + 6
        assert asked <= TWO_MINUTES_AT_3


async def test_s2_10_a_calendar_of_several_pages_is_read_to_the_end(stage: Stage) -> None:
    await put_many(stage, every_slot(days(MONDAY, 75)))
    await stage.run(1000)
    stage.world.requests.clear()
    found = await compared(stage)
    assert (found.records, found.pages, found.drifts) == (225, 225, [])
    assert len(stage.world.requests.to("notion", "POST")) == 3 + 1


async def test_s2_10_the_agreement_is_measured_after_the_repairs_and_said_in_a_line(stage: Stage) -> None:
    await put_many(stage, every_slot([TODAY]), mark=False)
    with capture_logs() as logs:
        await cycle(stage)
    lines = [line for line in logs if line["event"] == "calendar_compared"]
    assert [(line["shifts"], line["agreement"], line["drift"]) for line in lines] == [
        (3, 0.0, {"missing": 3}),
        (3, 1.0, {}),
    ]
    assert {key for key in await stage.marks() if key.startswith(CYCLE)} == {CYCLE, CHECK}


async def test_s2_10_what_is_on_its_way_is_neither_agreement_nor_drift(stage: Stage) -> None:
    await put_many(stage, every_slot([TODAY]))
    found = await compared(stage)
    assert (found.drifts, found.unsettled) == ([], 3)


async def test_s2_10_requests_reuse_their_connections(stage: Stage) -> None:
    await put_many(stage, every_slot(days(TODAY, 10)))
    await stage.run(500)
    connections = {request.call.port for request in stage.world.requests}
    assert len(stage.world.requests) == 30
    assert len(connections) <= stage.loop.sink.concurrency


async def test_s2_10_no_second_has_more_requests_than_the_limit(tmp_path: Path) -> None:
    async with rota(tmp_path, interval_ms=100) as stage:
        await put_many(stage, every_slot(days(TODAY, 3)))
        await stage.loop.drain()
        await agreed(stage)
        assert stage.world.requests.busiest(0.95) <= 11


# -- when it runs --


def schedule(stage: Stage) -> SinkLoop:
    jobs = [daily_cycle(CONTEXT)]
    return SinkLoop(stage.database, Schedule(jobs, CONTEXT, stage.clock), CONTEXT, stage.clock)


async def test_s2_3_the_clock_raises_a_cycle_at_every_start_and_after_each_days_plan(stage: Stage) -> None:
    await stage.database.write(arm, [daily_cycle(CONTEXT)], CONTEXT, stage.clock())
    await schedule(stage).drain()
    assert (await stage.marks())[CYCLE]["status"] == "due"
    armed = (await stage.marks(CLOCK))[JOB]
    chosen = await stage.database.read(settings.load, CONTEXT)
    assert armed["available_at"] == next_run(chosen, stage.clock()) + AFTER_PLAN_MS
    assert list(stage.world.requests) == []  # the clock asks Notion for nothing


async def test_s2_3_a_cycle_follows_each_plan_that_did_not_fail(stage: Stage) -> None:
    async def fails(_database: Database, _now: int) -> int:
        raise RuntimeError

    for plan, expected in ((Job("oncall:plan", fails), set()), (daily_plan(CONTEXT), {CYCLE})):
        job = shown_after(plan, CONTEXT)
        await stage.database.write(arm, [job], CONTEXT, stage.clock())
        await SinkLoop(stage.database, Schedule([job], CONTEXT, stage.clock), CONTEXT, stage.clock).drain()
        assert (await stage.marks()).keys() & {CYCLE} == expected


async def test_s2_3_a_notion_that_hangs_does_not_hold_up_the_clock(stage: Stage) -> None:
    stage.world.faults.add(platform="notion", kind="drop", times=None)
    await stage.database.write(arm, [daily_cycle(CONTEXT)], CONTEXT, stage.clock())
    await schedule(stage).drain()
    await stage.round()
    assert (await stage.marks(CLOCK))[JOB]["status"] == "due"
    assert (await stage.gate(CLOCK)).paused is False
    assert (await stage.gate()).paused is True


async def test_s2_9_on_monday_the_clocks_cycle_moves_the_old_week(stage: Stage) -> None:
    await put_many(stage, every_slot(days(MONDAY, 10)))
    await stage.run(500)
    await stage.database.write(arm, [daily_cycle(CONTEXT)], CONTEXT, stage.clock())
    clock = schedule(stage)
    for _ in range(6):
        await clock.drain()
        await stage.run(500)
        assert (len(current(stage)), len(past(stage))) == (
            (30, 0) if local(stage.clock(), BERLIN).date() < NEXT_MONDAY else (15, 15)
        )
        stage.clock.skip_to((await stage.marks(CLOCK))[JOB]["available_at"])
    assert local(stage.clock(), BERLIN).date() > NEXT_MONDAY
    await agreed(stage)


def test_s2_8_the_calendar_is_on_with_both_ids_and_off_without_either() -> None:
    both = {"notion_calendar_data_source_id": "a", "notion_past_calendar_data_source_id": "b"}
    token = {"notion_api_token": "ntn_x"}
    assert Settings(_env_file=None, **token, **both).sinks == {"notion"}  # type: ignore[arg-type]
    assert Settings(_env_file=None, **both).sinks == frozenset()  # type: ignore[arg-type]
    for name in both:
        only = Settings(_env_file=None, **token, **{name: "a"})  # type: ignore[arg-type]
        assert (only.calendar, only.sinks) == (None, frozenset())
