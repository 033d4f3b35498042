"""`rollcall migrate`: the schema goes to this version's, or a step back, in one transaction."""

from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

import migrations
from db.database import Unavailable, database_file, transaction
from service.cli import session
from service.cli.console import AsJson, note, print_json, say
from service.cli.exits import Misuse
from service.settings import Settings

ONE_BACK = "-1"


def migrate(
    revision: Annotated[
        str | None,
        typer.Option(help="Stop at this revision, such as 001. Default: the newest; with --down, one back."),
    ] = None,
    down: Annotated[bool, typer.Option("--down", help="Go back instead. What a revision added is deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before going back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the database to this version's schema (and create it if there is none)."""
    settings = session.settings()
    if down:
        session.must_exist(settings)
    before = revision_of(settings)
    if before is not None and before > migrations.head():  # of a newer version, or moved away ("moved:…")
        migrations.must_be_current(before)
    if down and before is not None and not yes:
        target = revision or "one revision back"
        typer.confirm(f"Go from {before} to {target}? What is deleted cannot be brought back.", abort=True, err=True)
    if not down or before is not None:
        _go(settings, revision, down=down)
    after = revision_of(settings)
    if as_json:
        print_json({"from": before, "to": after})
    elif before == after:
        say(f"nothing to do: the database is at {after or migrations.FIRST}")
    else:
        say(f"{before or migrations.FIRST} → {after or migrations.FIRST}")
    if after != migrations.head():
        note(f"This version needs {migrations.head()}: `rollcall migrate`.")


def revision_of(settings: Settings) -> str | None:
    """Where the database stands; a file that is not there is not created, a database of a server must be there."""
    path = database_file(settings.database_url)
    if path and not path.parent.is_dir():
        raise Unavailable(f"there is no folder {path.parent} for the database: create it, or change DATABASE_URL")
    if path and not path.exists():
        return None
    try:
        with transaction(settings.database_url) as tx:
            return migrations.current(tx)
    except DBAPIError as error:
        raise Unavailable(f"{path or 'the database'} cannot be used: {error.orig}") from error


def _go(settings: Settings, revision: str | None, *, down: bool) -> None:
    try:
        if down:
            migrations.downgrade(settings.database_url, revision or ONE_BACK)
        else:
            migrations.upgrade(settings.database_url, revision or "head")
    except DBAPIError as error:
        raise Unavailable.because(error) from error
    except migrations.NoSuchRevision as error:
        raise Misuse(f"--revision {revision}: {error}") from error
