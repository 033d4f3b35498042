"""The schema's history: Alembic, configured in code so that it works from any folder and from the wheel.

Which revision this version needs is in the names of the files: who only looks, a command or a start, need not wait
for Alembic (a tenth of a second).
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from db.database import transaction

HERE = Path(__file__).parent
FIRST = "base"
MOVED = "moved:"  # what `rollcall promote` leaves behind, and the revision it was at
# Whoever waits here finds the work done. (SQLite's transaction already excludes everybody else.)
ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('rollcall migrate'))")


class NotMigrated(Exception):
    """The database's schema is not this version's: run `rollcall migrate`."""


class NoSuchRevision(ValueError):
    """Alembic does not know it, or there is no way to it from where the database is."""


@functools.cache
def head() -> str:
    """The revision this version of Rollcall needs: the last one. Its file is named after it (tests/migrations)."""
    return max(file.stem.partition("_")[0] for file in (HERE / "versions").glob("[0-9][0-9][0-9]_*.py"))


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


def must_be_current(revision: str | None) -> None:
    """Raises NotMigrated."""
    if why := complaint(revision):
        raise NotMigrated(why)


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database up to `revision`, in one transaction. Raises NoSuchRevision."""
    _go(url, revision, down=False)


def downgrade(url: str, revision: str = FIRST) -> None:
    """Take the database back to `revision`, in one transaction. Data of dropped columns is gone. NoSuchRevision."""
    _go(url, revision, down=True)


def _go(url: str, revision: str, *, down: bool) -> None:
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with _migrating(url) as tx:
            config.attributes["connection"] = tx
            (command.downgrade if down else command.upgrade)(config, revision)
    except CommandError as error:
        raise NoSuchRevision(str(error)) from error


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
