"""`rollcall demo`: the main job for real, on this machine alone.

A sandbox of Clerk, Slack and Notion, the service as a process of its own, people who exist already and are
imported, then a day of signed webhooks with every trouble in it. In the end the database is compared with
Notion record by record, and with what the story itself says must come out.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection

import migrations
from db import inbox, outbox, people
from db.database import Database
from handlers.clerk.api import ClerkApi
from handlers.clerk.importing import ClerkImport
from handlers.notion import reconcile, setup
from handlers.slack.importing import SlackImport
from handlers.slack.sink import web_client
from service import platforms
from service.clock import now_ms
from service.sandbox.senders import Delivery, Door, Receipt, Sender
from service.sandbox.story import Story, story
from service.sandbox.world import World, running
from service.settings import Settings, load

CLERK_SECRET = "whsec_" + "c2FuZGJveC1zZWNyZXQtb2Ytcm9sbGNhbGw="
START_S = 20.0
SETTLE_S = 60.0
CALM_S = 0.2  # between two looks at what is still on its way
WIDTH = 8  # deliveries under way at once

Say = Callable[[str], None]


class DemoFailed(Exception):
    """The demo could not be carried out; the message says what happened."""


@dataclass(slots=True)
class Result:
    """What came out. `agrees`: Notion shows exactly our people, and they are the people of the story."""

    answers: Counter[str] = field(default_factory=Counter)
    inbox: dict[str, int] = field(default_factory=dict)
    people: int = 0
    comparison: reconcile.Comparison | None = None
    unexpected: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        compared = self.comparison
        return bool(compared and not compared.drifts and not compared.unsettled and not self.unexpected)


@dataclass(slots=True)
class Demo:
    """One run in `folder`. `say` is told each step, `sent` each delivery's receipt."""

    folder: Path
    seed: int
    size: int
    say: Say
    sent: Callable[[Receipt], None]
    world: World = field(default_factory=World)
    url: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def stage(self) -> AsyncIterator["Demo"]:
        """The sandbox, a migrated database with everybody imported, and the service; all of it ends with the block."""
        async with running(self.world):
            told = self.told
            for user in told.clerk_users:
                self.world.clerk.put(user)
            for member in told.slack_users:
                self.world.slack.put(member)
            for user in told.notion_users:
                self.world.notion.add_user(user)
            self.environment = await self._environment()
            settings = self.settings
            self.say(f"the sandbox of Clerk, Slack and Notion runs at {self.world.url}")
            migrations.upgrade(settings.database_url)
            async with Database(settings.database_url, deadline_s=30.0) as database:
                await self._import(database, settings)
            async with self._service():
                yield self

    @property
    def told(self) -> Story:
        return story(self.seed, now_ms=self._began, people=self.size)

    _began: int = field(default_factory=now_ms)

    @property
    def settings(self) -> Settings:
        return load(_env_file=None, **{name.lower(): value for name, value in self.environment.items()})

    async def _environment(self) -> dict[str, str]:
        world = self.world
        values = {
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
        settings = load(_env_file=None, **{name.lower(): value for name, value in values.items()})
        migrations.upgrade(settings.database_url)
        async with Database(settings.database_url) as database:
            api = platforms.notion_api(settings, database, patient=True)
            made = await setup.create(api, world.notion.parent_page_id)
            await api.close()
        return values | {"NOTION_PEOPLE_DATA_SOURCE_ID": made.data_source_id}

    async def _import(self, database: Database, settings: Settings) -> None:
        context = platforms.context(settings)
        key = settings.clerk_secret_key
        token = settings.slack_bot_token
        assert key is not None
        assert token is not None
        api = ClerkApi(key.get_secret_value(), settings.clerk_base_url, _at_once)
        clerk = await ClerkImport(database, context, now_ms, api=api).run()
        await api.close()
        client = web_client(token.get_secret_value(), settings.slack_base_url)
        slack = await SlackImport(database, context, now_ms, client=client).run()
        self.say(f"imported {clerk.recorded} people from Clerk and {slack.recorded} from Slack")

    @asynccontextmanager
    async def _service(self) -> AsyncIterator[None]:
        """The service as its own process, until the block ends."""
        environment = os.environ | self.environment | {"PORT": "0", "LOG_FORMAT": "json"}
        with (self.folder / "service.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service",
                "serve",
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
            )
        try:
            self.url = await asyncio.wait_for(_address(process), START_S)
            self.say(f"the service runs at {self.url}")
            yield
        except TimeoutError:
            raise DemoFailed(f"the service did not start within {START_S:g} s: see {log.name}") from None
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()

    async def play(self) -> Result:
        """Send the day, wait until nothing is on its way, compare."""
        told, result = self.told, Result()
        async with httpx.AsyncClient() as client:
            doors = {"clerk": CLERK_SECRET, "slack": self.world.slack.signing_secret}
            sender = Sender(client, {name: Door(self.url, secret) for name, secret in doors.items()}, pace=0.01)  # type: ignore[misc]
            await self._send(sender, told.deliveries, result)
        for gone in set(self.world.clerk.users) - {user["id"] for user in told.final_clerk_users()}:
            self.world.clerk.delete(gone)
        for user in told.final_clerk_users():
            self.world.clerk.put(user)
        settings = self.settings
        async with Database(settings.database_url, deadline_s=30.0) as database:
            self.say("waiting until nothing is on its way to Notion")
            await _settled(database)
            await self._judge(database, settings, told, result)
        return result

    async def _send(self, sender: Sender, deliveries: list[Delivery], result: Result) -> None:
        gate = asyncio.Semaphore(WIDTH)

        async def one(delivery: Delivery) -> None:
            async with gate:
                receipt = await sender.send(delivery)
            said = receipt.body.get("status") if isinstance(receipt.body, dict) else None
            result.answers[str(said or receipt.status or "no answer")] += 1
            self.sent(receipt)

        await asyncio.gather(*(one(delivery) for delivery in deliveries))

    async def _judge(self, database: Database, settings: Settings, told: Story, result: Result) -> None:
        data_source_id = settings.notion_people_data_source_id
        assert data_source_id is not None
        api = platforms.notion_api(settings, database, patient=True)
        result.comparison = await reconcile.compare(database, api, data_source_id, platforms.context(settings))
        await api.close()
        result.inbox = await database.read(inbox.counts)
        found = await database.read(_everybody)
        result.people = len(found)
        result.unexpected = disagreements(told, found)


def disagreements(told: Story, found: list[dict[str, Any]]) -> list[str]:
    """Where our people are not those of the story."""
    ours = {person["clerk_id"]: person for person in found}
    wrong = [f"{clerk_id} should be gone" for clerk_id in sorted(told.deleted_clerk_ids & ours.keys())]
    for expected in told.expected:
        person = ours.pop(expected.clerk_id, None)
        if person is None:
            wrong.append(f"{expected.clerk_id} is missing")
            continue
        columns = ("email", "name", "first_name", "last_name", "slack_user_id", "notion_person_id", "role", "status")
        wrong.extend(
            f"{expected.clerk_id}: {column} is {person[column]!r}, not {getattr(expected, column)!r}"
            for column in columns
            if person[column] != getattr(expected, column)
        )
    return wrong + [f"{clerk_id} is nobody of the story" for clerk_id in ours.keys() - told.deleted_clerk_ids]


def _everybody(tx: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in people.page(tx, most=1_000_000)]


async def _settled(database: Database) -> None:
    """Return once no mark of a person is open; what re-arms itself is always open."""
    async with asyncio.timeout(SETTLE_S):
        while await database.read(_on_their_way):  # noqa: ASYNC110 - the service is another process
            await asyncio.sleep(CALM_S)


def _on_their_way(tx: Connection) -> int:
    return sum(key.startswith("person:") for key in outbox.pending(tx, 1, "notion"))


async def _address(process: asyncio.subprocess.Process) -> str:
    """The URL the service prints when it listens."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        url = next((word for word in line.split() if word.startswith("http://")), None)
        if url:
            return url
    raise DemoFailed("the service ended before it listened")


async def _at_once() -> None:
    """The sandbox sets no limit."""
