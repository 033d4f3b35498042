"""`rollcall serve` as several processes behind one port: uvicorn's supervisor starts, watches and replaces them.

Each is a whole Rollcall of its own: one interpreter uses one core, and SQLite lets them commit in turn.
"""

import asyncio
import contextlib
import functools
import gc
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import typer
import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

import migrations
from db.database import transaction
from service import logs
from service.app import create_app
from service.cli.exits import Problem
from service.connections import Connection, Crowd, crowd
from service.settings import Settings, load

START_S = 30.0  # for a process to answer its supervisor; on a busy machine it imports for longer than uvicorn's 5 s


def serve(config: uvicorn.Config, settings: Settings, listeners: list[socket.socket], said: str) -> None:
    """Serve until SIGTERM or Ctrl-C. NotMigrated, or Problem where no process could start; `said` once all answer."""
    with transaction(settings.database_url) as tx:
        migrations.must_be_current(migrations.current(tx))
    group = _Group(config, listeners)
    group.run_saying(said)


def web() -> Starlette:
    """The application of one of the processes, from its environment."""
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    threading.Thread(target=_end_with_supervisor, name="rollcall-parent", daemon=True).start()
    app = create_app(settings)
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Any]:
        async with inner(app) as state:
            quiet_collector()
            sweeping = asyncio.create_task(_sweep())
            yield state
            sweeping.cancel()

    app.router.lifespan_context = lifespan
    return app


def quiet_collector() -> None:
    """What lives as long as the process need not be looked through at every collection of garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@functools.cache
def owing() -> Crowd:
    """Who owes this process a request."""
    return crowd()


def connect(**how: Any) -> Connection:
    """Uvicorn's protocol factory, found by name."""
    return owing().connect(**how)


async def _sweep() -> None:
    while True:
        await asyncio.sleep(1)
        owing().sweep()


class _Group(Multiprocess):
    """The processes, started together."""

    greeted = False
    told_to_end = False

    def run_saying(self, said: str) -> None:
        self.said = said
        self.run()
        if not self.told_to_end:
            raise Problem("a web process could not start; its reason is in the log")

    def init_processes(self) -> None:
        super().init_processes()
        for process in self.processes:
            process.wait_until_ready(START_S, self.should_exit)
        self._greet()

    def keep_subprocess_alive(self) -> None:
        """Also of one that was lost, or late, before all answered: its successor answers in its place."""
        super().keep_subprocess_alive()
        self._greet()

    def handle_term(self) -> None:
        self.told_to_end = True
        super().handle_term()

    def handle_int(self) -> None:
        self.told_to_end = True
        super().handle_int()

    def _greet(self) -> None:
        if (
            not self.greeted
            and not self.should_exit.is_set()
            and all(process.is_ready(timeout=1) for process in self.processes)
        ):
            self.greeted = True
            typer.echo(self.said)


def _end_with_supervisor() -> None:
    """A process whose supervisor was killed must not hold the port: nobody would stop it any more."""
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
