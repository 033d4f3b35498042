"""SIGTERM under load: whoever was accepted is answered, the rest finds the successor, the end comes in time."""

import asyncio
import signal
import time

import pytest

from service.app import STOP_DEADLINE_S
from service.cli.serve import FINISH_S
from service.sandbox.faults import Fault
from tests.chaos.conftest import Chaos
from tests.chaos.report import HERE, LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import a_day
from tests.chaos.test_crowds import HALF_BODY

pytestmark = HERE

STOPS = 40 if LONG else 3
DEADLINE_S = FINISH_S + STOP_DEADLINE_S
LEASED = "SELECT sink, key, attempts FROM sync_actions WHERE status = 'leased'"


@pytest.mark.timeout(600)
async def test_a_service_told_to_stop_under_load_drops_no_request(chaos: Chaos) -> None:
    async with chaos() as scene:
        deliveries, expected = a_day(scene.report.seed, scene.world, 120 if LONG else 24)
        slow = [Fault(kind="slow", seconds=s) for s in (0.05, 0.3)]
        scene.world.faults.random(seed=scene.report.seed, probability=1.0, mix=slow, platform="notion")
        scene.report.must_bite = {
            "SIGTERM": STOPS,
            "stopped while it answered": STOPS // 2,
            "stopped while it delivered": STOPS // 2,
        }
        took = []
        share = -(-len(deliveries) // STOPS)
        for life in range(STOPS):
            await scene.start()
            scene.platforms.begin(deliveries[life * share : (life + 1) * share], 0.25)
            await asyncio.sleep(scene.rng.uniform(0.05, 0.25))
            took.append(await _stop(scene))
        await scene.start()
        scene.report.figures["longest way to the end, s"] = round(max(took), 2)
        assert max(took) < DEADLINE_S
        await scene.platforms.done()
        await scene.finish(expected)


async def _stop(scene: Scene) -> float:
    """Told to stop; what it stored without saying so to the sender was dropped. Returns how long it took."""
    report, began = scene.report, time.monotonic()
    answered_before = sum(scene.platforms.statuses.values())
    report.bites["stopped while it delivered"] += scene.leased() > 0
    scene.program.tell(signal.SIGTERM)
    code = await scene.program.ended()
    took = time.monotonic() - began
    report.faults["SIGTERM"] += 1
    assert code == 0
    await asyncio.sleep(0.05)  # answers are read
    report.bites["stopped while it answered"] += sum(scene.platforms.statuses.values()) > answered_before
    stored = {(row["source"], row["event_id"]) for row in scene.rows("SELECT source, event_id FROM webhook_events")}
    dropped = report.harm.setdefault("dropped requests", [])
    dropped += sorted(stored - scene.platforms.acknowledged)
    report.harm.setdefault("leases left behind", []).extend(scene.rows(LEASED))
    return took


@pytest.mark.timeout(600)
async def test_nobody_who_dawdles_keeps_it_from_ending(chaos: Chaos) -> None:
    """Half a request, and a Notion that does not answer: both are given their time, and no more."""
    finish_s, stop_s = 2, 1.0
    async with chaos({"service.app.STOP_DEADLINE_S": stop_s, "service.cli.serve.FINISH_S": finish_s}) as scene:
        deliveries, expected = a_day(scene.report.seed, scene.world)
        hangs = scene.world.faults.add(platform="notion", method="POST", kind="hang", seconds=5.0, times=4)
        await scene.start()
        scene.platforms.begin(deliveries[:8], 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
        writer.write(HALF_BODY)
        for _ in range(1_000):
            if hangs.hits:
                break
            await asyncio.sleep(0.01)
        scene.report.must_bite = {"half a request": 1, "deliveries that hung": 1}
        scene.report.faults |= {"half a request": 1, "deliveries that hung": hangs.hits}
        took = await _stop(scene)
        del scene.report.harm["leases left behind"]  # those cut off end by themselves
        scene.report.figures["way to the end, s"] = round(took, 2)
        said = await reader.read()
        writer.close()
        assert said.startswith(b"HTTP/1.1 408"), said
        assert took < finish_s + stop_s + 1
        await scene.start()
        scene.platforms.begin(deliveries[8:], 0.2)
        await scene.finish(expected)
