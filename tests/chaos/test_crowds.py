"""A thousand connections that say nothing, and hundreds that never finish a sentence: everybody else is served."""

import asyncio
import contextlib
import resource
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from service.sandbox.senders import Delivery
from tests.chaos.conftest import Chaos
from tests.chaos.report import HERE, LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import renames

pytestmark = HERE

IDLE = 1_000
SLOW = 200
PEOPLE = 100
ROUNDS = 20 if LONG else 2
WIDTH = 8
USUAL_FILE_LIMIT = 1_024
REQUEST_S = 5.0  # what half a request gets here, instead of 15 s
SERVED_S = 20.0  # whoever is not served by then never will be
HALF_HEADERS = b"POST /webhooks/clerk HTTP/1.1\r\nHost: rollcall\r\nsvix-id: msg_"
HALF_BODY = b"POST /webhooks/clerk HTTP/1.1\r\nHost: rollcall\r\nContent-Length: 900000\r\n\r\n{"


@dataclass
class Idlers:
    """Connections that were opened and are kept; the slow ones say another byte whenever told."""

    port: int
    silent: list[socket.socket] = field(default_factory=list)
    slow: list[socket.socket] = field(default_factory=list)

    async def come(self, count: int, beginnings: Sequence[bytes] = ()) -> None:
        loop = asyncio.get_running_loop()
        for number in range(count):
            one = socket.socket()
            one.setblocking(False)
            await asyncio.wait_for(loop.sock_connect(one, ("127.0.0.1", self.port)), 5)
            if beginnings:
                await loop.sock_sendall(one, beginnings[number % len(beginnings)])
            (self.slow if beginnings else self.silent).append(one)

    async def accepted(self, scene: Scene) -> int:
        """How many files the service has open, once it has accepted them all (or will not)."""
        count = 0
        for _ in range(100):
            if (count := scene.program.open_files()) > IDLE:
                break
            await asyncio.sleep(0.02)
        return count

    async def end(self) -> Counter[str]:
        """What became of each in the end: hung up on, told 408 before that, or still open."""
        fates = dict.fromkeys((*self.silent, *self.slow), "open")
        for _ in range(200):
            for one in self.slow:
                with contextlib.suppress(OSError):
                    one.send(b"a")
            fates |= {one: _fate(one) for one, fate in fates.items() if fate == "open"}
            if "open" not in fates.values():
                break
            await asyncio.sleep(0.1)
        return Counter(fates.values())

    def go(self) -> None:
        for one in (*self.silent, *self.slow):
            one.close()


def _fate(one: socket.socket) -> str:
    try:
        said = one.recv(65_536)
    except BlockingIOError:
        return "open"
    except OSError:
        return "hung up"
    return "told 408" if said.startswith(b"HTTP/1.1 408") else "hung up" if not said else f"told {said[9:12]!r}"


@contextlib.contextmanager
def room_for_files() -> Iterator[None]:
    """This process needs as many descriptors as it opens connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.asynccontextmanager
async def crowded(scene: Scene) -> AsyncIterator[Idlers]:
    idlers = Idlers(scene.port)
    with room_for_files():
        try:
            yield idlers
        finally:
            idlers.go()


async def served(scene: Scene, deliveries: list[Delivery]) -> list[float]:
    """How long each took, seconds, sorted."""
    gate, took = asyncio.Semaphore(WIDTH), []

    async def one(delivery: Delivery) -> None:
        async with gate:
            began = time.perf_counter()
            await scene.platforms.send(delivery)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*map(one, deliveries))
    return sorted(took)


@pytest.mark.timeout(600)
async def test_idle_and_slow_connections_keep_nobody_from_being_served(chaos: Chaos) -> None:
    async with chaos(
        {"service.connections.REQUEST_S": REQUEST_S}, keep_alive=False, NOTION_REQUESTS_PER_SECOND="20"
    ) as scene:
        report = scene.report
        scene.program.limit_descriptors(USUAL_FILE_LIMIT)
        await scene.start()
        stream = renames(report.seed, PEOPLE)
        rounds = [stream.round(number) for number in range(2 * ROUNDS + 1)]
        await served(scene, rounds[0])
        alone = await served(scene, [one for round_ in rounds[1 : ROUNDS + 1] for one in round_])
        report.must_bite = {"idle connections": IDLE, "half-sent requests": SLOW, "open while others were served": IDLE}
        async with crowded(scene) as idlers:
            await idlers.come(IDLE)
            await idlers.come(SLOW, (HALF_HEADERS, HALF_BODY))
            report.faults |= {"idle connections": len(idlers.silent), "half-sent requests": len(idlers.slow)}
            report.bites["open while others were served"] = await idlers.accepted(scene)
            crowded_out = await served(scene, [one for round_ in rounds[ROUNDS + 1 :] for one in round_])
            fates = await idlers.end()
        report.figures |= {
            "what became of the crowd": dict(fates),
            "p99 alone, ms": _p99(alone),
            "p99 in the crowd, ms": _p99(crowded_out),
        }
        report.harm["refused or unanswered"] = [*scene.platforms.refused, *range(scene.platforms.unanswered)]
        report.harm["never hung up on"] = ["open"] * fates["open"]
        assert crowded_out[-1] < SERVED_S, "somebody was not served while the crowd was there"
        await scene.finish(stream.expected([one for round_ in rounds for one in round_]))


def _p99(took: list[float]) -> float:
    return round(took[len(took) * 99 // 100] * 1000, 1)
