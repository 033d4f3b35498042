"""One chaos run: the program on a database of its own, the sandbox beside it, the senders, and the report."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from db.database import transaction
from service.clock import now_ms
from service.sandbox.senders import Door
from service.sandbox.story_oracle import ExpectedPerson
from service.sandbox.world import World, running_in_thread
from tests.chaos import judge
from tests.chaos.ground import Ground
from tests.chaos.program import Program, prelude, step_clock
from tests.chaos.report import Report
from tests.chaos.sending import AT_ONCE, Platforms, Queueing
from tests.engines import CLERK_SECRET
from tests.stage import new_data_source

SLACK_SECRET = "8f742231b10e8888abcd99eee01a85a5"
# The jobs re-arm themselves and are never done; nor is the user list, but once it was read nothing of it is out of date
# for an hour. A clock that is set back has it read sooner than that, so its due time alone does not tell.
OPEN = (
    "SELECT sink, key, status, attempts, error, available_at, marked_at FROM sync_actions"
    " WHERE status NOT IN ('settled', 'dead') AND sink <> 'clock' AND (key <> 'users' OR marked_at < {soon}"
    " OR status = 'leased' OR attempts > 0 OR error IS NOT NULL OR available_at <= {now})"
)


@dataclass
class Scene:
    """Everything a run plays with."""

    url: str
    world: World
    data_source_id: str
    port: int
    clock: Path
    programs: list[Program]
    platforms: Platforms
    report: Report
    rng: random.Random

    @property
    def program(self) -> Program:
        """The web process."""
        return self.programs[0]

    @property
    def deliverer(self) -> Program:
        """Whoever delivers marks: the worker where there is one, else the web process."""
        return self.programs[-1]

    def url_of_web(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def step_clock(self, seconds: float) -> None:
        step_clock(self.clock, seconds)

    async def start(self) -> None:
        await asyncio.gather(*(program.start() for program in self.programs))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return judge.look(self.url, sql)

    def end_leases(self) -> int:
        """A minute passes: what the dead process held is due again. Returns how much that was."""
        with transaction(self.url) as tx:
            return tx.execute(text("UPDATE sync_actions SET available_at = 0 WHERE status = 'leased'")).rowcount

    def leased(self) -> int:
        return int(self.rows("SELECT count(*) AS n FROM sync_actions WHERE status = 'leased'")[0]["n"])

    async def idle(self, deadline_s: float = 90) -> float:
        """Waits until nothing is due or under way; returns how long that took, seconds."""
        began = time.monotonic()
        while open_marks := self.rows(OPEN.format(now=now_ms(), soon=now_ms() + 600_000)):
            shown = (open_marks[:5], self.rows("SELECT * FROM limits"))
            assert time.monotonic() < began + deadline_s, shown
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def finish(self, expected: list[ExpectedPerson], deadline_s: float = 90, *, strangers: bool = False) -> None:
        """Everything acknowledged and delivered, the program ended by SIGTERM, the end compared with the oracle.

        `strangers`: there may be people whom the stream does not know.
        """
        await self.platforms.done()
        waited = await self.idle(deadline_s)
        assert {await program.end(signal.SIGTERM) for program in self.programs} == {0}
        self.judge(expected)
        if strangers:
            known = {one.clerk_id for one in expected}
            self.report.harm["diverging people"] = [id_ for id_ in self.report.harm["diverging people"] if id_ in known]
        self.report.figures["settled after, s"] = round(waited, 1)
        self.report.verdict()

    def judge(self, expected: list[ExpectedPerson]) -> None:
        notion, pages = self.world.notion, self.data_source_id
        self.report.figures |= {
            "events sent": len(self.platforms.offered),
            "attempts": self.platforms.attempts,
            "acknowledged": len(self.platforms.acknowledged),
            "unanswered": self.platforms.unanswered,
            "refused": dict(sorted(self.platforms.refused.items())),
            "given up, sent again": self.platforms.given_up,
            "requests to Notion": len(self.world.requests.to("notion")),
        }
        self.report.harm |= {
            "lost": judge.lost(self.url, self.platforms),
            "doubled": [*judge.doubled(self.url, expected), *judge.doubled_pages(notion, pages)],
            "diverging people": judge.diverging_people(self.url, expected),
            "diverging pages": judge.diverging_pages(self.url, notion, pages),
        }


@contextlib.asynccontextmanager
async def set_up(
    folder: Path,
    url: str,
    report: Report,
    *,
    ground: Ground,
    constants: dict[str, Any] | None = None,
    keep_alive: bool = True,
    worker: bool = False,
    **settings: str,
) -> AsyncIterator[Scene]:
    """A scene in `folder` on the migrated database `url`; the program is ready to be started.

    `keep_alive`: whether the senders use a connection again. `worker`: a process of its own delivers.
    """
    clock, port = folder / "clock", free_port()
    step_clock(clock, 0)
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(running_in_thread(World(seed=report.seed)))
        data_source_id = await new_data_source(world)
        environment = environment_of(url, world, data_source_id) | settings
        if worker:
            environment["RELAY"] = "worker"
        programs = [
            Program(stack.enter_context(ground.starter(prelude(clock, constants or {}))), folder, environment, words)
            for words in (("serve", "--port", str(port)), ("worker",))[: 1 + worker]
        ]
        door = f"http://127.0.0.1:{port}"
        doors = {"clerk": Door(door, CLERK_SECRET), "slack": Door(door, SLACK_SECRET)}
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=20 if keep_alive else 0)
        rng = random.Random(report.seed)
        async with Queueing(limits=limits) as client:
            platforms = Platforms(client, doors, rng)
            yield Scene(url, world, data_source_id, port, clock, programs, platforms, report, rng)


def free_port() -> int:
    """The same for every process of a run: senders keep their door."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environment_of(url: str, world: World, data_source_id: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "DATABASE_URL": url,
        "LOG_FORMAT": "json",
        "CLERK_WEBHOOK_SIGNING_SECRET": CLERK_SECRET,
        "SLACK_SIGNING_SECRET": SLACK_SECRET,
        "SLACK_BOT_TOKEN": world.slack.token,
        "SLACK_ALERT_CHANNEL": world.slack.add_channel("alerts"),
        "SLACK_BASE_URL": world.slack_url,
        "NOTION_API_TOKEN": world.notion.token,
        "NOTION_PEOPLE_DATA_SOURCE_ID": data_source_id,
        "NOTION_BASE_URL": world.notion_url,
        "NOTION_REQUESTS_PER_SECOND": "0",
    }
