"""The guard of tests/conftest.py bites: no transaction waits for a network."""

import socket
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from db import calls
from db.database import Database

Address = tuple[str, int]


@pytest.fixture
def listening() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def connect(_tx: Connection | None, address: Address) -> None:
    with socket.socket() as client:
        client.settimeout(5)
        client.connect(address)


@pytest.mark.parametrize("short", [False, True])
async def test_a_socket_in_a_transaction_fails(
    database: Database, listening: Address, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "SHORT", {connect} if short else set())
    with pytest.raises(AssertionError, match="in a transaction"):
        await database.write(connect, listening)


def test_a_socket_anywhere_else_does_not(listening: Address) -> None:
    connect(None, listening)
