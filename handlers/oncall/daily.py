"""The schedule is planned by itself: every day at the workspace's hour, and soon after people came or went (S2.3)."""

from datetime import datetime, time, timedelta

from db.database import Database
from handlers.oncall import settings
from handlers.oncall.desk import Desk
from handlers.oncall.hours import local
from handlers.oncall.keys import PLAN
from handlers.oncall.refusal import Changed
from handlers.oncall.requests import Replan
from handlers.oncall.settings import OnCallSettings
from handlers.registry import Context
from handlers.schedule import Job

AGAIN_MS = 60_000  # after others changed the schedule while it was planned


def daily_plan(context: Context) -> Job:
    """Plans from today to the horizon. What shows the schedule elsewhere is marked in the same commit, and may fail."""

    async def run(database: Database, now: int) -> int:
        try:
            await Desk(database, context).confirm(Replan(anyway=True), None, now)
        except Changed:
            return now + AGAIN_MS
        return next_run(await database.read(settings.load, context), now)

    return Job(PLAN, run)


def next_run(chosen: OnCallSettings, now: int) -> int:
    """The next time the workspace's clocks show its hour of planning, ms."""
    hour = time.fromisoformat(chosen.plan_at)
    today = local(now, chosen.tz).date()
    for day in (today, today + timedelta(days=1)):
        at = round(datetime.combine(day, hour, chosen.tz).timestamp() * 1000)
        if at > now:
            return at
    return now + 86_400_000  # a clock that was set back by a day
