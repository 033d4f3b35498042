"""Hot statements use an index whatever the size (S1.9: one person in under 10 ms at 10,000 people)."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from db import (
    identities,
    inbox,
    limits,
    oncall,
    oncall_feeds,
    oncall_members,
    outbox,
    people,
    retention,
    sync,
    user_data,
)
from db.database import transaction
from db.tables import users
from tests.databases import new_database

pytestmark = pytest.mark.sqlite_only("plans in SQLite's words; test_postgres_plans.py has PostgreSQL's")

PEOPLE = 10_000
CHOSEN = "SCAN due"  # the few marks that were chosen, once each
DAY = date(2026, 11, 3)
Look = Callable[[Connection], Any]


@pytest.fixture(scope="module")
def crowded(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with many people."""
    rows = [
        {
            "clerk_id": f"user_{number}",
            "email": f"{number}@example.com",
            "name": f"Number {number}",
            "slack_user_id": f"U{number}",
            "notion_person_id": f"n{number}",
            "role": "member",
            "status": "active",
            "created_at": 0,
            "updated_at": 0,
        }
        for number in range(PEOPLE)
    ]
    url = new_database(tmp_path_factory.mktemp("crowded"), database_kind)
    with transaction(url) as tx:
        tx.execute(insert(users), rows)
    return url


@pytest.fixture
def crowd(crowded: str) -> Iterator[Connection]:
    """Many people, and a transaction that goes through SQLAlchemy, so that each statement can be explained."""
    with contextlib.suppress(Over), transaction(crowded) as tx:
        yield tx
        raise Over


class Over(Exception):
    """The test is done: roll back."""


def plans(tx: Connection, look: Look) -> list[str]:
    """What SQLite says it does for each statement that `look` executes, with the very parameters bound."""
    found: list[str] = []

    def explain(tx: Connection, _cursor: object, sql: str, parameters: Any, _context: object, _many: bool) -> None:
        raw: Any = tx.connection.driver_connection
        found.extend(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", parameters))

    event.listen(tx, "before_cursor_execute", explain)
    look(tx)
    event.remove(tx, "before_cursor_execute", explain)
    assert found
    return found


@pytest.mark.parametrize(
    ("value", "index"),
    [
        ("user_77", "clerk_id=?"),
        ("U77", "slack_user_id=?"),
        ("77@example.com", "email=?"),
        ("n77", "notion_person_id=?"),
    ],
)
def test_one_person_is_found_through_the_index_of_each_id(crowd: Connection, value: str, index: str) -> None:
    steps = plans(crowd, lambda tx: people.find(tx, value))
    assert not [step for step in steps if "SCAN" in step]
    assert index in steps[-1]
    found = people.find(crowd, value)
    assert found is not None
    assert found["name"] == "Number 77"


def test_one_person_is_found_by_row_id_without_a_scan(crowd: Connection) -> None:
    assert plans(crowd, lambda tx: people.find(tx, "77"))[-1] == "SEARCH users USING INTEGER PRIMARY KEY (rowid=?)"


HOT: dict[str, tuple[Look, str]] = {
    "identities by email": (lambda tx: identities.claiming(tx, ["a@x.org", "b@x.org"]), "ix_identities_email"),
    "one identity and its rivals": (
        lambda tx: identities.around(tx, ("clerk", "x"), ["a@x.org"]),
        "ix_identities_email",
    ),
    "one identity": (lambda tx: identities.get(tx, "clerk", "x"), "(provider=? AND external_id=?)"),
    "identities of a person": (lambda tx: identities.of_user(tx, 1), "ix_identities_user_id"),
    "waiting events": (lambda tx: inbox.waiting_for(tx, "clerk", "x", 9), "ix_webhook_events_source_waiting_for"),
    "waiting events put off": (lambda tx: inbox.put_off(tx, "clerk", "x", 5), "ix_webhook_events_source_waiting_for"),
    "one event": (lambda tx: inbox.find(tx, "clerk", "x"), "(source=? AND event_id=?)"),
    "due failed events": (lambda tx: inbox.take_due(tx, 5, 5), "ix_webhook_events_failed"),
    "next failed event": (inbox.next_due, "ix_webhook_events_failed"),
    "due marks": (lambda tx: outbox.claim(tx, "notion", "t", 5, 5), "ix_sync_actions_open"),
    "next mark": (lambda tx: outbox.next_at(tx, "notion"), "ix_sync_actions_open"),
    "oldest due mark": (lambda tx: outbox.oldest_due(tx, 5), "ix_sync_actions_open"),
    "pending marks": (lambda tx: outbox.pending(tx, 1, "notion"), "(workspace_id=? AND sink=?)"),
    "attempts of a key": (lambda tx: sync.attempts_of(tx, "notion", "x"), "ix_sync_logs_sink_key"),
    "what is known of a key": (lambda tx: sync.known(tx, 1, "notion", "x"), "(workspace_id=? AND sink=? AND key=?)"),
    "old bodies": (lambda tx: retention.old_events(tx, 5, 50, 5), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    "bodies about a person": (
        lambda tx: retention.events_about(tx, "clerk", "x"),
        "ix_webhook_events_source_subject (source=? AND subject=?)",
    ),
    "old attempts": (lambda tx: retention.drop_logs(tx, 5), "ix_sync_logs_at"),
    "old marks": (lambda tx: retention.old_marks(tx, 5, 50, 5), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    "what was said of a page": (lambda tx: retention.forget_errors(tx, 1, "notion", "x"), "ix_sync_logs_sink_key"),
    "one gate": (lambda tx: limits.gate(tx, "notion"), "(name=?)"),
    "data of a person": (lambda tx: user_data.load(tx, 1), "(user_id=?)"),
    "rotations of a person": (lambda tx: people.rotations(tx, 1, [1]), "(workspace_id=? AND user_id=?)"),
    "members of a rotation": (lambda tx: people.in_rotation(tx, 1, "AM"), "workspace_members"),
    "who is on call": (lambda tx: oncall.at(tx, 1, 5, DAY, DAY), "(workspace_id=? AND date>? AND date<?)"),
    "who comes next": (lambda tx: oncall.after(tx, 1, 5, DAY, 3), "(workspace_id=? AND date>?)"),
    "one shift": (lambda tx: oncall.one(tx, 1, DAY, "PM"), "(workspace_id=? AND date=? AND rotation=?)"),
    "shifts of a person": (lambda tx: oncall.of_person(tx, 1, 1, DAY, 5), "(workspace_id=? AND date>?)"),
    "erasure of a person's shifts": (lambda tx: oncall.forget(tx, 1, "x"), "ix_oncall_schedule_user_id_date"),
    "a calendar feed": (lambda tx: oncall_feeds.by_hash(tx, "x"), "(token_hash=?)"),
    "whether somebody is in a rotation": (lambda tx: oncall_members.is_one(tx, 1), "ix_workspace_members_user_id"),
    "a page of people": (lambda tx: people.page(tx, after=50), "INTEGER PRIMARY KEY (rowid>?)"),
}


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_searches_an_index_and_scans_nothing(crowd: Connection, name: str) -> None:
    look, index = HOT[name]
    steps = plans(crowd, look)
    assert not [step for step in steps if "SCAN" in step and step != CHOSEN]
    assert any(index in step for step in steps), steps


def test_bodies_about_the_deleted_are_found_from_their_tombstones(crowd: Connection) -> None:
    steps = plans(crowd, retention.events_about_the_gone)
    assert "ix_identities_deleted" in steps[0]
    assert "SEARCH webhook_events USING INDEX ix_webhook_events_source_subject (source=? AND subject=?)" in steps
