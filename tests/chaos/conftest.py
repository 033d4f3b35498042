"""A scene a run: the program on a migrated database of its own. What the run found goes into the summary."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.program import QUICK
from tests.chaos.report import Report
from tests.chaos.scene import Scene, set_up

Chaos = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def report(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Report:
    report = Report(request.node.name.removeprefix("test_"))
    request.addfinalizer(lambda: record_property("chaos", report.lines()))
    return report


@pytest.fixture
def chaos(tmp_path: Path, database_url: str, report: Report) -> Chaos:
    """`async with chaos(constants={...}, NAME="setting") as scene`: its waits are ten times shorter than true ones."""

    @contextlib.asynccontextmanager
    async def begin(constants: dict[str, Any] | None = None, **how: Any) -> AsyncIterator[Scene]:
        async with set_up(tmp_path, database_url, report, constants={**QUICK, **(constants or {})}, **how) as scene:
            yield scene

    return begin
