"""What people type about being on call, read: persons, days, ranges, rotations. What cannot be read is a Refusal."""

import re
from datetime import date, timedelta

from sqlalchemy import Connection

from db import people
from handlers.oncall.refusal import Refusal
from handlers.oncall.settings import NAMES

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LONGEST_REASON, LONGEST_TITLE, LONGEST_ECHO = 500, 100, 80
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
            f"Nobody is known as {_short(said) or 'nothing'}: write an e-mail address that"
            " `rollcall people list` shows, or @mention somebody in Slack."
        )
    return int(found["id"])


def reason(text: str) -> str:
    """Why, for others to read later."""
    if len(text) > LONGEST_REASON:
        raise Refusal(f"The reason has {len(text)} characters: write at most {LONGEST_REASON}.")
    return text


def title(text: str) -> str:
    """What a day is called."""
    said = text.strip()
    if not 0 < len(said) <= LONGEST_TITLE:
        raise Refusal(f"The name has {len(said)} characters: write 1 to {LONGEST_TITLE}.")
    return said


def day(text: str, today: date) -> date:
    """`2026-12-24`, `today`, `tomorrow`, or the next `fri`, `friday`."""
    said = text.strip().lower()
    near = {"today": 0, "tomorrow": 1, "yesterday": -1}
    if said in near:
        return today + timedelta(days=near[said])
    weekday = _weekday(said)
    if weekday is not None:
        return today + timedelta(days=(weekday - today.weekday()) % 7)
    return date_of(said, f"write it as {today.isoformat()}, or today, tomorrow, friday")


def _weekday(text: str) -> int | None:
    said = text.lower()
    named = (n for n, name in enumerate(WEEKDAYS) if len(said) > 2 and name.startswith(said))  # noqa: PLR2004 - mo is no day
    return next(named, None)


def date_of(text: str, instead: str = "write it as 2026-12-24") -> date:
    """`2026-12-24`, and nothing else."""
    said = text.strip()
    try:
        found = date.fromisoformat(said) if _DAY.fullmatch(said) else None
    except ValueError:
        found = None
    if found is None or not EARLIEST <= found <= LATEST:
        raise Refusal(f"{_short(said) or 'Nothing'} is no day: {instead}.")
    return found


def days(text: str, today: date) -> tuple[date, date]:
    """`2026-12-24..2026-12-31`, `monday..friday`, or one day; both ends are inclusive."""
    first, dots, last = (part.strip() for part in text.strip().partition(".."))
    begin = day(first, today)
    # A weekday at the end is the next one from the beginning on, wherever today lies.
    found = begin, day(last, begin if _weekday(last) is not None else today) if dots else begin
    if found[1] < found[0]:
        raise Refusal(f"{text.strip()} ends before it begins: write {found[1]}..{found[0]}.")
    return found


def _short(said: str) -> str:
    """As much of what was typed as a sentence can bear."""
    return said if len(said) <= LONGEST_ECHO else f"{said[:LONGEST_ECHO]}…"


def rotation(text: str) -> str:
    """AM, Core or PM, in any case."""
    known = {name.lower(): name for name in NAMES}
    said = text.strip()
    if said.lower() not in known:
        raise Refusal(f"{_short(said) or 'Nothing'} is no rotation: write {', '.join(NAMES[:-1])} or {NAMES[-1]}.")
    return known[said.lower()]
