"""The machine's clock set ten minutes forward or back while deliveries are under way: all goes on, nothing twice."""

import asyncio
import time

import pytest

from service.sandbox.faults import Fault
from service.sandbox.senders import Delivery
from tests.chaos.conftest import Chaos
from tests.chaos.report import HERE, LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import renames

pytestmark = HERE

STEP_S = 600
# Each is where the clock stands from then on; it is right again before the next.
STEPS = (STEP_S, -STEP_S) * (4 if LONG else 1)
PEOPLE = 24
PER_SECOND = 30
DRAINED_S = 30.0  # a lease of six seconds, what the limit asks for, and room for a slow machine: far under the step
BAD_DAY = [
    Fault(kind="slow", seconds=0.2),
    Fault(kind="slow", seconds=0.4, committed=True, late=True),
    Fault(status=409),
    Fault(status=429, retry_after=0.3),
]


@pytest.mark.parametrize("worker", [False, True] if LONG else [False], ids=lambda worker: "worker" if worker else "")
@pytest.mark.timeout(600)
async def test_a_clock_that_is_set_stops_nothing_and_repeats_nothing(chaos: Chaos, worker: bool) -> None:
    async with chaos(worker=worker, NOTION_REQUESTS_PER_SECOND=str(PER_SECOND)) as scene:
        report = scene.report
        report.must_bite = {
            "clock set": 2 * len(STEPS),
            "set while leases were held": len(STEPS),
            "answered 401": len(STEPS),
        }
        scene.world.faults.random(seed=report.seed, probability=0.4, mix=BAD_DAY, platform="notion")
        stream = renames(report.seed, PEOPLE)
        rounds = [stream.round(number) for number in range(len(STEPS) + 2)]
        *during, after = rounds
        await scene.start()
        await _change(scene, during[0])
        stuck: list[float] = []
        for number, step in enumerate(STEPS, 1):
            # Half of them change before the clock is set, half find their signatures ten minutes off until it is right.
            await _change(scene, during[number][::2])
            await _set_clock(scene, step)
            scene.platforms.begin(during[number][1::2], 0)
            await asyncio.sleep(1)
            await _set_clock(scene, 0)
            await scene.platforms.done()
            stuck.append(await scene.idle(DRAINED_S))
        report.figures["longest until all was delivered, s"] = round(max(stuck), 1)
        scene.platforms.begin(after, 0.5)
        await scene.platforms.done()
        report.bites["answered 401"] = scene.platforms.refused[401]
        await scene.finish(stream.expected([one for round_ in rounds for one in round_]))


async def _change(scene: Scene, deliveries: list[Delivery]) -> None:
    """Everybody changes, and their marks are under way."""
    scene.platforms.begin(deliveries, 0)
    deadline = time.monotonic() + 10
    while len(scene.platforms.acknowledged & {("clerk", one.event_id) for one in deliveries}) < len(deliveries):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _set_clock(scene: Scene, where: float) -> None:
    held = 0
    for _ in range(100):
        if held := scene.leased():
            break
        await asyncio.sleep(0.01)
    scene.report.bites["set while leases were held"] += held > 0
    scene.step_clock(where)
    scene.report.faults["clock set"] += 1
