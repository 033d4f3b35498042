"""The schema's history: Alembic, configured in code so that it works from any folder and from the wheel."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from db.database import transaction

HERE = Path(__file__).parent
FIRST = "base"
MOVED = "moved:"  # what `rollcall promote` leaves behind, and the revision it was at
# Whoever waits here finds the work done. (SQLite's transaction already excludes everybody else.)
ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('rollcall migrate'))")


@functools.cache
def head() -> str:
    """The revision this version of Rollcall needs. (Its files stay as they are while it runs; reading takes 20 ms.)"""
    revision = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert revision is not None
    return revision


def current(tx: Connection) -> str | None:
    """The revision the database is at; None where nothing was migrated yet."""
    if not inspect(tx).has_table("alembic_version"):
        return None
    return tx.execute(text("SELECT version_num FROM alembic_version")).scalar()


def complaint(revision: str | None) -> str | None:
    """Why a database at this revision cannot be served by this version, and what to do; None if it can."""
    needed = head()
    if revision == needed:
        return None
    if revision is not None and revision.startswith(MOVED):
        return "this database was moved to PostgreSQL by `rollcall promote`: set DATABASE_URL to that one"
    if revision is not None and revision > needed:
        return f"the database is at {revision}, this Rollcall knows up to {needed}: install the newer one"
    return f"the database is at {revision or FIRST}, not at {needed}: run `rollcall migrate`"


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database up to `revision`, in one transaction."""
    with _migrating(url) as tx:
        command.upgrade(_config(tx), revision)


def downgrade(url: str, revision: str = FIRST) -> None:
    """Take the database back to `revision`, in one transaction. Data of dropped columns is gone."""
    with _migrating(url) as tx:
        command.downgrade(_config(tx), revision)


@contextmanager
def _migrating(url: str) -> Iterator[Connection]:
    """One at a time. Foreign keys are off, then checked: SQLite changes a table by copying and dropping it, which
    would cascade. PostgreSQL changes it in place.
    """
    with transaction(url, foreign_keys=False) as tx:
        if tx.dialect.name == "postgresql":
            tx.execute(ONE_AT_A_TIME)
            yield tx
            return
        yield tx
        orphans = {(child, parent) for child, _, parent, _ in tx.exec_driver_sql("PRAGMA foreign_key_check")}
        if orphans:
            named = ", ".join(f"{child} without its {parent}" for child, parent in sorted(orphans))
            raise RuntimeError(f"the migration would leave rows of {named}; nothing was changed")


def _config(tx: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = tx
    return config
