"""`GET /oncall/<token>.ics`: a calendar feed, for whoever holds the token."""

from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.oncall import feeds, ical
from service.clock import now_ms

MAX_AGE_S = 300
LONGEST_TOKEN = 100


@dataclass(frozen=True, slots=True)
class Found:
    body: bytes
    etag: str


async def feed(request: Request) -> Response:
    """The calendar, or 304 where the reader has it already; always the same 404 for a token that is none (any more)."""
    token = request.path_params["token"]
    found = await request.app.state.service.database.read(_look, token, now_ms()) if _may_be(token) else None
    if found is None:
        raise HTTPException(404)
    headers = {"ETag": found.etag, "Cache-Control": f"private, max-age={MAX_AGE_S}", "Referrer-Policy": "no-referrer"}
    if found.etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type="text/calendar")


def _may_be(token: str) -> bool:
    return token.isascii() and len(token) <= LONGEST_TOKEN


def _look(tx: Connection, token: str, now: int) -> Found | None:
    named = feeds.find(tx, token)
    if named is None:
        return None
    body = ical.document(tx, named, now)
    return Found(body, f'"{sha256(body).hexdigest()[:32]}"')


FEED = Route("/oncall/{token}.ics", feed, methods=["GET"])
