"""The inbox: an event once, and what becomes of it."""

import sqlite3

import pytest
import sqlalchemy.exc
from sqlalchemy import Connection

from db import inbox, statements
from db.inbox import RETRY_AFTER_MS, RETRY_EVERY_MS, Stored

BROKEN = (sqlite3.IntegrityError, sqlalchemy.exc.IntegrityError)
BODY = b'{"type": "\xff\x00"}'


def take(tx: Connection, event_id: str, now: int = 0) -> Stored:
    assert inbox.add(tx, "clerk", event_id, "user.created", BODY, now)
    found = inbox.find(tx, "clerk", event_id)
    assert found is not None
    return found


def again(tx: Connection, event: Stored) -> Stored:
    found = inbox.stored(tx, event.id)
    assert found is not None
    return found


def test_an_event_is_kept_with_its_raw_bytes(tx: Connection) -> None:
    event = take(tx, "msg_1", 7)
    assert event == Stored(event.id, "clerk", "msg_1", BODY, 0)
    assert inbox.stored(tx, event.id) == event
    assert inbox.status_of(tx, event.id) == "applied"


def test_the_same_event_of_the_same_source_is_taken_once(tx: Connection) -> None:
    assert inbox.add(tx, "clerk", "msg_1", "a", b"first", 0)
    assert not inbox.add(tx, "clerk", "msg_1", "b", b"second", 1)
    assert inbox.add(tx, "slack", "msg_1", "a", b"other source", 0)
    event = inbox.find(tx, "clerk", "msg_1")
    assert event is not None
    assert event.body == b"first"


def test_nothing_is_found_where_nothing_is(tx: Connection) -> None:
    assert (
        inbox.find(tx, "clerk", "x") is inbox.stored(tx, 1) is inbox.status_of(tx, 1) is inbox.detail(tx, "1") is None
    )
    assert inbox.next_due(tx) is None
    assert inbox.counts(tx) == {}


@pytest.mark.parametrize("status", ["applied", "ignored", "stale", "waiting", "failed"])
def test_an_event_becomes_any_of_the_states(tx: Connection, status: str) -> None:
    event = take(tx, "msg_1")
    inbox.become(tx, "clerk", "msg_1", status, error="why")
    assert inbox.status_of(tx, event.id) == status
    assert inbox.counts(tx) == {status: 1}


def test_there_are_no_other_states(tx: Connection) -> None:
    take(tx, "msg_1")

    def become_and_wait() -> None:
        inbox.become(tx, "clerk", "msg_1", "lost")
        statements.flush(tx)

    with pytest.raises(BROKEN, match=r"(?i)check"):
        become_and_wait()


def test_waiting_events_are_found_by_whom_they_wait_for_in_order_of_arrival(tx: Connection) -> None:
    for number, whom in enumerate(["ada", "bob", "ada"]):
        take(tx, f"msg_{number}")
        inbox.become(tx, "clerk", f"msg_{number}", "waiting", waiting_for=whom)
    assert [event.event_id for event in inbox.waiting_for(tx, "clerk", "ada", 9)] == ["msg_0", "msg_2"]
    assert [event.event_id for event in inbox.waiting_for(tx, "clerk", "ada", 1)] == ["msg_0"]
    assert inbox.waiting_for(tx, "slack", "ada", 9) == []


def test_waiting_events_that_are_put_off_are_due_by_themselves(tx: Connection) -> None:
    for number, whom in enumerate(["ada", "bob", "ada"]):
        take(tx, f"msg_{number}")
        inbox.become(tx, "clerk", f"msg_{number}", "waiting", waiting_for=whom)
    inbox.put_off(tx, "clerk", "ada", 1_000)
    assert inbox.waiting_for(tx, "clerk", "ada", 9) == []
    assert [event.event_id for event in inbox.waiting_for(tx, "clerk", "bob", 9)] == ["msg_1"]
    assert [(event.event_id, event.attempts) for event in inbox.take_due(tx, 1_000, 9)] == [("msg_0", 0), ("msg_2", 0)]


def test_an_event_that_was_decided_waits_no_more(tx: Connection) -> None:
    take(tx, "msg_1")
    inbox.become(tx, "clerk", "msg_1", "waiting", waiting_for="ada")
    inbox.become(tx, "clerk", "msg_1", "applied")
    assert inbox.waiting_for(tx, "clerk", "ada", 9) == []


def test_a_failed_event_is_tried_after_5_s_30_s_5_min_then_every_15_min(tx: Connection) -> None:
    event, now = take(tx, "msg_1"), 1_000
    for count, wait in enumerate([5_000, 30_000, 300_000, 900_000, 900_000], start=1):
        assert inbox.fail(tx, event, "boom", now) == count
        assert inbox.next_due(tx) == now + wait
        assert inbox.take_due(tx, now + wait - 1, 10) == []
        event, now = again(tx, event), now + wait
        assert inbox.take_due(tx, now, 10) == [event]
        assert event.attempts == count


def test_an_event_that_failed_while_waiting_waits_for_its_retry_only(tx: Connection) -> None:
    event = take(tx, "msg_1")
    inbox.become(tx, "clerk", "msg_1", "waiting", waiting_for="ada")
    inbox.fail(tx, event, "boom", 0)
    assert inbox.waiting_for(tx, "clerk", "ada", 9) == []
    assert inbox.next_due(tx) == RETRY_AFTER_MS[0]


def test_an_event_applied_after_failing_is_due_no_more(tx: Connection) -> None:
    inbox.fail(tx, take(tx, "msg_1"), "boom", 0)
    inbox.become(tx, "clerk", "msg_1", "applied")
    assert inbox.next_due(tx) is None
    assert inbox.take_due(tx, RETRY_EVERY_MS, 10) == []
    found = inbox.detail(tx, "msg_1")
    assert found is not None
    assert found["error"] is None


def test_due_events_come_oldest_first_and_no_more_than_asked(tx: Connection) -> None:
    for number, now in enumerate([30, 10, 20]):
        inbox.fail(tx, take(tx, f"msg_{number}"), "boom", now)
    assert [event.event_id for event in inbox.take_due(tx, 10**6, 2)] == ["msg_1", "msg_2"]


def test_a_start_hurries_what_is_tried_again_and_nothing_else(tx: Connection) -> None:
    inbox.fail(tx, take(tx, "again"), "boom", 0)
    inbox.give_up(tx, take(tx, "given up"), "cannot be parsed")
    assert inbox.refuse(tx, "clerk", "refused", b"{", "cannot be parsed", 0)
    take(tx, "applied")
    assert inbox.hurry(tx, 1) == 1
    assert [event.event_id for event in inbox.take_due(tx, 1, 10)] == ["again"]


def test_a_body_that_cannot_be_parsed_is_kept_as_failed_once_and_not_tried_again(tx: Connection) -> None:
    key = inbox.key_of(b"{")
    assert inbox.refuse(tx, "clerk", key, b"{", "no JSON", 0)
    assert not inbox.refuse(tx, "clerk", key, b"{", "no JSON", 1)
    assert inbox.failed(tx) == 1
    assert inbox.next_due(tx) is None
    found = inbox.detail(tx, key)
    assert found is not None
    assert (found["status"], found["type"], found["body"], found["error"]) == ("failed", "unknown", b"{", "no JSON")


def test_refusing_never_overwrites_an_event_that_is_held(tx: Connection) -> None:
    event = take(tx, "msg_1")
    assert not inbox.refuse(tx, "clerk", "msg_1", b"{", "no JSON", 1)
    assert again(tx, event) == event
    assert inbox.status_of(tx, event.id) == "applied"


def test_different_bodies_have_different_keys() -> None:
    assert inbox.key_of(b"a") != inbox.key_of(b"b")
    assert inbox.key_of(b"a") == inbox.key_of(b"a")


def test_a_dismissed_event_is_ignored_and_only_failed_ones_are_dismissed(tx: Connection) -> None:
    event = take(tx, "msg_1")
    assert not inbox.dismiss(tx, event.id)
    inbox.fail(tx, event, "boom", 0)
    assert inbox.dismiss(tx, event.id)
    assert inbox.status_of(tx, event.id) == "ignored"
    assert inbox.next_due(tx) is None
    assert not inbox.dismiss(tx, event.id)


def test_an_event_gets_its_type_once_it_could_be_parsed(tx: Connection) -> None:
    event = take(tx, "msg_1")
    inbox.retype(tx, event.id, "user.deleted")
    found = inbox.detail(tx, "msg_1")
    assert found is not None
    assert found["type"] == "user.deleted"


@pytest.fixture
def three(tx: Connection) -> list[Stored]:
    events = [take(tx, f"msg_{number}", number) for number in range(3)]
    inbox.fail(tx, events[1], "boom", 0)
    assert inbox.add(tx, "slack", "Ev1", "user_change", b"{}", 3)
    return events


def test_an_event_is_shown_by_row_id_or_event_id(tx: Connection, three: list[Stored]) -> None:
    for name in (str(three[1].id), "msg_1"):
        found = inbox.detail(tx, name)
        assert found is not None
        assert (found["id"], found["body"], found["available_at"]) == (three[1].id, BODY, RETRY_AFTER_MS[0])
    for name in ("", "9" * 40, "²", "msg_9"):
        assert inbox.detail(tx, name) is None


def test_the_latest_events_come_first_and_can_be_narrowed(tx: Connection, three: list[Stored]) -> None:
    assert [row["event_id"] for row in inbox.latest(tx, most=2)] == ["Ev1", "msg_2"]
    assert [row["event_id"] for row in inbox.latest(tx, status="failed")] == ["msg_1"]
    assert [row["event_id"] for row in inbox.latest(tx, source="clerk", status="applied")] == ["msg_2", "msg_0"]
    assert inbox.counts(tx) == {"applied": 3, "failed": 1}
    assert inbox.failed(tx) == 1
