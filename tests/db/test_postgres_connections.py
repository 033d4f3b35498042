"""Which database a postgresql:// URL names, how its connections are set up, and what errors keep to themselves."""

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from db import copies, people
from db.database import Database, Unavailable, WrongDatabase, database_file, place, savepoint, transaction
from db.people import Person
from db.postgres import PostgresServer
from db.statements import go_direct
from tests import postgres_databases
from tests.db.calls import add

ADA = Person("user_ada", "ada@example.com", "Ada", None, None, None, None, "member", "active")
on_postgresql = pytest.mark.postgresql_only("its own connections")


def server(url: str) -> PostgresServer:
    found = place(url)
    assert isinstance(found, PostgresServer)
    return found


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://rollcall:hunter2@db.example.com:6432/rollcall",
        "postgres://rollcall:hunter2@db.example.com:6432/rollcall",
        "postgresql+psycopg://rollcall:hunter2@db.example.com:6432/rollcall",
        "postgresql+asyncpg://rollcall:hunter2@db.example.com:6432/rollcall",
        "postgresql+psycopg2://rollcall:hunter2@db.example.com:6432/rollcall",
    ],
)
def test_any_spelling_names_the_database(url: str) -> None:
    url = server(url).url.render_as_string(hide_password=False)
    assert url == "postgresql+psycopg://rollcall:hunter2@db.example.com:6432/rollcall"
    assert database_file(url) is None


def test_options_are_those_of_libpq() -> None:
    info = server("postgresql:///rollcall?host=/run/postgresql&sslmode=disable&connect_timeout=9").conninfo
    said = psycopg.conninfo.conninfo_to_dict(info)
    assert (said["host"], said["sslmode"], said["connect_timeout"]) == ("/run/postgresql", "disable", "9")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://user:hunter2@host:port/x", "no database URL"),
        ("postgresql://user:hunter2@localhost", "must name a database"),
        ("postgres://user:hunter2@localhost/", "must name a database"),
        ("postgresql", "no database URL"),
        ("postgresql://user:hunter2@localhost/x?pool_size=5", "pool_size"),
    ],
)
def test_any_other_is_refused_with_the_reason_and_without_the_password(url: str, why: str) -> None:
    with pytest.raises(WrongDatabase, match=why) as refused:
        place(url)
    assert "hunter2" not in str(refused.value)


async def test_a_server_that_is_not_there_is_unavailable_and_tells_no_password() -> None:
    async with Database("postgresql://rollcall:hunter2@127.0.0.1:9/rollcall", deadline_s=10.0) as database:
        for verb in (database.write, database.read):
            with pytest.raises(Unavailable, match="refused") as refused:
                await verb(add, "a")
            assert "hunter2" not in str(refused.value)


@on_postgresql
async def test_nothing_is_waited_for_beyond_the_deadline(database_url: str) -> None:
    def settings(tx: Connection) -> dict[str, str]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")
        return {name: str(tx.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names}

    async with Database(database_url, deadline_s=2.0) as database:
        wanted = {"idle_in_transaction_session_timeout": "30s", "synchronous_commit": "on"}
        assert await database.write(settings) == wanted | {"statement_timeout": "2s", "lock_timeout": "2s"}
        assert await database.read(settings) == wanted | {"statement_timeout": "30s", "lock_timeout": "2s"}


@on_postgresql
async def test_a_server_that_commits_carelessly_is_told_not_to(database_url: str) -> None:
    with transaction(database_url) as tx:
        name = tx.exec_driver_sql("SELECT current_database()").scalar_one()
        tx.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    async with Database(database_url) as database:
        assert await database.write(lambda tx: tx.exec_driver_sql("SHOW synchronous_commit").scalar()) == "on"
    with transaction(database_url) as tx:
        tx.exec_driver_sql(f"ALTER DATABASE {name} RESET synchronous_commit")


@on_postgresql
@pytest.mark.parametrize("direct", [False, True])
def test_an_error_does_not_quote_the_row(database_url: str, direct: bool) -> None:
    with transaction(database_url) as tx:
        if direct:
            go_direct(tx)
        people.add(tx, ADA, 0)
        with pytest.raises(IntegrityError, match="uq_users") as broken, savepoint(tx):
            people.add(tx, ADA, 0)
    assert "ada@" not in str(broken.value) + str(broken.value.orig)


@on_postgresql
def test_text_is_ordered_by_code_point(database_url: str) -> None:
    names = ["b", "B", "a", "é", "Z", "_", "10", "9"]
    with transaction(database_url) as tx:
        for name in names:
            add(tx, name)
        found: list[Any] = list(tx.exec_driver_sql("SELECT slug FROM workspaces WHERE id > 1 ORDER BY slug").scalars())
    assert found == sorted(names)


@on_postgresql
def test_whoever_is_just_leaving_is_waited_for(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore wants nobody else here, but the server shows a connection for a moment after it was closed."""
    url = postgres_databases.empty_database()
    leaving = place(url).writer_engine(timeout_s=1.0).connect()
    monkeypatch.setattr(copies, "LEAVING_S", 30.0)
    timer = threading.Timer(0.3, leaving.close)
    with transaction(url) as tx:
        timer.start()
        copies.must_be_alone(tx)
    timer.join()
    assert leaving.closed
    postgres_databases.drop(url)
