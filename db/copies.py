"""Whole databases copied: SQLite's online backup, consistent while the service writes, and back again."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, bindparam, func, insert, literal, null, or_, select, text, update

from db.sqlite import SqliteFile
from db.tables import sync_actions, sync_status, users, webhook_events

COUNTED = ("users", "identities", "webhook_events", "sync_actions")  # enough to see what a copy holds
REVISION = "SELECT version_num FROM alembic_version"
# Row ids given out after the copy was made name pages on the other side: they are not given out again.
IDS_SKIPPED = 100_000
SKIP_IDS = {
    "sqlite": f"UPDATE sqlite_sequence SET seq = seq + {IDS_SKIPPED} WHERE name = 'users'",  # noqa: S608 - ours
    "postgresql": f"SELECT setval(s, nextval(s) + {IDS_SKIPPED}) FROM pg_get_serial_sequence('users', 'id') AS s",  # noqa: S608
}
# What the other side holds may be newer than what the copy remembers of it.
DOUBT = update(sync_status).where(sync_status.c.hash.is_not(None)).values(hash=null())
# What was on its way may have its page by now: it is looked for before one is made.
PAGES = ("person:%", "shift:%")
_THIS = [getattr(sync_status.c, name) == getattr(sync_actions.c, name) for name in ("workspace_id", "sink", "key")]
SOUGHT = insert(sync_status).from_select(
    ["workspace_id", "sink", "key", "creating_since"],
    select(sync_actions.c.workspace_id, sync_actions.c.sink, sync_actions.c.key, bindparam("now"))
    .where(sync_actions.c.sink == "notion", sync_actions.c.status != "settled")
    .where(or_(*(sync_actions.c.key.like(pattern) for pattern in PAGES)))
    .where(~select(literal(1)).where(*_THIS).exists()),
)

OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
LOOK_AGAIN = text("SELECT pg_stat_clear_snapshot()")
LEAVING_S = 1.0  # the server shows a connection for a moment after it was closed


class NotACopy(Exception):
    """The file is no sound copy of a Rollcall database; the message says what is wrong with it."""


class InUse(Exception):
    """Another process has the database open: stop it first."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy holds. `revision`: its schema's."""

    path: Path
    size: int
    revision: str | None
    rows: dict[str, int]


def copy_out(source: SqliteFile, target: Path) -> Copy:
    """A consistent copy of the database as it is at this moment, in one file, its owner's alone; then verified.

    Writers are not held up. `target` appears whole or not at all. Raises sqlite3.Error, OSError, NotACopy.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _open_new(part) as copy:
            with contextlib.closing(source.connect(timeout_s=5.0)) as live:
                live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, not three
        found = inspect(part)
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return Copy(target, found.size, found.revision, found.rows)


def inspect(path: Path) -> Copy:
    """Look at a copy: is it whole, and what does it hold? Raises NotACopy."""
    if not path.is_file():
        raise NotACopy(f"there is no file {path}")
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise NotACopy(f"{path} is a database in use, for {wal.name} is beside it; make a copy with `rollcall backup`")
    try:
        with contextlib.closing(sqlite3.connect(_read_only(path), uri=True)) as copy:
            (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise NotACopy(f"{path} is damaged: {verdict}")
            tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                raise NotACopy(f"{path} is no database of Rollcall's")
            revision = copy.execute(REVISION).fetchone()
            rows = {name: _count(copy, name) for name in COUNTED if name in tables}
    except sqlite3.DatabaseError as error:
        raise NotACopy(f"{path} cannot be read as a database: {error}") from None
    return Copy(path, path.stat().st_size, revision[0] if revision else None, rows)


def held(tx: Connection) -> int:
    """How many people and events the database holds; 0 where it has no tables yet."""
    there = sqlalchemy.inspect(tx)
    tables = [table for table in (users, webhook_events) if there.has_table(table.name)]
    return sum(tx.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)


def must_be_alone(tx: Connection) -> None:
    """PostgreSQL: raises InUse while anybody else is connected to this database."""
    patience = time.monotonic() + LEAVING_S
    while others := tx.execute(OTHERS).scalar_one():
        if time.monotonic() > patience:
            raise InUse(f"{others} other connections to the database are open: stop web and workers first")
        time.sleep(LEAVING_S / 20)
        tx.execute(LOOK_AGAIN)


def stage(copy: Path, beside: SqliteFile) -> SqliteFile:
    """A working copy of the copy, to be brought to this version before it takes the database's place."""
    staged = beside.path.with_name(f".{beside.path.name}.{os.getpid()}.restoring")
    with _open_new(staged) as target, contextlib.closing(sqlite3.connect(_read_only(copy), uri=True)) as source:
        source.backup(target)
    return SqliteFile(staged)


def unstage(staged: SqliteFile) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        staged.path.with_name(staged.path.name + suffix).unlink(missing_ok=True)


def distrust(tx: Connection, now: int) -> None:
    """The outside world is newer than this copy: what it shows is in doubt, and no row id may be used twice."""
    tx.execute(DOUBT)
    tx.execute(SOUGHT, {"now": now})
    tx.exec_driver_sql(SKIP_IDS[tx.dialect.name])


def copy_in(staged: SqliteFile, target: SqliteFile) -> None:
    """Put the staged copy in the database's place, in one transaction: cut off, the old content is there still.

    Raises InUse while any other process has the database open.
    """
    with contextlib.closing(target.connect(timeout_s=1.0)) as live:
        try:
            # A file in WAL mode can only leave it when nobody else has it open; and then nobody else gets in.
            live.execute("PRAGMA locking_mode=EXCLUSIVE")
            live.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            raise InUse(f"{target.path} is in use ({error}): stop the service first") from None
        with contextlib.closing(sqlite3.connect(staged.path)) as source:
            source.execute("PRAGMA journal_mode=DELETE")
            source.backup(live)
        live.execute("PRAGMA locking_mode=NORMAL")
        live.execute("PRAGMA journal_mode=WAL")


@contextlib.contextmanager
def _open_new(path: Path) -> Iterator[sqlite3.Connection]:
    """A new database file that only its owner may read."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def _read_only(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def _count(connection: sqlite3.Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - names of ours
    return found


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
