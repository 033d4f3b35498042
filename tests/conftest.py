"""What every test may ask for: a migrated database of its own, opened, and a look at its rows.

A test that asks for one runs once on SQLite and once on PostgreSQL (see tests/postgres.py); `sqlite_only(reason)`
and `postgresql_only(reason)` mark those that are about one of them. `--database sqlite` leaves the other out.

Two rules hold for every test. Logs are silent, but pass through structlog, so `structlog.testing.capture_logs`
works. A socket that connects in a transaction raises: none may wait for a network.
"""

import functools
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import structlog
from sqlalchemy import Connection, text

from db.calls import Call
from db.database import Database
from handlers.oncall import planning, replanning
from tests import postgres
from tests.chaos import report as chaos_report
from tests.databases import KINDS, POSTGRESQL, SQLITE, discard, new_database
from tests.processes import Starter, starter
from tests.transactions import transaction

Rows = Callable[..., list[dict[str, Any]]]
MISSING = pytest.StashKey[str]()


class _Here(threading.local):
    calls_running = 0


_here = _Here()
_run = Call.run


def _run_watched(call: Call, tx: Connection) -> None:
    _here.calls_running += 1
    try:
        _run(call, tx)
    finally:
        _here.calls_running -= 1


def _no_network_in_transactions(event: str, _args: tuple[object, ...]) -> None:
    if event == "socket.connect" and _here.calls_running:
        raise AssertionError("a socket was opened in a transaction: none may wait for a network")


Call.run = _run_watched  # type: ignore[method-assign]

sys.addaudithook(_no_network_in_transactions)
gc.disable()  # until everything is collected (`pytest_collection_finish`): nothing that modules make is rubbish


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


@pytest.fixture(autouse=True, scope="session")
def _certificates_are_read_once() -> Iterator[None]:
    """Httpx reads all the world's, 50 ms, for each client; what the tests talk to is on this machine, without TLS."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(httpx._transports.default.create_ssl_context)
        patch.setattr(httpx._transports.default, "create_ssl_context", once)
        yield


@pytest.fixture(autouse=True, scope="session")
def _equal_plans_are_made_once() -> Iterator[None]:
    """Each takes a tenth of a second; a preview and its confirmation ask for the same one. That the planner decides
    by its arguments alone is for test_plan_rules.py, which asks it directly.
    """
    once = functools.lru_cache(64)(planning.plan)

    def plan(*arguments: Any) -> Any:
        *collections, today, horizon, rules = arguments
        return once(
            *(frozenset(one) if isinstance(one, set) else tuple(one) for one in collections), today, horizon, rules
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replanning, "plan", plan)
        yield


@pytest.fixture(autouse=True)
def quiet_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a logger, once used, keep what one test has configured."""
    configure = structlog.configure
    monkeypatch.setattr(structlog, "configure", lambda **how: configure(**how | {"cache_logger_on_first_use": False}))
    structlog.reset_defaults()  # a level, say, that whatever ran before has set
    structlog.configure(processors=[_drop])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=KINDS, help="Run what runs on both databases on this one alone.")


def pytest_configure(config: pytest.Config) -> None:
    """One server for all processes of a run. Without any, PostgreSQL is left out, which CI takes for a failure."""
    for kind in KINDS:
        config.addinivalue_line("markers", f"{kind}_only(reason): this is about {kind} itself")
    config.stash[MISSING] = ""
    if config.getoption("--database") == SQLITE or hasattr(config, "workerinput"):
        return
    try:
        postgres.available()
        if getattr(config.option, "numprocesses", None):
            postgres.begin()
    except postgres.NoPostgres as missing:
        if os.environ.get("CI"):
            pytest.exit(f"no PostgreSQL to test on: {missing}", 1)
        config.stash[MISSING] = str(missing)
        os.environ[postgres.MISSING] = str(missing)


def pytest_collection_finish() -> None:
    """What is there by now, thousands of tests and all modules, stays: no later look for rubbish goes through it. And
    a look every 700 new objects is one for each statement; every 10,000 it is as in the service (cli/processes.py).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def pytest_report_header(config: pytest.Config) -> str:
    return "databases: " + (f"SQLITE ONLY, {config.stash[MISSING]}" if config.stash[MISSING] else "as asked for")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.stash[MISSING]:
        terminalreporter.section("NOTHING RAN ON POSTGRESQL", red=True, bold=True)
        terminalreporter.line(config.stash[MISSING])
    for line in chaos_report.told(terminalreporter.stats):
        terminalreporter.line(line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("--database")
    if asked is None and metafunc.definition.path.parent.name == "cli":
        # What commands do is tested below them on both; `--database postgresql` runs these there too.
        asked = next((kind for kind in KINDS if metafunc.definition.get_closest_marker(f"{kind}_only")), SQLITE)
    kinds = [kind for kind in KINDS if asked in (None, kind)]
    for kind in KINDS:
        if metafunc.definition.get_closest_marker(f"{kind}_only"):
            kinds = [one for one in kinds if one == kind]
    if os.environ.get(postgres.MISSING):
        kinds = [one for one in kinds if one != POSTGRESQL]
    metafunc.parametrize("database_kind", kinds, scope="session")


@pytest.fixture
def database_url(database_kind: str, tmp_path: Path) -> Iterator[str]:
    """The DATABASE_URL of this test's own migrated database."""
    url = new_database(tmp_path, database_kind)
    yield url
    discard(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database opened on that; patient, for a loaded machine."""
    async with Database(database_url, deadline_s=10.0) as database:
        yield database


@pytest.fixture
def rows(database_url: str) -> Rows:
    """`rows("SELECT … WHERE id = :id", id=1)`: what another connection sees, as a list of dicts."""

    def select(sql: str, **values: Any) -> list[dict[str, Any]]:
        with transaction(database_url) as tx:
            return [dict(row) for row in tx.execute(text(sql), values).mappings()]

    return select


@pytest.fixture(scope="session")
def processes() -> Iterator[Starter]:
    """Forks Rollcall's commands; nobody's processes outlive their test."""
    with starter() as found:
        yield found
