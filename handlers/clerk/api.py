"""Clerk's Backend API: the list of users, page by page.

Over plain httpx: clerk-backend-api 7.0 retries for up to an hour, and never a 429.
"""

from collections.abc import Sequence
from typing import Any

import httpx

from handlers.pacing import Wait, in_turn, turn
from handlers.registry import Refused, SinkDown, Throttled, Unauthorized

TIMEOUT_S = 30.0
PAGE_SIZE = 500  # Clerk's most
FILTER_SIZE = 100  # ids one request may ask for

Json = dict[str, Any]


class ClerkApi:
    """Raises SinkDown, Throttled or Refused. `wait` returns when the next request may be sent."""

    def __init__(self, secret_key: str, base_url: str, wait: Wait) -> None:
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {secret_key}", "User-Agent": "rollcall"},
            timeout=TIMEOUT_S,
            event_hooks={"request": [in_turn]},
        )
        self._wait = wait

    async def close(self) -> None:
        await self._client.aclose()

    async def count(self) -> int:
        answer = await self._get("users/count", {})
        return int(answer["total_count"])

    async def created_from(self, since: int, offset: int) -> list[Json]:
        """At most PAGE_SIZE users created at `since` (ms) or later, the oldest first, leaving out `offset` of them."""
        parameters: dict[str, Any] = {"limit": PAGE_SIZE, "order_by": "+created_at", "offset": offset}
        if since:
            parameters["created_at_after"] = since - 1
        return await self._users(parameters)

    async def existing(self, ids: Sequence[str]) -> set[str]:
        """Which of these users (at most FILTER_SIZE) exist."""
        return {str(user.get("id")) for user in await self._users({"limit": PAGE_SIZE, "user_id": list(ids)})}

    async def _users(self, parameters: dict[str, Any]) -> list[Json]:
        answer = await self._get("users", parameters)
        if not isinstance(answer, list) or not all(isinstance(user, dict) for user in answer):
            raise SinkDown("Clerk answered something that is no list of users: is CLERK_BASE_URL right?")
        return answer

    async def _get(self, path: str, parameters: dict[str, Any]) -> Any:
        try:
            async with turn(self._wait):
                response = await self._client.get(path, params=parameters)
            if response.is_success:
                return response.json()
        except (ValueError, RecursionError) as error:
            raise SinkDown("Clerk's answer is not JSON: is CLERK_BASE_URL right?") from error
        except httpx.HTTPError as error:
            raise SinkDown(f"Clerk did not answer ({type(error).__name__})") from error
        raise _translate(response)


def _translate(response: httpx.Response) -> Exception:
    message = f"Clerk {response.status_code}: {_reason(response)}"
    if response.status_code == 429:  # noqa: PLR2004 - Too Many Requests
        return Throttled(message, _seconds(response.headers.get("Retry-After")))
    if response.status_code in (401, 403):
        return Unauthorized(f"{message} (CLERK_SECRET_KEY: copy it again from Clerk's API keys page)")
    return SinkDown(message) if response.status_code >= 500 else Refused(message)  # noqa: PLR2004 - server errors


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["errors"][0]["message"])[:200]
    except (ValueError, KeyError, IndexError, TypeError):
        return response.reason_phrase


def _seconds(text: str | None) -> float:
    try:
        return min(3600.0, max(0.1, float(text or 10)))  # in this order, a NaN is no wait at all
    except ValueError:
        return 10.0
