"""A SQLite installation moves to PostgreSQL whole, or not at all; and nothing acknowledged is lost on the way."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

import migrations
from db import identities, inbox, outbox, people, promotion, sync
from db.database import Database, Unavailable, transaction
from db.promotion import Counted
from db.sync import Known
from db.tables import metadata, users
from handlers.clerk import events as clerk
from handlers.registry import Context, Message
from service.intake import accept
from service.promotion import NotPromoted, promote, undo
from tests.databases import SQLITE, empty_database, new_database
from tests.filling import filled
from tests.handlers.saying import deleted, said
from tests.service.cli.conftest import Rollcall
from tests.service.cli.conftest import said as told
from tests.service.web import CLERK_SECRET, Json, to_body

pytestmark = pytest.mark.postgresql_only("it is where things are moved to")
CONTEXT = Context(sinks=frozenset({"notion"}))
CLERK = clerk.source((CLERK_SECRET,))
PEOPLE = 600
NOW = 1_790_000_000_000


def take(tx: Connection, message: Json, event_id: str) -> str:
    parsed = CLERK.parse(to_body(message), event_id)
    assert isinstance(parsed, Message)
    return accept(tx, CLERK, parsed, to_body(message), CONTEXT, NOW)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A SQLite installation with something in every table that is not easily copied."""
    url = new_database(tmp_path, SQLITE)
    filled(url, "an installation to promote", install)
    return url


def install(url: str) -> None:
    with transaction(url) as tx:
        for number in range(PEOPLE):
            preferences = {"zz": [1, {"b": None, "a": "ü\u2028"}], "language": "de"}
            take(
                tx,
                said(f"user_{number}", f"{number}@example.com", unsafe_metadata={"preferences": preferences}),
                f"m{number}",
            )
        take(tx, deleted(f"user_{PEOPLE - 1}"), "gone")
        inbox.refuse(tx, "clerk", "odd", b"\x00\xff{", "no JSON", NOW)
        outbox.post(tx, 1, "slack", "alert:1", {"text": "\u2713"}, NOW)
        sync.remember(tx, 1, "notion", "person:1", Known("page", "hash", None), NOW)


@pytest.fixture
def target(database_kind: str, tmp_path: Path) -> str:
    return empty_database(tmp_path, database_kind)


def everything(url: str) -> dict[str, Counted]:
    with transaction(url) as tx:
        return promotion.count_all(tx)


def rows(url: str) -> int:
    with transaction(url) as tx:
        return int(tx.execute(select(func.count()).select_from(users)).scalar_one())


def nothing(_table: str, _rows: int) -> None:
    return


def test_every_row_of_every_table_arrives_as_it_was(source: str, target: str) -> None:
    before = everything(source)
    moved = promote(source, target, nothing)
    assert everything(target) == before
    assert moved.rows == {name: counted.rows for name, counted in before.items()}
    assert moved.rows["users"] == PEOPLE - 1
    assert set(moved.rows) == set(metadata.tables)


def test_a_difference_would_be_noticed(source: str) -> None:
    before = everything(source)
    with transaction(source) as tx:
        tx.exec_driver_sql("UPDATE webhook_events SET body = x'00' WHERE id = 7")
    assert {name for name, one in everything(source).items() if one != before[name]} == {"webhook_events"}


def test_row_ids_go_on_past_those_that_were_given_out(source: str, target: str) -> None:
    promote(source, target, nothing)
    with transaction(target) as tx:
        assert take(tx, said("user_new", "new@example.com"), "new") == "applied"
        found = people.find(tx, "user_new")
        assert found is not None
        assert found["id"] == PEOPLE + 1  # the last one's is not used again, though they are deleted
        assert take(tx, said("user_0", "0@example.com"), "m0") == "duplicate"
        outbox.mark(tx, 1, ("notion",), "person:new", NOW)


def test_the_old_database_takes_nothing_any_more(source: str, target: str) -> None:
    promote(source, target, nothing)
    with transaction(source) as tx:
        assert migrations.current(tx) == f"moved:{migrations.head()}"
        assert "set DATABASE_URL" in (migrations.complaint(migrations.current(tx)) or "")
        with pytest.raises(Exception, match="no such table: webhook_events"):
            take(tx, said(), "late")


async def test_a_service_that_still_runs_refuses_during_and_after_and_loses_nothing(source: str, target: str) -> None:
    """What it acknowledged before is in PostgreSQL; what came later was refused, and so is sent again."""
    acknowledged: list[str] = []
    copying, go_on = threading.Event(), threading.Event()

    def stop_once(table: str, _rows: int) -> None:
        if table == "users" and not copying.is_set():
            copying.set()
            assert go_on.wait(30)

    async with Database(source, deadline_s=0.5) as old:

        async def send(event_id: str) -> bool:
            message: Any = said(f"user_{event_id}", f"{event_id}@example.com")
            try:
                await old.write(lambda tx: take(tx, message, event_id))
            except Unavailable:
                return False
            acknowledged.append(event_id)
            return True

        assert await send("before")
        moving = asyncio.create_task(asyncio.to_thread(promote, source, target, stop_once))
        assert await asyncio.to_thread(copying.wait, 30)
        assert not await send("during")
        go_on.set()
        await moving
        assert not await send("after")
    assert acknowledged == ["before"]
    with transaction(target) as tx:
        assert inbox.find(tx, "clerk", "before") is not None
        assert take(tx, said("user_during", "during@example.com"), "during") == "applied"


def test_a_target_that_holds_something_is_refused(source: str, database_url: str) -> None:
    with transaction(database_url) as tx:
        take(tx, said(), "msg_1")
    with pytest.raises(NotPromoted, match="rows in users"):
        promote(source, database_url, nothing)
    with transaction(source) as tx:
        assert migrations.current(tx) == migrations.head()


@pytest.mark.parametrize("table", ["identities", "sync_logs"])
def test_cut_off_anywhere_nothing_was_moved_and_it_can_be_done_again(source: str, target: str, table: str) -> None:
    def fail(name: str, _rows: int) -> None:
        if name == table or (table == "sync_logs" and name == "webhook_events"):
            raise OSError("cut off")

    with pytest.raises(OSError, match="cut off"):
        promote(source, target, fail)
    assert rows(target) == 0
    with transaction(source) as tx:
        assert identities.get(tx, "clerk", "user_1") is not None
        assert take(tx, said("user_x", "x@example.com"), "x") == "applied"
    promote(source, target, nothing)
    assert rows(target) == PEOPLE


def test_a_copy_that_differs_is_not_kept(source: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = promotion.go_on_counting

    def spoil(old: Connection, new: Connection) -> None:
        go_on(old, new)
        new.exec_driver_sql("UPDATE users SET name = 'X' WHERE id = 1")

    monkeypatch.setattr(promotion, "go_on_counting", spoil)
    with pytest.raises(NotPromoted, match="differ after the copy, so nothing was kept: users"):
        promote(source, target, nothing)
    assert rows(target) == 0


def test_undone_the_file_is_as_it_was(source: str, target: str) -> None:
    before = everything(source)
    promote(source, target, nothing)
    undo(source)
    assert everything(source) == before
    with transaction(source) as tx:
        assert migrations.current(tx) == migrations.head()
    with pytest.raises(NotPromoted, match="was not moved"):
        undo(source)


def test_the_command_says_what_was_moved_and_what_to_do_next(rollcall: Rollcall, source: str, target: str) -> None:
    ended = rollcall("promote", "--to", target, "--yes", "--json", DATABASE_URL=source)
    assert told(ended)["rows"]["users"] == PEOPLE - 1
    assert "set DATABASE_URL" in ended.stderr
    for command in (("people", "list"), ("migrate",), ("promote", "--to", target, "--yes")):
        after = rollcall(*command, DATABASE_URL=source)
        assert after.exit_code in (1, 3)
    assert "was moved to PostgreSQL" in rollcall("people", "list", DATABASE_URL=source).stderr
    assert rollcall("people", "show", "user_1", DATABASE_URL=target).exit_code == 0
    assert rollcall("promote", "--undo", "--yes", DATABASE_URL=source).exit_code == 0
    assert rollcall("people", "show", "user_1", DATABASE_URL=source).exit_code == 0


def test_it_is_said_what_cannot_be(rollcall: Rollcall, source: str, target: str) -> None:
    assert rollcall("promote", "--yes", DATABASE_URL=source).exit_code == 2
    assert rollcall("promote", "--to", source, "--yes", DATABASE_URL=source).exit_code == 2
    assert rollcall("promote", "--to", target, "--yes", DATABASE_URL=target).exit_code == 2
    assert rollcall("promote", "--to", target, answer="n\n", DATABASE_URL=source).exit_code == 1
    assert rollcall("promote", "--undo", "--yes", DATABASE_URL=source).exit_code == 1
