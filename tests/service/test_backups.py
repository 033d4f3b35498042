"""Which copies stay: the newest of each day, and the last few."""

from pathlib import Path

import pytest

from db.database import Database, transaction
from db.sqlite import SqliteFile
from service import platforms
from service.backups import BACKUP, Backup, back_up, name_at, surplus
from service.context import context_of
from service.settings import load

ONLY_FILES = pytest.mark.sqlite_only("PostgreSQL is copied by its own tools")
HOUR = 3_600_000
DAY = 24 * HOUR
NOON = 1_790_000_000_000 // DAY * DAY + 12 * HOUR


def test_names_sort_as_times_do() -> None:
    names = [name_at(NOON + hour * HOUR) for hour in range(-50, 50)]
    assert names == sorted(names)


def test_the_newest_of_each_day_and_the_last_four_stay() -> None:
    names = [name_at(NOON - hour * HOUR) for hour in range(24 * 20)]
    kept = set(names) - set(surplus(names, 7))
    last_of_each_day = {name_at(NOON)} | {name_at(NOON // DAY * DAY - day * DAY - HOUR) for day in range(6)}
    assert kept == last_of_each_day | {name_at(NOON - hour * HOUR) for hour in range(4)}


def test_where_none_was_made_for_long_the_last_ones_stay() -> None:
    names = [name_at(NOON - day * 30 * DAY) for day in range(10)]
    assert set(names) - set(surplus(names, 7)) == set(names[:7])


def test_other_files_are_nobodys_business() -> None:
    assert surplus(["rollcall.db", "notes.txt", "rollcall-20260101T000000Z.db.old"], 1) == []


@ONLY_FILES
async def test_the_job_makes_a_copy_and_comes_back(database: Database, database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "for it"
    job = Backup(SqliteFile.from_url(database_url), folder, 30, 7)
    assert await job.run(database, NOON) == NOON + HOUR // 2
    assert [file.name for file in folder.iterdir()] == [name_at(NOON)]
    assert folder.stat().st_mode & 0o077 == 0
    with transaction(f"sqlite:///{folder / name_at(NOON)}") as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM workspaces").scalar() == 1


@ONLY_FILES
def test_a_copy_too_many_is_deleted_once_the_new_one_is_there(database_url: str, tmp_path: Path) -> None:
    source, folder = SqliteFile.from_url(database_url), tmp_path / "backups"
    for hour in range(5):
        back_up(source, folder, 1, NOON + hour * HOUR)
    assert sorted(file.name for file in folder.iterdir()) == [name_at(NOON + hour * HOUR) for hour in range(1, 5)]


@pytest.mark.parametrize(
    ("url", "folder", "on"),
    [
        ("sqlite:///rollcall.db", "backups", True),
        ("sqlite:///rollcall.db", None, False),
        ("postgresql://localhost/rollcall", "backups", False),
    ],
)
def test_the_service_makes_copies_of_a_file_where_it_is_told_to(
    no_environment: None, url: str, folder: str | None, on: bool
) -> None:
    settings = load(_env_file=None, database_url=url, backup_dir=folder)
    found = {job.key for job in platforms.jobs(settings, context_of(settings))}
    assert (BACKUP in found) is on
