"""`rollcall backup` and `restore`: what was there at the copy is there again, or nothing has changed."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

import migrations
from db.database import Database, transaction
from tests.conftest import Rows
from tests.databases import SQLITE
from tests.service.cli.conftest import Rollcall, said

ADA = "INSERT INTO users (name, role, status, created_at, updated_at) VALUES ('Ada', 'member', 'active', 0, 0)"
PEOPLE = "SELECT count(*) AS n FROM users"


@pytest.fixture
def file(folder: Path, database_kind: str) -> str:
    """Where the copy goes; PostgreSQL's needs PostgreSQL's tools, of the server's version."""
    return "copy.db" if database_kind == SQLITE else "copy.dump"


@pytest.fixture(autouse=True)
def tools(database_kind: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tools that belong to the server the tests run on."""
    if database_kind == SQLITE:
        return
    with transaction(database_url) as tx:
        folder = Path(tx.exec_driver_sql("SELECT setting FROM pg_config WHERE name = 'BINDIR'").scalar_one())
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def add(url: str, people: int = 1) -> None:
    with transaction(url) as tx:
        for _ in range(people):
            tx.exec_driver_sql(ADA)


def test_what_was_there_at_the_copy_is_there_again(
    rollcall: Rollcall, database_url: str, rows: Rows, file: str
) -> None:
    add(database_url)
    copied = said(rollcall("backup", file, "--json"))
    assert copied["bytes"] == Path(file).stat().st_size
    assert Path(file).stat().st_mode & 0o077 == 0
    add(database_url, 2)
    restored = rollcall("restore", file, "--yes", "--json")
    assert said(restored)["revision_now"] == migrations.head()
    assert rows(PEOPLE) == [{"n": 1}]
    assert "rollcall notion reconcile" in restored.stderr
    assert rollcall("people", "list", "--json").exit_code == 0


def test_a_database_that_holds_something_is_asked_about(
    rollcall: Rollcall, database_url: str, rows: Rows, file: str
) -> None:
    rollcall("backup", file)
    add(database_url)
    ended = rollcall("restore", file, answer="n\n")
    assert ended.exit_code == 1
    assert "holds 1 people and events" in ended.stderr
    assert rows(PEOPLE) == [{"n": 1}]


async def test_it_is_not_restored_under_a_service(
    rollcall: Rollcall, database: Database, database_url: str, file: str
) -> None:
    assert rollcall("backup", file).exit_code == 0
    await database.write(lambda tx: tx.exec_driver_sql(ADA))
    await database.read(lambda tx: tx.exec_driver_sql(PEOPLE))
    with transaction(database_url):
        pass
    ended = await asyncio.to_thread(rollcall, "restore", file, "--yes")
    assert ended.exit_code == 3
    assert "stop" in ended.stderr


def test_what_is_no_copy_is_refused(rollcall: Rollcall, file: str) -> None:
    Path(file).write_bytes(b"x" * 5_000)
    ended = rollcall("restore", file, "--yes")
    assert ended.exit_code == 2
    assert file in ended.stderr


def test_a_file_is_not_overwritten(rollcall: Rollcall, file: str) -> None:
    Path(file).write_text("mine")
    assert rollcall("backup", file).exit_code == 2
    assert Path(file).read_text() == "mine"


def test_dated_copies_are_kept_for_a_while(rollcall: Rollcall, folder: Path) -> None:
    old = [f"rollcall-202601{day:02}T000000Z.db" for day in range(1, 20)]
    where = folder / "backups"
    where.mkdir()
    for name in old:
        (where / name).touch()
    deleted = said(rollcall("backup", "--keep", "5", "--json", BACKUP_DIR=str(where)))["deleted"]
    assert deleted == old[:-4]
    assert rollcall("backup", "x.db", "--keep", "5").exit_code == 2


@pytest.mark.sqlite_only("the file's own ways")
def test_an_older_copy_is_brought_to_this_version(rollcall: Rollcall, database_url: str, rows: Rows) -> None:
    migrations.downgrade(database_url, "002")
    add(database_url)
    file = Path(database_url.removeprefix("sqlite:///"))
    shutil.copy(file, "old.db")
    Path("old.db-wal").unlink(missing_ok=True)
    ended = said(rollcall("restore", "old.db", "--yes", "--json"))
    assert (ended["revision"], ended["revision_now"]) == ("002", migrations.head())
    assert rows("SELECT count(*) AS n FROM webhook_events WHERE subject IS NOT NULL") == [{"n": 0}]


@pytest.mark.sqlite_only("the file's own ways")
def test_a_copy_can_be_restored_where_there_is_nothing(rollcall: Rollcall, database_url: str, folder: Path) -> None:
    add(database_url)
    rollcall("backup", "copy.db")
    elsewhere = f"sqlite:///{folder}/new.db"
    assert rollcall("restore", "copy.db", DATABASE_URL=elsewhere).exit_code == 0
    assert (folder / "new.db").stat().st_mode & 0o077 == 0
    with transaction(elsewhere) as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM users").scalar() == 1


@pytest.mark.postgresql_only("these are its tools")
def test_without_its_tools_it_is_said_what_to_install(
    rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = rollcall("backup", "copy.dump")
    assert ended.exit_code == 3
    assert "postgresql-client" in ended.stderr
