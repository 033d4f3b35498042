"""What people type about being on call, read: persons, days, ranges, rotations. What cannot be read is a Refusal."""

import re
from datetime import date, timedelta

from sqlalchemy import Connection

from db import people
from handlers.oncall.refusal import Refusal
from handlers.oncall.settings import NAMES

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)

_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def person(tx: Connection, text: str) -> int:
    """The row of whoever this names: an address, a Slack mention or id, a Clerk or Notion id, a row id."""
    said = text.strip()
    mention = _MENTION.fullmatch(said)
    found = people.find(tx, mention[1] if mention else said.removeprefix("mailto:"))
    if found is None:
        raise Refusal(
            f"Nobody is known as {said or 'nothing'}: write an e-mail address that `rollcall people list` shows,"
            " or @mention somebody in Slack."
        )
    return int(found["id"])


def day(text: str, today: date) -> date:
    """`2026-12-24`, `today`, `tomorrow`, or the next `fri`, `friday`."""
    said = text.strip().lower()
    near = {"today": 0, "tomorrow": 1, "yesterday": -1}
    if said in near:
        return today + timedelta(days=near[said])
    named = [n for n, name in enumerate(WEEKDAYS) if len(said) > 2 and name.startswith(said)]  # noqa: PLR2004 - mo is no day
    if named:
        return today + timedelta(days=(named[0] - today.weekday()) % 7)
    return date_of(said, f"write it as {today.isoformat()}, or today, tomorrow, friday")


def date_of(text: str, instead: str = "write it as 2026-12-24") -> date:
    """`2026-12-24`, and nothing else."""
    said = text.strip()
    try:
        found = date.fromisoformat(said) if _DAY.fullmatch(said) else None
    except ValueError:
        found = None
    if found is None or not EARLIEST <= found <= LATEST:
        raise Refusal(f"{said or 'Nothing'} is no day: {instead}.")
    return found


def days(text: str, today: date) -> tuple[date, date]:
    """`2026-12-24..2026-12-31`, or one day; both ends are inclusive."""
    first, dots, last = text.strip().partition("..")
    found = day(first, today), day(last if dots else first, today)
    if found[1] < found[0]:
        raise Refusal(f"{text.strip()} ends before it begins: write {found[1]}..{found[0]}.")
    return found


def rotation(text: str) -> str:
    """AM, Core or PM, in any case."""
    known = {name.lower(): name for name in NAMES}
    said = text.strip()
    if said.lower() not in known:
        raise Refusal(f"{said or 'Nothing'} is no rotation: write {', '.join(NAMES[:-1])} or {NAMES[-1]}.")
    return known[said.lower()]
