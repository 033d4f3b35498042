"""Waiting for a platform that is busy or away, for commands whose user would rather wait than start again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from handlers.registry import SinkDown, Throttled, Unauthorized

T = TypeVar("T")
log = structlog.get_logger()

WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
LONGEST_THROTTLE_S = 120.0  # asked to wait longer than this, we say so and stop


async def pause(seconds: float) -> None:
    """Between two attempts; a test replaces it."""
    await asyncio.sleep(seconds)


async def patiently(request: Callable[[], Awaitable[T]]) -> T:
    """The request's answer, asked for again after each failure of the platform; the last failure is raised.

    So is, at once, what no waiting helps with: Unauthorized, Refused, and a 429 that asks for too much.
    """
    for wait_s in WAITS_S:
        try:
            return await request()
        except Throttled as throttled:
            if throttled.retry_after_s > LONGEST_THROTTLE_S:
                raise
            log.warning("platform_throttles", reason=str(throttled), wait_s=throttled.retry_after_s)
            await pause(throttled.retry_after_s)
        except Unauthorized:
            raise
        except SinkDown as down:
            log.warning("platform_fails", reason=str(down), wait_s=wait_s)
            await pause(wait_s)
    return await request()
