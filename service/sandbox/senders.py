"""Plays Svix and Slack at our doors: signs each attempt as they do, retries as they do, forges on request."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import httpx

Platform = Literal["clerk", "slack"]
Forgery = Literal["wrong_secret", "stale_timestamp", "tampered_body", "missing_headers", "non_ascii_signature"]

FORGERIES: tuple[Forgery, ...] = (
    "wrong_secret",
    "stale_timestamp",
    "tampered_body",
    "missing_headers",
    "non_ascii_signature",
)
PATHS: dict[Platform, str] = {"clerk": "/webhooks/clerk", "slack": "/slack/events"}
# Seconds before each retry. https://docs.svix.com/retries; Slack: at once, after one minute, after five.
RETRIES: dict[Platform, tuple[float, ...]] = {
    "clerk": (5, 300, 1800, 7200, 18000, 36000, 36000),
    "slack": (0, 60, 300),
}
PATIENCE: dict[Platform, float] = {"clerk": 15.0, "slack": 3.0}
STALE_BY_S = 3600


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way; the same `event_id` again is a redelivery. `note` names the trouble."""

    platform: Platform
    event_id: str
    type: str
    body: bytes
    forged: Forgery | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a platform sends to, and the secret it signs with; `url` has no path."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a delivery ended: the last answer (`status` None when there was none) after that many attempts."""

    delivery: Delivery
    status: int | None
    body: Any
    attempts: int

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - what 2xx means


def sign_clerk(
    secret: str,
    message_id: str,
    timestamp_s: int,
    body: bytes,
    family: Literal["svix", "webhook"] = "svix",
) -> dict[str, str]:
    """Headers as Svix sends them (Standard Webhooks, symmetric); any bytes can be signed, UTF-8 or not."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    digest = hmac.digest(key, b"%b.%d.%b" % (message_id.encode(), timestamp_s, body), hashlib.sha256)
    return {
        f"{family}-id": message_id,
        f"{family}-timestamp": str(timestamp_s),
        f"{family}-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def sign_slack(secret: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Headers as Slack sends them. https://docs.slack.dev/authentication/verifying-requests-from-slack/"""
    mac = hmac.new(secret.encode(), b"v0:%d:%b" % (timestamp_s, body), hashlib.sha256)
    return {"X-Slack-Request-Timestamp": str(timestamp_s), "X-Slack-Signature": f"v0={mac.hexdigest()}"}


class Sender:
    """Delivers at least once, as the platforms do: every attempt is signed anew, with the time it is made.

    `pace` scales the platforms' waits (0: none at all, 1: the real ones, up to ten hours). Forged deliveries
    are sent once: nobody retries them.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        doors: dict[Platform, Door],
        *,
        pace: float = 0.001,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._doors = doors
        self._pace = pace
        self._clock = clock
        self._sleep = sleep

    async def play(self, deliveries: Iterable[Delivery], *, width: int = 8) -> list[Receipt]:
        """Send all, begun in the given order, at most `width` under way at once (1: strictly one by one)."""
        gate = asyncio.Semaphore(width)

        async def one(delivery: Delivery) -> Receipt:
            async with gate:
                return await self.send(delivery)

        return list(await asyncio.gather(*map(one, deliveries)))

    async def send(self, delivery: Delivery) -> Receipt:
        waits = () if delivery.forged else RETRIES[delivery.platform]
        reason = ""
        attempt = 0
        while True:
            response, reason = await self._attempt(delivery, attempt, reason)
            receipt = _receipt(delivery, response, attempt + 1)
            if receipt.accepted or attempt == len(waits) or _told_to_stop(response):
                return receipt
            await self._sleep(waits[attempt] * self._pace)
            attempt += 1

    async def _attempt(self, delivery: Delivery, number: int, last_reason: str) -> tuple[httpx.Response | None, str]:
        """The answer, or None and Slack's word for why there was none."""
        door = self._doors[delivery.platform]
        headers, body = _envelope(delivery, door.secret, int(self._clock()))
        headers["Content-Type"] = "application/json"
        if delivery.platform == "slack" and number:
            headers |= {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": last_reason}
        try:
            response = await self._client.post(
                door.url + PATHS[delivery.platform],
                content=body,
                headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                timeout=PATIENCE[delivery.platform],
            )
        except httpx.TimeoutException:
            return None, "http_timeout"
        except httpx.TransportError:
            return None, "connection_failed"
        return response, "http_error"


def _envelope(delivery: Delivery, secret: str, now_s: int) -> tuple[dict[str, str], bytes]:
    """Headers and body as they go over the wire, with what `forged` asks for broken."""
    if delivery.forged == "wrong_secret":
        secret = "whsec_" + base64.b64encode(hashlib.sha256(secret.encode()).digest()).decode()
    if delivery.forged == "stale_timestamp":
        now_s -= STALE_BY_S
    headers = _sign(delivery, secret, now_s)
    if delivery.forged == "missing_headers":
        return {}, delivery.body
    if delivery.forged == "non_ascii_signature":
        name = next(name for name in headers if name.lower().endswith("-signature"))
        headers[name] = headers[name][:-4] + "ñandú"
    if delivery.forged == "tampered_body":
        return headers, b'{"tampered":true,' + delivery.body[1:]
    return headers, delivery.body


def _sign(delivery: Delivery, secret: str, now_s: int) -> dict[str, str]:
    if delivery.platform == "clerk":
        return sign_clerk(secret, delivery.event_id, now_s, delivery.body)
    return sign_slack(secret, now_s, delivery.body)


def _told_to_stop(response: httpx.Response | None) -> bool:
    return response is not None and response.headers.get("X-Slack-No-Retry") == "1"


def _receipt(delivery: Delivery, response: httpx.Response | None, attempts: int) -> Receipt:
    if response is None:
        return Receipt(delivery, None, None, attempts)
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        body = response.text
    return Receipt(delivery, response.status_code, body, attempts)
