"""Our signatures are the platforms': checked against their published vectors and their own libraries."""

import base64
import itertools
import json
import time
from typing import Literal

import httpx
import pytest
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.exceptions import WebhookVerificationError
from svix.webhooks import Webhook

from service.sandbox.senders import (
    FORGERIES,
    Delivery,
    Door,
    Forgery,
    Platform,
    Sender,
    sign_clerk,
    sign_slack,
)

CLERK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
# Slack's documented example of a signed slash command, which their SDK also tests against.
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
DOORS: dict[Platform, Door] = {
    "clerk": Door("http://service.test", CLERK_SECRET),
    "slack": Door("http://service.test", SLACK_SECRET),
}
BODIES = {
    "clerk": b'{"data":{"id":"user_1"},"type":"user.updated"}',
    "slack": b'{"event_id":"Ev01","token":"x"}',
}


def a_delivery(platform: Platform, forged: Forgery | None = None) -> Delivery:
    return Delivery(platform, f"{platform}-1", "user.updated", BODIES[platform], forged)


class Receiver:
    """Answers what it is told to, in turn, and keeps what was sent."""

    def __init__(self, *answers: int | Exception | httpx.Response) -> None:
        self.answers = itertools.chain(answers, itertools.repeat(answers[-1]))
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer, json={"ok": answer})

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def sender(self, pace: float = 1.0) -> Sender:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Sender(client, DOORS, pace=pace, sleep=self.wait)

    def verified(self, index: int = -1) -> bool:
        """What the platform's own library says of a request; whatever it throws is a no."""
        request = self.requests[index]
        headers = {name.decode().lower(): value.decode() for name, value in request.headers.raw}
        try:
            if request.url.path == "/slack/events":
                return SignatureVerifier(SLACK_SECRET).is_valid_request(request.content, headers)
            Webhook(CLERK_SECRET).verify(request.content, headers)
        except (WebhookVerificationError, ValueError, TypeError):
            return False
        return True


def test_clerk_signature_is_the_published_vector() -> None:
    headers = sign_clerk(
        CLERK_SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', family="webhook"
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_slack_signature_is_the_published_vector() -> None:
    assert sign_slack(SLACK_SECRET, 1531420618, SLACK_BODY) == {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }


@pytest.mark.parametrize("family", ["svix", "webhook"])
def test_svix_accepts_both_families_of_headers(family: Literal["svix", "webhook"]) -> None:
    body = '{"name":"Søren 翔"}'.encode()
    headers = sign_clerk(CLERK_SECRET, "msg_1", int(time.time()), body, family=family)
    assert {name.partition("-")[0] for name in headers} == {family}
    Webhook(CLERK_SECRET).verify(body, headers)


def test_a_body_that_is_no_utf8_can_be_signed() -> None:
    assert sign_clerk(CLERK_SECRET, "msg_1", 1, b"\xff\xfe")["svix-signature"].startswith("v1,")
    assert len(sign_slack(SLACK_SECRET, 1, b"\xff\xfe")["X-Slack-Signature"]) == len("v0=") + 64


def test_a_secret_that_is_no_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="base64"):
        sign_clerk("whsec_!!!!", "msg_1", 1, b"{}")


@pytest.mark.parametrize("platform", ["clerk", "slack"])
async def test_a_delivery_goes_to_its_door_signed_as_of_now(platform: Platform) -> None:
    receiver = Receiver(200)
    receipt = await receiver.sender().send(a_delivery(platform))
    assert (receipt.status, receipt.body, receipt.attempts, receipt.accepted) == (200, {"ok": 200}, 1, True)
    assert receiver.requests[0].url.path == {"clerk": "/webhooks/clerk", "slack": "/slack/events"}[platform]
    assert receiver.requests[0].content == BODIES[platform]
    assert receiver.verified()


@pytest.mark.parametrize("forged", FORGERIES)
@pytest.mark.parametrize("platform", ["clerk", "slack"])
async def test_a_forgery_does_not_verify_and_is_sent_once(platform: Platform, forged: Forgery) -> None:
    receiver = Receiver(401)
    receipt = await receiver.sender().send(a_delivery(platform, forged))
    assert receipt.attempts == 1
    assert not receipt.accepted
    assert not receiver.verified()
    json.loads(receiver.requests[0].content)


async def test_clerk_is_retried_as_svix_does_until_it_gives_up() -> None:
    receiver = Receiver(503)
    receipt = await receiver.sender().send(a_delivery("clerk"))
    assert receiver.waits == [5, 300, 1800, 7200, 18000, 36000, 36000]
    assert (receipt.status, receipt.attempts, receipt.accepted) == (503, 8, False)
    assert {request.headers["svix-id"] for request in receiver.requests} == {"clerk-1"}


async def test_slack_says_which_retry_it_is_and_why() -> None:
    receiver = Receiver(500, httpx.ReadTimeout("slow"), httpx.ConnectError("refused"), 200)
    receipt = await receiver.sender(pace=0.5).send(a_delivery("slack"))
    retries = [(r.headers.get("X-Slack-Retry-Num"), r.headers.get("X-Slack-Retry-Reason")) for r in receiver.requests]
    assert retries == [(None, None), ("1", "http_error"), ("2", "http_timeout"), ("3", "connection_failed")]
    assert receiver.waits == [0, 30, 150]
    assert (receipt.status, receipt.attempts) == (200, 4)


async def test_slack_stops_when_told_to() -> None:
    receiver = Receiver(httpx.Response(500, text="no", headers={"X-Slack-No-Retry": "1"}))
    receipt = await receiver.sender().send(a_delivery("slack"))
    assert (receipt.attempts, receipt.body) == (1, "no")


async def test_a_redirect_is_a_failure() -> None:
    receiver = Receiver(307, 200)
    assert (await receiver.sender().send(a_delivery("clerk"))).attempts == 2


async def test_nobody_at_the_door_is_no_status() -> None:
    receiver = Receiver(httpx.ConnectError("refused"))
    receipt = await receiver.sender().send(a_delivery("slack"))
    assert (receipt.status, receipt.body, receipt.attempts, receipt.accepted) == (None, None, 4, False)


async def test_every_attempt_is_signed_anew() -> None:
    receiver = Receiver(500, 200)
    ticks = itertools.count(int(time.time()) - 10)
    client = httpx.AsyncClient(transport=httpx.MockTransport(receiver))
    sender = Sender(client, DOORS, sleep=receiver.wait, clock=lambda: float(next(ticks)))
    await sender.send(a_delivery("clerk"))
    first, second = (request.headers["svix-timestamp"] for request in receiver.requests)
    assert int(second) == int(first) + 1
    assert receiver.verified(0)
    assert receiver.verified(1)


async def test_play_keeps_the_order_and_returns_a_receipt_each() -> None:
    receiver = Receiver(200)
    sent = [Delivery("clerk", f"msg_{n}", "user.updated", b"{}") for n in range(20)]
    receipts = await receiver.sender().play(sent, width=1)
    assert [receipt.delivery for receipt in receipts] == sent
    assert [request.headers["svix-id"] for request in receiver.requests] == [d.event_id for d in sent]


def test_the_vectors_secret_is_long_enough_for_svix() -> None:
    assert len(base64.b64decode(CLERK_SECRET.removeprefix("whsec_"))) >= 24
