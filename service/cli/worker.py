"""`rollcall worker`: delivers marks in a process of its own, to a clean end after SIGTERM."""

import asyncio

import typer

from db.database import Database
from service import logs
from service.cli.console import AsJson
from service.cli.exits import Misuse
from service.cli.greeting import greeting
from service.cli.session import must_exist
from service.cli.signals import obeying
from service.settings import WORKER, Settings, load
from service.worker import work


def worker(as_json: AsJson = False) -> None:
    """Deliver what is out of date, beside `rollcall serve`, until SIGTERM or Ctrl-C. Both need RELAY=worker."""
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    if settings.relay != WORKER:
        raise Misuse("RELAY is embedded: `rollcall serve` delivers by itself; set RELAY=worker for both")
    must_exist(settings)
    asyncio.run(_live(settings, as_json=as_json))


async def _live(settings: Settings, *, as_json: bool) -> None:
    stopping = asyncio.Event()
    line = greeting(settings, {"role": "worker"}, as_json=as_json)
    with obeying(stopping.set):
        async with Database(settings.database_url) as database:
            await work(settings, database, stopping, lambda: typer.echo(line))
