"""The whole service, killed at random moments over and over: nothing acknowledged is lost, nothing happens twice."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic_core import from_json, to_json
from sqlalchemy import text

from db.database import transaction
from service.clock import now_ms
from service.sandbox.faults import Fault
from service.sandbox.people import clerk_event, slack_event
from service.sandbox.senders import PATHS, Delivery, sign_clerk, sign_slack
from service.sandbox.story import Story, story
from service.sandbox.world import World, running_in_thread
from tests.stage import in_order, new_data_source, new_database, wanted_rows

KILLS = 20
CLERK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK_SECRET = "8f742231b10e8888abcd99eee01a85a5"
# `rollcall serve`, a fresh process for each line that comes in; only the imports, two seconds of them, happen once.
START = """
import os, sys
from service.cli import main
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        sys.exit(main())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
COLUMNS = (
    "clerk_id",
    "email",
    "name",
    "first_name",
    "last_name",
    "slack_user_id",
    "notion_person_id",
    "status",
    "role",
)


@dataclass
class Service:
    """`rollcall serve` on one port and one file, one process after the other."""

    environment: dict[str, str]
    port: int
    folder: Path
    started_in: list[float] = field(default_factory=list)
    _starter: asyncio.subprocess.Process | None = None
    _pid: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def prepare(self) -> None:
        with (self.folder / "service.log").open("ab") as log:
            self._starter = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", START, "serve", "--port", str(self.port), "--json"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
            )

    async def start(self) -> None:
        """Returns once it listens."""
        assert self._starter is not None
        assert self._starter.stdin is not None
        self._starter.stdin.write(b"\n")
        self._pid = int(await self._line())
        began = time.monotonic()
        assert self.url in await self._line(), (self.folder / "service.log").read_text()[-2000:]
        self.started_in.append(time.monotonic() - began)

    async def end(self, how: signal.Signals) -> int:
        """Its exit code; minus the signal it died of."""
        os.kill(self._pid, how)
        code = int(await self._line())
        self._pid = 0
        return code

    async def close(self) -> None:
        assert self._starter is not None
        assert self._starter.stdin is not None
        if self._pid:
            await self.end(signal.SIGKILL)
        self._starter.stdin.close()
        await self._starter.communicate()

    async def _line(self) -> str:
        assert self._starter is not None
        assert self._starter.stdout is not None
        return (await self._starter.stdout.readline()).decode()


@dataclass
class Platforms:
    """Sends each delivery until it is acknowledged, and some of them again after that."""

    client: httpx.AsyncClient
    url: str
    rng: random.Random
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    refused: list[int] = field(default_factory=list)
    unanswered: int = 0

    async def send(self, delivery: Delivery, after_s: float) -> None:
        await asyncio.sleep(after_s)
        while True:
            try:
                answer = await self.client.post(
                    self.url + PATHS[delivery.platform], content=delivery.body, headers=_sign(delivery)
                )
            except httpx.TransportError:
                self.unanswered += 1
                await asyncio.sleep(0.02)
                continue
            if answer.status_code != 200:
                self.refused.append(answer.status_code)
                await asyncio.sleep(0.02)
                continue
            again = (delivery.platform, delivery.event_id) not in self.acknowledged and self.rng.random() < 0.1
            self.acknowledged.add((delivery.platform, delivery.event_id))
            if not again:
                return


def _sign(delivery: Delivery) -> dict[str, str]:
    now_s = int(time.time())
    if delivery.platform == "clerk":
        return sign_clerk(CLERK_SECRET, delivery.event_id, now_s, delivery.body)
    return sign_slack(SLACK_SECRET, now_s, delivery.body)


def introductions(told: Story) -> list[Delivery]:
    """Who existed before the story, as the events that would have told of them."""
    found = []
    for number, user in enumerate(told.clerk_users):
        body = to_json(clerk_event("user.created", user, user["updated_at"]))
        found.append(Delivery("clerk", f"msg_before_{number}", "user.created", body))
    for number, user in enumerate(told.slack_users):
        event = slack_event("user_change", {"user": user}, f"EvBEFORE{number}", told.team_id, user["updated"])
        found.append(Delivery("slack", f"EvBEFORE{number}", "user_change", to_json(event)))
    return found


@dataclass
class Scene:
    """Everything the test plays with."""

    url: str
    world: World
    data_source_id: str
    service: Service
    platforms: Platforms

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with transaction(self.url) as tx:
            return [dict(row) for row in tx.execute(text(sql)).mappings()]

    def end_leases(self) -> int:
        """A minute passes: what the dead process held is due again. Returns how much that was."""
        with transaction(self.url) as tx:
            return tx.execute(text("UPDATE sync_actions SET available_at = 0 WHERE status = 'leased'")).rowcount


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    url = new_database(tmp_path)
    with running_in_thread(World(seed=11)) as world, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        data_source_id = await new_data_source(world)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "DATABASE_URL": url,
            "CLERK_WEBHOOK_SIGNING_SECRET": CLERK_SECRET,
            "SLACK_SIGNING_SECRET": SLACK_SECRET,
            "NOTION_API_TOKEN": world.notion.token,
            "NOTION_PEOPLE_DATA_SOURCE_ID": data_source_id,
            "NOTION_BASE_URL": world.notion_url,
            "NOTION_REQUESTS_PER_SECOND": "0",
        }
        service = Service(environment, port, tmp_path)
        await service.prepare()
        async with httpx.AsyncClient(timeout=5.0) as client:
            yield Scene(url, world, data_source_id, service, Platforms(client, service.url, random.Random(5)))
        await service.close()


async def test_a_service_killed_over_and_over_loses_nothing_and_does_nothing_twice(scene: Scene) -> None:
    rng = random.Random(23)
    told = story(4, now_ms=now_ms(), forged=False)
    for user in told.notion_users:
        scene.world.notion.add_user(user)
    slow = [Fault(kind="slow", seconds=s, committed=c) for s in (0.02, 0.08) for c in (True, False)]
    scene.world.faults.random(seed=1, probability=1.0, mix=slow, platform="notion")
    deliveries = [*introductions(told), *told.deliveries]

    began = time.monotonic()
    held = await live_and_die(scene, deliveries, rng)
    await live_to_the_end(scene)
    took = time.monotonic() - began
    starts = sorted(scene.service.started_in)
    print(  # noqa: T201
        f"\n{KILLS} kills in {took:.1f} s, {sum(1 for n in held if n)} of them with deliveries under way "
        f"({sum(held)} leases), {scene.platforms.unanswered} requests unanswered, {len(deliveries)} deliveries, "
        f"{len(scene.world.requests)} requests to Notion, "
        f"start without imports {starts[len(starts) // 2] * 1000:.0f} ms"
    )
    assert sum(1 for count in held if count) >= KILLS // 2, "the kills hit nothing: the test proves nothing"
    assert scene.platforms.refused == []
    check_inbox(scene, deliveries)
    check_people(scene, told)
    check_pages(scene)


async def live_and_die(scene: Scene, deliveries: list[Delivery], rng: random.Random) -> list[int]:
    """A share of the deliveries a life. Returns how many marks each killed process held."""
    held, sending = [], set()
    share = -(-len(deliveries) // KILLS)
    for life in range(KILLS):
        await scene.service.start()
        for delivery in deliveries[life * share : (life + 1) * share]:
            sending.add(asyncio.create_task(scene.platforms.send(delivery, rng.uniform(0, 0.3))))
        await asyncio.sleep(rng.uniform(0.03, 0.35))
        assert await scene.service.end(signal.SIGKILL) == -signal.SIGKILL
        await asyncio.sleep(0.1)  # what was sent still happens at Notion, long before a lease would end
        held.append(scene.end_leases())
    await scene.service.start()
    await asyncio.gather(*sending)
    return held


async def live_to_the_end(scene: Scene) -> None:
    """The last process delivers what is left and obeys a SIGTERM."""
    deadline = time.monotonic() + 20
    still = "SELECT key, status, attempts, error FROM sync_actions WHERE status <> 'settled' AND key <> 'users'"
    still += " AND sink <> 'clock'"  # jobs re-arm themselves
    while open_marks := scene.rows(still):
        assert time.monotonic() < deadline, (open_marks, scene.rows("SELECT * FROM limits"))
        await asyncio.sleep(0.05)
    assert await scene.service.end(signal.SIGTERM) == 0


def check_inbox(scene: Scene, deliveries: list[Delivery]) -> None:
    stored = scene.rows("SELECT source, event_id, status FROM webhook_events")
    ids = [(row["source"], row["event_id"]) for row in stored]
    assert len(ids) == len(set(ids))
    assert scene.platforms.acknowledged == {(one.platform, one.event_id) for one in deliveries}
    assert set(ids) == scene.platforms.acknowledged
    assert [row for row in stored if row["status"] in ("failed", "waiting")] == []


def check_people(scene: Scene, told: Story) -> None:
    people = {row["clerk_id"]: row for row in scene.rows("SELECT * FROM users")}
    assert {id_: {name: row[name] for name in COLUMNS} for id_, row in people.items()} == {
        person.clerk_id: {name: getattr(person, name) for name in COLUMNS} for person in told.expected
    }
    data = scene.rows("SELECT clerk_id, key, json(value) AS value FROM user_data JOIN users ON users.id = user_id")
    counts = {row["clerk_id"]: from_json(row["value"]) for row in data if row["key"] == "session_count"}
    assert {person.clerk_id: counts.get(person.clerk_id, 0) for person in told.expected} == {
        person.clerk_id: person.session_count for person in told.expected
    }
    for row in data:
        if row["key"] in ("login_history", "name_history"):
            entries = [to_json(entry) for entry in from_json(row["value"])]
            assert len(entries) == len(set(entries)), row
    assert scene.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def check_pages(scene: Scene) -> None:
    notion = scene.world.notion
    with transaction(scene.url) as tx:
        wanted = wanted_rows(tx)
    shown = notion.rows(scene.data_source_id)
    assert in_order(shown) == in_order(wanted)
    keys = [row["Rollcall key"] for row in shown + notion.rows(scene.data_source_id, trashed=True)]
    assert len(keys) == len(set(keys)), "a page was made twice"
