"""The worker process: delivers marks and nothing else, beside any number of web processes."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from db import limits
from db.database import Database, Unavailable
from service import platforms
from service.app import STOP_DEADLINE_S, begin_on
from service.clock import now_ms
from service.health import BEAT, BEAT_EVERY_S
from service.relay import Relay
from service.settings import Settings

log = structlog.get_logger()


async def work(settings: Settings, database: Database, stopping: asyncio.Event, ready: Callable[[], None]) -> None:
    """Call `ready`, deliver until `stopping` is set; what is under way then has 10 s. Raises NotMigrated."""
    context = platforms.context(settings)
    await begin_on(database, settings, context)
    relay = Relay(database, platforms.sinks(settings, database, context), context)
    relay.start()
    log.info("worker_started", sinks=sorted(context.sinks))
    ready()
    try:
        await _beat(relay, database, stopping)
    finally:
        await relay.stop(STOP_DEADLINE_S)
        log.info("worker_stopped")


async def _beat(relay: Relay, database: Database, stopping: asyncio.Event) -> None:
    """Say again and again that marks are delivered, for `/readyz` and the doctor, who see no other process."""
    while not stopping.is_set():
        if relay.alive:
            with contextlib.suppress(Unavailable):
                await database.write(limits.beat, BEAT, now_ms())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), BEAT_EVERY_S)
