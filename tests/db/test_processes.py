"""What takes a process of its own: a disk that is truly full, a file truly read-only, a kill."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.db.calls import SLUGS

pytestmark = pytest.mark.sqlite_only("a file that is full or read-only; test_postgres_faults.py kills PostgreSQL's")

Rows = Callable[..., list[dict[str, Any]]]
PATIENCE_S = 60

START = """
import asyncio, os, resource, sys, tempfile
from pathlib import Path
from db.database import Database, Unavailable
from tests.db.calls import add, busy

url, file = sys.argv[1], Path(sys.argv[1].removeprefix("sqlite:///"))

async def refused(database, slug):
    try:
        await database.write(add, slug)
    except Unavailable:
        print("refused", flush=True)
    else:
        print("served", flush=True)
"""
FULL = """
async def main():
    async with Database(url, deadline_s=10) as database:
        await refused(database, "before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        await refused(database, "full")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await refused(database, "after")

asyncio.run(main())
"""
READ_ONLY = """
async def import_everything():
    with tempfile.TemporaryDirectory() as folder:
        async with Database(f"sqlite:///{folder}/new.db") as database:
            await database.write(lambda tx: None)
            await database.read(lambda tx: None)

if os.getuid() == 0:  # root may write everything, nobody may not even import
    asyncio.run(import_everything())
    os.setgid(65534)
    os.setuid(65534)

async def main():
    async with Database(url, deadline_s=10) as database:
        database.on_commit(lambda: None)
        await refused(database, "read-only")
        for path in file.parent.iterdir():  # SQLite gave -wal and -shm the mode of the file
            path.chmod(0o644)
        await refused(database, "perhaps")  # the connection may have been opened before
        await refused(database, "after")

asyncio.run(main())
"""
KILLED = """
async def main():
    async with Database(url, deadline_s=10) as database:
        await refused(database, "before")
        async with busy(database):
            calls = [asyncio.create_task(database.write(add, f"half {number}")) for number in range(20)]
            calls.append(asyncio.create_task(database.write(lambda tx: os.kill(os.getpid(), 9))))
            await asyncio.sleep(0)
        await asyncio.gather(*calls)

asyncio.run(main())
"""


def run(program: str, url: str) -> list[str]:
    found = subprocess.run(  # noqa: S603 - this file's own programs
        [sys.executable, "-c", START + program, url],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert found.returncode in (0, -9), found.stderr
    return found.stdout.split()


@pytest.fixture
def read_only(database_url: str) -> Iterator[str]:
    """A read-only file in a folder its owner may write to; the owner is nobody where the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rollcall.db"
        shutil.copy(database_url.removeprefix("sqlite:///"), file)
        file.chmod(0o444)
        if os.getuid() == 0:
            for path in (folder, file):
                os.chown(path, 65534, 65534)
        yield f"sqlite:///{file}"


def test_on_a_full_disk_writes_are_refused_until_there_is_room(database_url: str, rows: Rows) -> None:
    assert run(FULL, database_url) == ["served", "refused", "served"]
    assert [row["slug"] for row in rows(SLUGS)] == ["after", "before"]


def test_a_read_only_file_refuses_writes_until_it_may_be_written(read_only: str) -> None:
    first, _, last = run(READ_ONLY, read_only)
    assert (first, last) == ("refused", "served")


def test_a_process_killed_in_a_batch_leaves_nothing_of_it(database_url: str, rows: Rows) -> None:
    assert run(KILLED, database_url) == ["served"]
    assert [row["slug"] for row in rows(SLUGS)] == ["before"]
