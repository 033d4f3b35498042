"""Which file a DATABASE_URL names, and how every connection to it is set up."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from db.database import Database, WrongDatabase, database_file, transaction
from migrations import upgrade
from tests.db.calls import pragma

SETTINGS = {"foreign_keys": 1, "synchronous": 2, "journal_mode": "wal"}


def settings(tx: Connection) -> dict[str, object]:
    return {name: pragma(tx, name) for name in SETTINGS}


@pytest.mark.sqlite_only("its settings; PostgreSQL's are in test_postgres_connections.py")
async def test_every_connection_is_durable_and_keeps_foreign_keys(database: Database, database_url: str) -> None:
    assert await database.write(settings) == SETTINGS
    assert await database.read(settings) == SETTINGS
    with transaction(database_url) as tx:
        assert settings(tx) == SETTINGS


async def test_a_new_file_is_in_wal_mode_from_the_first_write(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/new.db") as database:
        assert await database.write(settings) == SETTINGS


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///rollcall.db", "rollcall.db"),
        ("sqlite:///data/rollcall.db", "data/rollcall.db"),
        ("sqlite:////var/lib/rollcall.db", "/var/lib/rollcall.db"),
        ("sqlite+aiosqlite:///rollcall.db", "rollcall.db"),
        ("sqlite+pysqlite:////var/rollcall.db", "/var/rollcall.db"),
        ("sqlite:///with space & 100%.db", "with space & 100%.db"),
        ("sqlite:///with%20space.db", "with space.db"),
        ("sqlite:///./übung.db", "übung.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    assert database_file(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rollcall.db",
        "/var/lib/rollcall.db",
        "sqlite",
        "sqlite:",
        "sqlite:rollcall.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///:memory:",
        "sqlite://rollcall.db",
        "sqlite://data/rollcall.db",
        "sqlite:///rollcall.db?mode=ro",
        "sqlite:///file:rollcall.db?uri=true",
        "mysql+pymysql://localhost/rollcall",
        "nonsense://x",
    ],
)
def test_any_other_url_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(WrongDatabase, match=r"write sqlite:///rollcall\.db") as refused:
        database_file(url)
    assert "hunter2" not in str(refused.value)


async def test_both_verbs_and_transactions_use_the_same_file_whatever_its_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/100%2525 übung & so.db"
    with transaction(url) as tx:
        tx.exec_driver_sql("CREATE TABLE here (id INTEGER)")
    async with Database(url) as database:
        await database.write(lambda tx: tx.exec_driver_sql("INSERT INTO here VALUES (7)") and None)
        assert await database.read(lambda tx: tx.exec_driver_sql("SELECT id FROM here").scalar()) == 7


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'new.db'}")
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600
