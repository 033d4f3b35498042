"""A copy is whole and of one moment; a database from a copy is complete, or the old one is still there."""

import contextlib
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from db import copies, outbox, sync
from db.copies import IDS_SKIPPED, InUse, NotACopy
from db.database import Database, transaction
from db.sqlite import SqliteFile
from db.sync import Known

pytestmark = pytest.mark.sqlite_only("PostgreSQL has tools of its own; see tests/service/cli/test_backup.py")
ADA = "INSERT INTO users (name, role, status, created_at, updated_at) VALUES ('Ada', 'member', 'active', 0, 0)"


def file_of(url: str) -> SqliteFile:
    return SqliteFile.from_url(url)


def write(url: str, *statements: str) -> None:
    with transaction(url) as tx:
        for statement in statements:
            tx.exec_driver_sql(statement)


def count(path: Path, table: str = "users") -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - ours


def test_a_copy_is_one_file_its_owners_alone(database_url: str, tmp_path: Path) -> None:
    write(database_url, ADA)
    target = tmp_path / "copy.db"
    copy = copies.copy_out(file_of(database_url), target)
    assert copy.rows["users"] == count(target) == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir() if "copy" in file.name] == ["copy.db"]
    assert copies.inspect(target) == copy


async def test_a_copy_taken_while_others_write_is_of_one_moment(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Each transaction adds a person and an identity: a copy has as many of the one as of the other."""
    done = threading.Event()

    def keep_writing() -> None:
        number = 0
        while not done.is_set():
            number += 1
            one = f"INSERT INTO identities VALUES ('clerk', 'user_{number}', NULL, NULL, 0, '1', '{{}}', NULL)"  # noqa: S608
            write(database_url, ADA, one)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for number in range(5):
            copy = copies.copy_out(file_of(database_url), tmp_path / f"copy{number}.db")
            assert copy.rows["users"] == copy.rows["identities"]
    finally:
        done.set()
        writer.join()


def test_a_copy_that_failed_leaves_nothing(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_path: Path) -> None:
        raise NotACopy("damaged")

    monkeypatch.setattr(copies, "inspect", damaged)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(NotACopy):
        copies.copy_out(file_of(database_url), tmp_path / "copy.db")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "no database of Rollcall's"), (b"x" * 5_000, "cannot be read"), (None, "there is no file")],
)
def test_what_is_no_copy_is_said_to_be_none(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "copy.db"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NotACopy, match=why):
        copies.inspect(file)


def test_a_damaged_copy_is_noticed(database_url: str, tmp_path: Path) -> None:
    write(database_url, *[ADA] * 200)
    copies.copy_out(file_of(database_url), tmp_path / "copy.db")
    raw = bytearray((tmp_path / "copy.db").read_bytes())
    raw[4096:] = bytes(len(raw) - 4096)
    (tmp_path / "copy.db").write_bytes(raw)
    with pytest.raises(NotACopy, match=r"damaged|cannot be read"):
        copies.inspect(tmp_path / "copy.db")


async def test_a_live_database_is_not_taken_for_a_copy(database: Database, database_url: str) -> None:
    await database.write(outbox.mark, 1, ("notion",), "person:1", 1)
    with pytest.raises(NotACopy, match="in use"):
        copies.inspect(file_of(database_url).path)


def test_a_restored_database_is_the_copy(database_url: str, tmp_path: Path) -> None:
    live, copy = file_of(database_url), tmp_path / "copy.db"
    write(database_url, ADA)
    copies.copy_out(live, copy)
    write(database_url, ADA, ADA)
    staged = copies.stage(copy, live)
    copies.copy_in(staged, live)
    copies.unstage(staged)
    assert count(live.path) == 1
    write(database_url, ADA)
    assert [file.name for file in tmp_path.iterdir() if "restoring" in file.name] == []
    with contextlib.closing(sqlite3.connect(live.path)) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_database_somebody_has_open_is_not_replaced(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    live = file_of(database_url)
    copies.copy_out(live, tmp_path / "copy.db")
    await database.write(outbox.mark, 1, ("notion",), "person:1", 1)
    staged = copies.stage(tmp_path / "copy.db", live)
    with pytest.raises(InUse, match="stop the service"):
        copies.copy_in(staged, live)
    await database.write(outbox.mark, 1, ("notion",), "person:2", 1)
    assert count(live.path, "sync_actions") == 2


def test_a_restored_database_distrusts_what_it_remembers_and_uses_no_row_id_twice(database_url: str) -> None:
    write(database_url, ADA)
    with transaction(database_url) as tx:
        sync.remember(tx, 1, "notion", "person:1", Known("page", "hash"), 1)
        copies.distrust(tx, 1_790_000_000_000)
        assert sync.known(tx, 1, "notion", "person:1") == Known("page")
        tx.exec_driver_sql(ADA)
        assert tx.exec_driver_sql("SELECT max(id) FROM users").scalar_one() == IDS_SKIPPED + 2
