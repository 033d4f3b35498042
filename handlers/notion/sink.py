"""What Rollcall sends to Notion: a page a person, a page a shift, and the user list read back every hour.

One integration, one sink: pause, rate limit and alerts are those of all that goes to Notion.
"""

import time
from collections.abc import Callable
from functools import partial

import structlog
from sqlalchemy import Connection

from db import oncall, outbox, people, sync
from db.database import Database
from db.outbox import Claim
from db.sync import Known
from handlers.notion import calendar, calendar_cycle
from handlers.notion.api import Forbidden, Invalid, NotionApi
from handlers.notion.calendar import Calendars, Frame
from handlers.notion.calendar_cycle import CHECK, CHECK_AFTER_MS
from handlers.notion.comparing import SURPLUS
from handlers.notion.directory import PEOPLE, render
from handlers.notion.remote import CalendarPages, Deadline, Pages
from handlers.notion.users import refresh
from handlers.oncall.keys import CYCLE, slot_of
from handlers.pages import Page, PageDelivery
from handlers.people.linking import NOTION
from handlers.registry import Context, Delivered

log = structlog.get_logger()

USERS = "users"  # the key of the mark that re-arms itself: read the user list again
PERSON = "person:"  # what a person's key begins with
USERS_EVERY_MS = 3_600_000
NOTHING = Delivered("nothing")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class NotionSink:
    """Delivers marks of the People directory and of the calendar; either may be off (None)."""

    name = NOTION
    concurrency = 4

    def __init__(
        self,
        api: NotionApi,
        data_source_id: str | None,
        context: Context,
        clock: Callable[[], int] = now_ms,
        calendars: Calendars | None = None,
    ) -> None:
        self._api = api
        self._data_source_id = data_source_id
        self._context = context
        self._clock = clock
        self._calendars = calendars

    async def deliver(self, database: Database, claim: Claim) -> Delivered:
        if claim.key == USERS:
            operation = await self._read_users(database)
            return Delivered(operation, again_at=self._clock() + USERS_EVERY_MS)
        if claim.key in (CYCLE, CHECK):
            return await self._cycle(database, claim)
        if self._data_source_id is None and claim.key.startswith(PERSON):
            return NOTHING
        try:
            return await (self._shift if slot_of(claim.key) else self._page)(database, claim)
        except Invalid as error:
            if "user" in str(error) and claim.attempts == 0:
                # Somebody left Notion since the list was read: by the next attempt they show as text (S2.5).
                await database.write(outbox.mark, claim.workspace_id, (NOTION,), USERS, self._clock())
            raise

    async def _page(self, database: Database, claim: Claim) -> Delivered:
        """A person's, or a surplus page of whatever kind on its way to the trash."""
        remote = Pages(self._api, self._data_source_id or "", PEOPLE, Deadline.of_lease(self._clock))
        done = await PageDelivery(database, claim, remote, render, self._clock).run()
        if done.operation != "nothing" and not claim.key.startswith(SURPLUS):
            await database.read(_note_unmapped, int(claim.key.removeprefix(PERSON)))
        return done

    async def _shift(self, database: Database, claim: Claim) -> Delivered:
        slot = slot_of(claim.key)
        if self._calendars is None or slot is None:
            return NOTHING
        deadline = Deadline.of_lease(self._clock)
        at, known = await database.read(self._situation, claim)
        if calendar.sealed(claim.key, known, at):
            return NOTHING
        remote = CalendarPages(self._api, self._calendars, deadline, at.zone, at.place(slot.date))
        rendered = partial(_render_shift, context=self._context, at=at)
        fingerprint = calendar.fingerprint
        done = await PageDelivery(database, claim, remote, rendered, self._clock, fingerprint).run()
        if done.operation != "nothing":
            await database.read(_note_unmapped_shift, claim)
        return done

    def _situation(self, tx: Connection, claim: Claim) -> tuple[Frame, Known]:
        at = calendar.frame(tx, self._context, self._clock())
        return at, sync.known(tx, claim.workspace_id, claim.sink, claim.key)

    async def _cycle(self, database: Database, claim: Claim) -> Delivered:
        if self._calendars is None:
            return NOTHING
        now = self._clock()
        kind = await calendar_cycle.shift_pages(database, self._api, self._calendars, self._context, now, whole=False)
        if claim.key == CHECK:
            await calendar_cycle.look(database, kind)
            return Delivered("compared")
        found, marked = await calendar_cycle.cycle(database, kind, self._clock)
        if marked or found.unsettled:
            await database.write(calendar_cycle.mark_check, self._context, self._clock() + CHECK_AFTER_MS)
        return Delivered(f"compared, marked {marked}")

    async def _read_users(self, database: Database) -> str:
        try:
            changed = await refresh(database, self._api, self._context, self._clock)
        except Forbidden as error:
            # Pages do not need the list: people show as their address (S1.7, S2.5).
            log.warning("notion_users_unreadable", reason=str(error), fix="allow it to read user information")
            return "may not read users"
        if changed and self._calendars:
            await database.write(calendar_cycle.mark_upcoming, self._context, self._clock())
        return f"read {changed} changed users"

    async def close(self) -> None:
        await self._api.close()


def _render_shift(tx: Connection, key: str, *, context: Context, at: Frame) -> Page | None:
    return calendar.render(tx, key, context, at)


def _note_unmapped(tx: Connection, user_id: int) -> None:
    """S2.5: who cannot be shown as a Notion person shows as text, and leaves a line."""
    person = people.load(tx, [user_id]).get(user_id)
    if person and person.email and not person.notion_person_id:
        log.info("notion_person_unmapped", key=f"{PERSON}{user_id}", shown_as="the e-mail as text")


def _note_unmapped_shift(tx: Connection, claim: Claim) -> None:
    slot = slot_of(claim.key)
    duty = oncall.one(tx, claim.workspace_id, slot.date, slot.rotation) if slot else None
    for user_id in calendar.unmapped(tx, duty) if duty else ():
        log.info("notion_person_unmapped", key=claim.key, person=user_id, shown_as="the e-mail as text")
