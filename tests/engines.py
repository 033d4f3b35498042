"""What the tests of many processes share: Rollcall as processes on one database, against one sandbox."""

import asyncio
import contextlib
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, text

from db.database import Database
from db.identities import Identity
from handlers.people.recording import record, version
from handlers.registry import Context
from service.clock import now_ms
from service.door import open_database
from service.sandbox.journal import Journal
from service.sandbox.senders import PATHS, sign_clerk
from service.sandbox.world import World, running_in_thread
from service.settings import Settings
from tests.processes import Running, Starter
from tests.stage import in_order, new_data_source, wanted_rows

CONTEXT = Context(sinks=frozenset({"notion", "slack"}))
CLERK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Row = dict[str, Any]
OPEN = "SELECT * FROM sync_actions WHERE status IN ('due', 'leased') AND key <> 'users' AND sink <> 'clock' ORDER BY id"


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for it; AssertionError when it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


@dataclass
class Engine:
    """An installation: `webs` receive, `workers` deliver (or, embedded, the webs do that too)."""

    url: str
    relay: str
    world: World
    data_source_id: str
    folder: Path
    starter: Starter
    database: Database
    rate: str = "0"
    webs: list[Running] = field(default_factory=list)
    workers: list[Running] = field(default_factory=list)
    _said: int = 0

    @property
    def environment(self) -> dict[str, str]:
        return environment_of(self.world, self.data_source_id, self.url, self.relay, self.rate)

    # -- processes --

    async def start(self, deliverers: int = 1) -> None:
        """As many processes that deliver; where those are workers, one that receives as well."""
        for _ in range(1 if self.relay == "worker" else deliverers):
            await self.start_web(wait=False)
        for _ in range(deliverers if self.relay == "worker" else 0):
            await self.start_worker(wait=False)
        for one in (*self.webs, *self.workers):
            await self._ready(one)

    async def start_web(self, *, wait: bool = True) -> Running:
        self.webs.append(self.starter.start(self.folder, self.environment, "serve", "--port", "0"))
        if wait:
            await self._ready(self.webs[-1])
        return self.webs[-1]

    async def start_worker(self, *, wait: bool = True) -> Running:
        self.workers.append(self.starter.start(self.folder, self.environment, "worker"))
        if wait:
            await self._ready(self.workers[-1])
        return self.workers[-1]

    async def start_deliverer(self) -> Running:
        return await (self.start_worker() if self.relay == "worker" else self.start_web())

    def address(self, web: int) -> str:
        found = re.search(r"http://[\d.:]+", self.webs[web].said())
        assert found
        return found[0]

    @property
    def deliverers(self) -> list[Running]:
        return self.workers if self.relay == "worker" else self.webs

    def end_deliverers(self, how: signal.Signals) -> list[int]:
        """Their exit codes; minus the signal they died of."""
        codes = [one.end(how) for one in self.deliverers]
        self.deliverers.clear()
        return codes

    async def _ready(self, one: Running) -> None:
        try:
            await until(one.ready)
        except AssertionError:
            raise AssertionError(one.said()[-3000:]) from None

    # -- people --

    async def say(self, clerk_id: str, first: str = "Ada") -> None:
        """Clerk says this of somebody, newer than anything before; written by a process that only writes."""
        self._said += 1
        await self.database.write(record, identity(clerk_id, first, self._said), CONTEXT, now_ms())

    async def hear(self, clerk_id: str, first: str = "Ada", web: int = 0) -> float:
        """The same as a webhook; when it was answered (monotonic, s)."""
        self._said += 1
        body = json.dumps(clerk_user(clerk_id, first, self._said)).encode()
        headers = sign_clerk(CLERK_SECRET, f"msg_{self._said}", int(time.time()), body)
        async with httpx.AsyncClient() as client:
            answer = await client.post(self.address(web) + PATHS["clerk"], content=body, headers=headers)
        assert answer.json() == {"status": "applied"}, answer.text
        return time.monotonic()

    async def readyz(self, web: int = 0) -> Row:
        async with httpx.AsyncClient() as client:
            found: Row = (await client.get(self.address(web) + "/readyz")).json()
        return found

    # -- what is so --

    async def write(self, sql: str, **values: Any) -> None:
        await self.database.write(_execute, sql, values)

    async def rows(self, sql: str, **values: Any) -> list[Row]:
        return await self.database.read(_rows, sql, values)

    async def person_marks(self) -> list[Row]:
        return await self.rows("SELECT * FROM sync_actions WHERE sink = 'notion' AND key LIKE 'person:%' ORDER BY id")

    async def pass_time(self) -> None:
        """Every wait is over: leases end, marks that wait to be tried again are due, a paused sink may be probed."""
        now = now_ms()
        await self.write("UPDATE sync_actions SET available_at = :now WHERE status = 'leased'", now=now)
        await self.hurry()

    async def hurry(self) -> None:
        """As `pass_time`, but leases go on."""
        now = now_ms()
        wait = "status = 'due' AND key <> 'users' AND available_at > :now"
        await self.write(f"UPDATE sync_actions SET available_at = :now WHERE {wait}", now=now)  # noqa: S608 - a constant
        await self.write("UPDATE limits SET probe_at = :now WHERE paused_at IS NOT NULL AND probe_at > :now", now=now)

    async def settled(self, seconds: float = 20.0) -> None:
        """Wait until nothing is left to deliver."""
        deadline = time.monotonic() + seconds
        while left := await self.rows(OPEN):
            assert time.monotonic() < deadline, (left, await self.rows("SELECT * FROM limits"))
            await asyncio.sleep(0.02)

    async def idle(self) -> None:
        """Wait until a start's own work is done as well: the member list is read, and due again in an hour."""
        await self.settled()
        users = "SELECT * FROM sync_actions WHERE key = 'users' AND status = 'due' AND available_at > :soon"
        while not await self.rows(users, soon=now_ms() + 600_000):  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.02)

    async def agreed(self) -> None:
        """Notion shows exactly what the database says, one page a person and none besides, none made twice."""
        wanted = await self.database.read(wanted_rows)
        assert in_order(self.pages()) == in_order(wanted)
        keys = [row["Rollcall key"] for row in self.pages() + self.pages(trashed=True)]
        assert len(keys) == len(set(keys)), "a page was made twice"

    def pages(self, *, trashed: bool = False) -> list[Row]:
        return self.world.notion.rows(self.data_source_id, trashed=trashed)

    def sent(self, method: str | None = None, path: str = "/v1/pages") -> Journal:
        """The requests Notion received about pages."""
        return self.world.requests.to("notion", method, path)

    def told(self) -> str:
        """What all processes logged."""
        return "\n".join(one.said() for one in self.starter.started)


def environment_of(world: World, data_source_id: str, url: str, relay: str, rate: str) -> dict[str, str]:
    """The settings of a process whose other side is this sandbox, and nothing else of ours."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "DATABASE_URL": url,
        "RELAY": relay,
        "CLERK_WEBHOOK_SIGNING_SECRET": CLERK_SECRET,
        "SLACK_BOT_TOKEN": world.slack.token,
        "SLACK_ALERT_CHANNEL": next(iter(world.slack.channels)),
        "SLACK_BASE_URL": world.slack_url,
        "NOTION_API_TOKEN": world.notion.token,
        "NOTION_PEOPLE_DATA_SOURCE_ID": data_source_id,
        "NOTION_BASE_URL": world.notion_url,
        "NOTION_REQUESTS_PER_SECOND": rate,
    }


def identity(clerk_id: str, first: str, at: int) -> Identity:
    data = {"first_name": first, "last_name": "Byron", "created_at": 1, "updated_at": 1, "synced_at": 1}
    stamp = version(at, 0, b"")
    return Identity("clerk", clerk_id, f"{clerk_id}@example.com", email_verified=True, version=stamp, data=data)


def clerk_user(clerk_id: str, first: str, at: int) -> Row:
    address = {"id": "idn_1", "email_address": f"{clerk_id}@example.com", "verification": {"status": "verified"}}
    user = {
        "id": clerk_id,
        "first_name": first,
        "last_name": "Byron",
        "primary_email_address_id": "idn_1",
        "email_addresses": [address],
        "created_at": 1,
        "updated_at": at,
    }
    return {"type": "user.updated", "timestamp": at, "data": user}


def _rows(tx: Connection, sql: str, values: Row) -> list[Row]:
    return [dict(row) for row in tx.execute(text(sql), values).mappings()]


def _execute(tx: Connection, sql: str, values: Row) -> None:
    tx.execute(text(sql), values)


@contextlib.asynccontextmanager
async def engine(url: str, relay: str, folder: Path, starter: Starter, rate: str = "0") -> AsyncIterator[Engine]:
    """Nothing runs yet but the sandbox."""
    with running_in_thread(World(seed=3)) as world:
        world.slack.add_channel("alerts")
        data_source_id = await new_data_source(world)
        settings = Settings(_env_file=None, database_url=url, relay=relay)
        async with open_database(settings, deadline_s=10.0) as database:
            try:
                yield Engine(url, relay, world, data_source_id, folder, starter, database, rate)
            finally:
                starter.end_all()
