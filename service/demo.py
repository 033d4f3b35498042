"""`rollcall demo`: the main job for real, on this machine alone.

A sandbox of Clerk, Slack and Notion, the service as a process of its own, people who exist already and are
imported, then a day of signed webhooks with every trouble in it. In the end the database is compared with
Notion record by record, and with what the story itself says must come out.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection

import migrations
from db import inbox, outbox
from db.database import Database
from db.outbox import LEASE_MS
from handlers.clerk.api import ClerkApi
from handlers.clerk.importing import ClerkImport
from handlers.notion import reconcile, setup
from handlers.notion.calendar import CURRENT, PAST, TABLES
from handlers.notion.directory import PEOPLE
from handlers.slack.api import web_client
from handlers.slack.importing import SlackImport
from service import platforms
from service.clock import now_ms
from service.context import context_of
from service.demo_oncall import Team, Unasked, compare_calendar
from service.sandbox.senders import Door, Platform, Receipt, Sender
from service.sandbox.story import Story, story
from service.sandbox.world import World, running
from service.settings import Settings, load
from service.verdict import Result, disagreements, everybody, miscounted

CLERK_SECRET = "whsec_" + "c2FuZGJveC1zZWNyZXQtb2Ytcm9sbGNhbGw="
START_S = 60.0
STOP_S = 25.0  # a little longer than the service gives itself
STILL_S = 30.0  # this long without any progress is the end
CALM_S = 0.2  # between two looks at what is still on its way
WIDTH = 8  # deliveries under way at once

Say = Callable[[str], None]


class DemoFailed(Exception):
    """The demo could not be carried out; the message says what happened."""


@dataclass(slots=True)
class Demo:
    """One run in `folder`. `say` is told each step done, `doing` what is begun, `sent` each delivery's receipt."""

    folder: Path
    seed: int
    size: int
    say: Say
    sent: Callable[[Receipt], None]
    doing: Say = lambda _: None
    world: World = field(default_factory=World)
    url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    told: Story = field(init=False)
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.told = story(self.seed, now_ms=now_ms(), people=self.size)

    @contextlib.asynccontextmanager
    async def stage(self) -> AsyncIterator["Demo"]:
        """The sandbox, a migrated database with everybody imported, and the service; all of it ends with the block."""
        async with running(self.world):
            self._populate()
            self.say(f"a sandbox of Clerk, Slack and Notion at {self.world.url}")
            self.environment = self._environment()
            migrations.upgrade(self.settings.database_url)
            async with Database(self.settings.database_url, deadline_s=30.0) as database:
                self.doing("making the databases in Notion")
                self.environment |= await self._set_up(database)
                self.say("a migrated SQLite file; in Notion a People database and two calendars")
                self.doing("importing who exists already")
                await self._import(database)
            self.doing("starting the service")
            async with self._service():
                yield self

    def _populate(self) -> None:
        for user in self.told.clerk_users:
            self.world.clerk.put(user)
        for member in self.told.slack_users:
            self.world.slack.put(member)
        for listed in self.told.notion_users:
            self.world.notion.add_user(listed)

    @property
    def settings(self) -> Settings:
        """Of the demo alone: what this machine's environment says is for the real thing."""
        usual = {name: one.get_default(call_default_factory=True) for name, one in Settings.model_fields.items()}
        return load(_env_file=None, **usual | {name.lower(): value for name, value in self.environment.items()})

    def _environment(self) -> dict[str, str]:
        world = self.world
        return {
            "DATABASE_URL": f"sqlite:///{self.folder / 'rollcall.db'}",
            "CLERK_WEBHOOK_SIGNING_SECRET": CLERK_SECRET,
            "CLERK_SECRET_KEY": world.clerk.secret_key,
            "CLERK_BASE_URL": world.clerk_url,
            "SLACK_SIGNING_SECRET": world.slack.signing_secret,
            "SLACK_BOT_TOKEN": world.slack.token,
            "SLACK_ALERT_CHANNEL": world.slack.add_channel("rollcall-alerts"),
            "SLACK_BASE_URL": world.slack_url,
            "NOTION_API_TOKEN": world.notion.token,
            "NOTION_BASE_URL": world.notion_url,
            "NOTION_REQUESTS_PER_SECOND": "0",
        }

    async def _set_up(self, database: Database) -> dict[str, str]:
        tables = {"PEOPLE": PEOPLE, "CALENDAR": TABLES[CURRENT], "PAST_CALENDAR": TABLES[PAST]}
        api = platforms.notion_api(self.settings, database, patient=True)
        try:
            made = {
                name: await setup.create(api, self.world.notion.parent_page_id, one) for name, one in tables.items()
            }
            return {f"NOTION_{name}_DATA_SOURCE_ID": schema.data_source_id for name, schema in made.items()}
        finally:
            await api.close()

    async def _import(self, database: Database) -> None:
        context = context_of(self.settings)
        api = ClerkApi(self.world.clerk.secret_key, self.world.clerk_url, _at_once)
        try:
            clerk = await ClerkImport(database, context, now_ms, api=api).run()
        finally:
            await api.close()
        client = web_client(self.world.slack.token, self.world.slack_url)
        slack = await SlackImport(database, context, now_ms, client=client).run()
        self.say(f"{clerk.recorded} people imported from Clerk, {slack.recorded} from Slack")

    @contextlib.asynccontextmanager
    async def _service(self) -> AsyncIterator[None]:
        """The service as its own process, until the block ends."""
        mine = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
        with (self.folder / "service.log").open("wb") as log:
            self.process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service",
                "serve",
                env=mine | self.environment | {"PORT": "0", "LOG_FORMAT": "json"},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
            )
        try:
            self.url = await _address(process)
            self.say(f"Rollcall at {self.url}")
            yield
        finally:
            await _end(process)

    async def play(self) -> Result:
        """Send the day, wait until nothing is on its way, compare."""
        result = Result()
        await self._send(result)
        self._let_platforms_know()
        async with Database(self.settings.database_url, deadline_s=30.0) as database:
            self.doing("waiting until nothing is on its way to Notion")
            await _settled(database)
            self.say(f"Notion has caught up, after {self.world.notion.writes} writes")
            self.doing("comparing record by record")
            await self._judge(database, result)
            await self._take_turns(database, result)
        return result

    async def _take_turns(self, database: Database, result: Result) -> None:
        """On call: a schedule, an override and a leave asked for in Slack, and the calendar in Notion afterwards."""
        self.doing("planning who is on call")
        context = context_of(self.settings)
        door = Door(self.url, self.world.slack.signing_secret)
        async with httpx.AsyncClient() as client:
            team = await Team.gather(database, context, self.world.slack, client, door)
            self.say(f"a schedule for {len(team.members)} people: {len(await team.duties())} shifts to come")
            try:
                self.say(f"asked for in Slack: {await team.override()}")
                self.say(f"asked for in Slack: {await team.leave()}")
            except Unasked as error:
                result.unexpected.append(str(error))
        self.doing("waiting for the calendar in Notion")
        await _settled(database)
        result.calendar = await compare_calendar(database, self.settings, context)
        self.say("the calendar in Notion has caught up")

    async def _send(self, result: Result) -> None:
        """Everything that happened that day, WIDTH at once, retried as Svix and Slack do."""
        gate = asyncio.Semaphore(WIDTH)
        secrets: dict[Platform, str] = {"clerk": CLERK_SECRET, "slack": self.world.slack.signing_secret}
        async with httpx.AsyncClient() as client:
            sender = Sender(client, {name: Door(self.url, secret) for name, secret in secrets.items()}, pace=0.01)

            async def one(delivery: Any) -> None:
                async with gate:
                    receipt = await sender.send(delivery)
                result.note(receipt)
                self.sent(receipt)

            await asyncio.gather(*map(one, self.told.deliveries))
        kinds = Counter(delivery.type for delivery in self.told.deliveries).most_common()
        self.say("webhooks delivered: " + ", ".join(f"{count} {kind}" for kind, count in kinds))

    def _let_platforms_know(self) -> None:
        """Clerk's and Slack's own lists show the day's end, too: an import finds nothing new, newcomers are there."""
        final = self.told.final_clerk_users()
        for gone in set(self.world.clerk.users) - {user["id"] for user in final}:
            self.world.clerk.delete(gone)
        for user in final:
            self.world.clerk.put(user)
        for member in self.told.final_slack_users():
            self.world.slack.put(member)

    async def _judge(self, database: Database, result: Result) -> None:
        settings = self.settings
        assert settings.notion_people_data_source_id is not None
        api = platforms.notion_api(settings, database, patient=True)
        try:
            result.comparison = await reconcile.compare(
                database, api, settings.notion_people_data_source_id, context_of(settings)
            )
        finally:
            await api.close()
        result.inbox = await database.read(inbox.counts)
        found = await database.read(everybody)
        result.people = len(found)
        result.unexpected = [*miscounted(self.told, result), *disagreements(self.told, found)]


async def _settled(database: Database) -> None:
    """Return once no mark is due; what re-arms itself is due in an hour. DemoFailed when nothing moves any more."""
    left, since = 0, time.monotonic()
    while found := await database.read(_on_their_way, now_ms()):
        if found != left:
            left, since = found, time.monotonic()
        elif time.monotonic() - since > STILL_S:
            raise DemoFailed(f"{left} changes did not reach Notion: nothing moved for {STILL_S:g} s, see service.log")
        await asyncio.sleep(CALM_S)


def _on_their_way(tx: Connection, now: int) -> int:
    soonest = outbox.next_at(tx, "notion")
    return len(outbox.pending(tx, 1, "notion")) if soonest is not None and soonest <= now + LEASE_MS else 0


async def _address(process: asyncio.subprocess.Process) -> str:
    """The URL the service prints when it listens."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            while line := (await process.stdout.readline()).decode():
                if url := next((word for word in line.split() if word.startswith("http://")), None):
                    return url
    except TimeoutError:
        raise DemoFailed(f"the service did not start within {START_S:g} s: see service.log") from None
    raise DemoFailed("the service ended before it listened: see service.log")


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()


async def _at_once() -> None:
    """The sandbox sets no limit."""
