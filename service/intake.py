"""Messages in: verify, parse, one write {inbox row, effects, marks}, answer.

Once we hold an event it is ours: a handler that raises leaves it `failed` in the inbox, we answer 200 and
try again ourselves. Only what could not be stored is refused.
"""

import time
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection
from starlette.requests import Request

from db import inbox
from db.calls import short, side_by_side
from db.database import Database
from db.errors import FAULTS
from db.statements import flush
from handlers.registry import Context, InvalidSignature, Malformed, Message, Outcome, Reply, Source
from handlers.waiting import become, note_failure, release
from service.clock import now_ms

log = structlog.get_logger()

TAKEN_AT_ONCE = 20  # failed events a process runs again before it looks for more


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told."""

    status: int
    body: dict[str, Any]


class HandlerFailed(Exception):
    """A handler raised; its effects are rolled back, the event is still to be kept as `failed`."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}"[:500])


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes the webhooks of every source that is on."""

    database: Database
    sources: dict[str, Source]
    context: Context

    async def receive(self, source: Source, request: Request) -> Answer:
        """Answer one request. Raises Unavailable when the event could not be stored."""
        began = time.perf_counter()
        body = await request.body()
        answer, about = await self._take(source, request, body)
        log.info(
            "webhook",
            source=source.name,
            **about,
            outcome=answer.body.get("status"),
            code=answer.status,
            ms=round((time.perf_counter() - began) * 1000, 2),
        )
        return answer

    async def _take(self, source: Source, request: Request, body: bytes) -> tuple[Answer, dict[str, str]]:
        headers = headers_of(request)
        try:
            source.verify(headers, body)
        except InvalidSignature as error:
            return Answer(401, {"status": "rejected", "reason": str(error)}), {"reason": str(error)}
        event_id = source.event_id(headers)
        try:
            message = source.parse(body, event_id)
        except Malformed as error:
            return await self._keep_malformed(source, event_id, body, str(error))
        if isinstance(message, Reply):
            return Answer(200, dict(message.body)), {"type": "url_verification"}
        about = {"event_id": message.event_id, "type": message.type}
        now = now_ms()
        try:
            status = await self.database.write(accept, source, message, body, self.context, now)
        except HandlerFailed as failure:
            status = await self.database.write(keep_failed, source.name, message, body, str(failure), self.context, now)
            log.error("handler_failed", source=source.name, **about, error=str(failure))  # noqa: TRY400 - no traceback
        return Answer(200, {"status": status}), about

    async def _keep_malformed(
        self, source: Source, event_id: str | None, body: bytes, reason: str
    ) -> tuple[Answer, dict[str, str]]:
        id_ = event_id or inbox.key_of(body)
        await self.database.write(inbox.refuse, source.name, id_, body, reason, now_ms())
        return Answer(400, {"status": "failed", "reason": reason}), {"event_id": id_, "reason": reason}

    async def retry_due(self) -> int | None:
        """Run again the failed events that are due; returns when the next one is, ms."""
        for event in await self.database.write(inbox.take_due, now_ms(), TAKEN_AT_ONCE):
            await self.run_again(event)
        return await self.database.read(inbox.next_due)

    async def run_again(self, event: inbox.Stored) -> str:
        """One stored event, once more. Returns what became of it."""
        source = self.sources.get(event.source)
        status = "failed"
        if source is None:
            reason = f"{event.source} is switched off: its signing secret is not set"
            await self.database.write(fail_again, event, reason, self.context, now_ms())
            return status
        try:
            message = source.parse(event.body, event.event_id)
            status = await self.database.write(accept_again, source, message, event, self.context, now_ms())
        except Malformed as error:
            await self.database.write(inbox.give_up, event, str(error))
        except HandlerFailed as error:
            await self.database.write(fail_again, event, str(error), self.context, now_ms())
        log.info("event_retried", source=event.source, event_id=event.event_id, outcome=status)
        return status


def headers_of(request: Request) -> dict[str, str]:
    """As `request.headers` has them, of a name given twice the first; each look-up there reads the whole list."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(request.headers.raw)}


@short
@side_by_side
def accept(tx: Connection, source: Source, message: Message, body: bytes, context: Context, now: int) -> str:
    """The whole of one event, in one transaction. Raises HandlerFailed."""
    if not inbox.add(tx, source.name, message.event_id, message.type, body, now, message.subject):
        return "duplicate"
    outcome = _run(tx, source, message, context, now)
    if outcome.status != "applied":
        become(tx, source, message.event_id, outcome)
    return outcome.status


def accept_again(
    tx: Connection, source: Source, message: Message | Reply, event: inbox.Stored, context: Context, now: int
) -> str:
    """A stored event once more; what it did the first time was rolled back, so nothing is applied twice."""
    if isinstance(message, Reply) or inbox.status_of(tx, event.id) != "failed":
        return "duplicate"
    outcome = _run(tx, source, message, context, now)
    inbox.retype(tx, event.id, message.type, message.subject)
    become(tx, source, event.event_id, outcome)
    return outcome.status


def fail_again(tx: Connection, event: inbox.Stored, error: str, context: Context, now: int) -> None:
    """One more failure, unless another process has brought the event to an end meanwhile."""
    if inbox.status_of(tx, event.id) == "failed":
        note_failure(tx, event, error, context, now)


def keep_failed(
    tx: Connection, source: str, message: Message, body: bytes, error: str, context: Context, now: int
) -> str:
    if not inbox.add(tx, source, message.event_id, message.type, body, now, message.subject):
        return "duplicate"
    event = inbox.find(tx, source, message.event_id)
    assert event is not None
    note_failure(tx, event, error, context, now)
    return "failed"


def _run(tx: Connection, source: Source, message: Message, context: Context, now: int) -> Outcome:
    handler = source.dispatch.handlers.get(message.type)
    if handler is None:
        return Outcome("ignored", note="no handler for this type")
    try:
        outcome = handler(tx, message.payload, context, now)
        if outcome.arrived:
            release(tx, source, outcome.arrived, context, now)
        flush(tx)  # what it only sent may fail, and is its fault
    except FAULTS:
        raise
    except Exception as error:
        raise HandlerFailed(error) from error
    return outcome
