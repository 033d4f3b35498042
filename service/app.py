"""The web process: routes, lifespan, and the one table from errors to status codes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic_core import to_json
from sqlalchemy import Connection
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import migrations
from db import inbox, limits, locks, outbox, people
from db.database import Database, Unavailable
from handlers.people.recording import rederive
from handlers.registry import Context, Source
from handlers.schedule import Job, arm
from service import interactions, platforms
from service.body_limit import LimitedRoute
from service.clock import now_ms
from service.context import context_of
from service.door import open_database
from service.feed import FEED
from service.health import Health
from service.intake import Intake
from service.relay import STOP_DEADLINE_S, Relay
from service.settings import EMBEDDED, Settings

log = structlog.get_logger()

BODY_LIMIT = 1024 * 1024  # bytes; Clerk's and Slack's events are a few KB
RETRY_AFTER_S = 2
RETRY_LOOK_S = 5.0  # how often failed events are looked at


@dataclass(slots=True)
class Service:
    """Everything that runs in one process, put together from the settings."""

    settings: Settings
    database: Database
    intake: Intake
    relay: Relay | None
    health: Health
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def build(cls, settings: Settings, database: Database) -> "Service":
        context, relay = context_of(settings), None
        if settings.relay == EMBEDDED:
            relay = Relay(database, platforms.sinks(settings, database, context), context)
        intake = Intake(database, platforms.sources(settings), context)
        return cls(settings, database, intake, relay, Health(database, relay, migrations.head()))

    async def start(self) -> None:
        await begin_on(self.database, self.settings, self.intake.context)
        if self.relay:
            self.relay.start()
        self._tasks.append(asyncio.create_task(self._retry_failed_events()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.relay:
            await self.relay.stop(STOP_DEADLINE_S)

    async def _retry_failed_events(self) -> None:
        while True:
            due = None
            with contextlib.suppress(Unavailable):
                due = await self.intake.retry_due()
            if due is None or due > now_ms():
                await asyncio.sleep(RETRY_LOOK_S)


async def begin_on(database: Database, settings: Settings, context: Context) -> None:
    """What every process does before its work, however many there are. Raises NotMigrated."""
    migrations.must_be_current(await database.read(migrations.current))
    await database.write(begin, context, platforms.jobs(settings, context), now_ms())


def begin(tx: Connection, context: Context, jobs: Iterable[Job], now: int) -> None:
    """What a start makes due: failed events, sinks that were off, a probe of those that are paused, jobs, the user
    list, roles that a setting decides. Another process may be at work, or start at the same moment.
    """
    locks.hold_everybody(tx)
    inbox.hurry(tx, now)
    for sink in sorted(context.sinks):
        limits.switch_on(tx, sink)
        if limits.held(tx, sink).paused and not outbox.is_held(tx, sink, now):
            limits.probing(tx, sink, now)
    if "notion" in context.sinks:
        outbox.mark(tx, context.workspace_id, ("notion",), "users", now)
    arm(tx, jobs, context, now)
    rederive(tx, context.admin_emails | people.admins(tx), context, now)


def create_app(settings: Settings) -> Starlette:
    """The ASGI application; its lifespan opens the database and runs the relay."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_database(settings) as database:
            service = Service.build(settings, database)
            await service.start()
            app.state.service = service
            log.info(
                "started",
                relay=settings.relay,
                platforms=sorted(service.intake.sources),
                sinks=sorted(service.intake.context.sinks),
            )
            try:
                yield
            finally:
                await service.stop()
                log.info("stopped")

    routes = [
        *(LimitedRoute(source.path, Webhooks(source), BODY_LIMIT) for source in platforms.sources(settings).values()),
        *interactions.routes(settings, BODY_LIMIT),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        FEED,
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=ERRORS)
    app.router.redirect_slashes = False  # a sender takes a redirect for a failure: say plainly that nothing is there
    return app


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The route of one source. As an ASGI application it is spared Starlette's second layer of error handling."""

    source: Source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = await request.app.state.service.intake.receive(self.source, request)
        await answer_json(answer.status, answer.body)(scope, receive, send)


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return answer_json(200, {"status": "ok"})


async def readyz(request: Request) -> Response:
    status, body = await request.app.state.service.health.report()
    return answer_json(status, body)


async def unavailable(_request: Request, error: Exception) -> Response:
    log.warning("unavailable", reason=str(error))
    return answer_json(503, {"status": "unavailable", "reason": "try again later"}, {"Retry-After": str(RETRY_AFTER_S)})


async def http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer_json(error.status_code, {"status": "rejected", "reason": error.detail}, error.headers)


async def disconnected(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def server_error(_request: Request, error: Exception) -> Response:
    log.error("internal_error", error=type(error).__name__, exc_info=error)
    return answer_json(500, {"status": "error", "reason": "an internal error; it is in the log"})


ERRORS: dict[Any, Any] = {
    Unavailable: unavailable,
    HTTPException: http_error,
    ClientDisconnect: disconnected,
    Exception: server_error,
}


def answer_json(status: int, body: Any, headers: Any = None) -> Response:
    return Response(to_json(body), status, headers, media_type="application/json")
