"""Whoever keeps us waiting is hung up on; whoever is being served is not."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import uvicorn
from structlog.testing import capture_logs

from service.connections import MOST_HEAD, Crowd, file_limit

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Caller = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Call = Callable[[bytes], AbstractAsyncContextManager[Caller]]


class Served:
    """A server of two connections that owe a request; its application answers when it may."""

    def __init__(self, port: int, crowd: Crowd, may_answer: asyncio.Event) -> None:
        self.port, self.crowd, self.may_answer = port, crowd, may_answer
        self.asked = asyncio.Event()

    @contextlib.asynccontextmanager
    async def call(self, said: bytes = b"") -> AsyncIterator[Caller]:
        known = len(self.crowd._waiting)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(said)
        for _ in range(1_000):
            if len(self.crowd._waiting) != known or known == 2 or said == REQUEST:
                break
            await asyncio.sleep(0.001)
        yield reader, writer
        writer.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    crowd, may_answer = Crowd(most=2), asyncio.Event()

    async def application(_scope: object, receive: object, send: object) -> None:
        found.asked.set()
        await may_answer.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(application, http=crowd.connect, ws="none", lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Served(listener.getsockname()[1], crowd, may_answer)
        await server.startup(sockets=[listener])
        yield found
        may_answer.set()
        await server.shutdown(sockets=[listener])


async def test_half_a_request_is_told_408_when_its_time_is_over(served: Served) -> None:
    async with served.call(REQUEST[:20]) as (reader, _):
        await asyncio.sleep(0.05)
        with capture_logs() as said:
            served.crowd.sweep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert [(line["event"], line["count"]) for line in said] == [("connections_closed", 1)]


async def test_a_connection_that_says_nothing_is_closed_without_a_word(served: Served) -> None:
    async with served.call() as (reader, _):
        served.crowd.sweep(0)
        assert await reader.read() == b""


async def test_there_is_time_before_that(served: Served) -> None:
    async with served.call(REQUEST[:20]) as (reader, writer):
        served.crowd.sweep()
        served.may_answer.set()
        writer.write(REQUEST[20:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")


async def test_who_waits_for_an_answer_is_not_hung_up_on(served: Served) -> None:
    async with served.call(REQUEST) as (reader, _):
        await served.asked.wait()
        served.crowd.sweep(0)
        served.may_answer.set()
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")


async def test_when_too_many_wait_the_longest_waiting_goes(served: Served) -> None:
    async with served.call() as (first, _), served.call() as (second, _), served.call(REQUEST[:3]):
        assert await first.read() == b""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(second.read(), 0.05)


ENDLESS = {
    "header": REQUEST[:-4] + b"\r\nX: ",
    "path": b"GET /",
    "headers": REQUEST[:-4],
    "trailer": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: ",
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_an_endless_head_is_told_431_before_it_costs_anything(served: Served, what: str) -> None:
    more = b"\r\nX: y" * 1_000 if what == "headers" else b"a" * 8_000
    async with served.call(ENDLESS[what]) as (reader, writer):
        answer, sent = asyncio.create_task(reader.readline()), 0
        with capture_logs() as said:
            while not answer.done() and sent < 5 * MOST_HEAD:
                writer.write(more)
                sent += len(more)
                await asyncio.sleep(0.005)
            assert (await asyncio.wait_for(answer, 1)).startswith(b"HTTP/1.1 431 ")
    assert [line["reason"] for line in said] == ["the head of the request is too long"]


async def test_a_long_body_is_no_head(served: Served) -> None:
    body = b"a" * (4 * MOST_HEAD)
    served.may_answer.set()
    async with served.call(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)) as (reader, writer):
        for start in range(0, len(body), 8_000):
            writer.write(body[start : start + 8_000])
            await asyncio.sleep(0)
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")


def test_a_process_takes_all_the_files_it_may_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_024, hard), hard))
        assert file_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
