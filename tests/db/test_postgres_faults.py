"""Whatever befalls the server: a write is refused in time or done once, nothing is half-written, and it heals."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

import migrations
from db import postgres_seat
from db.database import Database, Unavailable, transaction
from db.postgres_cursor import Cursor
from tests import postgres
from tests.databases import locked
from tests.db.calls import SLUGS, WRITERS, add, together

pytestmark = pytest.mark.postgresql_only("a server, its connections and its races")

Rows = Callable[..., list[dict[str, Any]]]
OURS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def slugs(rows: Rows) -> list[str]:
    return [row["slug"] for row in rows(SLUGS)]


def cut(tx: Connection) -> None:
    """Cut the very connection this runs on, as an administrator or a restart would."""
    pid = tx.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    place = tx.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(place, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


# --- races ---


async def test_two_that_wait_for_each_other_are_both_served(database: Database, rows: Rows) -> None:
    for slug in ("a", "b"):
        await database.write(add, slug)
    both, through = threading.Barrier(2), threading.Event()
    runs: list[str] = []

    def change(tx: Connection, first: str, second: str) -> None:
        runs.append(first)
        if len(runs) > 2:  # the victim, again: quicker than the one it let through, it would be the victim once more
            assert through.wait(5)
        tx.exec_driver_sql("UPDATE workspaces SET created_at = created_at + 1 WHERE slug = %s", (first,))
        if len(runs) <= 2:
            both.wait(5)
        tx.exec_driver_sql("UPDATE workspaces SET created_at = created_at + 1 WHERE slug = %s", (second,))
        through.set()

    await asyncio.gather(database.write(change, "a", "b"), database.write(change, "b", "a"))
    assert [row["created_at"] for row in rows("SELECT created_at FROM workspaces WHERE id > 1")] == [2, 2]
    assert len(runs) == 3  # one of them was the victim of a deadlock, and ran again


async def test_whoever_loses_a_race_for_a_value_looks_again(database: Database, rows: Rows) -> None:
    both = threading.Barrier(2)
    runs: list[int] = []

    def ensure(tx: Connection) -> bool:
        runs.append(1)
        if tx.exec_driver_sql("SELECT 1 FROM workspaces WHERE slug = 'one'").first():
            return False
        if len(runs) <= 2:
            both.wait(5)
        add(tx, "one")
        return True

    assert sorted(await asyncio.gather(database.write(ensure), database.write(ensure))) == [False, True]
    assert slugs(rows) == ["one"]


async def test_a_function_that_goes_on_after_a_failed_statement_commits_nothing(database: Database, rows: Rows) -> None:
    def careless(tx: Connection) -> str:
        add(tx, "a")
        with pytest.raises(Exception, match="duplicate"):
            add(tx, "a")
        return "done"

    with pytest.raises(RuntimeError, match="nothing was committed"):
        await database.write(careless)
    assert slugs(rows) == []


async def test_calls_run_beside_each_other(database: Database) -> None:
    everybody = threading.Barrier(WRITERS)
    await asyncio.gather(*(database.write(lambda _tx: everybody.wait(10)) for _ in range(WRITERS)))


# --- connections that break ---


async def test_a_connection_cut_before_commit_is_replaced_and_the_call_run_again_once(
    database: Database, rows: Rows
) -> None:
    runs: list[int] = []

    def once_cut(tx: Connection) -> str:
        runs.append(1)
        add(tx, "a")
        if len(runs) == 1:
            cut(tx)
        tx.exec_driver_sql("SELECT 1")
        return "done"

    assert await database.write(once_cut) == "done"
    assert len(runs) == 2
    assert slugs(rows) == ["a"]


async def test_a_connection_found_cut_by_commit_alone_is_not_run_again(database: Database, rows: Rows) -> None:
    """All that is known is that COMMIT got no answer: the caller is told so, and asks again."""
    runs: list[int] = []

    def cut_at_last(tx: Connection) -> None:
        runs.append(1)
        add(tx, "a")
        cut(tx)

    with pytest.raises(Unavailable, match="while committing"):
        await database.write(cut_at_last)
    assert runs == [1]
    assert slugs(rows) == []


async def test_idle_connections_that_were_cut_cost_nobody_anything(
    database: Database, database_url: str, rows: Rows
) -> None:
    await together(database, *((add, f"{number:02}") for number in range(20)))
    await database.read(lambda tx: tx.exec_driver_sql("SELECT 1").scalar())
    with transaction(database_url) as tx:
        for pid in tx.exec_driver_sql(OURS).scalars().all():
            tx.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    await asyncio.gather(*(database.write(add, f"{number:02}") for number in range(20, 60)))
    assert len(await database.read(lambda tx: tx.exec_driver_sql(SLUGS).all())) == 60
    assert len(slugs(rows)) == 60


async def test_a_connection_that_breaks_under_commit_is_unavailable_and_never_run_again(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit arrives, its answer does not: what was done once must not be done twice."""
    runs: list[int] = []
    commit = postgres_seat._commit

    def answerless(raw: psycopg.Connection[Any], driver: Cursor) -> None:
        commit(raw, driver)
        raw.close()
        commit(raw, driver)

    def count(tx: Connection) -> None:
        runs.append(1)
        add(tx, f"run {len(runs)}")

    monkeypatch.setattr(postgres_seat, "_commit", answerless)
    with pytest.raises(Unavailable, match="while committing"):
        await database.write(count)
    monkeypatch.undo()
    assert slugs(rows) == ["run 1"]
    await database.write(add, "next")
    assert slugs(rows) == ["next", "run 1"]


async def test_a_commit_the_server_refuses_is_its_callers(database: Database, rows: Rows) -> None:
    def orphan(tx: Connection) -> None:
        tx.exec_driver_sql(
            "ALTER TABLE workspace_members ALTER CONSTRAINT fk_workspace_members_user_id DEFERRABLE INITIALLY DEFERRED"
        )
        tx.exec_driver_sql("INSERT INTO workspace_members VALUES (1, 99, 'AM')")

    with pytest.raises(IntegrityError, match="ForeignKeyViolation"):
        await database.write(orphan)
    assert rows("SELECT * FROM workspace_members") == []


# --- waits that end ---


async def test_a_lock_held_past_the_deadline_is_unavailable_at_the_deadline(database_url: str, rows: Rows) -> None:
    async with Database(database_url, deadline_s=0.4) as database:
        await database.write(add, "before")
        with locked(database_url):
            began = time.monotonic()
            found = await asyncio.gather(*(database.write(add, f"{n}") for n in range(20)), return_exceptions=True)
            took = time.monotonic() - began
        assert all(isinstance(one, Unavailable) for one in found)
        assert took < 1.4
        await database.write(add, "after")
    assert slugs(rows) == ["after", "before"]


async def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    async with Database(database_url, deadline_s=0.3) as database:
        with pytest.raises(Unavailable):
            await database.write(lambda tx: tx.exec_driver_sql("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.2)
        assert await database.read(
            lambda tx: tx.exec_driver_sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active'").scalar()
        )
        assert database.stuck_for_s == 0.0


async def test_what_is_given_up_at_the_deadline_is_not_committed_behind_its_callers_back(
    database_url: str, rows: Rows
) -> None:
    release = threading.Event()

    def slow(tx: Connection) -> None:
        add(tx, "late")
        release.wait(10)

    async with Database(database_url, deadline_s=0.2) as database:
        with pytest.raises(Unavailable, match="no commit within"):
            await database.write(slow)
        release.set()
        await database.write(add, "next")
    assert slugs(rows) == ["next"]


# --- a server of its own ---


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    server = postgres.Server()
    server.start()
    migrations.upgrade(server.url)
    yield server
    server.remove()


async def test_a_server_that_goes_and_comes_back_is_found_again_by_itself(server: postgres.Server) -> None:
    async with Database(server.url, deadline_s=2.0) as database:
        await database.write(add, "before")
        assert await database.read(lambda tx: tx.exec_driver_sql(SLUGS).scalars().all()) == ["before"]
        await asyncio.to_thread(server.stop)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await database.write(add, "down")
        with pytest.raises(Unavailable):
            await database.read(lambda tx: tx.exec_driver_sql(SLUGS).all())
        assert time.monotonic() - began < 4
        await asyncio.to_thread(server.start)
        await database.write(add, "after")
        assert await database.read(lambda tx: tx.exec_driver_sql(SLUGS).scalars().all()) == ["after", "before"]


async def test_a_server_that_hangs_keeps_nobody_beyond_the_deadline(server: postgres.Server) -> None:
    async with Database(server.url, deadline_s=0.5) as database:
        await together(database, *((add, f"{number}") for number in range(20)))
        server.freeze()
        try:
            began = time.monotonic()
            calls = [database.write(add, f"hung {number}") for number in range(20)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, Unavailable) for one in found)
            assert time.monotonic() - began < 2
            assert database.stuck_for_s > 0.3
        finally:
            server.thaw()
        for _ in range(50):
            try:
                await database.write(add, "after")
            except Unavailable:
                continue
            break
        assert await database.read(lambda tx: tx.exec_driver_sql("SELECT 1 FROM workspaces WHERE slug = 'after'").all())
