"""What every test may ask for: a migrated SQLite file of its own, the database opened on it, and a look at its rows.

Two rules hold for every test. Logs are silent, but pass through structlog, so `structlog.testing.capture_logs`
works. A socket that connects on the writer thread raises: no transaction may wait for a network.
"""

import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog
from sqlalchemy import text

import migrations
from db.database import Database, transaction

Rows = Callable[..., list[dict[str, Any]]]


def _no_network_in_transactions(event: str, _args: tuple[object, ...]) -> None:
    if event == "socket.connect" and threading.current_thread().name == "rollcall-writer":
        raise AssertionError("a socket was opened on the writer thread: no transaction may wait for a network")


sys.addaudithook(_no_network_in_transactions)


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


@pytest.fixture(autouse=True)
def quiet_logs() -> None:
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file at the newest revision, made once a worker. To be copied, not opened."""
    file = tmp_path_factory.mktemp("migrated") / "rollcall.db"
    migrations.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def database_url(migrated_file: Path, tmp_path: Path) -> str:
    """The DATABASE_URL of this test's own migrated file."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path)}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database opened on that file; patient, for a loaded machine."""
    async with Database(database_url, deadline_s=10.0) as database:
        yield database


@pytest.fixture
def rows(database_url: str) -> Rows:
    """`rows("SELECT … WHERE id = :id", id=1)`: what another connection sees, as a list of dicts."""

    def select(sql: str, **values: Any) -> list[dict[str, Any]]:
        with transaction(database_url) as tx:
            return [dict(row) for row in tx.execute(text(sql), values).mappings()]

    return select


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the chaos runs injected and found, passed or failed, on whichever worker."""
    for found in terminalreporter.stats.values():
        for one in found:
            properties = getattr(one, "user_properties", ()) if getattr(one, "when", "") == "teardown" else ()
            for line in (line for name, lines in properties if name == "chaos" for line in lines):
                terminalreporter.write_line(line)
