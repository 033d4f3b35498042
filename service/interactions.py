"""The door for what people do in Slack: commands, buttons, windows. Verified first, then read, then Bolt's."""

import time
from typing import TYPE_CHECKING

import structlog
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.oncall.desk import Desk
from handlers.registry import InvalidSignature, Malformed
from handlers.slack.forms import COMMANDS, INTERACTIVITY, Form, read
from handlers.slack.signature import Verifier
from service.body_limit import LimitedRoute
from service.clock import now_ms
from service.settings import Settings, plain

if TYPE_CHECKING:
    from handlers.slack.bolt import Surface

log = structlog.get_logger()


def routes(settings: Settings, body_limit: int) -> list[Route]:
    """Nothing without the signing secret, and the token that opens windows."""
    if not settings.slack_signing_secret or settings.slack_bot_token is None:
        return []
    from handlers.slack.bolt import Surface  # noqa: PLC0415 - Bolt takes a third of a second, which commands need not

    surface = Surface(settings.slack_bot_token.get_secret_value(), settings.slack_base_url)
    door = Door(Verifier(plain(settings.slack_signing_secret)), surface)
    return [LimitedRoute(path, door.receive, body_limit) for path in (COMMANDS, INTERACTIVITY)]


class Door:
    """Answers 401 and 400 itself; what Bolt answers is passed on."""

    def __init__(self, verifier: Verifier, surface: "Surface") -> None:
        self._verifier = verifier
        self._surface = surface

    async def receive(self, request: Request) -> Response:
        began = time.perf_counter()
        response, about = await self._take(request, await request.body())
        log.info("interaction", **about, code=response.status_code, ms=round((time.perf_counter() - began) * 1000, 2))
        return response

    async def _take(self, request: Request, body: bytes) -> tuple[Response, dict[str, str | None]]:
        try:
            self._verifier.verify(request.headers, body)
        except InvalidSignature as error:
            return _rejected(401, error), {"outcome": "rejected", "reason": str(error)}
        try:
            form = read(request.url.path, request.headers, body)
        except Malformed as error:
            return _rejected(400, error), {"outcome": "rejected", "reason": str(error)}
        if form is None:
            return Response(), {"kind": "ssl_check", "outcome": "answered"}
        return await self._dispatch(request, form)

    async def _dispatch(self, request: Request, form: Form) -> tuple[Response, dict[str, str | None]]:
        about = {"kind": form.kind, "name": form.name, "user": form.user}
        if form.user is None:  # a closed window, a shortcut: nobody asked for those
            return Response(), {**about, "outcome": "ignored"}
        service = request.app.state.service
        desk = Desk(service.database, service.intake.context)
        answered = await self._surface.dispatch(form, desk, now_ms())
        response = Response(answered.body, answered.status, media_type="application/json" if answered.body else None)
        return response, {**about, "outcome": answered.outcome}


def _rejected(status: int, error: Exception) -> Response:
    body = to_json({"status": "rejected", "reason": str(error)})
    return Response(body, status, media_type="application/json")
