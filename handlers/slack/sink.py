"""What Rollcall sends to Slack: alerts to one channel, through slack_sdk, with its own retries off."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from db.database import Database
from db.outbox import Claim
from handlers.people.linking import SLACK
from handlers.registry import Delivered, Refused, SinkDown, Throttled

TIMEOUT_S = 20
SINK_ERRORS = frozenset(
    {
        "account_inactive",
        "channel_not_found",
        "fatal_error",
        "internal_error",
        "invalid_auth",
        "is_archived",
        "missing_scope",
        "not_authed",
        "not_in_channel",
        "request_timeout",
        "service_unavailable",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
    }
)

Wait = Callable[[], Awaitable[None]]


class SlackSink:
    """Delivers alerts. `wait` returns when the next request may be sent."""

    name = SLACK
    concurrency = 1  # about one message a second and channel is what Slack takes

    def __init__(self, token: str, channel: str, base_url: str, wait: Wait) -> None:
        self._channel = channel
        self._wait = wait
        self._client = web_client(token, base_url)

    async def deliver(self, database: Database, claim: Claim) -> Delivered:  # noqa: ARG002 - the Sink protocol
        await self._wait()
        await call(self._client.chat_postMessage(channel=self._channel, text=claim.payload["text"]))
        return Delivered("post")

    async def close(self) -> None:
        """Nothing to close: the client opens a connection a request."""


def web_client(token: str, base_url: str) -> AsyncWebClient:
    """slack_sdk's client without its own retries: ours are the only ones."""
    return AsyncWebClient(token, base_url=base_url, timeout=TIMEOUT_S, retry_handlers=[])


async def call(request: Awaitable[Any]) -> Any:
    """The answer of one Web API call; its errors as ours."""
    try:
        return await request
    except SlackApiError as error:
        raise _translate(error) from error
    except (TimeoutError, aiohttp.ClientError, SlackClientError) as error:
        raise SinkDown(f"Slack: {type(error).__name__}") from error


def _translate(error: SlackApiError) -> Exception:
    # Where the body is no JSON, slack_sdk gives aiohttp's response, or its own without data.
    response: Any = error.response
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    status: int = getattr(response, "status_code", 0) or getattr(response, "status", 0)
    if status == 429 or code == "ratelimited":  # noqa: PLR2004 - HTTP's Too Many Requests
        return Throttled("Slack: ratelimited", _retry_after(response.headers.get("Retry-After")))
    if code is None:
        return SinkDown(f"Slack: an answer that cannot be read (HTTP {status})")
    if status >= 500 or code in SINK_ERRORS:  # noqa: PLR2004 - HTTP's server errors
        return SinkDown(f"Slack: {code}")
    return Refused(f"Slack: {code}")


def _retry_after(said: str | None) -> float:
    try:
        return min(3600.0, max(0.1, float(said or 1)))  # in this order, a NaN is no wait at all
    except ValueError:
        return 60.0
