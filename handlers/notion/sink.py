"""What Rollcall sends to Notion: one page a person, and the user list read back every hour."""

import time
from collections.abc import Callable

import structlog
from sqlalchemy import Connection

from db import people
from db.database import Database
from db.outbox import LEASE_MS, Claim
from handlers.notion.api import TIMEOUT_S, Forbidden, NotionApi
from handlers.notion.directory import KEY, from_properties, render, to_properties
from handlers.notion.users import refresh
from handlers.pages import Page, PageDelivery
from handlers.people.linking import NOTION
from handlers.registry import Context, Delivered, Gone, Throttled

log = structlog.get_logger()

USERS = "users"  # the key of the mark that re-arms itself: read the user list again
PERSON = "person:"  # what a person's key begins with; `page:` is a surplus page on its way to the trash
USERS_EVERY_MS = 3_600_000
MARGIN_MS = 6_000  # between the end of the longest request and the end of the lease


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class NotionSink:
    """Delivers marks of the People directory."""

    name = NOTION
    concurrency = 4

    def __init__(
        self, api: NotionApi, data_source_id: str, context: Context, clock: Callable[[], int] = now_ms
    ) -> None:
        self._api = api
        self._data_source_id = data_source_id
        self._context = context
        self._clock = clock

    async def deliver(self, database: Database, claim: Claim) -> Delivered:
        if claim.key == USERS:
            operation = await self._read_users(database)
            return Delivered(operation, again_at=self._clock() + USERS_EVERY_MS)
        deadline = self._clock() + LEASE_MS - TIMEOUT_S * 1000 - MARGIN_MS
        remote = _People(self._api, self._data_source_id, deadline, self._clock)
        done = await PageDelivery(database, claim, remote, render, self._clock).run()
        if done.operation != "nothing" and claim.key.startswith(PERSON):
            await database.read(_note_unmapped, int(claim.key.removeprefix(PERSON)))
        return done

    async def _read_users(self, database: Database) -> str:
        try:
            return f"read {await refresh(database, self._api, self._context, self._clock)} changed users"
        except Forbidden as error:
            # Pages do not need the list: people show as their address (S1.7, S2.5).
            log.warning("notion_users_unreadable", reason=str(error), fix="allow it to read user information")
            return "may not read users"

    async def close(self) -> None:
        await self._api.close()


def _note_unmapped(tx: Connection, user_id: int) -> None:
    """S2.5: who cannot be shown as a Notion person shows as text, and leaves a line."""
    person = people.load(tx, [user_id]).get(user_id)
    if person and person.email and not person.notion_person_id:
        log.info("notion_person_unmapped", key=f"{PERSON}{user_id}", shown_as="the e-mail as text")


class _People:
    """The directory's pages, for as long as the lease allows: past `deadline` (ms) no request is begun."""

    def __init__(self, api: NotionApi, data_source_id: str, deadline: int, clock: Callable[[], int]) -> None:
        self._api = api
        self._data_source_id = data_source_id
        self._deadline = deadline
        self._clock = clock

    async def find(self, key: str) -> list[str]:
        self._in_time()
        pages = await self._api.pages(self._data_source_id, {"property": KEY, "rich_text": {"equals": key}})
        # What Notion counts as equal is not documented: the key is compared once more.
        return [page["id"] for page in pages if from_properties(page["properties"])[0] == key]

    async def create(self, key: str, page: Page) -> str:
        self._in_time()
        return await self._api.create_page(self._data_source_id, to_properties(key, page))

    async def update(self, remote_id: str, key: str, page: Page) -> None:
        self._in_time()
        await self._api.update_page(remote_id, to_properties(key, page))

    async def trash(self, remote_id: str) -> None:
        self._in_time()
        try:
            await self._api.trash_page(remote_id)
        except Gone:
            return  # somebody was faster

    def _in_time(self) -> None:
        if self._clock() > self._deadline:
            raise Throttled("the lease is nearly over", 0)
