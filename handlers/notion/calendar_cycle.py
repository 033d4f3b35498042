"""The calendar's cycle: every shift compared with its page; what drifted, or has become past, is marked (S2.4, S2.9).

In ON-CALL CALENDAR the database decides: pages are made, put right, trashed (inside the schedule's days only) and
moved. PAST CALENDAR is history (S2.9): a page that is finished there is never written again; where it differs from the
database, or is gone, that is reported as `past` and nothing is done about it, but by `reconcile --past`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from db import oncall, outbox
from db.database import Database
from db.sync import Known
from handlers.notion.api import NotionApi
from handlers.notion.calendar import (
    CURRENT,
    PAST,
    PLACE,
    TABLES,
    Calendars,
    Frame,
    fingerprint,
    frame,
    render_between,
    sealed,
)
from handlers.notion.comparing import DUPLICATE, MISSING, ORPHAN, Comparison, Drift, Found, Listing, Look, Ours, repair
from handlers.notion.comparing import look as compare
from handlers.oncall import settings
from handlers.oncall.daily import next_run
from handlers.oncall.keys import CALENDAR, CYCLE, shift_key, slot_of
from handlers.oncall.model import Slot
from handlers.pages import Page
from handlers.registry import Context
from handlers.schedule import Job

log = structlog.get_logger()

CHECK = f"{CYCLE}:check"  # like CYCLE, but only compares
JOB = "notion:calendar"  # the job of the clock that raises CYCLE, whatever became of the daily plan
AFTER_PLAN_MS = 900_000
CHECK_AFTER_MS = 120_000  # a cycle is done in two minutes (S2.10)
WINDOW = timedelta(days=35)  # how far back a daily cycle looks into PAST CALENDAR
OLD_PAST, OUTSIDE = "past", "outside"  # drift that is only reported

Ask = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


async def at_once(request: Callable[[], Awaitable[Any]]) -> Any:
    """Whoever holds a lease does not wait for a Notion that fails: the relay does."""
    return await request()


@dataclass(frozen=True, slots=True)
class Days:
    """The days of the schedule, and the first of them that is compared."""

    first: date
    last: date
    since: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class ShiftPages:
    """Every shift since some day, and its page in whichever calendar. `since` None: the whole schedule."""

    api: NotionApi
    ids: Calendars
    context: Context
    at: Frame
    days: Days | None
    ask: Ask = at_once

    def owns(self, key: str) -> bool:
        return slot_of(key) is not None

    async def listing(self) -> Listing:
        """PAST CALENDAR first, so that of two pages of one shift the one that is history stays."""
        current = await self._pages(CURRENT, None)
        days = [slot.date for one in current if one.key and (slot := slot_of(one.key))]
        since = min([*days, self.days.since if self.days else self.at.week, self.at.week])
        past = [one for one in await self._pages(PAST, since) if not _before(one.key, since)]
        return Listing([*past, *current], since)

    async def _pages(self, place: str, since: date | None) -> list[Found]:
        # A day early, for Notion counts days in UTC.
        day = (since - timedelta(days=1)).isoformat() if since else None
        where = {"property": "Date", "date": {"on_or_after": day}} if day else None
        pages = await self.ask(lambda: self.api.pages(self.ids.id_of(place), where))
        read = ((page["id"], *TABLES[place].from_properties(page["properties"])) for page in pages)
        return [Found(page_id, key, {PLACE: place, **page}) for page_id, key, page in read]

    def wanted(self, tx: Connection, listing: Listing) -> dict[str, Page]:
        return render_between(tx, self.context, listing.note, self.days.last, self.at) if self.days else {}

    def fingerprint(self, page: Page) -> str:
        return fingerprint(page)

    def judged(self, drifts: list[Drift], listing: Listing, ours: Ours) -> list[Drift]:
        places = {one.page_id: one.page[PLACE] or "" for one in listing.found}
        return [replace(one, kind=self._kind(one, places, ours)) for one in drifts]

    def _kind(self, drift: Drift, places: dict[str, str], ours: Ours) -> str:
        slot = slot_of(drift.key or "")
        if slot is None:
            return drift.kind
        known = ours.known.get(drift.key or "", Known())
        finished = sealed(shift_key(slot), known, self.at) or known == Known()
        in_past = drift.page_id is not None and places[drift.page_id] == PAST
        if slot.date < self.at.week and finished and (in_past or (drift.kind == MISSING and known != Known())):
            return OLD_PAST
        if drift.kind == ORPHAN and (self.days is None or slot.date not in self.days):
            return OUTSIDE
        return drift.kind


def _before(key: str | None, day: date) -> bool:
    slot = slot_of(key or "")
    return slot is not None and slot.date < day


async def shift_pages(
    database: Database, api: NotionApi, ids: Calendars, context: Context, now: int, *, whole: bool, ask: Ask = at_once
) -> ShiftPages:
    """What is compared at an instant (ms): the whole schedule, or the last weeks of it and what is to come."""
    at, span = await database.read(_scope, context, now)
    days = Days(*span, since=span[0] if whole else max(span[0], at.week - WINDOW)) if span else None
    return ShiftPages(api, ids, context, at, days, ask)


def _scope(tx: Connection, context: Context, now: int) -> tuple[Frame, tuple[date, date] | None]:
    return frame(tx, context, now), oncall.span(tx, context.workspace_id)


async def look(database: Database, kind: ShiftPages) -> Look:
    """Compare; nothing is changed. One line says what came of it (S2.10)."""
    looked = await compare(database, kind, kind.context)
    found = looked.comparison
    kinds = sorted({drift.kind for drift in found.drifts})
    log.info(
        "calendar_compared",
        shifts=found.records,
        pages=found.pages,
        agreement=round(found.agreement, 4),
        unsettled=found.unsettled,
        drift={name: sum(drift.kind == name for drift in found.drifts) for name in kinds},
    )
    return looked


async def cycle(
    database: Database, kind: ShiftPages, clock: Callable[[], int], *, past: bool = False
) -> tuple[Comparison, int]:
    """Compare, and mark what drifted; delivering is the relay's. `past`: finished pages of the past too, as told to."""
    looked = await look(database, kind)
    drifts = looked.comparison.disagreements
    if past:
        drifts = drifts + [one for one in looked.comparison.drifts if one.kind == OLD_PAST and _mendable(one, looked)]
    return looked.comparison, await database.write(repair, looked, kind, drifts, kind.context, clock())


def _mendable(drift: Drift, looked: Look) -> bool:
    """Not a page that only PAST CALENDAR has: history is not thrown away for being unknown here."""
    return drift.key in looked.ours.wanted and drift.kind != DUPLICATE


def mark_upcoming(tx: Connection, context: Context, now: int) -> int:
    """Every shift of this business week and later is looked at again; what shows the same costs no request."""
    at, span = _scope(tx, context, now)
    if span is None:
        return 0
    planned = [duty.planned for duty in oncall.between(tx, context.workspace_id, at.week, span[1])]
    keys = [shift_key(Slot(one.date, one.rotation)) for one in planned]
    return outbox.mark_many(tx, context.workspace_id, CALENDAR, keys, now)


def shown_after(plan: Job, context: Context) -> Job:
    """The job that plans, and a cycle after each of its runs that did not fail (S2.3)."""

    async def run(database: Database, now: int) -> int:
        due = await plan.run(database, now)
        await database.write(_raise_cycle, context, now)
        return due

    return Job(plan.key, run)


def daily_cycle(context: Context) -> Job:
    """Raises the cycle's mark, at every start and after the hour of planning, also where planning failed."""

    async def run(database: Database, now: int) -> int:
        return await database.write(_raise_cycle, context, now)

    return Job(JOB, run)


def _raise_cycle(tx: Connection, context: Context, now: int) -> int:
    outbox.mark(tx, context.workspace_id, (CALENDAR,), CYCLE, now)
    return next_run(settings.load(tx, context), now) + AFTER_PLAN_MS


def mark_check(tx: Connection, context: Context, at: int) -> None:
    """Have it compared once more when the marks of a cycle should be delivered."""
    outbox.mark(tx, context.workspace_id, (CALENDAR,), CHECK, at)
