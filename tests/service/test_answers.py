"""Head and body of an answer leave together, whatever kind of answer it is, and none is kept back."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from service.connections import Crowd

TEXT = [(b"content-length", b"5")]


async def application(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"]
    if path == "/echo":
        said = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": TEXT})
        await send({"type": "http.response.body", "body": said["body"]})
        return
    if path == "/empty":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    headers = [] if path == "/stream" else TEXT
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "/breaks":
        raise RuntimeError("after the head")
    await send({"type": "http.response.body", "body": b"hello", "more_body": path == "/stream"})
    if path == "/stream":
        await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"again", "more_body": False})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(application, http=Crowd().connect, ws="none", lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup(sockets=[listener])
        yield listener.getsockname()[1]
        await server.shutdown(sockets=[listener])


async def talk(port: int, *said: bytes, until: bytes) -> bytes:
    """Everything that was answered, up to these last bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in said:
        writer.write(part)
        await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        heard = b""
        while not heard.endswith(until) and (more := await reader.read(1000)):
            heard += more
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return heard


def request(method: str, path: str, more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


async def test_an_answer_comes_in_one_piece(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):  # on one connection
        writer.write(request("GET", "/"))
        heard = await reader.read(1000)
        assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
        assert heard.endswith(b"\r\n\r\nhello")
    writer.close()


@pytest.mark.parametrize(("method", "path", "status"), [("HEAD", "/", b"200 OK"), ("GET", "/empty", b"204 No Content")])
async def test_an_answer_without_a_body_is_not_kept_back(port: int, method: str, path: str, status: bytes) -> None:
    heard = await talk(port, request(method, path), until=b"\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 " + status)
    assert heard.count(b"HTTP/1.1") == 1


async def test_an_answer_in_pieces_arrives_whole_and_in_order(port: int) -> None:
    heard = await talk(port, request("GET", "/stream"), until=b"0\r\n\r\n")
    assert heard.endswith(b"\r\n\r\n5\r\nhello\r\n5\r\nagain\r\n0\r\n\r\n")


async def test_who_asks_whether_to_go_on_is_told_before_the_answer(port: int) -> None:
    asks = request("POST", "/echo", "Expect: 100-continue\r\nContent-Length: 5\r\n")
    heard = await talk(port, asks, b"12345", until=b"12345")
    assert heard.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_requests_sent_ahead_are_answered_in_order(port: int) -> None:
    ahead = request("GET", "/stream") + request("HEAD", "/") + request("GET", "/empty") + request("GET", "/")
    heard = await talk(port, ahead, until=b"\r\n\r\nhello")
    assert [part[:3] for part in heard.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"204", b"200"]


async def test_an_answer_that_breaks_off_ends_the_connection(port: int) -> None:
    heard = await talk(port, request("GET", "/breaks"), until=b"never")
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert heard.endswith(b"\r\n\r\n")
