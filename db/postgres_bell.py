"""One process tells the others that it raised marks: NOTIFY, heard by LISTEN, on a connection of its own.

A NOTIFY inside the transactions themselves would have PostgreSQL commit them one after the other (it holds a
lock on its queue until each is durable). Here one connection says it for everybody, at most every LOOK_S; a
process that dies in between is made up for by the relay's own look into the outbox.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg

from db.postgres import PostgresServer

CHANNEL = "rollcall_marks"
LOOK_S = 0.05
RECONNECT_S = 1.0
STATEMENT_S = 5.0
NOTIFY = "SELECT pg_notify(%s, %s)"


class Bell:
    """Rings for the others, and calls `heard` when one of them rang. `wanted`: whether anybody listens here."""

    def __init__(self, server: PostgresServer, heard: Callable[[], None], wanted: Callable[[], bool]) -> None:
        self._server = server
        self._heard = heard
        self._wanted = wanted
        self._name = uuid4().hex
        self._rung = threading.Event()
        self._stopping = threading.Event()
        self._listening = False
        self._thread = threading.Thread(target=self._run, name="rollcall-bell", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(STATEMENT_S)

    def ring(self) -> None:
        """We raised a mark. Any thread."""
        self._rung.set()

    def _run(self) -> None:
        raw: psycopg.Connection[Any] | None = None
        while True:
            stopping = self._stopping.is_set()
            try:
                if raw is None and (self._rung.is_set() or self._wanted()):
                    raw = self._connect()
                if raw is not None:
                    self._look(raw)
            except psycopg.Error:
                _close(raw)
                raw = None
                self._stopping.wait(RECONNECT_S)
            if stopping:
                break
            if not self._listening or raw is None:
                self._stopping.wait(LOOK_S)
        _close(raw)

    def _connect(self) -> psycopg.Connection[Any]:
        raw = self._server.connect(statement_s=STATEMENT_S, lock_s=STATEMENT_S)
        self._listening = False
        return raw

    def _look(self, raw: psycopg.Connection[Any]) -> None:
        if self._rung.is_set():
            self._rung.clear()
            try:
                raw.execute(NOTIFY, (CHANNEL, self._name))
            except psycopg.Error:
                self._rung.set()
                raise
        if not self._wanted():
            return
        if not self._listening:
            raw.execute(f"LISTEN {CHANNEL}")
            self._listening = True
            self._heard()  # nobody knows what happened before
            return
        began = time.monotonic()
        others = [one for one in raw.notifies(timeout=LOOK_S, stop_after=1) if one.payload != self._name]
        if others:
            self._heard()
        self._stopping.wait(max(0.0, LOOK_S - (time.monotonic() - began)))


def _close(raw: psycopg.Connection[Any] | None) -> None:
    if raw is not None:
        with contextlib.suppress(Exception):  # what broke may refuse to be closed
            raw.close()
