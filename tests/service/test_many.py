"""What several processes do at the same moment: run a failed event again, start, probe."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from db import inbox, limits, outbox
from db.database import Database
from handlers.registry import APPLIED, Outcome
from service.app import begin
from service.clock import now_ms
from service.intake import Intake, fail_again
from service.leases import Attempt, pause_sink, take_work
from tests.conftest import Rows
from tests.service.web import BOTH, fixture, to_body
from tests.stage import CONTEXT

NOW = 1_700_000_000_000


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """The same database in another process."""
    async with Database(database_url, deadline_s=10.0) as database:
        yield database


# -- failed events -------------------------------------------------------------------------------------------------


def fail_one(tx: Connection) -> inbox.Stored:
    inbox.add(tx, "clerk", "msg_1", "session.created", to_body(fixture("clerk/user.created")), NOW)
    event = inbox.find(tx, "clerk", "msg_1")
    assert event is not None
    inbox.fail(tx, event, "boom", NOW)
    return event


async def test_a_failed_event_is_taken_by_one_process_at_a_time(database: Database, other: Database) -> None:
    await database.write(fail_one)
    due = NOW + inbox.RETRY_AFTER_MS[0]
    taken = await asyncio.gather(*(one.write(inbox.take_due, due, 20) for one in (database, other) * 4))
    assert sum(len(events) for events in taken) == 1
    assert len(await other.write(inbox.take_due, due + inbox.RUN_MS, 20)) == 1, "the one who took it died"


async def test_a_failure_told_late_does_not_undo_what_somebody_else_applied(database: Database, rows: Rows) -> None:
    event = await database.write(fail_one)
    await database.write(inbox.become, "clerk", "msg_1", "applied")
    await database.write(fail_again, event, "boom", CONTEXT, NOW)
    assert [row["status"] for row in rows("SELECT status FROM webhook_events")] == ["applied"]


async def test_two_processes_that_run_one_event_again_apply_it_once(database: Database, other: Database) -> None:
    """As when one starts, and so makes it due, while another has it in hand."""
    event = await database.write(fail_one)
    ran = []

    def handler(_tx: Connection, _payload: Any, _context: Any, _now: int) -> Outcome:
        ran.append(1)
        return APPLIED

    source = _source_with(handler)
    both = [Intake(one, {"clerk": source}, CONTEXT) for one in (database, other)]
    outcomes = await asyncio.gather(*(one.run_again(event) for one in both * 3))
    assert sorted(outcomes) == ["applied", *["duplicate"] * 5]
    assert len(ran) == 1


def _source_with(handler: Callable[..., Outcome]) -> Any:
    from dataclasses import replace  # noqa: PLC0415

    from handlers.clerk import events  # noqa: PLC0415 - a copy of the true source, but for one handler

    source = events.source((BOTH["clerk_webhook_signing_secret"],))
    handlers = dict.fromkeys(source.dispatch.handlers, handler)
    return replace(source, dispatch=replace(source.dispatch, handlers=handlers))


# -- starts --------------------------------------------------------------------------------------------------------


def paused_for_a_minute(tx: Connection) -> None:
    for _ in range(limits.ALERT_AT):
        limits.pause(tx, "notion", "down", NOW)


async def test_a_start_does_not_end_a_pause_but_has_it_probed_at_once(database: Database) -> None:
    await database.write(paused_for_a_minute)
    await database.write(begin, CONTEXT, (), NOW + 1)
    gate = await database.read(limits.gate, "notion")
    assert (gate.paused, gate.failures, gate.probe_at) == (True, limits.ALERT_AT, NOW + 1)


async def test_a_start_does_not_add_a_probe_to_one_that_is_under_way(database: Database) -> None:
    await database.write(paused_for_a_minute)
    await database.write(outbox.mark, 1, ("notion",), "person:1", NOW)
    at = NOW + limits.PROBE_EVERY_MS
    probe = await database.write(take_work, "notion", "a", at, 4)
    assert probe.probe
    await database.write(begin, CONTEXT, (), at + 1)
    assert (await database.write(take_work, "notion", "b", at + 2, 4)).claims == []


async def test_a_start_switches_on_what_was_off(database: Database) -> None:
    await database.write(limits.switch_off, "slack", "the token was revoked")
    await database.write(begin, CONTEXT, (), NOW)
    assert await database.read(limits.gate, "slack") == limits.Gate()


async def test_a_start_keeps_the_reason_of_a_pause_it_does_not_end(database: Database) -> None:
    await database.write(paused_for_a_minute)
    await database.write(begin, CONTEXT, (), NOW)
    assert (await database.read(limits.gate, "notion")).reason == "down"


async def test_many_starts_at_once_leave_one_mark_of_each_thing_to_do(
    database: Database, other: Database, rows: Rows
) -> None:
    now = now_ms()
    await asyncio.gather(*(one.write(begin, CONTEXT, (), now) for one in (database, other) * 4))
    assert rows("SELECT sink, key, status FROM sync_actions") == [{"sink": "notion", "key": "users", "status": "due"}]


# -- probes --------------------------------------------------------------------------------------------------------


async def test_a_paused_sink_is_probed_by_one_process_only(database: Database, other: Database) -> None:
    for number in range(8):
        await database.write(outbox.mark, 1, ("notion",), f"person:{number}", NOW)
    (claim,) = (await database.write(take_work, "notion", "first", NOW, 1)).claims
    await database.write(pause_sink, Attempt(claim, probe=False, began_at=NOW), "down", CONTEXT, NOW)
    works = await asyncio.gather(
        *(one.write(take_work, "notion", f"t{n}", NOW, 4) for n, one in enumerate((database, other) * 4))
    )
    assert sum(len(work.claims) for work in works) == 1
