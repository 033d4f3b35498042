"""Alerts in Slack: each once, and what it means when Slack does not take them."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Self

import pytest
from structlog.testing import capture_logs

from db import limits
from db.database import Database
from db.limits import PROBE_EVERY_MS, Gate
from handlers.alerts import alert
from handlers.registry import Context
from handlers.slack.sink import SlackSink
from service.leases import Work
from service.limiter import Limiter
from service.relay import SinkLoop
from service.sandbox.world import World, running
from tests.stage import Clock, step

CONTEXT = Context(sinks=frozenset({"slack"}))


@dataclass
class Alerts:
    """A channel, and the loop that posts to it."""

    world: World
    database: Database
    clock: Clock
    loop: SinkLoop

    async def raise_(self, key: str, text: str = "something is wrong") -> None:
        await self.database.write(alert, CONTEXT, key, text, self.clock())

    async def round(self) -> Work:
        return await step(self.loop)

    async def gate(self) -> Gate:
        return await self.database.read(limits.gate, "slack")

    async def marks(self) -> list[dict[str, Any]]:
        return await self.database.read(
            lambda tx: [dict(row) for row in tx.exec_driver_sql("SELECT * FROM sync_actions ORDER BY id").mappings()]
        )

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.world.slack.messages]


@pytest.fixture
async def alerts(database_url: str) -> AsyncIterator[Alerts]:
    clock = Clock()
    async with running(World(seed=3)) as world, Database(database_url) as database:
        channel = world.slack.add_channel("alerts")
        sink = SlackSink(world.slack.token, channel, world.slack_url, Limiter(database, "slack", 0, clock).wait)
        yield Alerts(world, database, clock, SinkLoop(database, sink, CONTEXT, clock))


async def test_an_alert_is_posted_once_per_key(alerts: Alerts) -> None:
    for _ in range(3):
        await alerts.raise_("disk", "the disk is full")
        await alerts.round()
    await alerts.raise_("memory", "so is the memory")
    await alerts.round()
    assert alerts.texts == ["the disk is full", "so is the memory"]
    assert (await alerts.round()).claims == []


async def test_every_alert_is_a_line_in_the_log_also_where_slack_is_off(alerts: Alerts) -> None:
    with capture_logs() as logs:
        await alerts.database.write(alert, Context(), "disk", "the disk is full", alerts.clock())
    assert [(line["event"], line["key"], line["log_level"]) for line in logs] == [("alert", "disk", "error")]
    assert await alerts.marks() == []


OUTAGES: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "500": {"status": 500},
    "HTML": {"kind": "html", "status": 502},
    "HTML with 200": {"kind": "html", "status": 200},
    "no JSON": {"kind": "garbage"},
    "dropped": {"kind": "drop"},
    **{
        code: {"status": 200, "code": code}
        for code in (
            "token_revoked",
            "token_expired",
            "account_inactive",
            "invalid_auth",
            "not_authed",
            "missing_scope",
            "channel_not_found",
            "not_in_channel",
            "is_archived",
            "fatal_error",
            "internal_error",
        )
    },
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_pauses_slack_keeps_the_alerts_and_raises_none_about_itself(alerts: Alerts, name: str) -> None:
    outage = alerts.world.faults.add(platform="slack", times=None, **OUTAGES[name])
    await alerts.raise_("disk", "the disk is full")
    await alerts.raise_("memory", "so is the memory")
    with capture_logs() as logs:
        for wait in (0, 0, 2_000, 4_000, 8_000, 16_000, PROBE_EVERY_MS):
            alerts.clock.skip(wait)
            assert len((await alerts.round()).claims) == 1
            assert (await alerts.gate()).paused
    marks = await alerts.marks()
    assert [(mark["status"], mark["attempts"]) for mark in marks] == [("due", 0)] * 2
    assert len([line for line in logs if line["event"] == "alert"]) == 1, "in the log it is told, once"

    outage.times = 0
    alerts.clock.skip(PROBE_EVERY_MS)
    for _ in range(2):
        await alerts.round()
    assert sorted(alerts.texts) == ["so is the memory", "the disk is full"]
    assert not (await alerts.gate()).paused


async def test_a_time_out_pauses_slack(alerts: Alerts, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = alerts.loop.sink
    monkeypatch.setattr(sink._client, "timeout", 0.2)  # type: ignore[attr-defined]
    alerts.world.faults.add(platform="slack", kind="hang", seconds=5)
    await alerts.raise_("disk")
    await asyncio.wait_for(alerts.round(), 2)
    assert (await alerts.gate()).paused


@pytest.mark.parametrize("how", [{"status": 429}, {"status": 200, "code": "ratelimited"}], ids=["429", "ratelimited"])
async def test_when_slack_asks_to_wait_nothing_is_posted_until_then_and_no_attempt_is_spent(
    alerts: Alerts, how: dict[str, Any]
) -> None:
    alerts.world.faults.add(platform="slack", retry_after=30, **how)
    await alerts.raise_("disk")
    await alerts.raise_("memory")
    await alerts.round()
    alerts.clock.skip(29_000)
    assert (await alerts.round()).claims == []
    assert len(alerts.world.requests) == 1
    assert not (await alerts.gate()).paused
    alerts.clock.skip(1_001)
    for _ in range(2):
        await alerts.round()
    assert len(alerts.texts) == 2
    assert {mark["attempts"] for mark in await alerts.marks()} == {0}


@pytest.mark.parametrize("said", ["soon", "", "-5", "1e9"])
async def test_a_retry_after_that_makes_no_sense_still_only_waits(alerts: Alerts, said: str) -> None:
    alerts.world.faults.add(platform="slack", status=429, retry_after=Odd(said))
    await alerts.raise_("disk")
    await alerts.round()
    (mark,) = await alerts.marks()
    assert (mark["status"], mark["attempts"]) == ("due", 0)
    assert (await alerts.gate()).blocked_until <= alerts.clock() + 3_600_000


class Odd(float):
    """A number of seconds that is written otherwise."""

    text: str

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, 1.0)
        made.text = text
        return made

    def __format__(self, spec: str) -> str:
        return self.text


async def test_a_refused_alert_is_tried_six_times_then_dead_and_raises_no_alert(alerts: Alerts) -> None:
    refusal = alerts.world.faults.add(platform="slack", status=200, code="msg_too_long", times=None)
    await alerts.raise_("disk")
    for _ in range(6):
        await alerts.round()
        alerts.clock.skip(16_001)
    (mark,) = await alerts.marks()
    assert (mark["status"], mark["attempts"], mark["error"]) == ("dead", 6, "Slack: msg_too_long")
    assert refusal.hits == 6
    assert not (await alerts.gate()).paused


async def test_an_app_that_was_uninstalled_posts_nothing_until_it_is_resumed(alerts: Alerts) -> None:
    await alerts.database.write(limits.switch_off, "slack", "the app was uninstalled")
    await alerts.raise_("disk")
    for _ in range(3):
        assert (await alerts.round()).claims == []
        alerts.clock.skip(3_600_000)
    assert len(alerts.world.requests) == 0
    await alerts.database.write(limits.resume, "slack")
    await alerts.round()
    assert alerts.texts == ["something is wrong"]


async def test_nothing_of_a_failure_tells_the_token(alerts: Alerts) -> None:
    alerts.world.faults.add(platform="slack", times=None, status=200, code="invalid_auth")
    await alerts.raise_("disk")
    with capture_logs() as logs:
        for _ in range(7):
            await alerts.round()
            alerts.clock.skip(PROBE_EVERY_MS)
    told = json.dumps([logs, await alerts.marks(), str(await alerts.gate())], default=str)
    assert alerts.world.slack.token not in told
