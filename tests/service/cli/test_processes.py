"""`rollcall serve` with WEB_CONCURRENCY: several processes, one port, one file, and nobody left behind."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx

import migrations
from tests.processes import Piped
from tests.service.cli.conftest import Process
from tests.service.web import CLERK_SECRET, fixture, sign, to_body


def start(process: Process, **more: str) -> tuple[Piped, str]:
    settings = {"WEB_CONCURRENCY": "2", "CLERK_WEBHOOK_SIGNING_SECRET": CLERK_SECRET}
    child = process("serve", "--port", "0", "--json", **settings, **more)
    return child, json.loads(child.stdout.readline())["url"]


def children(pid: int) -> set[int]:
    """The web processes under this supervisor (multiprocessing keeps one more, its resource tracker)."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return {int(one) for one in tasks if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()}


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/status").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text()


def send(url: str, event_id: str) -> str:
    body = to_body(fixture("clerk/user.created"))
    answer = httpx.post(f"{url}/webhooks/clerk", content=body, headers=sign("clerk", body, event_id))
    return str(answer.json()["status"])


def test_two_processes_apply_an_event_once_and_end_with_0(process: Process) -> None:
    child, url = start(process)
    assert len(children(child.pid)) == 2
    said = [send(url, "msg_once") for _ in range(8)]  # a connection each: they reach both
    assert sorted(said) == ["applied", *["duplicate"] * 7]
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, ""), err
    assert "Traceback" not in err


def test_a_process_that_dies_is_replaced_and_none_outlives_its_supervisor(process: Process) -> None:
    child, url = start(process)
    first = children(child.pid)
    os.kill(min(first), signal.SIGKILL)
    until(lambda: len(children(child.pid) - {min(first)}) == 2)
    assert httpx.get(f"{url}/healthz").status_code == 200


SLOW = """
import pathlib, sys, time
if "spawn_main" in " ".join(sys.orig_argv) and pathlib.Path("slow").exists():
    time.sleep(7)
"""


def test_one_that_starts_slowly_is_not_killed_for_it(process: Process, folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(SLOW, encoding="utf-8")
    child, _ = start(process, PYTHONPATH=str(folder))
    first = children(child.pid)
    (folder / "slow").touch()
    os.kill(min(first), signal.SIGKILL)
    until(lambda: len(children(child.pid) - first) == 1)
    (successor,) = children(child.pid) - first
    time.sleep(7)
    assert alive(successor)


def test_one_that_dies_while_all_start_is_replaced_and_the_end_is_still_0(process: Process, folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(SLOW.replace("7", "3"), encoding="utf-8")
    (folder / "slow").touch()
    settings = {"WEB_CONCURRENCY": "2", "PYTHONPATH": str(folder)}
    child = process("serve", "--port", "0", "--json", **settings)
    until(lambda: len(children(child.pid)) == 2)
    os.kill(max(children(child.pid)), signal.SIGKILL)
    assert "url" in json.loads(child.stdout.readline())
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 0, err


def test_no_process_outlives_its_supervisor(process: Process) -> None:
    child, _ = start(process)
    left = children(child.pid)
    child.kill()
    child.communicate(timeout=30)
    until(lambda: not any(alive(pid) for pid in left))


def test_a_database_that_is_behind_is_one_line_and_3(process: Process, folder: Path) -> None:
    (folder / "empty.db").touch()
    child = process("serve", "--port", "0", DATABASE_URL="sqlite:///empty.db", WEB_CONCURRENCY="2")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (3, "")
    assert err.splitlines() == [f"error: the database is at base, not at {migrations.head()}: run `rollcall migrate`"]
