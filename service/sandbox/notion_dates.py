"""How Notion bends time: minutes only, the zone folded into an offset, and windows such as `this_week`."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.sandbox.notion_errors import invalid, malformed
from service.sandbox.wire import Json

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_KEYS = frozenset(("start", "end", "time_zone"))


def stamp(moment: datetime) -> str:
    """`created_time` and `last_edited_time`: `2026-07-04T09:09:00.000Z`."""
    return f"{moment:%Y-%m-%dT%H:%M}:00.000Z"


def written_date(value: object, path: str) -> Json | None:
    """A date property as it will be read back; 400 for what Notion would not take."""
    if value is None:
        return None
    if not isinstance(value, dict):
        malformed(path, "an object or `null`", value)
    for key in value.keys() - _KEYS:
        malformed(f"{path}.{key}", "not present", value[key])
    zone = _zone(value.get("time_zone"), f"{path}.time_zone")
    start = _moment(value.get("start"), zone, f"{path}.start")
    end = None if value.get("end") is None else _moment(value["end"], zone, f"{path}.end")
    if end is not None:
        if isinstance(start, datetime) != isinstance(end, datetime):
            malformed(f"{path}.end", "a date with a time exactly when start has one", value["end"])
        if instant(end) < instant(start):
            invalid(f"{path}.end must not be before {path}.start.")
    return {"start": _read(start), "end": None if end is None else _read(end), "time_zone": None}


def _zone(name: object, path: str) -> ZoneInfo | None:
    if name is None:
        return None
    if isinstance(name, str):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            pass
    return malformed(path, "a valid IANA time zone", name)


def _moment(raw: object, zone: ZoneInfo | None, path: str) -> date | datetime:
    parsed = parsed_date(raw)
    if parsed is None:
        malformed(path, "a valid ISO 8601 date string", raw)
    if not isinstance(parsed, datetime):
        if zone is not None:
            malformed(path, "a date with a time when a time_zone is given", raw)
        return parsed
    if zone is None:
        return parsed.replace(tzinfo=parsed.tzinfo or UTC)
    if parsed.utcoffset() not in (None, timedelta(0)):
        malformed(path, "a date without an offset when a time_zone is given", raw)
    return parsed.replace(tzinfo=zone) if parsed.tzinfo is None else parsed.astimezone(zone)


def parsed_date(raw: object) -> date | datetime | None:
    """ISO 8601 as Notion reads it; None for anything else."""
    if not isinstance(raw, str):
        return None
    try:
        return date.fromisoformat(raw) if _DAY.fullmatch(raw) else datetime.fromisoformat(raw)
    except ValueError:
        return None


def _read(moment: date | datetime) -> str:
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return moment.replace(second=0, microsecond=0).isoformat(timespec="milliseconds")


def instant(moment: date | datetime) -> datetime:
    """A point in time to compare, at minute precision; a day begins at midnight UTC."""
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(second=0, microsecond=0)


def window(name: str, now: datetime) -> tuple[datetime, datetime] | None:
    """The half-open span of `past_week`, `this_week`, `next_month`…; None when there is no such condition."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = today + timedelta(days=1)
    days = {"week": 7, "month": 31, "year": 366}
    side, _, unit = name.partition("_")
    if side == "this" and unit == "week":
        sunday = today - timedelta(days=(today.weekday() + 1) % 7)
        return sunday, sunday + timedelta(days=7)
    if unit not in days or side not in ("past", "next"):
        return None
    span = timedelta(days=days[unit])
    return (today - span, tomorrow) if side == "past" else (today, tomorrow + span)


def length(moment: date | datetime) -> timedelta:
    """How long a filter's date lasts: a minute, or the whole day."""
    return timedelta(minutes=1) if isinstance(moment, datetime) else timedelta(days=1)
