"""From a day and local hours to the instants a shift begins and ends, right across changes of the clock."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from handlers.oncall.model import Rotation


def instants(day: date, rotation: Rotation, zone: ZoneInfo) -> tuple[int, int]:
    """Start and end in ms, UTC.

    A local time that comes twice is the first; one that the clock skips is read with the offset before
    the change (RFC 5545, 3.3.5). A shift that a change would leave without time keeps its length.
    """
    end_day = day if rotation.end > rotation.start else day + timedelta(days=1)
    start = _ms(datetime.combine(day, rotation.start, zone))
    end = _ms(datetime.combine(end_day, rotation.end, zone))
    return start, end if end > start else start + rotation.seconds * 1000


def local(instant: int, zone: ZoneInfo) -> datetime:
    """An instant (ms) on the wall clock of a zone."""
    return datetime.fromtimestamp(instant / 1000, zone)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
