"""Nothing this process does to the file may drop its locks on it: another process would delete the WAL under it."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from db.database import Database, transaction

pytestmark = pytest.mark.sqlite_only("locks of a file")

LOOK = """
import contextlib, sqlite3, sys
with contextlib.closing(sqlite3.connect(sys.argv[1])) as connection:
    print(connection.execute("SELECT count(*) FROM workspaces").fetchone()[0])
"""


def look(file: Path) -> int:
    """What another process sees, which then closes what it takes for the last connection."""
    return int(subprocess.check_output([sys.executable, "-c", LOOK, str(file)]))  # noqa: S603


def add(tx: Connection, slug: str) -> None:
    tx.execute(text("INSERT INTO workspaces (slug, name, created_at) VALUES (:slug, 'x', 1)"), {"slug": slug})


async def test_what_is_committed_after_another_process_has_looked_is_seen_by_the_next(database_url: str) -> None:
    file = Path(database_url.removeprefix("sqlite:///"))
    async with Database(database_url, deadline_s=10.0) as database:
        await database.read(lambda tx: tx.execute(text("SELECT 1")).all())
        await database.write(add, "first")
        with transaction(database_url) as tx:
            add(tx, "second")
        before = look(file)
        await database.write(add, "third")
        assert look(file) == before + 1
