"""The servers of a benchmark as processes: how each is started, known to be healthy, and stopped."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from load import HOST, SECRET

HERE = Path(__file__).parent
START_SECONDS = 30.0
STOP_SECONDS = 10.0


class BenchError(Exception):
    """A server could not be measured; the message says which and why, and ends with its log."""


@dataclass(frozen=True)
class Target:
    """A server to measure: how it starts in its own folder, and what it may manage, for signing ahead."""

    name: str
    command: list[str]
    folder: Path
    ahead: int = 0  # requests/s to sign before the clock starts
    environment: dict[str, str] = field(default_factory=dict)
    before: tuple[list[str], ...] = ()
    database: Path | None = None  # its rows are counted afterwards


def reference(name: str, folder: Path) -> Target:
    database = folder / "plain.db" if name == "plain" else None
    return Target(
        name,
        [sys.executable, str(HERE / "servers.py"), name],
        folder,
        {"empty": 25_000, "signature": 15_000, "plain": 800}.get(name, 0),
        {"DATABASE_PATH": str(database)},
        database=database,
    )


def rollcall(folder: Path, notion_port: int) -> Target:
    """Rollcall with everything on. Its commands and settings are named here and only here."""
    program = str(Path(sys.executable).with_name("rollcall"))
    database = folder / "bench.db"
    return Target(
        "rollcall",
        [program, "serve"],
        folder,
        8_000,
        {
            "DATABASE_URL": f"sqlite:///{database}",
            "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
            "NOTION_API_TOKEN": "ntn_bench",
            "NOTION_PEOPLE_DATA_SOURCE_ID": "00000000-0000-4000-8000-00000000beef",
            "NOTION_BASE_URL": f"http://{HOST}:{notion_port}",
        },
        before=([program, "migrate"],),
        database=database,
    )


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(HOST, port, timeout=5)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


@contextmanager
def running(target: Target) -> Iterator[tuple[int, int]]:
    """Start a server and wait until it is healthy; gives its port and process id. Raises BenchError."""
    target.folder.mkdir(parents=True)
    port = free_port()
    for command in target.before:
        process = start(target, command, port)
        try:
            code: int | None = process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            stop(process)
        if code != 0:
            raise failed(target, f"cannot be prepared: `{' '.join(command[1:])}` ended with {code}")
    process = start(target, target.command, port)
    try:
        if why := unhealthy(process, port):
            raise failed(target, why)
        yield port, process.pid
        if process.poll() is not None:
            raise failed(target, f"ended by itself with {process.returncode} while it was measured")
    finally:
        stop(process)


def start(target: Target, command: list[str], port: int) -> subprocess.Popen[bytes]:
    # A clean environment: a developer's own settings must not change what is measured.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    environment = kept | target.environment | {"PORT": str(port)}
    with (target.folder / "log.txt").open("ab") as log:
        try:
            return subprocess.Popen(command, cwd=target.folder, env=environment, stdout=log, stderr=log)  # noqa: S603
        except OSError as error:
            raise failed(target, f"cannot be started: {error}") from error


def failed(target: Target, why: str) -> BenchError:
    return BenchError("\n  | ".join([f"{target.name} {why}", *log_tail(target)]))


def log_tail(target: Target) -> list[str]:
    return (target.folder / "log.txt").read_text(errors="replace").splitlines()[-20:]


def unhealthy(process: subprocess.Popen[bytes], port: int) -> str:
    """Why a server cannot be measured, or "" as soon as it can."""
    why, give_up = "", time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        if process.poll() is not None:
            return f"ended with {process.returncode} instead of serving"
        try:
            status, body = get(port, "/healthz")
        except OSError as error:
            why = f"is not healthy: {error}"
        else:
            if status == 200:
                return ""
            why = f"is not healthy: GET /healthz says {status} {body[:200]!r}"
        time.sleep(0.05)
    return why


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process with all its threads; None where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
