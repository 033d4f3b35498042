"""The Procfile as its user runs it: two webs and two workers under honcho, sharing one rate limit."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from db.database import Database
from handlers.people.recording import record
from service.clock import now_ms
from service.sandbox.senders import PATHS, sign_clerk
from service.sandbox.world import World, running_in_thread
from tests.engines import CLERK_SECRET, CONTEXT, clerk_user, environment_of, identity, until
from tests.stage import in_order, new_data_source, wanted_rows

ROOT = Path(__file__).parents[1]
RATE = 4
JITTER_S = 0.2  # what is sent evenly arrives early or late by this much on a loaded machine
PEOPLE = 20
UNDER_WAY_S = 0.2


def free_base() -> int:
    """A port that is free, and so is the next: honcho counts from it. None of those the kernel gives away."""
    while True:
        base = secrets.choice(range(10_000, 30_000, 2))
        try:
            for port in (base, base + 1):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return base


@dataclass
class Fleet:
    """Everything the Procfile starts."""

    honcho: "subprocess.Popen[bytes]"
    base: int
    world: World
    data_source_id: str
    database: Database
    log: Path
    said: int = 0

    async def readyz(self, web: int) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            found: dict[str, Any] = (await client.get(f"http://127.0.0.1:{self.base + web}/readyz")).json()
        return found

    async def ready(self, seconds: float = 60.0) -> None:
        """Both webs answer, and say that somebody delivers."""
        deadline = time.monotonic() + seconds
        for web in range(2):
            while True:
                assert time.monotonic() < deadline, self.log.read_text()[-3000:]
                try:
                    if (await self.readyz(web))["relay_alive"]:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)

    async def hear(self, clerk_id: str, first: str) -> None:
        """Clerk's webhook, to one web after the other."""
        self.said += 1
        body = json.dumps(clerk_user(clerk_id, first, self.said)).encode()
        headers = sign_clerk(CLERK_SECRET, f"msg_{self.said}", int(time.time()), body)
        url = f"http://127.0.0.1:{self.base + self.said % 2}{PATHS['clerk']}"
        async with httpx.AsyncClient() as client:
            answer = await client.post(url, content=body, headers=headers)
        assert answer.json() == {"status": "applied"}

    def pages(self) -> list[dict[str, Any]]:
        return self.world.notion.rows(self.data_source_id)


@pytest.fixture
async def fleet(database_url: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    with running_in_thread(World(seed=5)) as world:
        world.slack.add_channel("alerts")
        data_source_id = await new_data_source(world)
        settings = environment_of(world, data_source_id, database_url, "worker", str(RATE))
        settings["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        base, log = free_base(), tmp_path / "honcho.log"
        words = ["-f", str(ROOT / "Procfile"), "-d", str(tmp_path), "start", "-c", "web=2,worker=2", "-p", str(base)]
        with log.open("wb") as out:
            honcho = subprocess.Popen(  # noqa: ASYNC220, S603 - our own Procfile
                [sys.executable, "-m", "honcho", *words, "web", "worker"], stdout=out, stderr=out, env=settings
            )
        async with Database(database_url, deadline_s=10.0) as database:
            found = Fleet(honcho, base, world, data_source_id, database, log)
            try:
                yield found
            finally:
                if honcho.poll() is None:
                    honcho.terminate()
                honcho.wait(30)


@pytest.mark.timeout(180)
async def test_two_webs_and_two_workers_keep_one_limit_and_end_when_told(fleet: Fleet) -> None:
    await fleet.ready()
    await fleet.database.write(invite, PEOPLE)
    began = time.monotonic()
    await until(lambda: len(fleet.pages()) == PEOPLE, 60.0)
    took = time.monotonic() - began
    requests = fleet.world.requests.to("notion")
    for seconds in (1.0, 3.0):
        print(f"\nin any {seconds:g} s: {requests.busiest(seconds)} of {RATE * seconds:g}")  # noqa: T201
        assert requests.busiest(seconds - JITTER_S) <= RATE * seconds
    times = sorted(request.monotonic for request in requests)
    spans = [later - first for first, later in zip(times, times[RATE:], strict=False)]
    print(f"{RATE + 1} requests within {min(spans):.3f} s, where the limit asks for 1 s")  # noqa: T201
    print(f"{len(requests)} requests in {took:.1f} s")  # noqa: T201
    assert took < PEOPLE / RATE * 2 + 2, "the limit is there to be used"

    assert len(requests.to("notion", "POST", "/v1/pages")) == PEOPLE

    await told_to_wait(fleet)
    wanted = await fleet.database.read(wanted_rows)
    assert in_order(fleet.pages()) == in_order(wanted)

    fleet.honcho.send_signal(signal.SIGTERM)
    fleet.honcho.wait(30)
    said = fleet.log.read_text()
    # (The exit codes honcho shows are those of the shells around them.)
    ended = [said.count(f'"event":"{event}"') for event in ("stopped", "worker_stopped")]
    assert ended == [2, 2], said[-3000:]
    assert "SIGKILL" not in said
    assert "Traceback" not in said


def invite(tx: Connection, count: int) -> None:
    """People from an import: many marks in one commit."""
    for number in range(count):
        record(tx, identity(f"user_{number}", "Ada", 0), CONTEXT, now_ms())


async def told_to_wait(fleet: Fleet) -> None:
    """One request is answered 429: nobody sends any before the time is over, whoever was told."""
    fleet.world.requests.clear()
    fleet.world.faults.calm()
    fleet.world.faults.add(platform="notion", status=429, retry_after=2, skip=5)
    for number in range(PEOPLE):
        await fleet.hear(f"user_{number}", "Augusta")
    await until(lambda: sum(page["Name"] == "Augusta Byron" for page in fleet.pages()) == PEOPLE, 60.0)
    requests = fleet.world.requests.to("notion")
    (refused,) = [request for request in requests if request.status == 429]
    since = [request.monotonic - refused.monotonic for request in requests if request.monotonic > refused.monotonic]
    # Whoever had its turn while the answer was on its way has sent.
    early = [round(after, 2) for after in since if UNDER_WAY_S < after < 2.0]
    under_way, first = (
        sum(after <= UNDER_WAY_S for after in since),
        min(after for after in since if after > UNDER_WAY_S),
    )
    print(f"after a 429: {under_way} were under way, the next came after {first:.2f} s")  # noqa: T201
    assert early == []
