"""The whole service, killed at random moments over and over: nothing acknowledged is lost, nothing happens twice."""

import asyncio
import random
import signal

from service.sandbox.faults import Fault
from service.sandbox.senders import Delivery
from tests.chaos.conftest import Chaos
from tests.chaos.report import LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import a_day

KILLS = 100 if LONG else 8
PEOPLE = 120 if LONG else 24


async def test_a_service_killed_over_and_over_loses_nothing_and_does_nothing_twice(chaos: Chaos) -> None:
    async with chaos() as scene:
        deliveries, expected = a_day(scene.report.seed, scene.world, PEOPLE)
        slow = [Fault(kind="slow", seconds=s, committed=c) for s in (0.02, 0.08) for c in (True, False)]
        scene.world.faults.random(seed=scene.report.seed, probability=1.0, mix=slow, platform="notion")
        await live_and_die(scene, deliveries, scene.rng)
        await scene.finish(expected)


async def live_and_die(scene: Scene, deliveries: list[Delivery], rng: random.Random) -> None:
    """A share of the deliveries a life."""
    report = scene.report
    report.must_bite = {"kill -9": KILLS, "killed while it held leases": KILLS // 3, "killed while it was asked": 1}
    share = -(-len(deliveries) // KILLS)
    for life in range(KILLS):
        await scene.start()
        scene.platforms.begin(deliveries[life * share : (life + 1) * share], 0.3)
        await asyncio.sleep(rng.uniform(0.03, 0.35))
        before = scene.platforms.unanswered
        assert await scene.program.end(signal.SIGKILL) == -signal.SIGKILL
        report.faults["kill -9"] += 1
        await asyncio.sleep(0.1)  # what was sent still happens at Notion, long before a lease would end
        held = scene.end_leases()
        report.bites["killed while it held leases"] += held > 0
        report.bites["leases left behind"] += held
        report.bites["killed while it was asked"] += scene.platforms.unanswered > before
    await scene.start()
    starts = sorted(scene.program.started_in)
    report.figures["start without imports, ms"] = round(starts[len(starts) // 2] * 1000)
