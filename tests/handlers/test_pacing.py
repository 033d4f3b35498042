"""The last look at whose turn it is comes when the connection is there and before the first byte is written."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from handlers.notion.api import NotionApi
from handlers.registry import SinkDown, Throttled

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"object": "x"}'


@dataclass
class Server:
    """Accepts connections, and notes what happens when."""

    told: list[str] = field(default_factory=list)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    answer: bytes = ANSWER

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.told.append("connected")
        self.connected.set()
        while await reader.readuntil(b"\r\n\r\n"):
            self.told.append("asked")
            writer.write(self.answer)
            if not self.answer:
                writer.close()
                return


@dataclass
class OneTurn:
    """Notes when it is looked at; may find it too late."""

    server: Server
    throttled: bool = False

    async def sending(self) -> None:
        await asyncio.wait_for(self.server.connected.wait(), 5)
        await asyncio.sleep(0.05)  # whatever was written would have arrived
        self.server.told.append("looked")
        if self.throttled:
            raise Throttled("the rate limit is used up", 1)

    def over(self) -> None:
        self.server.told.append("over")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    listener = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = listener.sockets[0].getsockname()[1]
    yield found
    listener.close()


async def ask(server: Server, turn: OneTurn, times: int = 1) -> None:
    async def wait() -> OneTurn:
        return turn

    api = NotionApi("ntn_x", f"http://127.0.0.1:{server.port}", wait)
    try:
        for _ in range(times):
            await api.me()
    finally:
        await api.close()


async def test_a_new_connection_is_there_and_nothing_was_written(server: Server) -> None:
    await ask(server, OneTurn(server))
    assert server.told == ["connected", "looked", "asked", "over"]


async def test_a_connection_that_is_used_again_is_looked_at_as_well(server: Server) -> None:
    await ask(server, OneTurn(server), times=2)
    assert server.told == ["connected", *["looked", "asked", "over"] * 2]


async def test_a_turn_that_came_to_nothing_is_over_and_nothing_was_sent(server: Server) -> None:
    with pytest.raises(Throttled):
        await ask(server, OneTurn(server, throttled=True))
    assert server.told == ["connected", "looked", "over"]


async def test_a_turn_whose_request_fails_is_over(server: Server) -> None:
    server.answer = b""
    with pytest.raises(SinkDown):
        await ask(server, OneTurn(server))
    assert server.told[-1] == "over"
