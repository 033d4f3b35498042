"""The on-call calendar in Notion: two data sources of one schema, and how a shift reads as a page (S2.1, S2.2).

A shift of this business week or later has its page in ON-CALL CALENDAR, an older one in PAST CALENDAR (S2.9). Which
of the two is part of what a page is wanted to be, under `PLACE`: so a page in the wrong one differs, like any other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from db import oncall, people
from db.oncall import Duty
from db.sync import Known
from handlers.notion.table import KEY, TEXT_LIMIT, Table, span
from handlers.oncall import settings
from handlers.oncall.keys import shift_key, slot_of
from handlers.oncall.model import Slot
from handlers.oncall.settings import NAMES
from handlers.pages import Page, digest
from handlers.registry import Context

PLACE = "calendar"  # no property of the page: which data source it lies in
CURRENT, PAST = "ON-CALL CALENDAR", "PAST CALENDAR"
SEALED = "past:"  # how the hash of a page begins that lies in PAST CALENDAR and is finished

SCHEMA = {
    "Name": "title",
    "Date": "date",
    "Rotation": "select",
    "Orig. Engineer": "people",
    "Override": "people",
    "Final Engineer": "rich_text",
    "Orig. E-mail": "rich_text",
    "Override E-mail": "rich_text",
    KEY: "rich_text",
}
TABLES = {title: Table(title, SCHEMA, {"Rotation": NAMES}) for title in (CURRENT, PAST)}


@dataclass(frozen=True, slots=True)
class Calendars:
    """The ids of the two data sources (S2.8)."""

    current: str
    past: str

    def id_of(self, place: str) -> str:
        return self.current if place == CURRENT else self.past


@dataclass(frozen=True, slots=True)
class Frame:
    """The workspace's zone, and the Monday its current business week begins with: older shifts are past."""

    zone: ZoneInfo
    week: date

    def place(self, day: date) -> str:
        return PAST if day < self.week else CURRENT


def frame(tx: Connection, context: Context, now: int) -> Frame:
    chosen = settings.load(tx, context)
    today = chosen.today(now)
    return Frame(chosen.tz, today - timedelta(days=today.weekday()))


def render(tx: Connection, key: str, context: Context, at: Frame) -> Page | None:
    """The page of `shift:<date>:<rotation>` as it should be now; None when there is no such shift."""
    slot = slot_of(key)
    duty = oncall.one(tx, context.workspace_id, slot.date, slot.rotation) if slot else None
    return _pages(tx, [duty], at)[key] if duty else None


def render_between(tx: Connection, context: Context, first: date, last: date, at: Frame) -> dict[str, Page]:
    """The pages of every shift of these days, both inclusive, by key."""
    return _pages(tx, oncall.between(tx, context.workspace_id, first, last), at)


def _pages(tx: Connection, duties: Iterable[Duty], at: Frame) -> dict[str, Page]:
    shown = list(duties)
    mapped = notion_ids(tx, shown)
    return {shift_key(Slot(one.planned.date, one.planned.rotation)): page_of(one, mapped, at) for one in shown}


def notion_ids(tx: Connection, duties: Iterable[Duty]) -> dict[int, str]:
    """The Notion persons of those who were planned or took over, as far as they are known (S2.5)."""
    ids = {id_ for duty in duties for id_ in _people(duty).values() if id_ is not None}
    found: dict[int, str] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), people.LONGEST_LIST):
        some = people.load(tx, wanted[start : start + people.LONGEST_LIST])
        found |= {id_: one.notion_person_id for id_, one in some.items() if one.notion_person_id}
    return found


def unmapped(tx: Connection, duty: Duty) -> list[int]:
    """Who of this shift is shown as text (S2.5)."""
    mapped = notion_ids(tx, [duty])
    return sorted({id_ for id_ in _people(duty).values() if id_ is not None and id_ not in mapped})


def _people(duty: Duty) -> dict[str, int | None]:
    return {"Orig. Engineer": duty.planned.user_id, "Override": duty.override.user_id if duty.override else None}


def page_of(duty: Duty, mapped: Mapping[int, str], at: Frame) -> Page:
    planned, over, final = duty.planned, duty.override, duty.final_name
    who = _people(duty)
    return {
        PLACE: at.place(planned.date),
        "Name": f"{planned.rotation} · {final or 'nobody'}"[:TEXT_LIMIT],
        "Date": span(planned.starts_at, planned.ends_at),
        "Rotation": planned.rotation,
        "Orig. Engineer": mapped.get(who["Orig. Engineer"] or 0),
        "Override": mapped.get(who["Override"] or 0),
        "Final Engineer": final[:TEXT_LIMIT] if final else None,
        "Orig. E-mail": _as_text(planned.user_id, planned.email or planned.name, mapped),
        "Override E-mail": _as_text(over.user_id, over.email or over.name, mapped) if over else None,
    }


def _as_text(user_id: int | None, text: str | None, mapped: Mapping[int, str]) -> str | None:
    """Who has no Notion person shows as their address; where there is none (an erased person), as their name."""
    return text[:TEXT_LIMIT] if text and user_id not in mapped else None


def fingerprint(page: Page) -> str:
    """`digest`, and whether the page is finished once it shows this."""
    return (SEALED if page[PLACE] == PAST else "") + digest(page)


def sealed(key: str, known: Known, at: Frame) -> bool:
    """Past, moved and written: never changed again, whatever the database or somebody in Notion says later (S2.9)."""
    slot = slot_of(key)
    return slot is not None and slot.date < at.week and (known.hash or "").startswith(SEALED)
