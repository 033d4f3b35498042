"""Rollcall as processes: `serve` and `worker` started, told to stop and killed, in a fraction of a second each.

Imports take two seconds; so one process does them once and forks a fresh one for each start.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

STARTER = """
import json, os, sys
from service.cli import main
import procrastinate, service.worker

for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child == 0:
        out = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = ["rollcall", *asked["words"]]
        sys.exit(main())
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


@dataclass(slots=True)
class Starter:
    """Forks Rollcall on request."""

    _child: "subprocess.Popen[str]"
    started: list[Running] = field(default_factory=list)

    def ask(self, question: dict[str, object]) -> str:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(question) + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        assert answer, "the starter has died"
        return answer

    def start(self, folder: Path, environment: dict[str, str], *words: str) -> Running:
        """Without waiting until it is at work."""
        log = folder / f"{words[0]}.{len(self.started)}.log"
        pid = int(
            self.ask({"words": words, "folder": str(folder), "environment": environment, "log": str(log)}),
        )
        self.started.append(Running(self, pid, log))
        return self.started[-1]

    def end_all(self) -> None:
        for one in self.started:
            one.end(signal.SIGKILL)
        self.started.clear()


@contextlib.contextmanager
def starter(prelude: str = "") -> Iterator[Starter]:
    """`prelude` is Python that runs before Rollcall is imported."""
    command = [sys.executable, "-c", prelude + STARTER]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    found = Starter(child)
    try:
        yield found
    finally:  # of a test that failed too: nothing it started may go on
        for one in found.started:
            if one.code is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
        child.communicate(timeout=10)
