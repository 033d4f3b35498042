"""The purge works through everything that is over, a little at a time, and comes back tomorrow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, String, Table, cast, insert, literal, select

from db import identities
from db.database import Database, transaction
from db.identities import Identity
from db.retention import BATCH
from db.tables import sync_actions, sync_logs, webhook_events
from handlers import retention
from handlers.registry import Context
from handlers.retention import BATCHES, DAY_MS, PURGE, SOON_MS, Keep, Purge
from handlers.schedule import Job, arm
from tests.conftest import Rows

NOW = 1_790_000_000_000
KEEP = Keep(event_bodies=30, sync_logs=90, settled_marks=90)
FOR_EVER = Keep(0, 0, 0)
FULL = "SELECT count(*) AS n FROM webhook_events WHERE length(body) > 0"


@dataclass
class Watched:
    """A database that notes how many rows each write changed."""

    database: Database
    sizes: list[int] = field(default_factory=list)

    async def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        return await self.database.read(fn, *args)

    async def write(self, fn: Callable[..., Any], *args: Any) -> Any:
        done = await self.database.write(fn, *args)
        self.sizes.append(done)
        return done


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE_S", 0)


def lay(url: str, events: int = 0, logs: int = 0, messages: int = 0, *, days: int = 100, start: int = 0) -> None:
    """Rows as old as that."""
    at = NOW - days * DAY_MS
    event = {"source": "clerk", "type": "t", "status": "applied", "received_at": at, "body": b"x" * 200, "attempts": 0}
    log = {"workspace_id": 1, "sink": "notion", "key": "k", "generation": 1, "attempt": 1, "at": at}
    log |= {"duration_ms": 1, "operation": "update", "outcome": "delivered"}
    mark = {"workspace_id": 1, "sink": "slack", "generation": 1, "status": "settled", "attempts": 0}
    mark |= {"available_at": at, "marked_at": at, "payload": {"text": "x"}}
    with transaction(url) as tx:
        _repeat(tx, webhook_events, event, range(start, start + events), event_id="msg_")
        _repeat(tx, sync_logs, log, range(logs))
        _repeat(tx, sync_actions, mark, range(start, start + messages), key="alert:")


def _repeat(tx: Connection, table: Table, row: dict[str, Any], numbers: range, **numbered: str) -> None:
    """Insert this row once for each number, which the columns `numbered` end with; the database counts, faster."""
    if not numbers:
        return
    count = select(literal(numbers.start).label("n")).cte(recursive=True)
    count = count.union_all(select(count.c.n + 1).where(count.c.n < numbers.stop - 1))
    ends = {name: literal(begin) + cast(count.c.n, String) for name, begin in numbered.items()}
    values = {name: literal(value, table.c[name].type) for name, value in row.items()} | ends
    tx.execute(insert(table).from_select(list(values), select(*values.values()).select_from(count)))


async def to_the_end(purge: Purge, database: Any) -> int:
    """How many runs it took until it was done for the day."""
    for runs in range(1, 1_000):
        if (again := await purge.run(database, NOW)) != NOW + SOON_MS:
            assert again == NOW + DAY_MS
            return runs
    raise AssertionError("no end")


async def test_everything_that_is_over_goes_and_nothing_else(database: Database, database_url: str, rows: Rows) -> None:
    lay(database_url, events=3, logs=3, messages=3)
    lay(database_url, events=2, logs=2, messages=2, days=5, start=100)
    assert await to_the_end(Purge(KEEP), database) == 1
    assert rows(FULL) == [{"n": 2}]
    assert rows("SELECT count(*) AS n FROM webhook_events") == [{"n": 5}]
    assert rows("SELECT count(*) AS n FROM sync_logs") == rows("SELECT count(*) AS n FROM sync_actions") == [{"n": 2}]


async def test_kept_for_ever_is_kept(database: Database, database_url: str, rows: Rows) -> None:
    lay(database_url, events=2, logs=2, messages=2, days=10_000)
    assert await to_the_end(Purge(FOR_EVER), database) == 1
    assert rows(FULL) == rows("SELECT count(*) AS n FROM sync_logs") == [{"n": 2}]
    assert rows("SELECT count(*) AS n FROM sync_actions") == [{"n": 2}]


async def test_100_000_rows_go_in_transactions_of_one_small_batch(
    database: Database, database_url: str, rows: Rows
) -> None:
    lay(database_url, events=60_000, logs=30_000, messages=10_000)
    watched = Watched(database)
    runs = await to_the_end(Purge(KEEP), watched)
    assert max(watched.sizes) == BATCH
    assert sum(watched.sizes) == 100_000
    assert runs >= 100_000 / BATCH / BATCHES
    assert rows(FULL) == [{"n": 0}]


async def test_cut_off_anywhere_another_process_goes_on(database: Database, database_url: str, rows: Rows) -> None:
    lay(database_url, events=BATCH * (BATCHES + 2))
    assert await Purge(KEEP).run(database, NOW) == NOW + SOON_MS
    await to_the_end(Purge(KEEP), database)
    assert rows(FULL) == [{"n": 0}]


async def test_an_event_that_failed_long_ago_is_emptied_the_day_after_it_was_applied(
    database: Database, database_url: str, rows: Rows
) -> None:
    lay(database_url, events=2)
    with transaction(database_url) as tx:
        tx.exec_driver_sql("UPDATE webhook_events SET status = 'failed' WHERE id = 1")
    purge = Purge(KEEP)
    await to_the_end(purge, database)
    assert rows(FULL) == [{"n": 1}]
    with transaction(database_url) as tx:
        tx.exec_driver_sql("UPDATE webhook_events SET status = 'applied' WHERE id = 1")
    await to_the_end(purge, database)
    assert rows(FULL) == [{"n": 0}]


async def test_what_came_late_about_somebody_deleted_is_emptied_whatever_its_age(
    database: Database, database_url: str, rows: Rows
) -> None:
    lay(database_url, events=BATCH + 5, days=0)
    with transaction(database_url) as tx:
        tx.exec_driver_sql("UPDATE webhook_events SET subject = CASE id WHEN 1 THEN 'user_b' ELSE 'user_a' END")
        _bury(tx, "user_a")
    await to_the_end(Purge(FOR_EVER), database)
    assert rows("SELECT id FROM webhook_events WHERE length(body) > 0") == [{"id": 1}]


def _bury(tx: Connection, clerk_id: str) -> None:
    identities.put(tx, Identity("clerk", clerk_id, None, False, "", {}, deleted_at=1))


async def test_it_is_armed_like_any_job(database: Database, rows: Rows) -> None:
    await database.write(arm, (Job(PURGE, Purge(KEEP).run),), Context(), NOW)
    assert rows("SELECT sink, key, status FROM sync_actions") == [{"sink": "clock", "key": "purge", "status": "due"}]
