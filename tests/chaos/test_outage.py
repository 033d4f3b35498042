"""Notion down for a thousand changes and back: one alert, nothing old is sent, and it drains as fast as it may."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

import pytest

from service.sandbox.faults import Fault
from service.sandbox.journal import Request
from service.sandbox.senders import Delivery
from tests.chaos.conftest import Chaos
from tests.chaos.report import HERE, LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import renames

pytestmark = HERE

PEOPLE = 50
CHANGES = 20  # of each while Notion is down: a thousand
WHILE_DRAINING = 2
PER_SECOND = 3 if LONG else 40
# The failures up to the alert: at once, after 2, 4, 8, 16 s; in the short form a tenth of that.
ALERT_AFTER_S = 31.0 if LONG else 3.1
SLOW_MACHINE_S = 60.0
ALERTED = "SELECT key FROM sync_actions WHERE key LIKE 'alert:paused:notion%'"
PROBED_EVERY_S = 60.0 if LONG else 6.0
WINDOW_S = 10.0 if LONG else 2.0
BUNCHED = 5  # what four deliveries and one delay can bring together; Notion counts by the minute
A_MOMENT_S = 6.0 if LONG else 2.0  # between reading a state and sending it: the wait for a free slot
DOWN = [Fault(status=503), Fault(status=502), Fault(kind="html", status=502), Fault(kind="drop"), Fault(status=529)]


@dataclass
class Writes:
    """What Notion accepted: per page the numbers of the changes it was shown, and when."""

    by_page: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))

    def read(self, requests: list[Request]) -> None:
        for request in requests:
            if request.status == 200 and request.method in ("POST", "PATCH") and "properties" in request.json:
                found = request.json["properties"]
                key = found["Rollcall key"]["rich_text"][0]["text"]["content"]
                number = int(found["Name"]["title"][0]["text"]["content"].split()[-1])
                self.by_page[key].append((number, request.monotonic))

    def out_of_order(self) -> list[str]:
        return [key for key, shown in self.by_page.items() if [n for n, _ in shown] != sorted({n for n, _ in shown})]

    def superseded(self, said_at: dict[int, float]) -> list[tuple[str, int]]:
        """Sent although a newer change had been acknowledged for more than a moment."""
        return [
            (key, number)
            for key, shown in self.by_page.items()
            for number, at in shown
            if any(newer > number and then < at - A_MOMENT_S for newer, then in said_at.items())
        ]


@pytest.mark.timeout(400)
async def test_notion_down_for_a_thousand_changes(chaos: Chaos) -> None:
    async with chaos(true_waits=LONG, NOTION_REQUESTS_PER_SECOND=str(PER_SECOND)) as scene:
        report, faults = scene.report, scene.world.faults
        stream = renames(report.seed, PEOPLE)
        rounds = [stream.round(number) for number in range(1 + CHANGES + WHILE_DRAINING)]
        said_at: dict[int, float] = {}
        await scene.start()
        await _say(scene, rounds, 0, said_at)
        await scene.idle(60)
        down = faults.random(seed=report.seed, probability=1.0, mix=DOWN, platform="notion")
        went = time.monotonic()
        for number in range(1, CHANGES + 1):
            await _say(scene, rounds, number, said_at)
        report.bites["changes while Notion was down"] = CHANGES * PEOPLE
        while not scene.rows(ALERTED):
            assert time.monotonic() < went + ALERT_AFTER_S + SLOW_MACHINE_S, "nobody was alerted"
            await asyncio.sleep(0.1)
        report.figures["alerted after, s"] = round(time.monotonic() - went, 1)
        report.faults["requests that failed"] = down.hits
        report.figures["Notion was down for, s"] = round(time.monotonic() - went, 1)
        report.must_bite = {"requests that failed": 6, "changes while Notion was down": 1_000}
        before = len(scene.world.requests)
        back = time.monotonic()
        faults.calm()
        while not any(request.status == 200 for request in scene.world.requests[before:]):
            assert time.monotonic() < back + PROBED_EVERY_S + SLOW_MACHINE_S / 6, (
                "it was not noticed in time that Notion is back"
            )
            await asyncio.sleep(0.01)
        for number in range(CHANGES + 1, CHANGES + 1 + WHILE_DRAINING):
            await _say(scene, rounds, number, said_at)
            await asyncio.sleep(0.3)
        await scene.idle(PROBED_EVERY_S + 60)
        _judge(scene, before, back, said_at)
        await scene.finish(stream.expected([one for round_ in rounds for one in round_]))


async def _say(scene: Scene, rounds: list[list[Delivery]], number: int, said_at: dict[int, float]) -> None:
    await asyncio.gather(*map(scene.platforms.send, rounds[number]))
    said_at[number] = time.monotonic()


def _judge(scene: Scene, before: int, back: float, said_at: dict[int, float]) -> None:
    report, writes = scene.report, Writes()
    after = [request for request in scene.world.requests[before:] if request.platform == "notion"]
    writes.read(after)
    busiest = scene.world.requests.to("notion").busiest(WINDOW_S)
    first, last = after[0].monotonic, after[-1].monotonic
    report.figures |= {
        "noticed again after, s": round(first - back, 1),
        "drained in, s": round(last - first, 1),
        "the limit asks for, s": round((len(after) - 1) / PER_SECOND, 1),
        "requests while draining": len(after),
        f"most requests in {WINDOW_S:g} s": busiest,
    }
    alerts = [one["text"] for one in scene.world.slack.messages if "notion" in str(one["text"])]
    report.figures["alerts"] = len(alerts)
    report.harm |= {
        "order not kept": writes.out_of_order(),
        "superseded states sent": writes.superseded(said_at),
        "alerts too many or too few": [] if len(alerts) == 1 else [alerts or "none"],
        "above the limit": [] if busiest <= WINDOW_S * PER_SECOND + BUNCHED else [busiest],
    }
    assert last - first < (len(after) - 1) / PER_SECOND * 1.25 + 5, "draining wasted the limit"
