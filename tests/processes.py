"""Rollcall as processes: started, told to stop and killed, in a fraction of a second each.

Imports take two seconds; so one process does them once and forks a fresh one for each start.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Self, TextIO

# Beside what the command line imports: what `serve` and `worker` do once they run. What is there by then is left out
# of every later look of the garbage collector, which `serve` asks for at its start.
STARTER = """
import gc, json, os, sys
from service.cli import command_line, main
import aiosqlite, alembic.command, anyio._backends._asyncio, certifi, h11, holidays.countries
import procrastinate, sqlalchemy.dialects.sqlite, svix.webhooks, uvicorn.protocols.http.httptools_impl, uvloop
import handlers.slack.bolt, service.cli.processes, service.worker

command_line()
gc.collect()
gc.freeze()
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        pid, status = os.waitpid(asked["wait"], os.WNOHANG if asked.get("hang") is False else 0)
        print(os.waitstatus_to_exitcode(status) if pid else "", flush=True)
        continue
    out, err = (os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for name in ("out", "err"))
    child = os.fork()
    if child == 0:
        if asked["session"]:
            os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.closerange(3, max(out, err) + 1)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = ["rollcall", *asked["words"]]
        sys.exit(main())
    os.close(out)
    os.close(err)
    print(child, flush=True)
"""
GREETING = "Rollcall "


@dataclass(slots=True)
class Running:
    """One process. `log` is all it said."""

    starter: "Starter"
    pid: int
    log: Path
    code: int | None = None

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def ready(self) -> bool:
        """Whether it is at work."""
        return any(line.startswith(GREETING) for line in self.said().splitlines())

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code; minus the signal it died of."""
        if self.code is None:
            os.kill(self.pid, how)
            self.code = int(self.starter.ask({"wait": self.pid}))
        return self.code


class Piped:
    """One process, with what a test needs of subprocess.Popen: its output comes through pipes."""

    def __init__(self, starter: "Starter", pid: int, stdout: TextIOWrapper, stderr: TextIOWrapper) -> None:
        self._starter = starter
        self.pid = pid
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and (said := self._starter.ask({"wait": self.pid, "hang": False}).strip()):
            self.returncode = int(said)
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("rollcall", timeout)
            time.sleep(0.005)
        return code

    def communicate(self, timeout: float = 60.0) -> tuple[str, str]:
        """All it says from here on, and its end."""
        if self.stdout.closed:
            return "", ""
        with ThreadPoolExecutor(2) as both:
            out, err = (both.submit(stream.read) for stream in (self.stdout, self.stderr))
            try:
                said = out.result(timeout), err.result(timeout)
            except TimeoutError:
                self.kill()
                raise
        self.stdout.close()
        self.stderr.close()
        self.wait(timeout)
        return said

    def send_signal(self, how: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, how)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@dataclass(slots=True)
class Starter:
    """Forks Rollcall on request."""

    pid: int
    _stdin: TextIO
    _stdout: TextIO
    started: list[Running] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, question: dict[str, object]) -> str:
        with self._turn:
            self._stdin.write(json.dumps(question) + "\n")
            self._stdin.flush()
            answer = self._stdout.readline()
        assert answer, "the starter has died"
        return answer

    def start(self, folder: Path, environment: dict[str, str], *words: str) -> Running:
        """Without waiting until it is at work."""
        log = folder / f"{words[0]}.{len(self.started)}.log"
        self.started.append(Running(self, self._fork(folder, environment, words, log, log), log))
        return self.started[-1]

    def piped(self, folder: Path, environment: dict[str, str], *words: str, session: bool = False) -> Piped:
        """`session`: it leads a process group of its own."""
        with tempfile.TemporaryDirectory() as between:
            names = [Path(between) / name for name in ("out", "err")]
            for name in names:
                os.mkfifo(name)
            # Not to block: nobody writes yet. Then to block again: by now somebody does.
            ends = [os.open(name, os.O_RDONLY | os.O_NONBLOCK) for name in names]
            pid = self._fork(folder, environment, words, *names, session=session)
            for end in ends:
                os.set_blocking(end, True)
        out, err = (open(end, encoding="utf-8") for end in ends)  # noqa: PTH123, SIM115 - a descriptor; closed later
        return Piped(self, pid, out, err)

    def _fork(
        self,
        folder: Path,
        environment: dict[str, str],
        words: tuple[str, ...],
        out: Path,
        err: Path,
        *,
        session: bool = False,
    ) -> int:
        to = {"out": str(out), "err": str(err), "session": session}
        return int(self.ask({"words": words, "folder": str(folder), "environment": environment, **to}))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Self]:
        """In the end nothing it started goes on, of a test that failed neither."""
        try:
            yield self
        finally:
            for one in self.started:
                if one.code is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one.pid, signal.SIGKILL)

    def end_all(self) -> None:
        for one in self.started:
            one.end(signal.SIGKILL)
        self.started.clear()


@contextlib.contextmanager
def starter() -> Iterator[Starter]:
    command = [sys.executable, "-c", STARTER]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    assert child.stdin is not None
    assert child.stdout is not None
    with child, Starter(child.pid, child.stdin, child.stdout).at_work() as found:
        yield found
