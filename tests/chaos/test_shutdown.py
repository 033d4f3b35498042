"""SIGTERM under load: whoever was accepted is answered, the rest finds the successor, the end comes in time."""

import asyncio
import signal
import time

from service.app import STOP_DEADLINE_S
from service.cli.serve import FINISH_S
from service.sandbox.faults import Fault
from tests.chaos.conftest import Chaos
from tests.chaos.report import LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import a_day

STOPS = 40 if LONG else 5
DEADLINE_S = FINISH_S + STOP_DEADLINE_S
LEASED = "SELECT sink, key, attempts FROM sync_actions WHERE status = 'leased'"


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
