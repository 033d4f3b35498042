"""PostgreSQL taken away under load: restarted, crashed, its connections cut, all of them in use. It heals by itself."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import migrations
from tests.chaos.ground import Ground
from tests.chaos.program import QUICK
from tests.chaos.report import LONG, Report
from tests.chaos.scene import Scene, set_up
from tests.chaos.streams import a_day
from tests.postgres import SETTINGS, NoPostgres, Server, available

TIMES = 5 if LONG else 1
BACK_S = 18.0  # a lease of six seconds, twice the wait for a connection; the pool's own patience would be 30 s
IN_THE_LONG_FORM = pytest.mark.skipif(not LONG, reason="the long form: make chaos")
OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND application_name = 'rollcall'"
)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test's own: nobody else is harmed by what befalls it."""
    try:
        available()
    except NoPostgres as missing:
        pytest.skip(f"no PostgreSQL: {missing}")
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@contextlib.asynccontextmanager
async def served(folder: Path, server: Server, report: Report, ground: Ground) -> AsyncIterator[Scene]:
    """Web and worker on that server."""
    migrations.upgrade(server.url)
    async with set_up(folder, server.url, report, ground=ground, constants=QUICK, worker=True) as scene:
        yield scene


async def _suffer(scene: Scene, name: str, strike: Callable[[], Awaitable[None]]) -> None:
    """A day, struck `TIMES` times; then everything as it must be."""
    deliveries, expected = a_day(scene.report.seed, scene.world)
    await scene.start()
    scene.report.must_bite = {name: TIMES, "answered 503": TIMES}
    scene.platforms.begin(deliveries, 4.0 * TIMES)
    for _ in range(TIMES):
        await asyncio.sleep(scene.rng.uniform(0.5, 1.5))
        await strike()
        scene.report.faults[name] += 1
    await scene.platforms.done()
    scene.report.bites["answered 503"] = scene.platforms.refused[503]
    other = {status: count for status, count in scene.platforms.refused.items() if status != 503}
    scene.report.harm["answered otherwise"] = list(other.items())
    await scene.finish(expected)


@IN_THE_LONG_FORM
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "as in a crash"])
@pytest.mark.timeout(600)
async def test_postgresql_restarted(
    tmp_path: Path, server: Server, report: Report, common_ground: Ground, how: signal.Signals
) -> None:
    async def restart() -> None:
        await asyncio.to_thread(_restart, server, how, 1.0)

    async with served(tmp_path, server, report, common_ground) as scene:
        await _suffer(scene, "PostgreSQL restarted", restart)


@IN_THE_LONG_FORM
@pytest.mark.timeout(600)
async def test_every_connection_cut_over_and_over(
    tmp_path: Path, server: Server, report: Report, common_ground: Ground
) -> None:
    async def cut() -> None:
        for _ in range(20):
            report.bites["connections cut"] += await asyncio.to_thread(_cut, server)
            await asyncio.sleep(0.05)

    async with served(tmp_path, server, report, common_ground) as scene:
        deliveries, expected = a_day(report.seed, scene.world)
        await scene.start()
        report.must_bite = {"connections cut": 20}
        scene.platforms.begin(deliveries, 2.0 * TIMES)
        for _ in range(TIMES):
            await cut()
            report.faults["rounds of cutting"] += 1
        await scene.finish(expected, BACK_S)


@IN_THE_LONG_FORM
@pytest.mark.timeout(600)
async def test_every_connection_in_use(
    tmp_path: Path, server: Server, report: Report, common_ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others hold all the server has; the service's own are cut, and it gets none back until they leave."""
    monkeypatch.setitem(SETTINGS, "max_connections", "100")
    await asyncio.to_thread(_restart, server)

    async def crowd_out() -> None:
        with contextlib.ExitStack() as stack:
            report.bites["connections others held"] += await asyncio.to_thread(_take_all, server, stack)
            await asyncio.sleep(3.0)

    async with served(tmp_path, server, report, common_ground) as scene:
        await _suffer(scene, "all connections in use", crowd_out)


def _restart(server: Server, how: signal.Signals = signal.SIGINT, down_s: float = 0) -> None:
    server.stop(how)
    time.sleep(down_s)
    server.start()


def _take_all(server: Server, stack: contextlib.ExitStack) -> int:
    """Every connection there is; returns how many. Whoever else had some has none left."""
    control, held = stack.enter_context(psycopg.connect(server.url, autocommit=True)), 1
    while True:
        try:
            stack.enter_context(psycopg.connect(server.url, autocommit=True))
            held += 1
        except psycopg.OperationalError:  # "too many clients already"
            if not control.execute(OTHERS).fetchall():
                return held


def _cut(server: Server) -> int:
    with psycopg.connect(server.url, autocommit=True) as raw:
        return len(raw.execute(OTHERS).fetchall())
