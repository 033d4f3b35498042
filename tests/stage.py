"""What tests of delivery share: a real database, a sandboxed Notion, one sink's loop, and time that can be skipped."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, text

from db import limits, outbox
from db.database import Database
from db.identities import Identity
from db.limits import Gate
from handlers.clerk.events import gone
from handlers.notion.api import NotionApi
from handlers.notion.calendar import CURRENT, PAST, TABLES, Calendars
from handlers.notion.directory import PEOPLE
from handlers.notion.sink import USERS, NotionSink
from handlers.notion.table import Table
from handlers.people.recording import record, version
from handlers.registry import Context
from service.leases import Attempt, Work
from service.limiter import Limiter
from service.relay import SinkLoop
from service.sandbox.world import World, running
from tests.databases import SQLITE, discard, new_database

CONTEXT = Context(sinks=frozenset({"notion", "slack"}))
FAR_MS = 600_000  # what is due later than this is not waited for (the user list, in an hour)
Row = dict[str, Any]


@dataclass
class Clock:
    """Milliseconds, UTC: the true time and what was skipped. `busy`: rounds under way, which live in true time."""

    skipped: int = 0
    busy: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.skipped

    def skip(self, ms: int) -> None:
        self.skipped += max(0, ms)

    def skip_to(self, at: int) -> None:
        self.skip(at - self())


async def no_wait() -> None:
    return


@dataclass
class Stage:
    """One database, one Notion, one loop that is stepped by hand."""

    url: str
    database: Database
    world: World
    data_source_id: str
    clock: Clock
    loop: SinkLoop
    context: Context = CONTEXT
    calendars: Calendars | None = None
    _said: int = 0
    _closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    # -- people --

    async def say(self, clerk_id: str, first: str = "Ada", **data: Any) -> None:
        """Clerk says this of somebody, newer than anything before."""
        email = data.pop("email", f"{clerk_id.partition('#')[0]}@example.com")
        self._said += 1
        said = Identity(
            "clerk",
            clerk_id,
            email,
            email_verified=email is not None,
            version=version(self._said, 0, b""),
            data={"first_name": first, "last_name": "Byron", "created_at": 1, "updated_at": 1, "synced_at": 1, **data},
        )
        await self.database.write(record, said, self.context, self.clock())

    async def remove(self, clerk_id: str) -> None:
        await self.database.write(record, gone(clerk_id, self.clock()), self.context, self.clock())

    async def key(self, clerk_id: str) -> str:
        found = await self.rows("SELECT id FROM users WHERE clerk_id = :id", id=clerk_id)
        return f"person:{found[0]['id']}"

    # -- the relay, by hand --

    async def take(self, most: int | None = None) -> Work:
        return await self.loop._take(most or self.loop.sink.concurrency)

    async def deliver(self, work: Work) -> None:
        """Deliver and settle what was taken, all at once."""
        await _deliver(self.loop, work)

    async def round(self) -> Work:
        """Take once, deliver that."""
        self.clock.busy += 1
        try:
            return await step(self.loop)
        finally:
            self.clock.busy -= 1

    async def run(self, rounds: int = 200) -> None:
        """Deliver until nothing is left, skipping every wait but for the lease of somebody who is at work."""
        for _ in range(rounds):
            work = await self.round()
            if work.claims:
                continue
            if work.next_at is None or work.next_at > self.clock() + FAR_MS:
                return
            while self.clock.busy:  # noqa: ASYNC110 - tests need no event for it
                await asyncio.sleep(0.002)
            self.clock.skip_to(work.next_at)
        raise AssertionError(f"no end after {rounds} rounds: {await self.marks()}")

    # -- what is so --

    async def rows(self, sql: str, **values: Any) -> list[Row]:
        return await self.database.read(_rows, sql, values)

    async def marks(self, sink: str = "notion") -> dict[str, Row]:
        found = await self.rows("SELECT * FROM sync_actions WHERE sink = :sink ORDER BY id", sink=sink)
        return {row["key"]: row for row in found}

    async def alerts(self) -> list[str]:
        return list(await self.marks("slack"))

    async def known(self, key: str) -> Row:
        found = await self.rows("SELECT * FROM sync_status WHERE sink = 'notion' AND key = :key", key=key)
        return found[0] if found else {}

    async def gate(self, sink: str = "notion") -> Gate:
        return await self.database.read(limits.gate, sink)

    def pages(self, *, trashed: bool = False) -> list[Row]:
        """Notion's rows, as plain values."""
        return self.world.notion.rows(self.data_source_id, trashed=trashed)

    def sent(self, method: str | None = None, path: str = "") -> int:
        """How many requests of that kind Notion received."""
        return len(self.world.requests.to("notion", method, path))

    @property
    def creates(self) -> int:
        return self.sent("POST", "/v1/pages")

    @property
    def updates(self) -> int:
        return self.sent("PATCH", "/v1/pages")

    async def wanted(self) -> list[Row]:
        """The rows Notion ought to have, told from the tables alone."""
        return await self.database.read(wanted_rows)

    async def agreed(self) -> None:
        """Notion shows exactly what the database says, one page a person and none besides."""
        assert in_order(self.pages()) == in_order(await self.wanted())

    def limiter(self, name: str, interval_ms: int = 0) -> Limiter:
        return Limiter(self.database, name, interval_ms, self.clock)

    async def second(self, interval_ms: int = 0) -> "Stage":
        """Another process on the same file, against the same Notion."""
        database = Database(self.url)
        await database.__aenter__()
        here = (self.data_source_id, self.context, self.clock)
        loop = _loop(self.world, database, *here, interval_ms, self.calendars)
        self._closing += [loop.sink.close, lambda: database.__aexit__(None, None, None)]
        return replace(self, database=database, loop=loop, _closing=[])


async def step(loop: SinkLoop) -> Work:
    """Take once, deliver and settle that."""
    work = await loop._take(loop.sink.concurrency)
    await _deliver(loop, work)
    return work


async def _deliver(loop: SinkLoop, work: Work) -> None:
    attempts = [Attempt(claim, work.probe, loop.clock()) for claim in work.claims]
    await asyncio.gather(*(loop.deliver(attempt) for attempt in attempts))


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (str(row["Rollcall key"]), str(row["Name"])))


def wanted_rows(tx: Connection) -> list[Row]:
    """`users` and `user_data` as a reader of Notion should see them."""
    data: dict[int, dict[str, Any]] = {}
    for user_id, key, value in tx.execute(text("SELECT user_id, key, CAST(value AS TEXT) FROM user_data")):
        data.setdefault(user_id, {})[key] = from_json(value)
    people = tx.execute(text("SELECT * FROM users ORDER BY id")).mappings()
    return [
        {
            "Name": person["name"],
            "E-mail": person["email"],
            "Title": data.get(person["id"], {}).get("profile", {}).get("title", ""),
            "Time zone": data.get(person["id"], {}).get("preferences", {}).get("timezone", ""),
            "Role": person["role"],
            "Status": person["status"],
            "Person": [person["notion_person_id"]] if person["notion_person_id"] else [],
            "Slack id": person["slack_user_id"] or "",
            "Clerk id": person["clerk_id"] or "",
            "Rollcall key": f"person:{person['id']}",
        }
        for person in people
    ]


def _rows(tx: Connection, sql: str, values: dict[str, Any]) -> list[Row]:
    return [dict(row) for row in tx.execute(text(sql), values).mappings()]


def _loop(
    world: World,
    database: Database,
    data_source_id: str,
    context: Context,
    clock: Clock,
    interval_ms: int = 0,
    calendars: Calendars | None = None,
) -> SinkLoop:
    limiter = Limiter(database, "notion", interval_ms, clock)
    api = NotionApi(world.notion.token, world.notion_url, limiter.turn)
    return SinkLoop(database, NotionSink(api, data_source_id, context, clock, calendars), context, clock)


async def new_data_source(world: World, table: Table = PEOPLE) -> str:
    """A database, as `rollcall notion setup` makes it; the requests for it are not counted."""
    api = NotionApi(world.notion.token, world.notion_url, no_wait)
    try:
        made = await api.create_database(world.notion.parent_page_id, table.title, table.wanted_properties())
    finally:
        await api.close()
    world.requests.clear()
    return str(made["data_sources"][0]["id"])


async def new_calendars(world: World) -> Calendars:
    return Calendars(await new_data_source(world, TABLES[CURRENT]), await new_data_source(world, TABLES[PAST]))


@contextlib.asynccontextmanager
async def staged(
    folder: Path, kind: str = SQLITE, *, interval_ms: int = 0, calendar: bool = False
) -> AsyncIterator[Stage]:
    clock, url = Clock(), new_database(folder, kind)
    async with running(World(seed=7)) as world, Database(url, deadline_s=10.0) as database:
        data_source_id = await new_data_source(world)
        calendars = await new_calendars(world) if calendar else None
        loop = _loop(world, database, data_source_id, CONTEXT, clock, interval_ms, calendars)
        stage = Stage(url, database, world, data_source_id, clock, loop, calendars=calendars)
        try:
            yield stage
        finally:
            await loop.sink.close()
            for close in stage._closing:
                await close()
    discard(url)


async def read_users(stage: Stage) -> None:
    """Have the user list read, as a start does."""
    await stage.database.write(outbox.mark, 1, ("notion",), USERS, stage.clock())
