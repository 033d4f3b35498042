"""Whoever receives and whoever delivers, killed at random moments over and over: nothing is lost, nothing doubled."""

import asyncio
import signal

import pytest

from service.sandbox.faults import Fault
from service.sandbox.senders import Delivery
from service.sandbox.story_oracle import ExpectedPerson
from tests.chaos.conftest import Chaos
from tests.chaos.report import LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import a_day

KILLS = 60 if LONG else 5
PEOPLE = 120 if LONG else 24


@pytest.mark.timeout(400)
@pytest.mark.sqlite_only("on PostgreSQL: web and worker, below")
async def test_a_service_killed_over_and_over_loses_nothing_and_does_nothing_twice(chaos: Chaos) -> None:
    async with chaos() as scene:
        deliveries, expected = _prepare(scene)
        await scene.start()
        await live_and_die(scene, deliveries)
        await scene.finish(expected)


@pytest.mark.timeout(400)
@pytest.mark.postgresql_only("two processes; that a worker works beside SQLite too is tested with the engines")
async def test_web_and_worker_killed_over_and_over_lose_nothing_and_do_nothing_twice(chaos: Chaos) -> None:
    async with chaos(worker=True) as scene:
        deliveries, expected = _prepare(scene)
        await scene.start()
        await live_and_die(scene, deliveries)
        await scene.finish(expected)


def _prepare(scene: Scene) -> tuple[list[Delivery], list[ExpectedPerson]]:
    seed = scene.report.seed
    slow = [Fault(kind="slow", seconds=s, committed=c) for s in (0.02, 0.08) for c in (True, False)]
    scene.world.faults.random(seed=seed, probability=1.0, mix=slow, platform="notion")
    scene.report.must_bite = {"killed while it was asked": 1}
    scene.report.must_bite["killed while it held leases"] = max(1, KILLS // (4 * len(scene.programs)))
    scene.report.must_bite |= {f"kill -9 of {program.name}": KILLS // 4 for program in scene.programs}
    return a_day(seed, scene.world, PEOPLE)


async def live_and_die(scene: Scene, deliveries: list[Delivery]) -> None:
    """A share of the deliveries a life; one of the processes dies, another takes its place."""
    report = scene.report
    share = -(-len(deliveries) // KILLS)
    for life in range(KILLS):
        victim = scene.programs[life % len(scene.programs)]
        scene.platforms.begin(deliveries[life * share : (life + 1) * share], 0.3)
        await asyncio.sleep(scene.rng.uniform(0.05, 0.35))
        before = scene.platforms.unanswered
        assert await victim.end(signal.SIGKILL) == -signal.SIGKILL
        report.faults[f"kill -9 of {victim.name}"] += 1
        await asyncio.sleep(0.1)  # what was sent still happens at Notion, long before a lease would end
        if victim is scene.deliverer:
            held = scene.end_leases()
            report.bites["killed while it held leases"] += held > 0
            report.bites["leases left behind"] += held
        report.bites["killed while it was asked"] += scene.platforms.unanswered > before
        await victim.start()
    starts = sorted(took for program in scene.programs for took in program.started_in)
    report.figures["start without imports, ms"] = round(starts[len(starts) // 2] * 1000)
