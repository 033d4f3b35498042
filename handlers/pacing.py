"""The last look at whose turn it is: when the connection is there, and before the first byte is written to it.

A connection may take longer to set up than requests are apart, so what was in time before may not be after it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import httpx

FIRST_BYTE = "send_request_headers.started"  # httpcore's name, after that of the protocol


class Turn(Protocol):
    """Leave to send one request."""

    async def sending(self) -> None:
        """Returns as soon as sending is in time: at once, or when it is its turn once more. May raise Throttled."""

    def over(self) -> None:
        """Sent or not, it is the next one's turn."""


Wait = Callable[[], Awaitable[Turn | None]]  # None: there is no limit
TURN: ContextVar[Turn | None] = ContextVar("TURN", default=None)  # of the request this task is about to make


@asynccontextmanager
async def turn(wait: Wait) -> AsyncIterator[None]:
    """Waits for a turn; one request may be made within, by a client with the hook `in_turn`."""
    found = await wait()
    mine = TURN.set(found)
    try:
        yield
    finally:
        TURN.reset(mine)
        if found is not None:
            found.over()


async def in_turn(request: httpx.Request) -> None:
    """An event hook of httpx clients, for requests."""
    found = TURN.get()
    if found is None:
        return

    async def look(event: str, _: Mapping[str, Any]) -> None:
        if event.endswith(FIRST_BYTE):
            await found.sending()

    request.extensions["trace"] = look
