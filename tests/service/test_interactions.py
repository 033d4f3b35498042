"""The door for commands and windows: only Slack's requests come in; whatever they hold is answered, nothing is lost."""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from db.database import DEADLINE_S
from handlers.registry import Malformed
from handlers.slack import bolt, turns
from handlers.slack.forms import COMMANDS, FORM, INTERACTIVITY, MODELS, read
from service.app import BODY_LIMIT
from service.sandbox.senders import sign_slack
from service.sandbox.slack_hand import Hand, form_of
from tests.databases import locked
from tests.handlers.slack.office import Office, opened
from tests.service.web import SLACK_SECRET, Serve

PATHS = (COMMANDS, INTERACTIVITY)
HEADERS = {"content-type": FORM}


@pytest.fixture
async def office(serve: Serve, database_url: str) -> AsyncIterator[Office]:
    async with opened(serve, database_url) as office:
        yield office


def signed(body: bytes, at: int | None = None, secret: str = SLACK_SECRET) -> dict[str, str]:
    return sign_slack(secret, int(time.time()) if at is None else at, body)


def press(**more: Any) -> bytes:
    payload = {"type": "block_actions", "user": {"id": "U1"}, "trigger_id": "1", "actions": [{"action_id": "x"}]}
    return form_of({"payload": json.dumps(payload | more)})


async def test_only_what_slack_signed_comes_in(office: Office) -> None:
    hand = office.hand("Ada")
    body = form_of(hand.command("/oncall", "week", "1.2.3"))
    wrong = {
        "unsigned": {},
        "another secret": signed(body, secret="e" * 32),
        "another body": signed(body + b"x"),
        "an hour ago": signed(body, int(time.time()) - 3600),
        "no number for a time": signed(body) | {"X-Slack-Request-Timestamp": "soon"},
        "half a signature": signed(body) | {"X-Slack-Signature": "v0=abc"},
    }
    before = office.everything()
    for path in PATHS:
        for name, headers in wrong.items():
            status, answer = await hand.post(path, body, headers)
            assert (status, answer["status"]) == (401, "rejected"), name
    assert office.everything() == before
    assert not office.world.requests.to("slack")


async def test_unsigned_garbage_is_refused_before_anybody_reads_it(office: Office) -> None:
    for body in (b"", b"{", b"[1]", b"payload={", b"\xff\xfe", b"ssl_check=1&token=x", b"text=payload", b"\0" * 50):
        for path in PATHS:
            status, _ = await office.hand("Ada").post(path, body, {})
            assert status == 401, body


GARBAGE = {
    "nothing": b"",
    "JSON": b'{"type": "block_actions"}',
    "no UTF-8": b"payload=%ff%fe&command=%ff",
    "bare bytes": b"payload=\xff\xfe",
    "a NUL": b"payload=%00&command=/oncall%00",
    "too many fields": b"&".join(b"f%d=1" % n for n in range(200)),
    "no payload and no command": b"a=1&b=2",
    "a payload that is no JSON": b"payload={",
    "a payload that is a list": b"payload=[]",
    "a payload that is a number": b"payload=5",
    "a payload nested 10,000 deep": b"payload=" + quote("[" * 10_000).encode(),
    "a payload without a type": b"payload={}",
    "a type that is a list": form_of({"payload": '{"type": ["view_submission"]}'}),
    "a press without a user": form_of({"payload": '{"type": "block_actions"}'}),
    "a press of nothing": press(actions=[]),
    "a press by a number": press(user=5),
    "a submission without a view": form_of({"payload": '{"type": "view_submission", "user": {"id": "U1"}}'}),
    "a command that is a word": b"command=oncall&user_id=U1&trigger_id=1",
    "a command by nobody": b"command=/oncall&trigger_id=1&text=week",
    "a command without a trigger": b"command=/oncall&user_id=U1",
}


@pytest.mark.parametrize("path", PATHS)
async def test_signed_nonsense_is_400_and_nothing_is_kept(office: Office, path: str) -> None:
    before = office.everything()
    for name, body in GARBAGE.items():
        status, answer = await office.hand("Ada").post(path, body)
        assert (status, answer["status"]) == (400, "rejected"), name
        assert answer["reason"], name
        assert "Traceback" not in str(answer)
    assert office.everything() == before


async def test_a_body_that_is_no_form_is_400(office: Office) -> None:
    body = form_of(office.hand("Ada").command("/oncall", "", "1"))
    headers = {**signed(body), "Content-Type": "application/json"}
    assert (await office.hand("Ada").post(COMMANDS, body, headers))[0] == 400


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_too_large_is_413_and_other_methods_are_405(office: Office, path: str) -> None:
    body = b"text=" + b"x" * BODY_LIMIT
    assert (await office.hand("Ada").post(path, body))[0] == 413
    assert (await office.web.client.get(path)).status_code == 405


@pytest.mark.parametrize("missing", ["slack_signing_secret", "slack_bot_token"])
async def test_without_secret_or_token_there_is_no_such_route(serve: Serve, missing: str) -> None:
    async with serve(**{"slack_bot_token": "xoxb-1", missing: ""}) as web:
        for path in PATHS:
            assert (await web.client.post(path, content=b"")).status_code == 404


@pytest.mark.parametrize("text", ["payload", "why payload", "week payload=%7B%7D", 'payload={"type":"x"}', "{payload}"])
async def test_a_text_with_payload_in_it_is_a_text(office: Office, text: str) -> None:
    heard = await office.hand("Ada").type("/oncall", text)
    assert heard.status == 200
    assert heard.body["response_type"] == "ephemeral"
    assert heard.text


async def test_a_look_at_our_certificate_is_answered_when_it_is_signed(office: Office) -> None:
    body = b"ssl_check=1&token=abc"
    for path in PATHS:
        assert await office.hand("Ada").post(path, body) == (200, None)
        assert (await office.hand("Ada").post(path, body, {}))[0] == 401


@pytest.mark.parametrize("kind", ["view_closed", "shortcut", "message_action", "block_suggestion", "of tomorrow"])
async def test_what_nobody_asked_for_is_acknowledged_and_ignored(office: Office, kind: str) -> None:
    body = form_of({"payload": json.dumps({"type": kind, "user": {"id": "U1"}, "team": None, "view": 5})})
    with capture_logs() as logs:
        assert await office.hand("Ada").post(INTERACTIVITY, body) == (200, None)
    assert [line["outcome"] for line in logs if line["event"] == "interaction"] == ["ignored"]


async def test_a_button_of_another_app_version_is_acknowledged(office: Office) -> None:
    assert (await office.hand("Ada").post(INTERACTIVITY, press(actions=[{"action_id": "old"}])))[0] == 200
    heard = await office.hand("Ada").press("swap_accept", "x")
    assert "This button is from another version" in heard.text


async def test_a_window_of_another_version_says_so(office: Office) -> None:
    hand = office.hand("Ada")
    view = {"type": "modal", "id": "V1", "callback_id": "old", "private_metadata": "{}"}
    for callback in ("old", "confirm"):
        payload = {"type": "view_submission", "user": {"id": hand.user_id}, "view": view | {"callback_id": callback}}
        status, body = await hand.post(INTERACTIVITY, form_of({"payload": json.dumps(payload)}))
        assert status == 200
        assert "another version of Rollcall" in str(body["view"])


# --- Bolt's own ways ---


async def test_bolt_asks_slack_nothing_before_it_answers(office: Office) -> None:
    """No auth.test: where it fails, Bolt would drop what was asked."""
    office.world.slack.revoked = "token_revoked"
    office.world.faults.add(platform="slack", status=500, times=None)
    assert "On call now" in (await office.hand("Ada").type("/oncall")).text
    assert not office.world.requests.to("slack")


async def test_the_environment_of_other_slack_apps_changes_nothing(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CLIENT_ID", "CLIENT_SECRET", "VERIFICATION_TOKEN", "USER_TOKEN", "SCOPES", "REDIRECT_URI"):
        monkeypatch.setenv(f"SLACK_{name}", "wrong")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-wrong")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "f" * 32)
    async with opened(serve, database_url) as office:
        hand = office.hand("Cleo")
        await hand.type("/oncall", "swap")
        assert "Your shift" in hand.reads()
    assert [path.name for path in tmp_path.iterdir() if "bolt" in path.name] == []


async def test_a_trigger_that_slack_does_not_take_is_told(office: Office) -> None:
    hand = office.hand("Cleo")
    spent = office.world.slack.trigger(hand.user_id, age_s=61)
    before = office.everything()
    heard = await hand.type("/oncall", "swap", trigger_id=spent)
    assert "Slack did not let me open a window; nothing was done" in heard.text
    assert office.everything() == before


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429, "retry_after": 30}, {"kind": "drop"}])
async def test_a_slack_that_fails_is_told_in_words(office: Office, fault: dict[str, Any]) -> None:
    office.world.faults.add(platform="slack", times=None, **fault)
    heard = await office.hand("Cleo").type("/oncall", "swap")
    assert "Slack did not let me open a window" in heard.text
    pressed = await office.hand("Cleo").press("swap_accept", "1")
    assert (pressed.status, pressed.text) == (503, "⚠")


async def test_an_error_of_ours_is_a_sentence_and_a_line_in_the_log(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("an inside")

    monkeypatch.setattr(turns, "oncall", broken)
    with capture_logs() as logs:
        heard = await office.hand("Ada").type("/oncall", "week")
    assert "Something went wrong in Rollcall" in heard.text
    assert "inside" not in heard.text
    assert [line["error"] for line in logs if line["event"] == "interaction_failed"] == ["RuntimeError"]


async def test_a_line_in_the_log_has_ids_but_nothing_that_was_typed(office: Office) -> None:
    with capture_logs() as logs:
        await office.hand("Ada").type("/oncall", "override @bob today PM because secret")
    (line,) = (line for line in logs if line["event"] == "interaction")
    assert line["name"] == "/oncall override"
    assert line["user"] == office.personas["Ada"].slack_id
    assert "secret" not in str(logs)


# --- a database that takes nothing ---


async def test_a_locked_database_is_told_in_the_window_which_can_be_confirmed_again(office: Office) -> None:
    hand = await window(office)
    before = office.everything()
    with locked(office.web.url):
        heard = await hand.submit()
        assert heard.status == 200
        assert "The database is busy" in heard.text
        assert "Eve Falk is away" in heard.text
    assert office.everything() == before
    assert (await hand.submit()).text.startswith("Done")
    assert len(office.web.rows("SELECT * FROM time_off")) == 1


async def test_questions_are_answered_while_the_database_is_locked(office: Office) -> None:
    with locked(office.web.url):
        assert "On call now" in (await office.hand("Ada").type("/oncall")).text


async def window(office: Office) -> Hand:
    hand = office.hand("Eve")
    day = (await office.duty_of("Eve")).planned.date
    await hand.type("/oncall", f"off {day}")
    return hand


def test_every_wait_ends_before_slacks() -> None:
    """The database's deadline, then ours, then the 3 s after which Slack shows an error of its own."""
    assert DEADLINE_S < bolt.ANSWER_S < 3
    assert bolt.OPEN_TIMEOUT_S < bolt.ANSWER_S


# --- whatever else ---

TEXT = st.text(max_size=30)
SCALARS = st.none() | st.booleans() | st.integers() | TEXT
ANY = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
PARTS = dict.fromkeys(("user", "view", "actions", "team", "trigger_id", "callback_id", "message"), ANY)
PAYLOADS = st.fixed_dictionaries({"type": st.sampled_from([*MODELS, "other"]) | ANY}, optional=PARTS)
FIELDS = st.dictionaries(
    st.sampled_from(["command", "text", "user_id", "trigger_id", "payload", "ssl_check", "team_id"]), TEXT
)
BODIES = st.binary(max_size=60) | FIELDS.map(form_of) | PAYLOADS.map(lambda one: form_of({"payload": json.dumps(one)}))


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(path=st.sampled_from(PATHS), body=BODIES)
def test_reading_a_form_raises_nothing_but_malformed(path: str, body: bytes) -> None:
    with contextlib.suppress(Malformed):
        read(path, HEADERS, body)


WORDS = [
    "override",
    "swap",
    "off",
    "why",
    "week",
    "lift",
    "back",
    "@bob",
    "<@U1|x>",
    "friday",
    "PM",
    "with",
    "because",
    "..",
]
TYPED = st.lists(st.sampled_from(WORDS) | TEXT, max_size=6).map(" ".join)


async def test_nothing_that_can_be_typed_is_an_error_of_ours(office: Office) -> None:
    texts: list[str] = []

    @settings(max_examples=150, derandomize=True, deadline=None, database=None)
    @given(text=TYPED)
    def collect(text: str) -> None:
        texts.append(text.replace("\0", ""))

    collect()
    before = office.everything()
    with capture_logs() as logs:
        for text in texts:
            heard = await office.hand("Cleo").type("/oncall", text)
            assert heard.status == 200, text
            assert heard.text, text
    assert office.everything() == before
    assert [line for line in logs if line["event"] == "interaction_failed"] == []


async def test_no_signed_form_whatever_is_an_error_of_ours(office: Office) -> None:
    bodies: list[bytes] = []

    @settings(max_examples=150, derandomize=True, deadline=None, database=None)
    @given(body=BODIES)
    def collect(body: bytes) -> None:
        bodies.append(body)

    collect()
    for body in bodies:
        for path in PATHS:
            status, answer = await office.hand("Ada").post(path, body)
            assert status in (200, 400), (body, answer)
            assert "Traceback" not in str(answer)
