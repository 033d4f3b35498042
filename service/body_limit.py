"""A body that is too long is refused in the same words, whether it said so beforehand or turned out to be.

Starlette's own limit answers a declared length as plain text, and takes two layers to do so.
"""

from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE = "Content Too Large"


class LimitedRoute(Route):
    """A route for POST whose bodies have at most `limit` bytes."""

    def __init__(self, path: str, endpoint: Any, limit: int) -> None:
        super().__init__(path, endpoint, methods=["POST"])
        self.app = _Limited(self.app, limit)


@dataclass(frozen=True, slots=True)
class _Limited:
    """Lets nobody through who announces more than `limit`, and nobody go on who sends more."""

    app: ASGIApp
    limit: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self.limit:  # the parser has made sure that it is a number
                raise HTTPException(413, TOO_LARGE)
        left = self.limit

        async def receive_within_limit() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, TOO_LARGE)
            return message

        await self.app(scope, receive_within_limit, send)
