"""The worker process: delivers marks and nothing else, beside any number of web processes."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from db import limits
from db.database import Database, Unavailable, place
from db.sqlite import SqliteFile
from handlers.registry import Context
from service import platforms
from service.app import begin_on
from service.clock import now_ms
from service.context import context_of
from service.health import BEAT, BEAT_EVERY_S
from service.relay import STOP_DEADLINE_S, Relay
from service.settings import Settings

if TYPE_CHECKING:
    from service.queue import QueueRelay

log = structlog.get_logger()


async def work(settings: Settings, database: Database, stopping: asyncio.Event, ready: Callable[[], None]) -> None:
    """Call `ready`, deliver until `stopping` is set; what is under way then has 10 s. Raises NotMigrated."""
    context = context_of(settings)
    await begin_on(database, settings, context)
    relay = _relay(settings, database, context)
    relay.start()
    log.info("worker_started", sinks=sorted(context.sinks))
    ready()
    try:
        await _beat(relay, database, stopping)
    finally:
        await relay.stop(STOP_DEADLINE_S)
        log.info("worker_stopped")


def _relay(settings: Settings, database: Database, context: Context) -> "Relay | QueueRelay":
    sinks, server = platforms.sinks(settings, database, context), place(settings.database_url)
    if isinstance(server, SqliteFile):
        return Relay(database, sinks, context)
    from service.queue import QueueRelay  # noqa: PLC0415 - as in service.door

    return QueueRelay(database, sinks, context, server.conninfo)


async def _beat(relay: "Relay | QueueRelay", database: Database, stopping: asyncio.Event) -> None:
    """Say again and again that marks are delivered, for `/readyz` and the doctor, who see no other process."""
    while not stopping.is_set():
        if relay.alive:
            with contextlib.suppress(Unavailable):
                await database.write(limits.beat, BEAT, now_ms())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), BEAT_EVERY_S)
