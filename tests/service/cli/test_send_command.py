"""`rollcall send`: what arrives carries a signature our own doors accept."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from handlers.clerk.signature import Verifier as ClerkVerifier
from handlers.slack.signature import Verifier as SlackVerifier
from tests.service.cli.conftest import Rollcall, said
from tests.service.web import CLERK_SECRET, SLACK_SECRET

BODY = '{"type": "user.updated", "ä": 1}\n'.encode()


@dataclass
class Receiver:
    """Somebody who listens; `answer` is what it says."""

    url: str = ""
    answer: tuple[int, str] = (200, '{"status":"applied"}')
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    held = Receiver()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            held.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, text = held.answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_port}"
    yield held
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def event(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "event.json").write_bytes(BODY)
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", f"{CLERK_SECRET},whsec_c2FuZGJveC1zZWNyZXQtb2Ytcm9sbGNhbGw=")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", SLACK_SECRET)


def test_a_clerk_event_arrives_signed_byte_for_byte(rollcall: Rollcall, receiver: Receiver) -> None:
    sent = rollcall("send", "clerk", "event.json", "--url", f"{receiver.url}/")
    assert (sent.exit_code, sent.stdout) == (0, '200 {"status":"applied"}\n')
    ((path, headers, body),) = receiver.received
    assert (path, body) == ("/webhooks/clerk", BODY)
    ClerkVerifier((CLERK_SECRET,)).verify(headers, body)


def test_a_slack_event_arrives_signed_byte_for_byte(rollcall: Rollcall, receiver: Receiver) -> None:
    assert rollcall("send", "slack", "event.json", ROLLCALL_URL=receiver.url).exit_code == 0
    ((path, headers, body),) = receiver.received
    assert (path, body) == ("/slack/events", BODY)
    SlackVerifier((SLACK_SECRET,)).verify(headers, body)


def test_each_send_is_a_new_message_unless_an_id_repeats_one(rollcall: Rollcall, receiver: Receiver) -> None:
    for extra in ([], [], ["--id", "msg_same"], ["--id", "msg_same"]):
        rollcall("send", "clerk", "event.json", "--url", receiver.url, *extra)
    ids = [headers["svix-id"] for _, headers, _ in receiver.received]
    assert (len(set(ids)), ids[2:]) == (3, ["msg_same", "msg_same"])


def test_without_a_url_it_goes_to_host_and_port(rollcall: Rollcall, receiver: Receiver) -> None:
    host, _, port = receiver.url.removeprefix("http://").partition(":")
    assert rollcall("send", "clerk", "event.json", HOST=host, PORT=port).exit_code == 0
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("status", "text", "code", "body"),
    [
        (200, '{"status":"duplicate"}', 0, {"status": "duplicate"}),
        (401, '{"status":"rejected"}', 1, {"status": "rejected"}),
        (502, "<html>Bad gateway</html>", 1, "<html>Bad gateway</html>"),
    ],
)
def test_json_says_what_was_answered_whoever_answered(
    rollcall: Rollcall, receiver: Receiver, status: int, text: str, code: int, body: object
) -> None:
    receiver.answer = (status, text)
    sent = rollcall("send", "clerk", "event.json", "--url", receiver.url, "--json")
    assert (sent.exit_code, said(sent)) == (code, {"code": status, "body": body})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("clerk", "nothing.json"), "nothing.json cannot be read"),
        (("clerk", "broken.json"), "broken.json is not JSON"),
        (("clerk", "deep.json"), "deep.json is not JSON"),
        (("clerk", "event.json", "--url", "http://127.0.0.1:9"), "does not answer (ConnectError)"),
        (("clerk", "event.json", "--url", "rollcall.example"), "does not answer (UnsupportedProtocol)"),
        (("clerk", "event.json", "--url", "http://[::1"), "does not answer (InvalidURL)"),
        (("clerk", "event.json", "--id", "mürbe"), "plain ASCII"),
        (("clerk", "event.json", "--id", ""), "plain ASCII"),
        (("slack", "event.json", "--id", "Ev1"), "a Slack event has its event_id in the body"),
    ],
)
def test_what_cannot_be_sent_is_said(
    rollcall: Rollcall, folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (folder / "broken.json").write_bytes(b"\xff{")
    (folder / "deep.json").write_text("[" * 100_000)
    ended = rollcall("send", *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert sentence in " ".join(ended.stderr.split())


@pytest.mark.parametrize(
    ("platform", "name"), [("clerk", "CLERK_WEBHOOK_SIGNING_SECRET"), ("slack", "SLACK_SIGNING_SECRET")]
)
def test_without_a_secret_there_is_nothing_to_sign_with(
    rollcall: Rollcall, receiver: Receiver, platform: str, name: str
) -> None:
    ended = rollcall("send", platform, "event.json", "--url", receiver.url, **{name: ""})
    assert (ended.exit_code, f"{name} is not set" in ended.stderr) == (2, True)
    assert receiver.received == []
