"""Weeks in which the clocks change: Notion shows the instants a shift begins and ends, and keeps them (S2.1, S2.4)."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from handlers.notion.table import KEY
from handlers.oncall.settings import NAMES
from tests.rota import (
    agreed,
    at,
    current,
    cycle,
    days,
    duties,
    every_slot,
    go_to,
    ids,
    instant_pair,
    past,
    put_many,
    rota,
)
from tests.stage import Stage

# zone, the day whose clocks change, how far they jump
CHANGES = [
    ("Europe/Berlin", date(2027, 3, 28), timedelta(hours=1)),
    ("Europe/Berlin", date(2027, 10, 31), timedelta(hours=-1)),
    ("America/New_York", date(2027, 3, 14), timedelta(hours=1)),
    ("America/New_York", date(2027, 11, 7), timedelta(hours=-1)),
    ("Australia/Lord_Howe", date(2027, 4, 4), timedelta(minutes=-30)),
    ("Australia/Lord_Howe", date(2027, 10, 3), timedelta(minutes=30)),
]
ALL_WEEK = "Mon,Tue,Wed,Thu,Fri,Sat,Sun"
HOURS = {"am": "01:45-02:15", "core": "12:00-18:00", "pm": "22:00-06:00"}  # in the change, beside it, across it


def held(stage: Stage) -> dict[str, tuple[int, int]]:
    """What Notion holds, as instants by key."""
    return {row[KEY]: instant_pair(row["Date"]) for row in (*current(stage), *past(stage))}


async def planned(stage: Stage) -> dict[str, tuple[int, int]]:
    return {
        f"shift:{one.planned.date}:{one.planned.rotation}": (one.planned.starts_at, one.planned.ends_at)
        for one in await duties(stage)
    }


@pytest.mark.parametrize(("zone", "day", "jump"), CHANGES)
async def test_s2_1_shifts_around_a_change_of_the_clock_are_the_instants_they_are(
    tmp_path: Path, zone: str, day: date, jump: timedelta
) -> None:
    tz = ZoneInfo(zone)
    first = day - timedelta(days=day.weekday())
    around = days(first, 10, weekends=True)
    async with rota(tmp_path, today=first, zone=zone, working_days=ALL_WEEK, **HOURS) as stage:
        await put_many(stage, every_slot(around))
        await stage.run(500)
        assert held(stage) == await planned(stage)
        before, after = (_core(stage, one) for one in (day - timedelta(days=1), day + timedelta(days=1)))
        assert before[:2] == after[:2] == ("12:00", "18:00")  # the wall clock goes on as it did
        assert after[2] - before[2] == jump  # and the offset is another
        lengths = {end - start for start, end in held(stage).values()}
        assert min(lengths) > 0
        stage.world.requests.clear()
        await cycle(stage)
        assert stage.world.requests.writes("notion") == []
        go_to(stage, at(first + timedelta(days=7), 12, tz))
        await cycle(stage)
        await agreed(stage)
        assert held(stage) == await planned(stage)
        assert len(past(stage)) == 7 * len(NAMES)


def _core(stage: Stage, day: date) -> tuple[str, str, timedelta]:
    """The wall clock and the offset Notion shows for that day's Core."""
    (row,) = [one for one in current(stage) if one[KEY] == f"shift:{day}:Core"]
    start, end = (datetime.fromisoformat(row["Date"][name]) for name in ("start", "end"))
    offset = start.utcoffset()
    assert offset is not None
    return f"{start:%H:%M}", f"{end:%H:%M}", offset


@pytest.mark.parametrize(("zone", "day", "jump"), CHANGES)
async def test_s2_4_another_zone_of_the_same_instants_is_no_difference(
    tmp_path: Path, zone: str, day: date, jump: timedelta
) -> None:
    """Notion folds a zone into an offset; somebody may have set another in the app. Instants are what is compared."""
    async with rota(tmp_path, today=day, zone=zone, working_days=ALL_WEEK, **HOURS) as stage:
        await put_many(stage, every_slot([day]))
        await stage.run()
        for page in stage.world.notion.pages_of(ids(stage).current):
            pair = instant_pair(page["properties"]["Date"]["date"])
            start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in pair)
            folded = {
                "start": f"{start:%Y-%m-%dT%H:%M:47+00:00}",
                "end": end.astimezone(ZoneInfo("Asia/Tokyo")).isoformat(),
            }
            stage.world.notion.edit(page["id"], {"Date": {"date": folded}})
        stage.world.requests.clear()
        await cycle(stage)
        await agreed(stage)
        assert stage.world.requests.writes("notion") == []


async def test_s2_1_a_time_that_comes_twice_is_written_so_that_it_can_be_told_apart(tmp_path: Path) -> None:
    """With a zone's name instead of an offset, 02:30 on that night would be either of two instants."""
    day = date(2027, 10, 31)
    async with rota(tmp_path, today=day, zone="Europe/Berlin", working_days=ALL_WEEK, am="01:30-02:30") as stage:
        await put_many(stage, [(day, "AM")])
        await stage.run()
        (row,) = current(stage)
        assert (row["Date"]["start"], row["Date"]["end"]) == (
            "2027-10-31T01:30:00.000+02:00",
            "2027-10-31T02:30:00.000+02:00",
        )
        (sent,) = [one.json["properties"]["Date"]["date"] for one in stage.world.requests.writes("notion")]
        assert sent == {"start": "2027-10-31T01:30:00+02:00", "end": "2027-10-31T02:30:00+02:00"}
