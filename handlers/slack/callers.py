"""Who is asking: the person a Slack account belongs to, and the time zone they read times in."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from db import people, user_data
from db.oncall import Duty
from handlers.oncall import settings
from handlers.oncall.hours import local
from handlers.oncall.refusal import Refusal
from handlers.registry import Context


@dataclass(frozen=True, slots=True)
class Caller:
    """`id` is a row of `users`."""

    id: int
    slack_id: str
    name: str
    zone: ZoneInfo


def caller(tx: Connection, context: Context, slack_id: str) -> Caller:
    """Refusal where the account belongs to nobody."""
    found = people.find(tx, slack_id)
    if found is None or found["slack_user_id"] != slack_id:
        raise Refusal(
            f"I do not know whose account {slack_id} is: confirm the e-mail address of your Slack account,"
            " the one your organisation knows you by; or ask an administrator to run `rollcall import slack`."
        )
    return Caller(int(found["id"]), slack_id, found["name"], zone_of(tx, context, int(found["id"])))


def zone_of(tx: Connection, context: Context, person: int) -> ZoneInfo:
    """A person's own zone, else the workspace's."""
    preferences = user_data.load(tx, person).get("preferences") or {}
    try:
        return ZoneInfo(preferences["timezone"])
    except (KeyError, ValueError, OSError):  # none, or a name that no zone has
        return settings.load(tx, context).tz


def hours(duty: Duty, zone: ZoneInfo) -> str:
    """`Mon 2026-12-07 09:00-12:00`, on the reader's wall clock."""
    start, end = (local(at, zone) for at in (duty.planned.starts_at, duty.planned.ends_at))
    return f"{start:%a %Y-%m-%d %H:%M}-{_end(start, end)}"


def _end(start: datetime, end: datetime) -> str:
    return f"{end:%H:%M}" if start.date() == end.date() else f"{end:%a %H:%M}"
