"""What a command works with: the settings, and the database where there is one, migrated to this version."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

import migrations
from db.database import Database, TxFunction, database_file
from service import logs
from service.door import open_database
from service.settings import Settings, load

P = ParamSpec("P")
T = TypeVar("T")

WORKSPACE = 1
DEADLINE_S = 30.0  # nobody waits for Slack's 3 s here; a running service may hold the lock for a while


def settings() -> Settings:
    """The settings as they stand; from now on only warnings and errors are logged, to stderr."""
    found = load()
    logs.configure("WARNING", found.log_format)
    return found


def run(work: Callable[[Settings, Database], Awaitable[T]]) -> T:
    """Run a command's work with the settings and an open database. NotMigrated, Unavailable, SettingsError."""
    held = settings()

    async def session() -> T:
        async with opened(held) as database:
            return await work(held, database)

    return asyncio.run(session())


def read(fn: TxFunction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `fn` finds in one snapshot of the database."""

    async def work(_settings: Settings, database: Database) -> T:
        return await database.read(fn, *args, **kwargs)

    return run(work)


def write(fn: TxFunction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `fn` in one transaction."""

    async def work(_settings: Settings, database: Database) -> T:
        return await database.write(fn, *args, **kwargs)

    return run(work)


@asynccontextmanager
async def opened(held: Settings) -> AsyncIterator[Database]:
    """The database, open and at this version's revision. It is never created by being looked at."""
    must_exist(held)
    async with open_database(held, deadline_s=DEADLINE_S) as database:
        migrations.must_be_current(await database.read(migrations.current))
        yield database


def must_exist(held: Settings) -> None:
    path = database_file(held.database_url)
    if path and not path.is_file():
        raise migrations.NotMigrated(f"there is no database {path} yet: run `rollcall migrate`")
