"""The sandbox as a web application: one door a platform, where faults strike and requests are noted."""

import asyncio
import contextlib
from typing import Protocol

from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.sandbox.faults import Fault, Faults
from service.sandbox.journal import Request
from service.sandbox.pages import Shown, overview, state
from service.sandbox.wire import Answer, Call, RefusedError, parse_query

ABORT = "sandbox.abort"
_BROKEN = b"<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
_GARBAGE = b'{"object":"page","id":'


class Platform(Protocol):
    """What a platform has to be to stand behind a door; nothing in it awaits, so each request is atomic."""

    def handle(self, call: Call) -> Answer:
        """The true answer; raises RefusedError for a refusal."""

    def fault(self, fault: Fault, call: Call, done: Answer | None) -> Answer:
        """The platform's own words for an injected error status."""

    def sign(self, answer: Answer) -> Answer:
        """What the platform adds to each answer, such as a request id."""


class Setting(Shown, Protocol):
    """What the application needs of a World."""

    faults: Faults

    @property
    def platforms(self) -> dict[str, Platform]: ...


class Door:
    """An ASGI application for one platform. `stopping` ends all waiting when the sandbox goes down."""

    def __init__(self, setting: Setting, name: str, stopping: asyncio.Event) -> None:
        self.setting, self.name, self.stopping = setting, name, stopping
        self.platform = setting.platforms[name]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        path = scope["path"].removeprefix(f"/{self.name}")
        query = parse_query(scope["query_string"])
        port = (scope.get("client") or (None, None))[1]
        call = Call(scope["method"], path, query, headers, await _body(receive), port)
        record = Request(self.name, call.method, call.path, call)
        self.setting.requests.append(record)
        answer = await self._respond(call, record)
        if answer is None:
            await _drop(scope, receive)
            return
        record.status = answer.status
        await _send(answer, send)

    async def _respond(self, call: Call, record: Request) -> Answer | None:
        """None means: close the connection without a word."""
        fault = self.setting.faults.pick(self.name, call)
        if fault is None:
            return self._handled(call)
        record.fault = fault.label
        done: Answer | None = None
        if fault.committed and not fault.late:
            done = self._handled(call)
            if not done.ok:
                return done
        if fault.seconds and await self._stopped_within(fault.seconds):
            return None
        if fault.committed and fault.late:
            done = self._handled(call)
        return self._misanswer(fault, call, done)

    def _misanswer(self, fault: Fault, call: Call, done: Answer | None) -> Answer | None:
        match fault.kind:
            case "status":
                return self.platform.sign(self.platform.fault(fault, call, done))
            case "slow":
                return done or self._handled(call)
            case "html":
                return Answer(_BROKEN, fault.status, media_type="text/html; charset=utf-8")
            case "garbage":
                return Answer(_GARBAGE)
            case "hang" | "drop":
                return None

    def _handled(self, call: Call) -> Answer:
        try:
            answer = self.platform.handle(call)
        except RefusedError as refused:
            answer = refused.answer
        return self.platform.sign(answer)

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.stopping.wait(), seconds)
        return False


def application(setting: Setting, stopping: asyncio.Event) -> ASGIApp:
    doors = [Mount(f"/{name}", app=Door(setting, name, stopping)) for name in setting.platforms]
    inside = [
        Route("/", overview(setting)),
        Route("/_sandbox/state.json", state(setting)),
    ]
    return Starlette(routes=[*doors, *inside])


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _send(answer: Answer, send: Send) -> None:
    payload = answer.payload()
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(payload)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers.items()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


async def _drop(scope: Scope, receive: Receive) -> None:
    """Closes the connection unanswered. Returning before uvicorn knows of it would make it answer 500."""
    scope["extensions"][ABORT]()
    while (await receive())["type"] != "http.disconnect":
        pass
