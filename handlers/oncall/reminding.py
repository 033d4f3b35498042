"""A message to whoever is on call, the working day before, once for each shift and person; nobody is: an alert."""

from collections.abc import Collection, Iterator
from datetime import date, datetime, time, timedelta

from sqlalchemy import Connection

from db import oncall, oncall_holidays, outbox
from db.database import Database
from db.oncall import Duty
from db.oncall_holidays import WORKED
from handlers.alerts import alert
from handlers.oncall import settings
from handlers.oncall.hours import local
from handlers.oncall.keys import REMIND, SLACK, message_key
from handlers.oncall.settings import OnCallSettings
from handlers.registry import Context
from handlers.schedule import Job

AT = time(9)  # on the workspace's clocks
HOUR_MS = 3_600_000
AHEAD = timedelta(days=14)  # longer than any run of free days that a reminder has to reach over
ONE_DAY = timedelta(days=1)


def reminders(context: Context) -> Job:
    async def run(database: Database, now: int) -> int:
        return await database.write(_remind, context, now)

    return Job(REMIND, run)


def _remind(tx: Connection, context: Context, now: int) -> int:
    """Post what is due, late rather than not at all; returns when to look again (ms)."""
    chosen = settings.load(tx, context)
    today = chosen.today(now)
    known = oncall_holidays.all_from(tx, context.workspace_id, today - AHEAD)
    free = {one.date for one in known if one.source != WORKED}
    for duty in oncall.between(tx, context.workspace_id, today + ONE_DAY, today + AHEAD):
        if _due(duty.planned.date, free, chosen) <= now:
            _say(tx, context, duty, _text(duty, chosen), now)
    mornings = (_morning(day, chosen) for day in (today, today + ONE_DAY))
    return min([now + HOUR_MS, *(at for at in mornings if at > now)])


def _say(tx: Connection, context: Context, duty: Duty, text: str, now: int) -> None:
    slot = f"{duty.planned.date}:{duty.planned.rotation}"
    if duty.final_id is None:  # the alert of the plan that left it so may be weeks old
        alert(tx, context, f"oncall-unfilled:{slot}", text, now)
        return
    payload = {"person": duty.final_id, "text": text}
    outbox.post(tx, context.workspace_id, SLACK, message_key(f"reminder:{slot}", duty.final_id), payload, now)


def _due(day: date, free: Collection[date], chosen: OnCallSettings) -> int:
    """The morning of the working day before, ms."""
    working = chosen.rules.working_days
    earlier: Iterator[date] = (day - timedelta(days=back) for back in range(1, AHEAD.days))
    before = next((one for one in earlier if one.weekday() in working and one not in free), day - ONE_DAY)
    return _morning(before, chosen)


def _morning(day: date, chosen: OnCallSettings) -> int:
    return round(datetime.combine(day, AT, chosen.tz).timestamp() * 1000)


def _text(duty: Duty, chosen: OnCallSettings) -> str:
    row = duty.planned
    start, end = (local(at, chosen.tz) for at in (row.starts_at, row.ends_at))
    when = f"on {row.date:%a %Y-%m-%d}: {row.rotation}, {start:%H:%M}-{end:%H:%M} ({chosen.zone})"
    if duty.final_id is None:
        return f"Nobody is on call {when}. `rollcall oncall why` says why; override it with somebody."
    return f"You are on call {when}."
