"""Marks: claimed by one, settled by whoever holds the lease, due again when the world moved meanwhile."""

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy.exc
from sqlalchemy import Connection, text

from db import outbox, statements
from db.outbox import LEASE_MS, Claim

BROKEN = (sqlite3.IntegrityError, sqlalchemy.exc.IntegrityError)
LATER = 10 * LEASE_MS


def mark(tx: Connection, key: str = "person:1", now: int = 0, sink: str = "notion") -> None:
    outbox.mark(tx, 1, (sink,), key, now)


def claim_all(tx: Connection, now: int, token: str = "token", most: int = 100) -> list[Claim]:
    return outbox.claim(tx, "notion", token, now, most)


def claim(tx: Connection, now: int = 0, token: str = "token") -> Claim:
    (found,) = claim_all(tx, now, token)
    return found


def row(tx: Connection, key: str = "person:1") -> dict[str, Any]:
    found = tx.execute(text("SELECT * FROM sync_actions WHERE key = :key"), {"key": key}).mappings().one()
    return dict(found)


def seen(tx: Connection, *names: str) -> tuple[Any, ...]:
    found = row(tx)
    return tuple(found[name] for name in names)


# --- marking ---


def test_a_mark_is_due_at_once_at_each_sink(tx: Connection) -> None:
    outbox.mark(tx, 1, ("notion", "slack"), "person:1", 5)
    assert outbox.next_at(tx, "notion") == outbox.next_at(tx, "slack") == 5
    found = claim(tx, 5)
    assert (found.key, found.generation, found.attempts, found.payload, found.marked_at) == ("person:1", 1, 0, None, 5)


def test_without_sinks_nothing_is_marked(tx: Connection) -> None:
    outbox.mark(tx, 1, (), "person:1", 5)
    assert outbox.counts(tx) == {}


def test_marking_again_before_delivery_is_one_delivery(tx: Connection) -> None:
    for now in (1, 2, 3):
        mark(tx, now=now)
    assert claim(tx, 3).generation == 3
    assert seen(tx, "marked_at") == (1,)  # the wait is told from the first


def test_many_keys_are_marked_as_one_would_be(tx: Connection) -> None:
    mark(tx, "person:1", 1)
    assert outbox.mark_many(tx, 1, "notion", ["person:1", "person:2"], 2) == 2
    assert outbox.mark_many(tx, 1, "notion", [], 2) == 0
    assert outbox.generations(tx, 1, "notion") == {"person:1": 2, "person:2": 1}


def test_a_mark_of_no_workspace_is_refused(tx: Connection) -> None:
    def mark_and_wait() -> None:
        outbox.mark(tx, 99, ("notion",), "person:1", 0)
        statements.flush(tx)

    with pytest.raises(BROKEN, match=r"(?i)foreign key"):
        mark_and_wait()


# --- claiming ---


def test_a_claimed_mark_cannot_be_claimed_until_its_lease_ends(tx: Connection) -> None:
    mark(tx)
    claim(tx, 0, "first")
    assert claim_all(tx, LEASE_MS - 1, "second") == []
    assert outbox.next_at(tx, "notion") == LEASE_MS
    assert claim(tx, LEASE_MS, "second").token == "second"


def test_the_longest_due_are_claimed_first_and_no_more_than_asked(tx: Connection) -> None:
    for key, now in [("c", 30), ("a", 10), ("b", 20), ("d", 10)]:
        mark(tx, key, now)
    assert {found.key for found in claim_all(tx, 100, most=3)} == {"a", "d", "b"}
    assert {found.key for found in claim_all(tx, 100, most=3)} == {"c"}


def test_what_is_not_due_yet_or_of_another_sink_is_not_claimed(tx: Connection) -> None:
    mark(tx, "later", 10)
    mark(tx, "elsewhere", 0, "slack")
    assert claim_all(tx, 9) == []


# --- settling ---


def test_a_settled_mark_is_not_due(tx: Connection) -> None:
    mark(tx)
    assert outbox.settle(tx, claim(tx), 1, status="settled")
    assert claim_all(tx, LATER) == []
    assert outbox.next_at(tx, "notion") is None
    assert seen(tx, "status", "lease_token", "attempts", "error") == ("settled", None, 0, None)


def test_a_mark_settled_before_is_due_again_when_marked(tx: Connection) -> None:
    mark(tx)
    outbox.settle(tx, claim(tx), 1, status="settled")
    mark(tx, now=2)
    found = claim(tx, 2)
    assert (found.generation, found.marked_at) == (2, 2)


def test_a_mark_that_moved_while_leased_stays_leased_and_is_due_when_settled(tx: Connection) -> None:
    mark(tx)
    held = claim(tx)
    mark(tx, now=1)
    assert claim_all(tx, 2, "second") == []
    assert outbox.settle(tx, held, 3, status="settled")
    assert seen(tx, "status", "available_at", "marked_at") == ("due", 3, 3)
    assert claim(tx, 3).generation == 2


@pytest.mark.parametrize("status", ["settled", "dead", "due"])
def test_whatever_became_of_the_old_state_a_moved_mark_goes_at_once_with_all_its_attempts(
    tx: Connection, status: str
) -> None:
    mark(tx)
    held = claim(tx)
    mark(tx, now=1)
    assert outbox.settle(tx, held, 3, status=status, next_at=LATER, attempts=4, error="refused")
    assert seen(tx, "status", "available_at", "attempts") == ("due", 3, 0)


def test_a_failed_attempt_is_due_when_told_with_its_attempts_and_error(tx: Connection) -> None:
    mark(tx)
    assert outbox.settle(tx, claim(tx), 1, status="due", next_at=2_001, attempts=1, error="400")
    assert claim_all(tx, 2_000) == []
    assert seen(tx, "error") == ("400",)
    assert claim(tx, 2_001).attempts == 1


def test_a_late_settle_is_refused_and_changes_nothing(tx: Connection) -> None:
    mark(tx)
    late = claim(tx, 0, "first")
    current = claim(tx, LEASE_MS, "second")
    before = row(tx)
    assert not outbox.settle(tx, late, LEASE_MS + 1, status="settled")
    assert row(tx) == before
    assert not outbox.holds(tx, late)
    assert outbox.holds(tx, current)
    assert outbox.settle(tx, current, LEASE_MS + 2, status="settled")


def test_a_lease_is_settled_once(tx: Connection) -> None:
    mark(tx)
    held = claim(tx)
    assert outbox.settle(tx, held, 1, status="settled")
    assert not outbox.settle(tx, held, 1, status="settled")
    assert not outbox.holds(tx, held)


def test_a_lease_that_ended_still_settles_while_nobody_else_took_it(tx: Connection) -> None:
    mark(tx)
    held = claim(tx)
    assert outbox.settle(tx, held, 2 * LEASE_MS, status="settled")


def test_a_token_opens_only_its_own_mark(tx: Connection) -> None:
    mark(tx, "a")
    mark(tx, "b")
    one, other = claim_all(tx, 0)
    assert outbox.settle(tx, one, 1, status="settled")
    assert outbox.holds(tx, other)
    assert not outbox.holds(tx, replace(other, id=one.id))


def test_there_are_no_other_states(tx: Connection) -> None:
    mark(tx)
    with pytest.raises(BROKEN, match=r"(?i)check"):
        outbox.settle(tx, claim(tx), 1, status="lost")


# --- dead, and back ---


@pytest.fixture
def dead(tx: Connection) -> int:
    mark(tx)
    held = claim(tx)
    assert outbox.settle(tx, held, 1, status="dead", attempts=6, error="400")
    return held.id


def test_a_dead_mark_is_kept_and_never_due(tx: Connection, dead: int) -> None:
    assert claim_all(tx, LATER) == []
    assert outbox.next_at(tx, "notion") is None
    assert outbox.dead(tx) == 1
    assert [found["id"] for found in outbox.latest(tx, status="dead")] == [dead]


def test_a_new_mark_revives_a_dead_one_with_all_its_attempts(tx: Connection, dead: int) -> None:
    mark(tx, now=9)
    found = claim(tx, 9)
    assert (found.id, found.attempts, found.generation, found.marked_at) == (dead, 0, 2, 9)
    assert seen(tx, "error") == (None,)


def test_a_replay_makes_a_dead_mark_due(tx: Connection, dead: int) -> None:
    assert outbox.retry(tx, [dead, 999], 9) == 1
    assert claim(tx, 9).attempts == 0


def test_a_replay_hurries_a_delayed_mark_and_leaves_settled_and_leased_ones_alone(tx: Connection) -> None:
    for key in ("delayed", "settled", "leased"):
        mark(tx, key)
    for held in claim_all(tx, 0):
        if held.key != "leased":
            status = "due" if held.key == "delayed" else "settled"
            outbox.settle(tx, held, 1, status=status, next_at=LATER, attempts=3)
    assert outbox.retry(tx, [row(tx, key)["id"] for key in ("delayed", "settled", "leased")], 9) == 1
    assert [found.key for found in claim_all(tx, 9)] == ["delayed"]


# --- messages ---


def test_a_message_is_posted_once(tx: Connection) -> None:
    outbox.post(tx, 1, "notion", "alert:1", {"text": "first ✓"}, 0)
    outbox.post(tx, 1, "notion", "alert:1", {"text": "second"}, 1)
    held = claim(tx, 1)
    assert (held.payload, held.generation) == ({"text": "first ✓"}, 1)
    outbox.settle(tx, held, 2, status="settled")
    outbox.post(tx, 1, "notion", "alert:1", {"text": "third"}, 3)
    assert claim_all(tx, LATER) == []


# --- looking ---


def test_next_at_is_the_earliest_of_what_is_open(tx: Connection) -> None:
    assert outbox.next_at(tx, "notion") is None
    mark(tx, "a", 30)
    mark(tx, "b", 20)
    assert outbox.next_at(tx, "notion") == 20
    claim(tx, 20)  # b, until its lease ends
    assert outbox.next_at(tx, "notion") == 30


def test_pending_are_the_keys_that_are_open(tx: Connection) -> None:
    for key in ("due", "leased", "settled"):
        mark(tx, key)
    for held in claim_all(tx, 0):
        if held.key != "leased":
            outbox.settle(tx, held, 1, status=held.key, next_at=LATER)
    assert outbox.pending(tx, 1, "notion") == {"due", "leased"}
    assert outbox.pending(tx, 1, "slack") == outbox.pending(tx, 2, "notion") == set()
    assert outbox.counts(tx) == {"notion": {"due": 1, "leased": 1, "settled": 1}}


def test_the_oldest_due_is_the_one_that_waits_longest_not_the_one_delayed(tx: Connection) -> None:
    assert outbox.oldest_due(tx, LATER) is None
    mark(tx, "delayed", 1)
    outbox.settle(tx, claim(tx, 1), 2, status="due", next_at=1_000, attempts=1)
    mark(tx, "waiting", 5)
    assert outbox.oldest_due(tx, 999) == 5
    assert outbox.oldest_due(tx, 1_000) == 1


def test_marks_are_listed_newest_first_and_shown_by_id(tx: Connection) -> None:
    mark(tx, "old", 1)
    mark(tx, "new", 2)
    outbox.post(tx, 1, "slack", "alert:1", {"text": "hi"}, 3)
    assert [found["key"] for found in outbox.latest(tx, most=2)] == ["alert:1", "new"]
    assert [found["key"] for found in outbox.latest(tx, sink="notion", status="due")] == ["new", "old"]
    shown = outbox.detail(tx, row(tx, "alert:1")["id"])
    assert shown is not None
    assert shown["payload"] == {"text": "hi"}
    assert outbox.detail(tx, 999) is None
