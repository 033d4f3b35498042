"""Every way Notion and Slack are known to fail, at random: each page is made once, each alert arrives."""

import asyncio
import time
from collections import Counter

import pytest

from db import outbox
from db.database import transaction
from handlers.alerts import alert
from handlers.registry import Context
from service.clock import now_ms
from service.sandbox.bad_days import every_notion_fault, every_slack_fault
from service.sandbox.faults import Chance
from tests.chaos.conftest import Chaos
from tests.chaos.report import HERE, LONG
from tests.chaos.scene import Scene
from tests.chaos.streams import a_day

pytestmark = HERE

PEOPLE = 150 if LONG else 24
ALERTS = 60 if LONG else 8
MORE_S = 120.0
CONTEXT = Context(sinks=frozenset({"notion", "slack"}))


@pytest.mark.timeout(600)
async def test_every_fault_of_notion_and_slack_at_random(chaos: Chaos) -> None:
    async with chaos() as scene:
        seed, faults = scene.report.seed, scene.world.faults
        deliveries, expected = a_day(seed, scene.world, PEOPLE)
        notion = every_notion_fault(hang=0.4, retry_after=0.2)
        slack = every_slack_fault(hang=0.4, retry_after=0.2)
        chances = [
            faults.random(seed=seed, probability=0.35, mix=notion, platform="notion"),
            faults.random(seed=seed + 1, probability=0.5, mix=slack, platform="slack"),
        ]
        scene.report.must_bite = {
            "kinds of Notion's": len(notion) if LONG else 10,
            "kinds of Slack's": len(slack) if LONG else 3,
        }
        await scene.start()
        scene.platforms.begin(deliveries, PEOPLE / 8)
        for number in range(ALERTS):
            _post(scene, number)
            await asyncio.sleep(PEOPLE / 8 / ALERTS)
        await scene.platforms.done()
        posted = await _post_until_all_hit(scene, chances[1]) if LONG else ALERTS
        await asyncio.sleep(3)
        faults.calm()
        _count(scene, chances)
        scene.report.bites["dead, made due by hand"] = await _retry_dead(scene)
        await scene.idle(30)
        _judge_messages(scene, chances[1], posted)
        await scene.finish(expected)


def _post(scene: Scene, number: int) -> None:
    with transaction(scene.url) as tx:
        alert(tx, CONTEXT, f"chaos:{number}", f"alert number {number}", now_ms())


async def _post_until_all_hit(scene: Scene, slack: Chance) -> int:
    """How many alerts it took until Slack had failed in every way. How many it is asked for in the meantime, and so
    which ways chance has chosen, depends on the machine: from here on only those that are left are chosen.
    """
    every, number, give_up = slack.mix, ALERTS, time.monotonic() + MORE_S
    while (left := [fault for fault in every if not fault.hits]) and time.monotonic() < give_up:
        slack.mix = left
        _post(scene, number)
        number += 1
        await asyncio.sleep(0.5)
    slack.mix = every
    return number


def _count(scene: Scene, chances: list[Chance]) -> None:
    for name, chance in zip(("Notion", "Slack"), chances, strict=True):
        for fault in chance.mix:
            scene.report.faults[f"{name} {fault.label}"] += fault.hits
        scene.report.bites[f"kinds of {name}'s"] = sum(1 for fault in chance.mix if fault.hits)


async def _retry_dead(scene: Scene) -> int:
    """What `rollcall actions retry --dead` does, until nothing is left to do."""
    await scene.idle(30)
    ids = [row["id"] for row in scene.rows("SELECT id FROM sync_actions WHERE status = 'dead'")]
    with transaction(scene.url) as tx:
        return outbox.retry(tx, ids, now_ms())


def _judge_messages(scene: Scene, slack: Chance, alerts: int) -> None:
    """Slack has no idempotency: a message whose answer was lost is sent again. No other is."""
    posted = Counter(str(one["text"]) for one in scene.world.slack.messages)
    lost_answers = sum(fault.hits for fault in slack.mix if fault.committed or fault.kind == "slow")
    again = sum(posted.values()) - len(posted)
    scene.report.figures |= {"messages posted": len(posted), "posted again, the answer was lost": again}
    scene.report.harm |= {
        "alerts lost": [number for number in range(alerts) if not posted[f"alert number {number}"]],
        "alerts doubled without need": [again] if again > lost_answers else [],
    }
