"""What anybody on the internet, or a platform on a bad day, may send: the answer to each, and what is kept of it."""

import base64
import json
import os
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.clerk import events as clerk
from handlers.registry import InvalidSignature, Malformed, Message, Reply, Source
from handlers.slack import events as slack
from service.app import BODY_LIMIT
from service.sandbox.senders import PATHS, Platform
from tests.databases import locked
from tests.service.web import CLERK_SECRET, SLACK_SECRET, Serve, Web, fixture, sign, to_body

PLATFORMS: tuple[Platform, ...] = ("clerk", "slack")
BODY = {"clerk": to_body(fixture("clerk/user.created")), "slack": to_body(fixture("slack/team_join"))}
SIGNATURE = {"clerk": "svix-signature", "slack": "X-Slack-Signature"}
TIME = {"clerk": "svix-timestamp", "slack": "X-Slack-Request-Timestamp"}
EXAMPLES = int(os.environ.get("ROLLCALL_EXAMPLES", "200"))

pytestmark = pytest.mark.parametrize("platform", PLATFORMS)


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def refused(web: Web, platform: Platform, headers: dict[str, str]) -> None:
    answer = await web.send(platform, BODY[platform], raw(headers))
    assert (answer.status_code, answer.json()["status"]) == (401, "rejected")
    assert "Traceback" not in answer.text
    assert web.events() == web.people() == web.rows("SELECT * FROM identities") == []


# --- 401, and nothing is kept ---


async def test_without_a_signature(web: Web, platform: Platform) -> None:
    await refused(web, platform, {})


@pytest.mark.parametrize(
    "signature",
    ["", "x", "v1", "v0=", "v1,", "v1,%%%", "v1,ñandú", "v0=ñandú", "v0=" + "0" * 64, "v1," + "A" * 43 + "="],
)
async def test_with_a_malformed_or_wrong_signature(web: Web, platform: Platform, signature: str) -> None:
    await refused(web, platform, sign(platform, BODY[platform]) | {SIGNATURE[platform]: signature})


async def test_signed_with_another_secret(web: Web, platform: Platform) -> None:
    other = {"clerk": "whsec_" + base64.b64encode(b"x" * 32).decode(), "slack": "f" * 32}
    await refused(web, platform, sign(platform, BODY[platform], secret=other[platform]))


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 86_400])
async def test_signed_too_long_ago_or_ahead(web: Web, platform: Platform, seconds: int) -> None:
    await refused(web, platform, sign(platform, BODY[platform], at=int(time.time()) + seconds))


@pytest.mark.parametrize("stamp", ["123.9", "1_000", " 123", "١٢٣", "-1", "1e9", "", "0x10", "٣", "9" * 30])
async def test_stamped_with_something_that_is_no_plain_number(web: Web, platform: Platform, stamp: str) -> None:
    await refused(web, platform, sign(platform, BODY[platform]) | {TIME[platform]: stamp})


async def test_with_the_true_time_written_otherwise(web: Web, platform: Platform) -> None:
    true = sign(platform, BODY[platform])
    for stamp in (f"{true[TIME[platform]]}.5", f"{true[TIME[platform]]}_0"):
        await refused(web, platform, true | {TIME[platform]: stamp})


# --- 200 ---


async def test_old_and_new_secret_are_good_at_once(serve: Serve, platform: Platform) -> None:
    new = {"clerk": "whsec_" + base64.b64encode(b"n" * 32).decode(), "slack": "e" * 32}[platform]
    old = {"clerk": CLERK_SECRET, "slack": SLACK_SECRET}[platform]
    name = {"clerk": "clerk_webhook_signing_secret", "slack": "slack_signing_secret"}[platform]
    async with serve(**{name: f"{new}, {old}"}) as web:
        for number, secret in enumerate((old, new)):
            answer = await web.send(
                platform, BODY[platform], sign(platform, BODY[platform], f"msg_{number}", secret=secret)
            )
            assert answer.status_code == 200


# --- 413, and nothing is kept ---

TOO_LARGE = {"status": "rejected", "reason": "Content Too Large"}


async def test_a_body_that_says_it_is_too_large(web: Web, platform: Platform) -> None:
    body = b" " * (BODY_LIMIT + 1)
    answer = await web.send(platform, body)
    assert (answer.status_code, answer.json()) == (413, TOO_LARGE)
    assert web.events() == []


async def test_a_body_that_turns_out_too_large(web: Web, platform: Platform) -> None:
    body = b" " * (BODY_LIMIT + 1)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    answer = await web.client.post(PATHS[platform], content=chunks(), headers=sign(platform, body))
    assert "content-length" not in answer.request.headers
    assert (answer.status_code, answer.json()) == (413, TOO_LARGE)
    assert web.events() == []


async def test_the_largest_body_that_is_allowed(web: Web, platform: Platform) -> None:
    body = BODY[platform] + b" " * (BODY_LIMIT - len(BODY[platform]))
    assert (await web.send(platform, body)).json() == {"status": "applied"}


# --- 400 with the reason, and the bytes are kept as `failed` ---


def spoiled_bodies(platform: Platform) -> Iterator[tuple[str, bytes]]:
    """Signed all of them, and none an event."""
    good = BODY[platform]
    user = b'"id": "user_' if platform == "clerk" else b'"id": "U0'
    when = b'"updated_at": 1' if platform == "clerk" else b'"updated": 1'
    yield "empty", b""
    yield "no UTF-8", good.replace(user, user + b"\xff\xfe", 1)
    yield "no JSON", b"payload=%7B%7D"
    yield "cut off", good[: len(good) // 2]
    yield "a list", b"[" + good + b"]"
    yield "a string", b'"user.created"'
    yield "null", b"null"
    yield "nested 10,000 deep", b'{"data":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    yield "objects nested 10,000 deep", b'{"data":' * 10_000 + b"1" + b"}" * 10_000
    yield "no type", b"{}"
    yield "the type a number", b'{"type": 5, "data": {}, "event": {}}'
    yield "the type a list", b'{"type": ["user.created"], "data": {}}'
    yield "a NUL in a string", good.replace(user, user + b"\\u0000", 1)
    yield "a bare control character", good.replace(user, user + b"\x00", 1)
    yield "a lone surrogate", good.replace(user, user + b"\\ud800", 1)
    yield "NaN", good.replace(when, b'"x": NaN, ' + when)
    yield "a time beyond all time", good.replace(when, when + b"0" * 30)
    yield "a number of 5,000 digits", good.replace(when, when + b"0" * 5_000)
    yield "a fraction for a time", good.replace(when, when + b"5.5e0")
    yield "a time before all time", good.replace(when, when.replace(b"1", b"-1"))
    yield "a byte order mark", b"\xef\xbb\xbf" + good
    yield "something after the end", good + b"}"


BODIES = [name for name, _ in spoiled_bodies("clerk")]


@pytest.mark.parametrize("name", BODIES)
async def test_a_signed_body_that_is_no_event(web: Web, platform: Platform, name: str) -> None:
    body = dict(spoiled_bodies(platform))[name]
    assert body != BODY[platform]
    answer = await web.send(platform, body)
    assert (answer.status_code, answer.json()["status"]) == (400, "failed"), answer.text
    assert answer.json()["reason"]
    (event,) = web.events()
    assert (event["status"], event["body"], event["source"]) == ("failed", body, platform)
    assert event["error"] == answer.json()["reason"]
    assert event["available_at"] is None
    assert web.people() == web.rows("SELECT * FROM identities") == []


WRONG_TYPES = {
    "clerk": [
        (("data",), []),
        (("data", "id"), 7),
        (("data", "id"), ""),
        (("data", "id"), None),
        (("data", "first_name"), {"a": 1}),
        (("data", "email_addresses"), "ada@example.com"),
        (("data", "email_addresses"), [{"id": 1}]),
        (("data", "updated_at"), None),
        (("data", "created_at"), "yesterday"),
        (("data", "public_metadata"), []),
        (("data", "banned"), "perhaps"),
        (("timestamp",), "now"),
        (("event_attributes",), 3),
    ],
    "slack": [
        (("event",), []),
        (("event", "type"), None),
        (("event", "user"), "U07M4R3NHLM"),
        (("event", "user", "id"), 7),
        (("event", "user", "profile"), None),
        (("event", "user", "profile", "email"), ["a@example.com"]),
        (("event", "user", "deleted"), "perhaps"),
        (("event", "user", "updated"), "soon"),
        (("event", "event_ts"), "soon.5"),
        (("event", "event_ts"), 5.5),
        (("event_id",), None),
        (("event_id",), ""),
        (("event_time",), -5),
    ],
}


@pytest.mark.parametrize("number", range(13))
async def test_a_signed_event_with_a_wrong_type(web: Web, platform: Platform, number: int) -> None:
    path, value = WRONG_TYPES[platform][number]
    message = json.loads(BODY[platform])
    inner = message
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    answer = await web.send(platform, message)
    assert answer.status_code == 400, answer.text
    assert web.statuses() == ["failed"]
    assert str(value) not in answer.json()["reason"] or value in ("", [], None)


async def test_the_same_bad_body_twice_is_kept_once(web: Web, platform: Platform) -> None:
    for _ in range(2):
        assert (await web.send(platform, b"{}", event_id="msg_same")).status_code == 400
    (event,) = web.events()
    assert (event["event_id"] == "msg_same") is (platform == "clerk")
    assert event["event_id"].startswith("sha256:") is (platform == "slack")


async def test_unimportant_fields_may_hold_anything(web: Web, platform: Platform) -> None:
    message = json.loads(BODY[platform])
    odd = {"deep": [[[{"a": 10**300, "b": -1.5e300}]]], "text": "\u202e\U0001f600\x7f", "": None}
    (message["data"] if platform == "clerk" else message["event"]["user"]).update(odd)
    assert (await web.send(platform, message)).json() == {"status": "applied"}


# --- 200, `ignored` ---


async def test_a_type_nobody_handles(web: Web, platform: Platform) -> None:
    message = {"type": "paymentAttempt.created", "data": {"id": 5}, "timestamp": 1, "object": "event"}
    if platform == "slack":
        message = json.loads(BODY["slack"]) | {"event": {"type": "reaction_added", "user": "U1"}}
    assert (await web.send(platform, message)).json() == {"status": "ignored"}
    assert web.statuses() == ["ignored"]
    assert web.people() == []


# --- 503, and nothing half-written ---


async def test_a_locked_database_is_said_to_be_busy_and_serves_again_by_itself(web: Web, platform: Platform) -> None:
    await web.send(platform, BODY[platform], event_id="msg_before")  # so that there is something to spoil
    before = web.rows("SELECT * FROM identities"), web.events()
    with locked(web.url):
        kind = "user.updated" if platform == "clerk" else "user_change"
        answer = await web.send(platform, fixture(f"{platform}/{kind}"))
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert (web.rows("SELECT * FROM identities"), web.events()) == before
    assert (await web.send(platform, fixture(f"{platform}/{kind}"))).json() == {"status": "applied"}


# --- whatever else ---


def words(text: str) -> list[str]:
    return text.split()


SOURCES = {"clerk": clerk.source((CLERK_SECRET,)), "slack": slack.source((SLACK_SECRET,))}
NAMES = ("svix-id", "svix-timestamp", "svix-signature", "webhook-id", "x-slack-signature", "x-slack-request-timestamp")
VALUES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["v1,", "v0=", "v1," + "A" * 43 + "=", "v0=" + "a" * 64, "msg_1"]),
    st.integers(-(10**15), 10**15).map(str),
    st.just(0).map(lambda _: str(int(time.time()))),
)
HEADERS = st.dictionaries(st.sampled_from(NAMES), VALUES)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(["user_1", "a@example.com"]),
)
KEYS = words(
    """
    id type data event user profile email email_addresses email_address updated_at created_at updated deleted
    team_id event_id challenge tokens bot timestamp user_id
    """
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
)
KINDS = [*clerk.dispatch.handlers, *slack.dispatch.handlers, "event_callback", "url_verification", "other"]
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS), "data": JSON, "event": JSON},
    optional={"event_id": JSON, "timestamp": JSON, "team_id": JSON, "event_time": JSON, "event_attributes": JSON},
)
PLAIN = st.one_of(st.binary(max_size=60), (MESSAGES | JSON).map(lambda found: json.dumps(found).encode()))


@st.composite
def cut_or_spliced(draw: st.DrawFn) -> bytes:
    """A whole payload with a hole in it, or a piece of something else."""
    good = draw(st.sampled_from(list(BODY.values())))
    start = draw(st.integers(0, len(good)))
    end = draw(st.integers(start, min(len(good), start + 40)))
    return (
        good[:start] + draw(st.binary(max_size=8) | st.sampled_from([b"null", b"[]", b"{}", b'"\\ud800"'])) + good[end:]
    )


bounded = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)


def outcome(source: Source, body: bytes) -> Message | Reply | None:
    try:
        return source.parse(body, "msg_1")
    except Malformed:
        return None


@bounded
@given(headers=HEADERS, body=st.binary(max_size=40))
def test_a_verifier_raises_nothing_but_invalid_signature(
    platform: Platform, headers: dict[str, str], body: bytes
) -> None:
    with pytest.raises(InvalidSignature):
        SOURCES[platform].verify(headers, body)


@bounded
@given(body=PLAIN | cut_or_spliced())
def test_a_parser_raises_nothing_but_malformed(platform: Platform, body: bytes) -> None:
    outcome(SOURCES[platform], body)


async def test_no_signed_body_whatever_is_an_error_of_ours(web: Web, platform: Platform) -> None:
    """As many bodies as one service gets in a second; each is 200 or 400, and none is lost."""
    bodies: list[bytes] = []

    @settings(bounded, max_examples=EXAMPLES // 2)
    @given(body=PLAIN | cut_or_spliced())
    def collect(body: bytes) -> None:
        bodies.append(body)

    collect()
    taken = set()
    for number, body in enumerate(bodies):
        answer = await web.send(platform, body, event_id=f"msg_fuzz_{number}")
        assert answer.status_code in (200, 400), (body, answer.text)
        assert "Traceback" not in answer.text
        assert answer.headers["content-type"] == "application/json"
        if answer.json().get("status") != "duplicate" and "challenge" not in answer.json():
            taken.add(body)
    assert {event["body"] for event in web.events()} == taken
    assert not [event for event in web.events() if event["available_at"]]
