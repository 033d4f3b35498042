"""`rollcall notion reconcile`, of people: each is compared with their page, and what drifted is marked."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from db import people
from db.database import Database
from handlers.notion.api import Forbidden, NotionApi
from handlers.notion.comparing import Comparison, Drift, Found, Listing, Ours, look, repair
from handlers.notion.directory import PEOPLE, render_many
from handlers.notion.users import refresh
from handlers.pages import Page, digest
from handlers.patience import patiently
from handlers.people.settling import person_key
from handlers.registry import Context

log = structlog.get_logger()

OUR_KEY = re.compile(r"person:[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class PeoplePages:
    """Everybody, and every page of the directory."""

    api: NotionApi
    data_source_id: str

    def owns(self, key: str) -> bool:
        return OUR_KEY.fullmatch(key) is not None

    async def listing(self) -> Listing:
        pages = await patiently(lambda: self.api.pages(self.data_source_id))
        return Listing([Found(page["id"], *PEOPLE.from_properties(page["properties"])) for page in pages])

    def wanted(self, tx: Connection, _listing: Listing) -> dict[str, Page]:
        return render_many(tx, [person_key(user_id) for user_id in people.ids(tx)])

    def fingerprint(self, page: Page) -> str:
        return digest(page)

    def judged(self, drifts: list[Drift], _listing: Listing, _ours: Ours) -> list[Drift]:
        return drifts


async def compare(database: Database, api: NotionApi, data_source_id: str, context: Context) -> Comparison:
    """Compare everything; nothing is changed. Keys that moved meanwhile are left out."""
    return (await look(database, PeoplePages(api, data_source_id), context)).comparison


async def reconcile(
    database: Database, api: NotionApi, data_source_id: str, context: Context, clock: Callable[[], int]
) -> Comparison:
    """Refresh the user list, compare, and mark what drifted; delivering the marks is the relay's."""
    await read_users(database, api, context, clock)
    kind = PeoplePages(api, data_source_id)
    looked = await look(database, kind, context)
    await database.write(repair, looked, kind, looked.comparison.disagreements, context, clock())
    return looked.comparison


async def read_users(database: Database, api: NotionApi, context: Context, clock: Callable[[], int]) -> None:
    """Who may not read the list can reconcile all the same: people show as their address (S2.5)."""
    try:
        await patiently(lambda: refresh(database, api, context, clock))
    except Forbidden as error:
        log.warning("notion_users_unreadable", reason=str(error), fix="allow it to read user information")
