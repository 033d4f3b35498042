"""A schedule and its Notion calendars, for tests: shifts put down by hand, on days that are always the same."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from db import oncall, outbox, people
from db.oncall import Duty, Override, Planned
from handlers.notion import calendar_cycle
from handlers.notion.calendar import Calendars, frame, render_between
from handlers.notion.calendar_cycle import ShiftPages
from handlers.notion.comparing import Comparison
from handlers.oncall import settings
from handlers.oncall.hours import instants
from handlers.oncall.keys import CYCLE, shift_key
from handlers.oncall.model import Slot
from handlers.oncall.settings import NAMES, OnCallSettings
from handlers.pages import Page
from tests.stage import CONTEXT, Row, Stage, staged

BERLIN = ZoneInfo("Europe/Berlin")
TODAY = date(2027, 1, 13)  # a Wednesday
MONDAY = TODAY - timedelta(days=2)
LONG_AGO = date(2000, 1, 1)


def at(day: date, hour: int = 10, zone: ZoneInfo = BERLIN) -> int:
    """An instant on that day, ms."""
    return round(datetime(day.year, day.month, day.day, hour, tzinfo=zone).timestamp() * 1000)


@contextlib.asynccontextmanager
async def rota(folder: Path, interval_ms: int = 0, today: date = TODAY, **chosen: Any) -> AsyncIterator[Stage]:
    """Three people (user rows 1 to 3), none of them in Notion yet, and a workspace in Berlin unless told otherwise."""
    async with staged(folder, interval_ms=interval_ms, calendar=True) as stage:
        wanted = OnCallSettings.model_validate({"zone": "Europe/Berlin", **chosen})
        go_to(stage, at(today, zone=wanted.tz))
        await stage.database.write(settings.store, CONTEXT, wanted, stage.clock())
        for name in ("Ada", "Bob", "Cy"):
            await stage.say(f"user_{name.lower()}", name)
        await stage.run()
        stage.world.requests.clear()
        yield stage


def go_to(stage: Stage, now: int) -> None:
    """Set the time, backwards too."""
    stage.clock.skipped += now - stage.clock()


def ids(stage: Stage) -> Calendars:
    assert stage.calendars is not None
    return stage.calendars


async def put(
    stage: Stage, day: date, rotation: str = "AM", who: int | None = 1, instead: int | None = None, *, mark: bool = True
) -> str:
    """One shift as it shall be, `instead` serving it where that is given; its key."""
    return (await put_many(stage, [(day, rotation)], who, instead, mark=mark))[0]


async def put_many(
    stage: Stage,
    slots: Iterable[tuple[date, str]],
    who: int | None = 1,
    instead: int | None = None,
    *,
    mark: bool = True,
) -> list[str]:
    wanted = [Slot(*one) for one in slots]
    keys = [shift_key(slot) for slot in wanted]
    await stage.database.write(_put, wanted, who, instead, stage.clock())
    if mark:
        await stage.database.write(outbox.mark_many, 1, "notion", keys, stage.clock())
    return keys


def _put(tx: Connection, slots: list[Slot], who: int | None, instead: int | None, now: int) -> None:
    chosen = settings.load(tx, CONTEXT)
    rotations = {rotation.name: rotation for rotation in chosen.rules.rotations}
    person = people.get(tx, who) if who else None
    other = people.get(tx, instead) if instead else None
    for slot in slots:
        starts_at, ends_at = instants(slot.date, rotations[slot.rotation], chosen.tz)
        named = (person.email, person.name) if person else (None, None)
        row = Planned(*slot, who, *named, starts_at, ends_at, "run", pinned=False, reason={})
        oncall.put(tx, 1, [row], LONG_AGO)
        oncall.lift(tx, 1, *slot, LONG_AGO)
        if other and instead:
            oncall.override(tx, 1, Override(*slot, instead, other.email, other.name, "", None, now), LONG_AGO)


async def drop(stage: Stage, day: date, rotation: str = "AM", *, mark: bool = True) -> None:
    """Take a shift out of the schedule."""
    await stage.database.write(oncall.drop, 1, day, rotation, LONG_AGO)
    if mark:
        await stage.database.write(outbox.mark, 1, ("notion",), shift_key(Slot(day, rotation)), stage.clock())


def days(first: date, count: int, *, weekends: bool = False) -> list[date]:
    """So many days from `first` on, working days unless told otherwise."""
    found, day = [], first
    while len(found) < count:
        if weekends or day.weekday() < 5:
            found.append(day)
        day += timedelta(days=1)
    return found


def every_slot(wanted: Iterable[date]) -> list[tuple[date, str]]:
    return [(day, rotation) for day in wanted for rotation in NAMES]


async def cycle(stage: Stage) -> None:
    """The clock says that it is time; deliver until nothing is left."""
    await stage.database.write(outbox.mark, 1, ("notion",), CYCLE, stage.clock())
    await stage.run(1000)


async def kind(stage: Stage, *, whole: bool = True) -> ShiftPages:
    api = stage.loop.sink._api  # type: ignore[attr-defined]
    return await calendar_cycle.shift_pages(stage.database, api, ids(stage), CONTEXT, stage.clock(), whole=whole)


async def compared(stage: Stage) -> Comparison:
    return (await calendar_cycle.look(stage.database, await kind(stage))).comparison


def current(stage: Stage, *, trashed: bool = False) -> list[Row]:
    return stage.world.notion.rows(ids(stage).current, trashed=trashed)


def past(stage: Stage, *, trashed: bool = False) -> list[Row]:
    return stage.world.notion.rows(ids(stage).past, trashed=trashed)


def keys_of(rows: Iterable[Row]) -> list[str]:
    return sorted(str(row["Rollcall key"]) for row in rows)


def page_of(stage: Stage, data_source_id: str, key: str) -> str:
    """The id of the one page with this key."""
    found = [
        page["id"]
        for page in stage.world.notion.pages_of(data_source_id)
        if [part["plain_text"] for part in page["properties"]["Rollcall key"]["rich_text"]] == [key]
    ]
    assert len(found) == 1
    return str(found[0])


def instant_pair(value: dict[str, str]) -> tuple[int, int]:
    """A date property as Notion reads it back, as ms."""
    start, end = (round(datetime.fromisoformat(value[name]).timestamp() * 1000) for name in ("start", "end"))
    return start, end


async def wanted(stage: Stage) -> dict[str, Page]:
    """What the database wants to be shown, all of it."""

    def read(tx: Connection) -> dict[str, Page]:
        return render_between(tx, CONTEXT, LONG_AGO, date(2100, 1, 1), frame(tx, CONTEXT, stage.clock()))

    return await stage.database.read(read)


async def duties(stage: Stage) -> list[Duty]:
    return await stage.database.read(oncall.between, 1, LONG_AGO, date(2100, 1, 1))


async def agreed(stage: Stage) -> None:
    """Every shift has one page, in the right calendar, and it shows what it should (S2.10)."""
    found = await compared(stage)
    assert (found.drifts, found.unsettled, found.agreement) == ([], 0, 1.0)
    assert keys_of([*current(stage), *past(stage)]) == sorted(await wanted(stage))
