"""What is kept no longer goes in small batches, and what anybody still needs does not."""

from typing import Any

import pytest
from sqlalchemy import Connection, text

from db import identities, inbox, outbox, retention, sync
from db.identities import Identity
from db.retention import BATCH, WINDOW
from db.sync import Known

DAY = 86_400_000
NOW = 1_790_000_000_000
FAR = WINDOW
STATES = ("applied", "ignored", "stale", "waiting", "failed")


def take(tx: Connection, event_id: str, at: int = 0, status: str = "applied", subject: str | None = None) -> int:
    assert inbox.add(tx, "clerk", event_id, "user.created", b"personal", at, subject)
    waits = "user_1" if status == "waiting" else None
    inbox.become(tx, "clerk", event_id, status, waiting_for=waits, error="said ada@example.com")
    event = inbox.find(tx, "clerk", event_id)
    assert event is not None
    return event.id


def event(tx: Connection, id_: int) -> dict[str, Any]:
    found = inbox.detail(tx, str(id_))
    assert found is not None
    return found


def tombstone(tx: Connection, clerk_id: str) -> None:
    identities.put(tx, Identity("clerk", clerk_id, None, False, "", {}, deleted_at=1))


def settled(tx: Connection, key: str, at: int, payload: Any = None, known: Known | None = None) -> int:
    """A mark that was delivered at that time."""
    if payload is None:
        outbox.mark(tx, 1, ("notion",), key, at)
    else:
        outbox.post(tx, 1, "notion", key, payload, at)
    (claim,) = outbox.claim(tx, "notion", f"token {key}", at, 1)
    assert outbox.settle(tx, claim, at, status="settled")
    if known:
        sync.remember(tx, 1, "notion", key, known, at)
    return claim.id


def attempt(tx: Connection, key: str, at: int, error: str | None = None) -> None:
    claim = outbox.Claim(1, 1, "notion", key, 1, 0, None, "t", at)
    sync.log(tx, claim, at=at, duration_ms=1, operation="update", outcome="refused", error=error)


def count(tx: Connection, sql: str) -> int:
    found: int = tx.execute(text(f"SELECT count(*) FROM {sql}")).scalar_one()  # noqa: S608 - ours
    return found


# --- bodies ---


def test_the_body_of_an_old_event_is_emptied_and_the_rest_of_its_row_stays(tx: Connection) -> None:
    id_ = take(tx, "msg_1", subject="user_1")
    before = event(tx, id_)
    assert retention.empty(tx, retention.old_events(tx, 0, FAR, 1) or ()) == 1
    assert event(tx, id_) == {**before, "body": b""}
    assert not inbox.add(tx, "clerk", "msg_1", "user.created", b"again", 5)
    assert retention.events_about(tx, "clerk", "user_1") == []


@pytest.mark.parametrize("status", STATES)
def test_an_event_that_will_run_again_keeps_its_body_whatever_its_age(tx: Connection, status: str) -> None:
    id_ = take(tx, "msg_1", status=status)
    retention.empty(tx, retention.old_events(tx, 0, FAR, NOW) or ())
    retention.empty(tx, [id_])  # it may have changed between the look and the write
    assert bool(event(tx, id_)["body"]) is (status in ("waiting", "failed"))


def test_a_young_event_keeps_its_body(tx: Connection) -> None:
    take(tx, "msg_1", at=10)
    assert retention.old_events(tx, 0, FAR, 10) is None
    assert retention.old_events(tx, 0, FAR, 11) is not None


def test_one_look_gives_one_batch_of_its_window(tx: Connection) -> None:
    ids = [take(tx, f"msg_{number}") for number in range(BATCH + 3)]
    assert retention.old_events(tx, 0, FAR, NOW) == ids[:BATCH]
    assert retention.old_events(tx, ids[BATCH - 1], FAR, NOW) == ids[BATCH:]
    assert retention.old_events(tx, 0, ids[2], NOW) == ids[:3]


@pytest.mark.sqlite_only("PostgreSQL writes a row anew in any case, and vacuums")
def test_emptied_bodies_leave_room_for_new_ones(tx: Connection) -> None:
    """A row that shrinks in place would keep its page."""
    for number in range(400):
        inbox.add(tx, "clerk", f"msg_{number}", "user.created", b"x" * 2_000, 0)
    before = tx.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    for _ in range(2):
        retention.empty(tx, retention.old_events(tx, 0, FAR, 1) or ())
    assert tx.exec_driver_sql("PRAGMA freelist_count").scalar_one() - before > 150


# --- people who are gone ---


@pytest.mark.parametrize("status", STATES)
def test_an_event_about_somebody_gone_is_emptied_whatever_its_state(tx: Connection, status: str) -> None:
    id_ = take(tx, "msg_1", NOW, status, "user_1")
    other = take(tx, "msg_2", NOW, status, "user_2")
    assert retention.forget(tx, retention.events_about(tx, "clerk", "user_1")) == 1
    assert event(tx, id_)["body"] == b""
    assert event(tx, other)["body"] == b"personal"
    if status in ("waiting", "failed"):
        found = event(tx, id_)
        assert (found["status"], found["error"], found["waiting_for"]) == ("ignored", retention.GONE, None)
        assert inbox.next_due(tx) is None


def test_events_about_the_deleted_are_found_without_their_names(tx: Connection) -> None:
    gone = take(tx, "msg_1", NOW, subject="user_1")
    take(tx, "msg_2", NOW, subject="user_2")
    tombstone(tx, "user_1")
    assert retention.events_about_the_gone(tx) == [gone]
    retention.forget(tx, [gone])
    assert retention.events_about_the_gone(tx) == []


def test_what_the_other_side_said_of_a_page_is_forgotten_and_of_others_not(tx: Connection) -> None:
    for key in ("person:1", "person:2"):
        attempt(tx, key, 1, "ada@example.com is expected to be a number")
        attempt(tx, key, 2)
        outbox.mark(tx, 1, ("notion",), key, 1)
    for claim in outbox.claim(tx, "notion", "t", 1, 5):
        outbox.settle(tx, claim, 1, status="dead", error="ada@example.com")
    assert retention.forget_errors(tx, 1, "notion", "person:1") == 1
    assert [one["error"] for one in sync.attempts_of(tx, "notion", "person:1")] == [None, None]
    assert [one["error"] for one in outbox.latest(tx)] == ["ada@example.com", None]
    assert sync.attempts_of(tx, "notion", "person:2")[1]["error"] is not None


# --- attempts and marks ---


def test_old_attempts_go_a_batch_at_a_time(tx: Connection) -> None:
    for number in range(BATCH + 2):
        attempt(tx, "person:1", number)
    attempt(tx, "person:1", NOW)
    assert [retention.drop_logs(tx, NOW) for _ in range(3)] == [BATCH, 2, 0]
    assert count(tx, "sync_logs") == 1


def drop(tx: Connection, before: int) -> int:
    return retention.drop_marks(tx, retention.old_marks(tx, 0, FAR, before), before)


def test_a_delivered_message_goes_when_it_is_old(tx: Connection) -> None:
    settled(tx, "alert:1", 1, {"text": "x"})
    assert drop(tx, 1) == 0
    assert drop(tx, 2) == 1
    assert count(tx, "sync_actions") == 0


def test_the_mark_of_a_page_that_is_there_stays_with_its_generation(tx: Connection) -> None:
    settled(tx, "person:1", 1, known=Known("page", "hash"))
    assert drop(tx, NOW) == 0
    outbox.mark(tx, 1, ("notion",), "person:1", 2)
    assert outbox.generations(tx, 1, "notion") == {"person:1": 2}


def test_the_mark_of_a_page_that_is_gone_goes(tx: Connection) -> None:
    settled(tx, "person:1", 1, known=Known("page", "hash"))
    sync.remember(tx, 1, "notion", "person:1", Known(), 2)
    assert drop(tx, NOW) == 1


@pytest.mark.parametrize("status", ["due", "dead"])
def test_a_mark_that_is_not_settled_stays(tx: Connection, status: str) -> None:
    outbox.post(tx, 1, "slack", "alert:1", {"text": "x"}, 1)
    (claim,) = outbox.claim(tx, "slack", "t", 1, 1)
    assert drop(tx, NOW) == 0
    outbox.settle(tx, claim, 1, status=status)
    assert drop(tx, NOW) == 0


def test_a_mark_raised_between_the_look_and_the_write_stays(tx: Connection) -> None:
    id_ = settled(tx, "person:1", 1)
    ids = retention.old_marks(tx, 0, FAR, NOW)
    assert ids == [id_]
    outbox.mark(tx, 1, ("notion",), "person:1", 2)
    assert retention.drop_marks(tx, ids, NOW) == 0


def test_a_late_holder_cannot_settle_a_mark_that_was_purged_and_raised_again(tx: Connection) -> None:
    """SQLite may give the row id again, and the generation begins again at 1: the token decides."""
    outbox.mark(tx, 1, ("notion",), "person:1", 1)
    (late,) = outbox.claim(tx, "notion", "late", 1, 1)
    (now_ours,) = outbox.claim(tx, "notion", "ours", 1 + outbox.LEASE_MS, 1)
    outbox.settle(tx, now_ours, 2, status="settled")
    assert drop(tx, NOW) == 1
    outbox.mark(tx, 1, ("notion",), "person:1", 3)
    (again,) = outbox.claim(tx, "notion", "again", 3, 1)
    assert again.generation == late.generation
    assert again.id == late.id or tx.dialect.name == "postgresql"
    assert not outbox.holds(tx, late)
    assert not outbox.settle(tx, late, 4, status="settled")
    assert outbox.settle(tx, again, 4, status="settled")
