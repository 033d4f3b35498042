"""The schedule is planned by itself: daily at the workspace's hour, whatever Notion does (S2.3)."""

from datetime import date

import pytest

from db import people
from db.database import Database
from db.outbox import Claim
from db.people import Person
from handlers.oncall.daily import daily_plan, next_run
from handlers.oncall.keys import CALENDAR, PLAN
from handlers.oncall.settings import OnCallSettings
from handlers.registry import Context, Delivered, SinkDown
from handlers.schedule import Schedule, arm
from service.relay import Relay
from tests.conftest import Rows
from tests.handlers.oncall.team import MONDAY, at, in_days

CONTEXT = Context(sinks=frozenset({CALENDAR}))


class BrokenCalendar:
    """The other side is down, all the time."""

    name = CALENDAR
    concurrency = 1

    async def deliver(self, database: Database, claim: Claim) -> Delivered:  # noqa: ARG002 - the Sink protocol
        raise SinkDown("Notion: 503")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("zone", "now", "then"),
    [
        ("UTC", at(MONDAY, "01:59"), at(MONDAY, "02:00")),
        ("UTC", at(MONDAY, "02:00"), at(in_days(1), "02:00")),
        ("America/New_York", at(MONDAY, "08:00"), at(in_days(1), "07:00")),
        ("Europe/Berlin", at(date(2027, 3, 27), "12:00"), at(date(2027, 3, 28), "01:00")),
        ("Europe/Berlin", at(date(2027, 3, 28), "12:00"), at(date(2027, 3, 29), "00:00")),
    ],
)
def test_it_runs_at_the_workspace_s_own_hour_across_changes_of_the_clock(zone: str, now: int, then: int) -> None:
    assert next_run(OnCallSettings(zone=zone), now) == then


async def test_a_failing_notion_never_fails_generation(database: Database, rows: Rows) -> None:
    for name, pool in (("Ada", "AM"), ("Ben", "AM"), ("Pia", "PM")):
        person = Person(None, f"{name}@example.com".lower(), name, None, None, None, None, "member", "active")
        user_id = await database.write(people.add, person, 0)
        await database.write(people.set_rotations, 1, user_id, [pool])
    job = daily_plan(CONTEXT)
    clock = Schedule([job], CONTEXT, lambda: at(MONDAY))
    relay = Relay(database, [clock, BrokenCalendar()], CONTEXT, lambda: at(MONDAY))
    await database.write(arm, [job], CONTEXT, at(MONDAY))
    await relay.drain()
    planned = rows("SELECT count(*) AS n FROM oncall_schedule")[0]["n"]
    assert planned > 100
    marks = rows("SELECT status, count(*) AS n FROM sync_actions WHERE sink = :sink GROUP BY status", sink=CALENDAR)
    assert marks == [{"status": "due", "n": planned}]
    again = rows("SELECT status, available_at FROM sync_actions WHERE key = :key", key=PLAN)
    assert again == [{"status": "due", "available_at": at(in_days(1), "02:00")}]
