"""A scene a run: the program on a migrated database of its own. What the run found goes into the summary."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.ground import Ground, ground
from tests.chaos.program import QUICK
from tests.chaos.report import Report
from tests.chaos.scene import Scene, set_up

Chaos = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def report(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[Report]:
    report = Report(request.node.name.removeprefix("test_"))
    yield report
    record_property("chaos", report.lines())


@pytest.fixture(scope="session")
def common_ground() -> Iterator[Ground]:
    with ground() as found:
        yield found


@pytest.fixture
def chaos(tmp_path: Path, database_url: str, report: Report, common_ground: Ground) -> Chaos:
    """Begins a scene; keywords in capitals are settings. Its waits are ten times shorter, but for `true_waits`."""

    @contextlib.asynccontextmanager
    async def begin(
        constants: dict[str, Any] | None = None, *, true_waits: bool = False, **how: Any
    ) -> AsyncIterator[Scene]:
        chosen = {**({} if true_waits else QUICK), **(constants or {})}
        async with set_up(tmp_path, database_url, report, ground=common_ground, constants=chosen, **how) as scene:
            yield scene

    return begin
