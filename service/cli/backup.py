"""`rollcall backup` and `rollcall restore`: a copy of the database while it serves, and a database from a copy."""

import sqlite3
import time
from pathlib import Path
from typing import Annotated, Any

import typer

import migrations
from db import copies
from db.copies import Copy, InUse, NotACopy
from db.database import Unavailable, database_file, transaction
from db.sqlite import SqliteFile
from service import backups, pg_tools
from service.cli import session
from service.cli.console import AsJson, note, print_json, say
from service.cli.exits import Misuse
from service.clock import now_ms
from service.settings import Settings

KEEP = 7
AFTERWARDS = (
    "The outside world is newer than this database. In this order, before the service starts:",
    "  rollcall import clerk      who came, changed or was deleted since",
    "  rollcall import slack",
    "  rollcall import roster     if the roster file changed since",
    "  rollcall notion reconcile  it compares every page; again, if it does not end with 0",
    "  rollcall erase WHO         again, for whoever was erased since the copy was made",
)


def backup(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; else a dated file in BACKUP_DIR, or here.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Of dated files keep the newest of so many days, and the last four.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database, consistent as of one moment, while the service goes on writing; verify the copy."""
    settings = session.settings()
    if file is not None and keep is not None:
        raise Misuse("--keep is for dated files: leave FILE out")
    if file is not None and file.exists():
        raise Misuse(f"{file} is there already: name another file, or move it away")
    folder = Path(settings.backup_dir or ".")
    now, began = now_ms(), time.perf_counter()
    try:
        if file is None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = file or folder / backups.name_at(now, ".db" if is_sqlite(settings) else ".dump")
        copy = copy_out(settings, target)
        gone = backups.prune(folder, keep or KEEP) if file is None else []
    except (OSError, sqlite3.Error, NotACopy) as error:
        raise Unavailable(f"no backup was made: {error}") from error
    told = {**told_of(copy), "seconds": round(time.perf_counter() - began, 2), "deleted": gone}
    print_json(told) if as_json else say(f"{_line(copy)}, in {told['seconds']} s")
    if gone and not as_json:
        note(f"deleted {len(gone)} older copies")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `rollcall backup` made.")],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before a database that holds something goes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a copy in the database's place, brought to this version. The service must be stopped."""
    settings, began = session.settings(), time.perf_counter()
    copy = looked_at(settings, file)
    there = held(settings)
    if there and not yes:
        typer.confirm(
            f"The database holds {there} people and events; all of it is replaced by {file}. Go on?",
            abort=True,
            err=True,
        )
    try:
        put_back(settings, file)
    except InUse as error:
        raise Unavailable(str(error)) from None
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"nothing was restored: {error}") from error
    told = {**told_of(copy), "revision_now": migrations.head(), "seconds": round(time.perf_counter() - began, 2)}
    print_json(told) if as_json else say(f"restored {_line(copy)}, in {told['seconds']} s")
    for line in AFTERWARDS:
        note(line)


def is_sqlite(settings: Settings) -> bool:
    return database_file(settings.database_url) is not None


def copy_out(settings: Settings, target: Path) -> Copy:
    if not is_sqlite(settings):
        return pg_tools.dump(settings.database_url, target)
    session.must_exist(settings)
    return copies.copy_out(SqliteFile.from_url(settings.database_url), target)


def looked_at(settings: Settings, file: Path) -> Copy:
    """The copy, if it is one and this version can use it."""
    try:
        copy = copies.inspect(file) if is_sqlite(settings) else pg_tools.inspect(file)
    except NotACopy as error:
        raise Misuse(str(error)) from None
    if copy.revision is not None and copy.revision > migrations.head():
        raise Misuse(
            f"{file} is at {copy.revision}, this Rollcall knows up to {migrations.head()}: install the newer one"
        )
    return copy


def held(settings: Settings) -> int:
    if is_sqlite(settings) and not SqliteFile.from_url(settings.database_url).path.exists():
        return 0
    with transaction(settings.database_url) as tx:
        return copies.held(tx)


def put_back(settings: Settings, file: Path) -> None:
    """Migrate and prepare a working copy, then let it take the database's place in one step."""
    if not is_sqlite(settings):
        with transaction(settings.database_url) as tx:
            copies.must_be_alone(tx)
        pg_tools.restore(settings.database_url, file)
        migrations.upgrade(settings.database_url)
        with transaction(settings.database_url) as tx:
            copies.distrust(tx, now_ms())
        return
    target = SqliteFile.from_url(settings.database_url)
    staged = copies.stage(file, target)
    try:
        url = f"sqlite:///{staged.path}"
        migrations.upgrade(url)
        with transaction(url) as tx:
            copies.distrust(tx, now_ms())
        copies.copy_in(staged, target)
    finally:
        copies.unstage(staged)


def told_of(copy: Copy) -> dict[str, Any]:
    return {"file": str(copy.path), "bytes": copy.size, "revision": copy.revision, "rows": copy.rows}


def _line(copy: Copy) -> str:
    rows = ", ".join(f"{count:,} {name}" for name, count in copy.rows.items())
    return f"{copy.path}: {copy.size:,} bytes, revision {copy.revision or 'unknown'}, {rows or 'rows not counted'}"
