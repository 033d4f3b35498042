"""What the other side is known to hold, and the log of attempts."""

import pytest
from sqlalchemy import Connection, text

from db import outbox, sync
from db.outbox import Claim
from db.sync import Known


@pytest.fixture
def held(tx: Connection) -> Claim:
    outbox.mark(tx, 1, ("notion",), "person:1", 0)
    (claim,) = outbox.claim(tx, "notion", "token", 0, 1)
    return claim


@pytest.mark.parametrize("state", [Known("page", "hash", 5), Known(remote_id="page"), Known(creating_since=5)])
def test_what_is_remembered_is_known(tx: Connection, state: Known) -> None:
    sync.remember(tx, 1, "notion", "person:1", state, 7)
    assert sync.known(tx, 1, "notion", "person:1") == state
    assert sync.all_known(tx, 1, "notion") == {"person:1": state}


def test_a_key_never_remembered_is_known_as_nothing(tx: Connection) -> None:
    sync.remember(tx, 1, "notion", "person:1", Known("page"), 7)
    for other in ((2, "notion", "person:1"), (1, "slack", "person:1"), (1, "notion", "person:2")):
        assert sync.known(tx, *other) == Known()


def test_remembering_again_replaces_all_of_it(tx: Connection) -> None:
    sync.remember(tx, 1, "notion", "person:1", Known(creating_since=5), 5)
    sync.remember(tx, 1, "notion", "person:1", Known("page", "hash"), 7)
    assert sync.known(tx, 1, "notion", "person:1") == Known("page", "hash")
    assert tx.execute(text("SELECT synced_at FROM sync_status")).scalars().all() == [7]


def test_remembering_nothing_forgets_that_key_only(tx: Connection) -> None:
    for key in ("person:1", "person:2"):
        sync.remember(tx, 1, "notion", key, Known("page"), 5)
    sync.remember(tx, 1, "notion", "person:1", Known(), 7)
    assert sync.all_known(tx, 1, "notion") == {"person:2": Known("page")}


def test_each_attempt_leaves_a_row_newest_first(tx: Connection, held: Claim) -> None:
    for number in range(3):
        sync.log(tx, held, at=number, duration_ms=9, operation="create", outcome="refused", error=f"error {number}")
    found = sync.attempts_of(tx, "notion", "person:1", most=2)
    assert [row["error"] for row in found] == ["error 2", "error 1"]
    assert (found[0]["attempt"], found[0]["generation"], found[0]["operation"]) == (1, 1, "create")
    assert sync.attempts_of(tx, "slack", "person:1") == sync.attempts_of(tx, "notion", "person:2") == []
