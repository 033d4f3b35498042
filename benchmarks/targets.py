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
    database: str | None = None  # its URL: its rows are counted afterwards


REFERENCES = {"empty": 25_000, "signature": 15_000, "plain": 800, "notion": 0}


def reference(name: str, folder: Path, database: str | None = None) -> Target:
    """What Rollcall is measured against. `database`: the URL for `plain`, else a file in its folder."""
    url = (database or f"sqlite:///{folder / 'plain.db'}") if name == "plain" else None
    command = [sys.executable, str(HERE / "servers.py"), name]
    shown = f"{name} pg" if database else name
    return Target(shown, command, folder, REFERENCES[name], {"DATABASE_URL": url or ""}, database=url)


def rollcall(folder: Path, notion_port: int, database: str | None = None, processes: int = 1) -> Target:
    """Rollcall with everything on. Its commands and settings are named here and only here."""
    program = str(Path(sys.executable).with_name("rollcall"))
    url = database or f"sqlite:///{folder / 'bench.db'}"
    return Target(
        " ".join(["rollcall", *(["pg"] if database else []), *([f"x{processes}"] if processes > 1 else [])]),
        [program, "serve"],
        folder,
        10_000,
        {
            "DATABASE_URL": url,
            "WEB_CONCURRENCY": str(processes),
            "CLERK_WEBHOOK_SIGNING_SECRET": SECRET,
            "NOTION_API_TOKEN": "ntn_bench",
            "NOTION_PEOPLE_DATA_SOURCE_ID": "00000000-0000-4000-8000-00000000beef",
            "NOTION_BASE_URL": f"http://{HOST}:{notion_port}",
        },
        before=([program, "migrate"],),
        database=url,
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
    target.folder.mkdir(parents=True, exist_ok=True)
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


def processes_of(pid: int) -> list[int]:
    """This process and those under it; only itself where there is no /proc."""
    try:
        under = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(one for child in under for one in processes_of(int(child)))]


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process with all its threads and children; None where there is no /proc."""
    ticks = 0
    for one in processes_of(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float | None:
    """Resident memory of a process and its children, MB; shared pages are counted each time they are mapped."""
    pages = 0
    for one in processes_of(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
