"""Connections that keep us waiting: a request has to arrive whole in time, its head has to be short, and only so many
may be on their way.

uvicorn bounds none of it. Without this, a thousand callers who never finish a sentence use up the file
descriptors, and nobody else is accepted; and one caller with a header of 90 MB stops the whole process for seconds.
"""

import asyncio
import functools
import resource
import time
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger()

REQUEST_S = 15.0  # for a whole request, from its first byte or from the connection on; Svix itself waits no longer
MOST_WAITING = 4_000  # connections without a whole request; past it the one that waited longest goes
MOST_HEAD = 64 * 1024  # bytes that are no body: request line and headers, trailers; counted from the second read on
STATUS_CLASS = slice(len(b"HTTP/1.1 "), len(b"HTTP/1.1 ") + 1)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_MUCH = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Crowd:
    """Who owes us a request, the longest-waiting first."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: dict[Connection, float] = {}

    def connect(self, **how: Any) -> "Connection":
        """Uvicorn's protocol factory."""
        return Connection(self, **how)

    def waits(self, connection: "Connection") -> None:
        """From now on this one owes us a request."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = time.monotonic()
        if len(self._waiting) > self._most:
            self._hang_up([next(iter(self._waiting))], "too many connections")

    def is_served(self, connection: "Connection") -> None:
        self._waiting.pop(connection, None)

    def sweep(self, patience_s: float | None = None) -> None:
        """Hang up on whoever has kept us waiting for longer than that, REQUEST_S if nothing is said."""
        limit = time.monotonic() - (REQUEST_S if patience_s is None else patience_s)
        late = []
        for connection, since in self._waiting.items():
            if since > limit:
                break
            late.append(connection)
        if late:
            self._hang_up(late, "the request did not arrive in time")

    def _hang_up(self, late: "list[Connection]", reason: str) -> None:
        for connection in late:
            self.is_served(connection)
            connection.hang_up()
        log.warning("connections_closed", count=len(late), reason=reason)


class Connection(HttpToolsProtocol):
    """uvicorn's, but it tells the crowd when a request is owed and when it is here, and reads no endless head."""

    def __init__(self, crowd: Crowd, **how: Any) -> None:
        super().__init__(**how)
        self._crowd = crowd
        self._speaking = False
        self._head = 0  # bytes since anything but a head was seen

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._crowd.waits(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.is_served(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        # The parser adds each piece of a header to a copy of what it has: the time it takes grows with the square.
        if self._head > MOST_HEAD and not self.transport.is_closing():
            self._crowd.is_served(self)
            self.hang_up(TOO_MUCH)
            log.warning("connections_closed", count=1, reason="the head of the request is too long")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self._speaking = True
        self._crowd.waits(self)

    def on_headers_complete(self) -> None:
        self._head = 0
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            answer = _OneWrite(self.transport)
            self.cycle.transport = cast(asyncio.Transport, answer)
            self.cycle.on_response = functools.partial(self._answered, answer)

    def _answered(self, answer: "_OneWrite") -> None:
        answer.flush()  # of an answer without a body
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head = 0
        self._speaking = False
        self._crowd.is_served(self)
        super().on_message_complete()

    def hang_up(self, why: bytes = TOO_SLOW) -> None:
        """The reason to whoever has begun a request that nothing was answered to yet; nothing to the others."""
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if self._speaking and not answering:
            self.transport.write(why)
        self.transport.close()


class _OneWrite:
    """Where uvicorn writes one answer: its head waits for the body, so that both leave in one call, and one packet."""

    __slots__ = ("_head", "_transport", "_waits")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""
        self._waits = True

    def write(self, data: bytes) -> None:
        if self._head:
            self.flush(data)
        elif self._waits and data[STATUS_CLASS] != b"1":  # 1xx: the answer is still to come
            self._head, self._waits = data, False
        else:
            self._transport.write(data)

    def flush(self, body: bytes = b"") -> None:
        if self._head:
            self._transport.write(self._head + body)
            self._head = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        closing: bool = self._transport.is_closing()
        return closing


def file_limit() -> int:
    """Open files this process may have, after taking all it is allowed: many systems allow 1,024 until asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def crowd() -> Crowd:
    """Half of what may be open stays free for the database and for whoever is being served."""
    return Crowd(min(MOST_WAITING, max(1, file_limit() // 2)))
