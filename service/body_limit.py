"""A body that is too long is refused in the same words, whether it said so beforehand or turned out to be.

Starlette's own limit, which counts what arrives, answers a declared length as plain text.
"""

from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

TOO_LARGE = to_json({"status": "rejected", "reason": "Content Too Large"})


class LimitedRoute(Route):
    """A route for POST whose bodies have at most `limit` bytes."""

    def __init__(self, path: str, endpoint: Any, limit: int) -> None:
        super().__init__(path, endpoint, methods=["POST"], max_body_size=limit)
        self.app = _Declared(self.app, limit)


@dataclass(frozen=True, slots=True)
class _Declared:
    """Lets nobody through who announces more than `limit`; the parser has made sure that it is a number."""

    app: ASGIApp
    limit: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self.limit:
                await Response(TOO_LARGE, 413, media_type="application/json")(scope, receive, send)
                return
        await self.app(scope, receive, send)
