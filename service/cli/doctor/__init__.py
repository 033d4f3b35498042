"""`rollcall doctor`: everything that can be wrong, looked at from here, each with what to do about it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import typer
from rich.text import Text

from db.database import Database
from service import logs
from service.cli import session
from service.cli.console import AsJson, err, note, print_json, print_rows
from service.cli.doctor.check import DATABASE_FIX, Check, Level, discreet, failed, guarded, off, ok
from service.cli.doctor.inside import database_checks, missing_file, state_checks
from service.cli.doctor.oncall import oncall_checks
from service.cli.doctor.outside import (
    CLERK_FIX,
    NOTION_FIX,
    SLACK_FIX,
    clerk_checks,
    notion_checks,
    slack_checks,
    webhook_checks,
)
from service.cli.exits import Code
from service.door import open_database
from service.settings import Settings, SettingsError, load


def doctor(as_json: AsJson = False) -> None:
    """Check settings, database, Clerk, Slack, Notion, who is on call; say what to fix. Ends with 1 if any failed."""
    with err.status("looking at the settings, the database, Clerk, Slack, Notion and who is on call"):
        checks = examine()
    counts = Counter(check.level for check in checks)
    if as_json:
        worst = next((level for level in (Level.FAILED, Level.WARNING) if counts[level]), Level.OK)
        print_json({"status": worst, "checks": [asdict(check) for check in checks]})
    else:
        columns = {"level": "", "name": "check", "found": "found", "fix": "what to do"}
        rows = [{**asdict(check), "fix": Text(check.fix or "")} for check in checks]
        print_rows(rows, columns, fold=("found", "fix"))
        note(", ".join(f"{counts[level]} {level}" for level in Level if counts[level]))
    if counts[Level.FAILED]:
        raise typer.Exit(Code.PROBLEM)


def examine() -> list[Check]:
    """Every check, in the order they are read."""
    try:
        settings = load()
    except SettingsError as error:
        fix = "correct it in the environment or in .env; nothing else was looked at"
        return discreet([failed("settings", line, fix) for line in str(error).splitlines()], None)
    logs.configure("ERROR", settings.log_format)
    return discreet([ok("settings", "every value can work"), *asyncio.run(_examine(settings))], settings)


async def _examine(settings: Settings) -> list[Check]:
    async with _database(settings) as (checks, database):
        state = off("state", "not looked at: that needs the database")
        found = await asyncio.gather(
            guarded("clerk key", lambda: clerk_checks(settings, database), CLERK_FIX),
            guarded("slack token", lambda: slack_checks(settings), SLACK_FIX),
            guarded("notion token", lambda: notion_checks(settings, database), NOTION_FIX),
        )
        if database is not None:
            inside = await guarded("state", lambda: state_checks(settings, database), DATABASE_FIX)
            inside += await guarded("on call", lambda: oncall_checks(settings, database), DATABASE_FIX)
        else:
            inside = [state]
    return [*checks, *webhook_checks(settings), *(check for group in found for check in group), *inside]


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[tuple[list[Check], Database | None]]:
    """What can be said of the database, and the database where it can be used."""
    if missing := missing_file(settings):
        yield [missing], None
        return
    async with open_database(settings, deadline_s=session.DEADLINE_S) as database:
        checks = await guarded("database", lambda: database_checks(database), DATABASE_FIX)
        usable = all(check.level is not Level.FAILED for check in checks)
        yield checks, database if usable else None
