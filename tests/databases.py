"""The databases a test can ask for, by kind: a migrated one, an empty one, and what it takes to be rid of it again."""

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

import migrations
from db.database import database_file, transaction
from db.tables import metadata
from tests import postgres_databases

SQLITE, POSTGRESQL = "sqlite", "postgresql"
KINDS = (SQLITE, POSTGRESQL)


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "template.db"
        migrations.upgrade(f"sqlite:///{file}")
        with transaction(f"sqlite:///{file}") as tx:
            assert migrations.current(tx) == migrations.head()
        return file.read_bytes()


def new_database(folder: Path, kind: str = SQLITE) -> str:
    """The URL of a migrated database of its own; SQLite's file lies in this folder."""
    if kind == POSTGRESQL:
        return postgres_databases.new_database()
    file = folder / f"{uuid4().hex}.db"
    file.write_bytes(_migrated())
    return f"sqlite:///{file}"


def empty_database(folder: Path, kind: str = SQLITE) -> str:
    """The URL of a database that nothing was migrated in yet."""
    return postgres_databases.empty_database() if kind == POSTGRESQL else f"sqlite:///{folder / uuid4().hex}.db"


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody else holds the database: it can be read, not written."""
    with transaction(url) as tx:
        if tx.dialect.name == "postgresql":
            tx.execute(text(f"LOCK TABLE {', '.join(sorted(metadata.tables))} IN EXCLUSIVE MODE"))
        yield


def discard(url: str) -> None:
    """A test is over: a database of a server is for the next; a file goes with its folder."""
    if database_file(url) is None:
        postgres_databases.give_back(url)
