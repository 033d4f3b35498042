"""`rollcall worker` as a process: it delivers beside `rollcall serve`, which says whether it does."""

import json
import signal
import time
from typing import Any

import httpx
import pytest

from tests.processes import Piped
from tests.service.cli.conftest import Process, Rollcall, said
from tests.service.cli.test_serve import greeting, start


def readyz(url: str) -> Any:
    return httpx.get(f"{url}/readyz").json()


def ends_with_0(child: Piped, number: signal.Signals) -> None:
    child.send_signal(number)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 0, err
    assert "Traceback" not in err


def test_without_the_setting_it_refuses_to_start(process: Process) -> None:
    child = process("worker")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (2, "")
    assert err == "error: RELAY is embedded: `rollcall serve` delivers by itself; set RELAY=worker for both\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_web_process_says_whether_a_worker_is_at_work(
    process: Process, rollcall: Rollcall, number: signal.Signals
) -> None:
    web, url = start(process, RELAY="worker")
    found = readyz(url)
    assert (found["status"], found["relay_alive"]) == ("degraded", False)
    checks = {check["name"]: check["level"] for check in said(rollcall("doctor", "--json", RELAY="worker"))["checks"]}
    assert checks["worker"] == "failed"

    worker = process("worker", "--json", RELAY="worker")
    assert json.loads(greeting(worker))["role"] == "worker"
    deadline = time.monotonic() + 10
    while not readyz(url)["relay_alive"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    checks = {check["name"]: check["level"] for check in said(rollcall("doctor", "--json", RELAY="worker"))["checks"]}
    assert checks["worker"] == "ok"
    ends_with_0(worker, number)
    ends_with_0(web, number)


def test_the_doctor_looks_for_no_worker_where_the_web_process_delivers(rollcall: Rollcall) -> None:
    assert "worker" not in {check["name"] for check in said(rollcall("doctor", "--json"))["checks"]}
