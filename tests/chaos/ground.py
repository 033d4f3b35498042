"""Under all scenes of a run one process with everything imported that is not Rollcall; each scene's starters fork it.

Conditions must be there before Rollcall is imported, so a scene cannot share a starter; but Rollcall is a fourth of
what there is to import.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.processes import STARTER, Starter

ROOT = Path(__file__).parents[2]
GROUND = f"""
import json, os, signal, sys

sys.path.append({str(ROOT)!r})
from tests.chaos import conditions

conditions.bend_clock()
import aiohttp.web, aiosqlite, alembic.command, anyio._backends._asyncio, certifi, h11, holidays.countries, httpx
import icalendar, notion_client, procrastinate, psycopg.pq, pydantic_settings, rich.console, rich.table
import slack_bolt.async_app, sqlalchemy.dialects.postgresql, sqlalchemy.dialects.sqlite, sqlalchemy.ext.asyncio
import starlette.applications, structlog, svix.webhooks, typer.testing, uvicorn.protocols.http.httptools_impl
import uvloop, yaml

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a starter ended
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(asked["in"], os.O_RDONLY), 0)
        os.dup2(os.open(asked["out"], os.O_WRONLY), 1)
        exec(asked["program"])
        sys.exit()
    print(child, flush=True)
"""


class Ground:
    """Forks starters."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        self._child = child

    @contextlib.contextmanager
    def starter(self, prelude: str) -> Iterator[Starter]:
        """`prelude` is Python that runs before Rollcall is imported."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with tempfile.TemporaryDirectory() as between:
            to, back = (Path(between) / name for name in ("to", "back"))
            os.mkfifo(to)
            os.mkfifo(back)
            asked = {"in": str(to), "out": str(back), "program": prelude + STARTER}
            self._child.stdin.write(json.dumps(asked) + "\n")
            self._child.stdin.flush()
            pid = int(self._child.stdout.readline())
            with to.open("w", encoding="utf-8") as stdin, back.open(encoding="utf-8") as stdout:
                with Starter(pid, stdin, stdout).at_work() as found:
                    yield found
                stdin.close()
                stdout.read()  # until it has gone


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    command = [sys.executable, "-c", GROUND]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own
        yield Ground(child)
        child.communicate(timeout=10)
