"""The shared rate limit: slots never closer than the interval; blocked, paused, off."""

import asyncio

import pytest
from sqlalchemy import Connection

from db import limits
from db.database import Database
from db.limits import ALERT_AT, Gate

NOW = 1_800_000_000_000
INTERVAL = 334


def take(tx: Connection, now: int = NOW, interval: int = INTERVAL) -> int:
    return limits.take(tx, "notion", interval, now)


def test_the_first_slot_is_now(tx: Connection) -> None:
    assert take(tx) == NOW


def test_slots_taken_at_once_follow_at_the_interval(tx: Connection) -> None:
    assert [take(tx) - NOW for _ in range(4)] == [0, INTERVAL, 2 * INTERVAL, 3 * INTERVAL]


def test_slots_missed_while_idle_are_not_made_up_for(tx: Connection) -> None:
    take(tx)
    assert [take(tx, NOW + 60_000) - NOW for _ in range(2)] == [60_000, 60_000 + INTERVAL]


def test_a_clock_behind_the_others_takes_no_slot_twice(tx: Connection) -> None:
    take(tx)
    assert take(tx, NOW - 5_000) == NOW + INTERVAL


def test_without_an_interval_every_slot_is_now(tx: Connection) -> None:
    assert [take(tx, interval=0) for _ in range(3)] == [NOW] * 3


def test_a_change_of_interval_holds_from_the_next_slot(tx: Connection) -> None:
    take(tx, interval=100)
    assert [take(tx, interval=10), take(tx, interval=10)] == [NOW + 100, NOW + 110]


def test_integrations_do_not_share_slots(tx: Connection) -> None:
    take(tx)
    assert limits.take(tx, "slack", INTERVAL, NOW) == NOW


def test_a_slot_further_off_than_asked_for_is_told_and_left_free(tx: Connection) -> None:
    take(tx)
    told = [limits.take(tx, "notion", INTERVAL, NOW, ahead_ms=INTERVAL - 1) for _ in range(2)]
    assert told == [NOW + INTERVAL] * 2
    assert limits.take(tx, "notion", INTERVAL, NOW, ahead_ms=INTERVAL) == NOW + INTERVAL
    assert take(tx) == NOW + 2 * INTERVAL


def test_a_block_is_as_far_off_as_a_slot(tx: Connection) -> None:
    limits.block(tx, "notion", NOW + 5_000)
    assert limits.take(tx, "notion", INTERVAL, NOW, ahead_ms=100) == NOW + 5_000
    assert limits.take(tx, "notion", INTERVAL, NOW + 4_900, ahead_ms=100) == NOW + 5_000
    assert take(tx) == NOW + 5_000 + INTERVAL


def test_a_slot_that_was_not_used_is_free_again_if_nobody_followed(tx: Connection) -> None:
    until = take(tx) + INTERVAL
    assert limits.take(tx, "notion", INTERVAL, NOW + 100, unused_until=until) == NOW + 100


def test_a_slot_that_was_not_used_is_lost_if_somebody_followed(tx: Connection) -> None:
    until = take(tx) + INTERVAL
    take(tx)
    assert limits.take(tx, "notion", INTERVAL, NOW + 100, unused_until=until) == NOW + 2 * INTERVAL


async def test_no_two_of_many_concurrent_callers_are_closer_than_the_interval(
    database: Database, database_url: str
) -> None:
    async with Database(database_url, deadline_s=10.0) as other:
        both = [one.write(limits.take, "notion", 7, NOW) for _ in range(40) for one in (database, other)]
        slots = sorted(await asyncio.gather(*both))
    assert slots == [NOW + 7 * number for number in range(80)]


def test_while_blocked_the_first_slot_is_when_the_block_ends(tx: Connection) -> None:
    limits.block(tx, "notion", NOW + 5_000)
    assert [take(tx) - NOW for _ in range(2)] == [5_000, 5_000 + INTERVAL]


def test_slots_after_a_block_go_on_as_before(tx: Connection) -> None:
    limits.block(tx, "notion", NOW + 5_000)
    assert take(tx, NOW + 9_000) == NOW + 9_000


def test_a_shorter_block_does_not_end_a_longer_one(tx: Connection) -> None:
    limits.block(tx, "notion", NOW + 5_000)
    limits.block(tx, "notion", NOW + 1_000)
    assert limits.gate(tx, "notion").blocked_until == NOW + 5_000
    limits.block(tx, "notion", NOW + 6_000)
    assert limits.gate(tx, "notion").blocked_until == NOW + 6_000


def test_an_unknown_gate_is_open(tx: Connection) -> None:
    assert limits.gate(tx, "notion") == Gate()
    take(tx)
    assert limits.gate(tx, "notion") == Gate()
    limits.resume(tx, "slack")
    assert limits.all_gates(tx) == {"notion": Gate()}


def test_a_failing_sink_is_probed_at_once_then_after_2_4_8_16_and_every_60_s(tx: Connection) -> None:
    now, waits = NOW, []
    for count in range(1, 9):
        assert limits.pause(tx, "notion", f"reason {count}", now) == count
        gate = limits.gate(tx, "notion")
        assert gate.paused
        assert (gate.paused_at, gate.failures, gate.reason) == (NOW, count, f"reason {count}")
        waits.append(gate.probe_at - now)
        now = gate.probe_at
    assert waits == [0, 2_000, 4_000, 8_000, 16_000, 60_000, 60_000, 60_000]
    assert waits[: ALERT_AT - 1] == list(limits.PROBE_AFTER_MS)


def test_while_one_probes_the_next_waits(tx: Connection) -> None:
    limits.pause(tx, "notion", "down", NOW)
    limits.probing(tx, "notion", NOW + 60_000)
    assert limits.gate(tx, "notion").probe_at == NOW + 60_000


def test_resuming_forgets_the_failures_but_not_the_block(tx: Connection) -> None:
    limits.block(tx, "notion", NOW + 5_000)
    limits.pause(tx, "notion", "down", NOW)
    limits.pause(tx, "notion", "down", NOW)
    limits.resume(tx, "notion")
    assert limits.gate(tx, "notion") == Gate(blocked_until=NOW + 5_000)
    assert limits.pause(tx, "notion", "down", NOW) == 1


@pytest.mark.parametrize("paused", [True, False])
def test_a_sink_switched_off_stays_off_until_resumed(tx: Connection, paused: bool) -> None:
    if paused:
        limits.pause(tx, "slack", "down", NOW)
    limits.switch_off(tx, "slack", "uninstalled")
    gate = limits.gate(tx, "slack")
    assert (gate.off, gate.reason, gate.paused) == (True, "uninstalled", paused)
    limits.pause(tx, "slack", "down", NOW)
    assert limits.gate(tx, "slack").off
    limits.resume(tx, "slack")
    assert limits.gate(tx, "slack") == Gate()


def test_switching_off_and_blocking_one_sink_leaves_the_others(tx: Connection) -> None:
    take(tx)
    limits.switch_off(tx, "slack", "uninstalled")
    limits.block(tx, "slack", NOW)
    limits.pause(tx, "slack", "down", NOW)
    assert limits.all_gates(tx)["notion"] == Gate()
