"""Slack's Web API through slack_sdk, without its own retries, and with its errors as ours."""

from collections.abc import Awaitable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from handlers.registry import Refused, SinkDown, Throttled

TIMEOUT_S = 20
TOKEN_ERRORS = frozenset(
    {
        "account_inactive",
        "fatal_error",
        "internal_error",
        "invalid_auth",
        "not_authed",
        "request_timeout",
        "service_unavailable",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
    }
)
SINK_ERRORS = TOKEN_ERRORS | {"channel_not_found", "is_archived", "missing_scope", "not_in_channel"}


class Declined(Refused):
    """Slack's word for why it refuses is in `code`; `about`: what it says of the arguments."""

    def __init__(self, code: str, about: str = "") -> None:
        super().__init__(f"Slack: {code}")
        self.code = code
        self.about = about


def web_client(token: str | None, base_url: str, timeout_s: int | None = None) -> AsyncWebClient:
    """slack_sdk's client without its own retries: ours are the only ones."""
    return AsyncWebClient(token, base_url=base_url, timeout=timeout_s or TIMEOUT_S, retry_handlers=[])


async def call(request: Awaitable[Any], down: frozenset[str] = SINK_ERRORS) -> Any:
    """The answer of one Web API call. `down`: the errors that mean that nothing can be sent at all."""
    try:
        return await request
    except SlackApiError as error:
        raise _translate(error, down) from error
    except (TimeoutError, aiohttp.ClientError, SlackClientError) as error:
        raise SinkDown(f"Slack: {type(error).__name__}") from error


def _translate(error: SlackApiError, down: frozenset[str]) -> Exception:
    # Where the body is no JSON, slack_sdk gives aiohttp's response, or its own without data.
    response: Any = error.response
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    status: int = getattr(response, "status_code", 0) or getattr(response, "status", 0)
    if status == 429 or code == "ratelimited":  # noqa: PLR2004 - HTTP's Too Many Requests
        return Throttled("Slack: ratelimited", _retry_after(response.headers.get("Retry-After")))
    if code is None:
        return SinkDown(f"Slack: an answer that cannot be read (HTTP {status})")
    if status >= 500 or code in down:  # noqa: PLR2004 - HTTP's server errors
        return SinkDown(f"Slack: {code}")
    told = data.get("response_metadata") if isinstance(data, dict) else None
    return Declined(str(code), str(told.get("messages") or "") if isinstance(told, dict) else "")


def _retry_after(said: str | None) -> float:
    try:
        return min(3600.0, max(0.1, float(said or 1)))  # in this order, a NaN is no wait at all
    except ValueError:
        return 60.0
