"""Once we hold an event it is ours: duplicates, handlers that fail, our own retries, and events that wait."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from db import inbox
from handlers import waiting
from handlers.clerk import events as clerk
from handlers.registry import APPLIED, Context, Outcome
from handlers.slack import events as slack
from service import app, intake
from service.clock import now_ms
from service.sandbox.senders import Platform
from tests.service.web import SINKS, Serve, Web, fixture

MAREN = "user_3YQ0HmwguACCzm0IQlpj2blcZzl"
EVENTS = {"clerk": "user.created", "slack": "team_join"}
TABLES = {"clerk": clerk.dispatch.handlers, "slack": slack.dispatch.handlers}
RETRIED_AFTER_S = [5, 30, 300, 900, 900, 900]

Repair = Callable[[], None]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Platform], Repair]:
    """Has a platform's handler do its work and then raise; returns what repairs it."""

    def breaking(platform: Platform, error: Exception | None = None) -> Repair:
        kind, table = EVENTS[platform], TABLES[platform]
        sound = table[kind]

        def handler(tx: Connection, payload: Any, context: Context, now: int) -> Outcome:
            sound(tx, payload, context, now)
            raise error or KeyError("a bug of ours")

        monkeypatch.setitem(table, kind, handler)
        return lambda: monkeypatch.setitem(table, kind, sound)

    return breaking


class Hours:
    """The intake's clock, which a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = now_ms()
        monkeypatch.setattr(intake, "now_ms", lambda: self.now)


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    return Hours(monkeypatch)


async def send(web: Web, platform: Platform) -> str:
    return str((await web.send(platform, fixture(f"{platform}/{EVENTS[platform]}"), event_id="msg_1")).json()["status"])


@pytest.mark.parametrize("platform", ["clerk", "slack"])
async def test_a_failing_handler_leaves_its_event_failed_and_nothing_else(
    web: Web, platform: Platform, broken: Callable[[Platform], Repair]
) -> None:
    broken(platform)
    assert await send(web, platform) == "failed"
    (event,) = web.events()
    assert (event["status"], event["attempts"]) == ("failed", 1)
    assert event["error"] == "KeyError: 'a bug of ours'"
    assert web.people() == web.rows("SELECT * FROM identities") == web.rows("SELECT * FROM user_data") == []


@pytest.mark.parametrize("platform", ["clerk", "slack"])
async def test_the_platform_sends_it_again_and_we_still_have_it(
    web: Web, platform: Platform, broken: Callable[[Platform], Repair]
) -> None:
    repair = broken(platform)
    await send(web, platform)
    repair()
    assert await send(web, platform) == "duplicate"
    assert [(event["status"], event["attempts"]) for event in web.events()] == [("failed", 1)]


@pytest.mark.parametrize("platform", ["clerk", "slack"])
async def test_a_failed_event_is_retried_on_schedule_with_one_alert_after_the_third(
    serve: Serve, platform: Platform, broken: Callable[[Platform], Repair], hours: Hours
) -> None:
    async with serve(**SINKS) as web:
        broken(platform)
        await send(web, platform)
        with capture_logs() as logged:
            for failures, pause_s in enumerate(RETRIED_AFTER_S, start=1):
                assert len(web.alerts()) == (failures >= 3)
                due_at = hours.now + pause_s * 1000
                assert await web.service.intake.retry_due() == due_at
                hours.now = due_at - 1
                await web.service.intake.retry_due()
                assert web.events()[0]["attempts"] == failures
                hours.now = due_at
                await web.service.intake.retry_due()
                assert web.events()[0]["attempts"] == failures + 1
        (alert,) = web.alerts()
        assert f"rollcall events show {web.events()[0]['id']}`" in alert
        assert "@" not in alert
        assert [line["text"] for line in logged if line["event"] == "alert"] == [alert]


@pytest.mark.parametrize("platform", ["clerk", "slack"])
async def test_once_the_handler_is_repaired_the_retry_applies_the_event_once(
    web: Web, platform: Platform, broken: Callable[[Platform], Repair], hours: Hours
) -> None:
    repair = broken(platform)
    await send(web, platform)
    repair()
    hours.now += 5_000
    assert await web.service.intake.retry_due() is None
    after = web.rows("SELECT * FROM identities"), web.people()
    assert web.statuses() == ["applied"]
    assert len(after[0]) == 1
    hours.now += 3_600_000
    assert await web.service.intake.retry_due() is None
    assert (web.rows("SELECT * FROM identities"), web.people()) == after


async def test_two_retries_at_once_apply_a_session_once(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    await web.clerk(fixture("clerk/user.created"))
    sound = clerk.dispatch.handlers["session.created"]

    def raising(*_args: Any) -> Outcome:
        raise RuntimeError

    monkeypatch.setitem(clerk.dispatch.handlers, "session.created", raising)
    assert await web.clerk(fixture("clerk/session.created")) == "failed"
    monkeypatch.setitem(clerk.dispatch.handlers, "session.created", sound)
    event = await web.write(inbox.stored, web.one("SELECT id FROM webhook_events WHERE status = 'failed'")["id"])
    outcomes = await asyncio.gather(*(web.service.intake.run_again(event) for _ in range(3)))
    assert sorted(outcomes) == ["applied", "duplicate", "duplicate"]
    assert web.data(MAREN)["session_count"] == 1


async def test_a_database_that_fails_within_a_handler_is_no_failure_of_the_handler(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(*_args: Any) -> Outcome:
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setitem(clerk.dispatch.handlers, "user.created", handler)
    answer = await web.send("clerk", fixture("clerk/user.created"))
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert web.events() == []


async def test_a_broken_constraint_is_the_handlers_failure(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(tx: Connection, *_args: Any) -> Outcome:
        tx.execute(text("INSERT INTO users (name, role, status, created_at, updated_at) VALUES ('', 'x', 'y', 1, 1)"))
        return APPLIED

    monkeypatch.setitem(clerk.dispatch.handlers, "user.created", handler)
    assert await web.clerk(fixture("clerk/user.created")) == "failed"
    assert "IntegrityError" in web.events()[0]["error"]


async def test_an_event_that_cannot_be_parsed_is_not_tried_again(web: Web, hours: Hours) -> None:
    assert (await web.send("clerk", b"{}")).status_code == 400
    hours.now += 86_400_000
    assert await web.service.intake.retry_due() is None
    assert [(event["status"], event["attempts"]) for event in web.events()] == [("failed", 0)]


async def test_an_event_we_could_not_parse_is_applied_when_we_have_learnt_to(web: Web) -> None:
    """What an operator's replay does, after an upgrade."""
    await web.clerk(fixture("clerk/user.created"), "msg_1")
    await web.write(_unlearn)
    event = await web.write(inbox.stored, web.events()[0]["id"])
    assert await web.service.intake.run_again(event) == "applied"
    assert [(one["type"], one["status"], one["error"]) for one in web.events()] == [("user.created", "applied", None)]


def _unlearn(tx: Connection) -> None:
    tx.execute(text("UPDATE webhook_events SET status = 'failed', type = 'unknown', error = 'data: no'"))
    tx.execute(text("DELETE FROM users"))
    tx.execute(text("DELETE FROM identities"))


async def test_a_failed_event_of_a_platform_that_is_off_waits_for_it(
    serve: Serve, broken: Callable[[Platform], Repair], hours: Hours
) -> None:
    async with serve() as web:
        repair = broken("slack")
        await send(web, "slack")
        repair()
    hours.now += 60_000
    async with serve(slack_signing_secret="") as web:
        await web.service.intake.retry_due()
        (event,) = web.events()
        assert event["status"] == "failed"
        assert "switched off" in event["error"]
    hours.now += 60_000
    async with serve() as web:
        await web.service.intake.retry_due()
        assert web.statuses() == ["applied"]


async def test_a_start_retries_every_failed_event_at_once(serve: Serve, broken: Callable[[Platform], Repair]) -> None:
    async with serve() as web:
        repair = broken("clerk")
        await send(web, "clerk")
        for _ in range(4):
            await web.service.intake.run_again(await web.write(inbox.stored, web.events()[0]["id"]))
        repair()
        await web.service.intake.retry_due()
        assert web.statuses() == ["failed"]
    async with serve() as web:
        await web.service.intake.retry_due()
        assert web.statuses() == ["applied"]


async def test_while_more_are_due_it_goes_on_without_a_pause(
    serve: Serve, broken: Callable[[Platform], Repair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "RETRY_LOOK_S", 3_600.0)
    monkeypatch.setattr(intake, "TAKEN_AT_ONCE", 2)
    async with serve() as web:
        repair = broken("clerk")
        for number in range(5):
            await web.send("clerk", fixture("clerk/user.created"), event_id=f"msg_{number}")
        repair()
    async with serve() as web:  # its start makes all five due
        looking = asyncio.create_task(web.service._retry_failed_events())
        for _ in range(100):
            await asyncio.sleep(0.05)
            if "failed" not in web.statuses():
                break
        looking.cancel()
        assert "failed" not in web.statuses()


async def test_one_event_sent_ten_times_at_once_is_applied_once(web: Web) -> None:
    await web.clerk(fixture("clerk/user.created"))
    session = fixture("clerk/session.created")
    answers = await asyncio.gather(*(web.send("clerk", session, event_id="msg_same") for _ in range(10)))
    assert sorted(answer.json()["status"] for answer in answers) == ["applied"] + ["duplicate"] * 9
    assert web.data(MAREN)["session_count"] == 1


# --- events that come before the person they speak of ---


async def test_sessions_wait_for_their_person_and_are_applied_with_them(web: Web) -> None:
    for name in ("session.created", "session.ended"):
        assert await web.clerk(fixture(f"clerk/{name}")) == "waiting"
    assert {event["waiting_for"] for event in web.events()} == {MAREN}
    await web.clerk(fixture("clerk/user.created"))
    assert web.statuses() == ["applied"] * 3
    assert web.data(MAREN)["session_count"] == 1
    assert all(event["waiting_for"] is None for event in web.events())


async def test_however_many_waited_each_is_applied_once_a_few_to_a_transaction(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "AT_ONCE", 3)
    monkeypatch.setattr(intake, "TAKEN_AT_ONCE", 2)
    session = fixture("clerk/session.created")
    for number in range(8):
        assert await web.clerk(session, event_id=f"msg_{number}") == "waiting"
    assert await web.clerk(fixture("clerk/user.created")) == "applied"
    assert Counter(web.statuses()) == {"applied": 4, "failed": 5}
    assert web.data(MAREN)["session_count"] == 3
    while await web.service.intake.retry_due():
        """Two at a time."""
    assert set(web.statuses()) == {"applied"}
    assert web.data(MAREN)["session_count"] == 8
    assert web.rows("SELECT error FROM webhook_events WHERE error IS NOT NULL") == []


async def test_sessions_that_wait_for_a_person_who_is_deleted_are_let_go(web: Web) -> None:
    await web.clerk(fixture("clerk/session.created"))
    await web.clerk(fixture("clerk/user.deleted"))
    assert web.statuses() == ["ignored", "applied"]
    assert await web.clerk(fixture("clerk/session.ended")) == "ignored"
    assert web.rows("SELECT * FROM user_data") == []


async def test_a_waiting_event_that_fails_does_not_keep_the_person_from_arriving(
    web: Web, monkeypatch: pytest.MonkeyPatch, hours: Hours
) -> None:
    await web.clerk(fixture("clerk/session.created"))
    sound = clerk.dispatch.handlers["session.created"]

    def raising(*args: Any) -> Outcome:
        sound(*args)
        raise RuntimeError("a bug of ours")

    monkeypatch.setitem(clerk.dispatch.handlers, "session.created", raising)
    assert await web.clerk(fixture("clerk/user.created")) == "applied"
    assert web.statuses() == ["failed", "applied"]
    assert "session_count" not in web.data(MAREN)
    monkeypatch.setitem(clerk.dispatch.handlers, "session.created", sound)
    hours.now += 5_000
    await web.service.intake.retry_due()
    assert web.statuses() == ["applied", "applied"]
    assert web.data(MAREN)["session_count"] == 1
