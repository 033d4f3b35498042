"""`rollcall serve` as a process: it greets when it answers, and ends cleanly when told to."""

import json
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

import migrations
from tests.processes import Piped
from tests.service.cli.conftest import Process
from tests.service.web import CLERK_SECRET, fixture, sign, to_body


def greeting(child: Piped) -> str:
    return child.stdout.readline()


def start(process: Process, **environment: str) -> tuple[Piped, str]:
    child = process("serve", "--port", "0", "--json", **environment)
    return child, json.loads(greeting(child))["url"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(process: Process, number: signal.Signals) -> None:
    child, url = start(process)
    assert httpx.get(f"{url}/healthz").status_code == 200
    child.send_signal(number)
    began = time.monotonic()
    out, err = child.communicate(timeout=20)
    assert child.returncode == 0, err
    assert time.monotonic() - began < 10
    assert out == ""
    assert "Traceback" not in err


def test_an_idle_connection_does_not_hold_it_up(process: Process) -> None:
    child, url = start(process)
    with httpx.Client() as client:
        client.get(f"{url}/healthz")
        child.terminate()
        child.communicate(timeout=9)
    assert child.returncode == 0


def test_the_greeting_says_what_is_off_and_why(process: Process) -> None:
    line = greeting(
        process("serve", "--port", "0", CLERK_WEBHOOK_SIGNING_SECRET=CLERK_SECRET, SLACK_BOT_TOKEN="xoxb-1")
    )
    assert line.startswith("Rollcall ")
    assert "http://127.0.0.1:" in line
    assert "clerk webhooks on" in line
    assert "slack events off: SLACK_SIGNING_SECRET is not set" in line
    assert "slack alerts off: SLACK_ALERT_CHANNEL is not set" in line
    assert "notion pages off: NOTION_API_TOKEN is not set" in line


def test_what_was_acknowledged_is_there_after_the_end(process: Process) -> None:
    child, url = start(process, CLERK_WEBHOOK_SIGNING_SECRET=CLERK_SECRET)
    body = to_body(fixture("clerk/user.created"))
    answer = httpx.post(f"{url}/webhooks/clerk", content=body, headers=sign("clerk", body, "msg_kept"))
    assert answer.json() == {"status": "applied"}
    assert httpx.get(f"{url}/readyz").json()["status"] == "ok"
    child.terminate()
    child.communicate(timeout=20)
    shown = process("events", "show", "msg_kept", "--json")
    assert json.loads(shown.communicate(timeout=60)[0])["status"] == "applied"


def test_a_database_that_is_behind_is_one_line_and_3(process: Process, folder: Path) -> None:
    (folder / "empty.db").touch()
    child = process("serve", "--port", "0", DATABASE_URL="sqlite:///empty.db")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (3, "")
    told = f"error: the database is at base, not at {migrations.head()}: run `rollcall migrate`"
    assert err.splitlines() == [told]


def test_a_port_that_is_taken_is_one_line_and_2(process: Process) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = process("serve", PORT=str(taken.getsockname()[1]))
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (2, "")
    assert "cannot listen on 127.0.0.1" in err
    assert len(err.splitlines()) == 1


def test_every_address_of_a_name_is_listened_on(process: Process) -> None:
    child = process("serve", "--host", "localhost", "--port", "0", "--json")
    url = json.loads(greeting(child))["url"]
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert httpx.get(f"{url.replace('localhost', '127.0.0.1')}/healthz").status_code == 200
