"""The pages of a data source, or of the two calendars, as `PageDelivery` wants them, for as long as a lease allows."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, NoReturn

from db.outbox import LEASE_MS
from handlers.notion.api import TIMEOUT_S, Invalid, NoSuchCall, NotionApi
from handlers.notion.calendar import CURRENT, PAST, PLACE, TABLES, Calendars
from handlers.notion.comparing import SURPLUS
from handlers.notion.table import KEY, Table
from handlers.pages import Page
from handlers.registry import Gone, Throttled

MARGIN_MS = 6_000  # between the end of the longest request and the end of the lease
SAME_PARENT = "must be different from the current parent"


@dataclass(frozen=True, slots=True)
class Deadline:
    """No request is begun when it could outlast the lease. `clock`: ms UTC."""

    clock: Callable[[], int]
    at: int

    @classmethod
    def of_lease(cls, clock: Callable[[], int]) -> "Deadline":
        return cls(clock, clock() + LEASE_MS - TIMEOUT_S * 1000 - MARGIN_MS)

    def check(self) -> None:
        if self.clock() > self.at:
            raise Throttled("the lease is nearly over", 0)


@dataclass(frozen=True, slots=True)
class Pages:
    """One data source's. `zone`: on whose wall clock its times are written."""

    api: NotionApi
    data_source_id: str
    table: Table
    deadline: Deadline
    zone: tzinfo = UTC

    async def find(self, key: str) -> list[str]:
        if key.startswith(SURPLUS):
            return []  # the key of a mark alone: no page carries it
        self.deadline.check()
        found = await self.api.pages(self.data_source_id, {"property": KEY, "rich_text": {"equals": key}})
        # What Notion counts as equal is not documented: the key is compared once more.
        return [page["id"] for page in found if self.table.from_properties(page["properties"])[0] == key]

    async def create(self, key: str, page: Page) -> str:
        self.deadline.check()
        return await self.api.create_page(self.data_source_id, self.table.to_properties(key, page, self.zone))

    async def update(self, remote_id: str, key: str, page: Page) -> None:
        await self.write(remote_id, key, page)

    async def write(self, remote_id: str, key: str, page: Page) -> dict[str, Any]:
        """The same as `update`, and gives the page as it is now."""
        self.deadline.check()
        return await self.api.update_page(remote_id, self.table.to_properties(key, page, self.zone))

    async def trash(self, remote_id: str) -> None:
        self.deadline.check()
        await self.api.trash_page(remote_id)


@dataclass(slots=True)
class CalendarPages:
    """One shift's page, in whichever of the two calendars it belongs (S2.9).

    A page keeps its id when it is moved. What a move does to its properties is not documented: they are written again
    after it. Where Notion refuses the move, a page is made in the other calendar and the old one trashed.
    """

    api: NotionApi
    ids: Calendars
    deadline: Deadline
    zone: tzinfo
    place: str
    _immovable: list[str] = field(default_factory=list)

    async def find(self, key: str) -> list[str]:
        """Of a past shift, a page in PAST CALENDAR comes first; in ON-CALL CALENDAR there may be its surplus."""
        found = await self._in(self.place).find(key)
        if self.place == PAST:
            found += [one for one in await self._in(CURRENT).find(key) if one not in self._immovable]
        return found

    async def create(self, key: str, page: Page) -> str:
        made = await self._in(self.place).create(key, _shown(page))
        while self._immovable:
            with suppress(Gone):  # somebody was faster
                await self.trash(self._immovable[-1])
            self._immovable.pop()
        return made

    async def update(self, remote_id: str, key: str, page: Page) -> None:
        if self.place == PAST:
            await self._move(remote_id)
        pages = self._in(self.place)
        written = await pages.write(remote_id, key, _shown(page))
        if not self._lies_here(written):  # somebody moved it by hand
            await self._move(remote_id)
            await pages.write(remote_id, key, _shown(page))

    async def trash(self, remote_id: str) -> None:
        await self._in(self.place).trash(remote_id)

    async def _move(self, remote_id: str) -> None:
        """Returns when the page lies where it belongs; Gone where it has to be made there instead."""
        self.deadline.check()
        try:
            await self.api.move_page(remote_id, self.ids.id_of(self.place))
        except NoSuchCall as error:
            self._cannot_move(remote_id, error)
        except Invalid as error:
            if SAME_PARENT not in str(error):
                self._cannot_move(remote_id, error)
            self.deadline.check()
            if not self._lies_here(await self.api.page(remote_id)):  # a move repeated is a move done, if it was
                self._cannot_move(remote_id, error)

    def _cannot_move(self, remote_id: str, error: Exception) -> NoReturn:
        self._immovable.append(remote_id)
        raise Gone(f"it is made anew, for it cannot be moved ({error})") from error

    def _lies_here(self, page: Mapping[str, Any]) -> bool:
        lies = str((page.get("parent") or {}).get("data_source_id") or "")
        return lies.replace("-", "") == self.ids.id_of(self.place).replace("-", "")

    def _in(self, place: str) -> Pages:
        return Pages(self.api, self.ids.id_of(place), TABLES[place], self.deadline, self.zone)


def _shown(page: Page) -> Page:
    return {name: value for name, value in page.items() if name != PLACE}
