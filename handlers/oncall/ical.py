"""Shifts as an iCalendar document (RFC 5545): instants in UTC, so every reader's clock shows its own right time."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from icalendar import Calendar, Event
from sqlalchemy import Connection

from db import oncall
from db.oncall import Duty
from db.oncall_feeds import Feed
from handlers.oncall import settings
from handlers.oncall.situation import FAR
from handlers.registry import Context

PAST = timedelta(days=31)  # what is older is in the schedule, not in a calendar
REFRESH = timedelta(hours=1)


def document(tx: Connection, feed: Feed, now: int) -> bytes:
    """A feed's calendar: equal bytes while nothing in it changes."""
    context = Context(workspace_id=feed.workspace_id)
    today = settings.load(tx, context).today(now)
    duties = oncall.between(tx, feed.workspace_id, today - PAST, FAR)
    mine = [duty for duty in duties if feed.user_id in (None, duty.final_id)]
    return calendar(mine, feed)


def calendar(duties: Iterable[Duty], feed: Feed) -> bytes:
    found = Calendar()
    found.add("prodid", "-//Rollcall//On call//EN")
    found.add("version", "2.0")
    found.add("x-wr-calname", "On call" if feed.user_id is None else "My on-call shifts")
    found.add("refresh-interval", REFRESH, parameters={"value": "DURATION"})
    for duty in duties:
        found.add_component(_event(duty, feed))
    return bytes(found.to_ical())


def _event(duty: Duty, feed: Feed) -> Event:
    row = duty.planned
    who = duty.final_name or "nobody"
    event = Event()
    event.add("uid", f"{feed.workspace_id}-{row.date.isoformat()}-{row.rotation}@rollcall")
    event.add("dtstamp", _stamp(duty))
    event.add("dtstart", _utc(row.starts_at))
    event.add("dtend", _utc(row.ends_at))
    event.add("summary", f"{row.rotation} on call" if feed.user_id is not None else f"{row.rotation} on call: {who}")
    event.add("transp", "TRANSPARENT")
    if duty.override is not None:
        event.add("description", f"{who} instead of {row.name or 'nobody'}: {duty.override.reason}")
    return event


def _stamp(duty: Duty) -> datetime:
    """When it was last changed: a run's id begins with its time."""
    if duty.override is not None:
        return _utc(duty.override.created_at)
    return datetime.fromisoformat(duty.planned.run_id[:20])


def _utc(instant: int) -> datetime:
    return datetime.fromtimestamp(instant // 1000, UTC)
