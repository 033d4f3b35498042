"""The few Notion calls Rollcall makes, through notion-client; every foreign error becomes one of ours here."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
from notion_client import AsyncClient
from notion_client.errors import HTTPResponseError, RequestTimeoutError

from handlers.pacing import Wait, in_turn, turn
from handlers.registry import Gone, Refused, SinkDown, Throttled, Unauthorized

NOTION_VERSION = "2025-09-03"
TIMEOUT_S = 20  # well below the lease of a mark
PAGE_SIZE = 100  # Notion's most

Json = dict[str, Any]


class Committed(Exception):
    """A create that was answered 503, but was carried out: here is the page."""

    def __init__(self, remote_id: str) -> None:
        super().__init__(remote_id)
        self.remote_id = remote_id


class Forbidden(Unauthorized):
    """The integration lacks a capability (403): give it one in Notion, under the integration's settings."""


class Invalid(Refused):
    """Notion says that the request itself is wrong (400)."""


class NoSuchCall(SinkDown):
    """Notion, or what stands in for it, does not know this call at all."""


class NotionApi:
    """Raises SinkDown, Throttled, Refused or Gone. `wait` returns shortly before the next request may be sent."""

    def __init__(self, token: str, base_url: str, wait: Wait) -> None:
        self._client = AsyncClient(
            auth=token,
            base_url=base_url.rstrip("/"),
            notion_version=NOTION_VERSION,
            timeout_ms=TIMEOUT_S * 1000,
            retry=False,
            logger=_quiet(),
            client=httpx.AsyncClient(limits=httpx.Limits(max_connections=8), event_hooks={"request": [in_turn]}),
        )
        self._wait = wait

    async def close(self) -> None:
        await self._client.aclose()

    async def me(self) -> Json:
        return await self._call(self._client.users.me)

    async def users(self) -> list[Json]:
        """Everybody Notion lists: members and bots, no guests."""
        return [user async for user in self._paged(self._client.users.list)]

    async def data_source(self, data_source_id: str) -> Json:
        """Gone where it does not exist or is not shared with us."""
        return await self._call(lambda: self._client.data_sources.retrieve(data_source_id))

    async def databases_named(self, title: str) -> list[Json]:
        """Data sources with exactly this title that we may see."""
        question = {"query": title, "filter": {"property": "object", "value": "data_source"}}
        found = [one async for one in self._paged(self._client.search, **question)]
        return [one for one in found if "".join(part["plain_text"] for part in one.get("title", ())) == title]

    async def create_database(self, parent_page: str, title: str, properties: Json) -> Json:
        return await self._call(
            lambda: self._client.databases.create(
                parent={"type": "page_id", "page_id": parent_page},
                title=[{"type": "text", "text": {"content": title}}],
                initial_data_source={"properties": properties},
            )
        )

    async def add_properties(self, data_source_id: str, properties: Json) -> None:
        await self._call(lambda: self._client.data_sources.update(data_source_id, properties=properties))

    async def pages(self, data_source_id: str, where: Json | None = None) -> list[Json]:
        """Every page of a data source that is not in the trash, the oldest first. A parent that is not there is
        the sink's failure.
        """
        question: Json = {
            "data_source_id": data_source_id,
            "sorts": [{"timestamp": "created_time", "direction": "ascending"}],
        }
        if where:
            question["filter"] = where
        try:
            return [page async for page in self._paged(self._client.data_sources.query, **question)]
        except Gone as error:
            raise SinkDown(f"the data source is not there, or not shared with us ({error})") from error

    async def create_page(self, data_source_id: str, properties: Json) -> str:
        """The new page's id, also where Notion says 503 and names the page it made all the same."""
        parent = {"type": "data_source_id", "data_source_id": data_source_id}
        try:
            page = await self._call(lambda: self._client.pages.create(parent=parent, properties=properties))
        except Committed as committed:
            return committed.remote_id
        except Gone as error:
            raise SinkDown(f"the data source is not there, or not shared with us ({error})") from error
        return str(page["id"])

    async def page(self, page_id: str) -> Json:
        return await self._call(lambda: self._client.pages.retrieve(page_id))

    async def update_page(self, page_id: str, properties: Json) -> Json:
        """The page as it is now."""
        return await self._call(lambda: self._client.pages.update(page_id, properties=properties))

    async def move_page(self, page_id: str, data_source_id: str) -> Json:
        """The page as it is now. Invalid or NoSuchCall where Notion does not move it, and never will."""
        parent = {"type": "data_source_id", "data_source_id": data_source_id}
        return await self._call(lambda: self._client.pages.move(page_id, parent=parent))

    async def trash_page(self, page_id: str) -> None:
        await self._call(lambda: self._client.pages.update(page_id, in_trash=True))

    async def _paged(self, method: Callable[..., Any], **arguments: Any) -> AsyncIterator[Json]:
        cursor: str | None = None
        while True:
            page = await self._call(partial(method, start_cursor=cursor, page_size=PAGE_SIZE, **arguments))
            for item in page["results"]:
                yield item
            cursor = page.get("next_cursor")
            if not page.get("has_more") or cursor is None:
                _must_be_complete(page)
                return

    async def _call(self, request: Callable[[], Any]) -> Json:
        try:
            async with turn(self._wait), asyncio.timeout(TIMEOUT_S):
                answer = await request()
        except HTTPResponseError as error:
            raise translate(error) from error
        except (TimeoutError, RequestTimeoutError) as error:
            raise SinkDown("Notion did not answer in time") from error
        except (httpx.HTTPError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise SinkDown(f"Notion: {type(error).__name__}") from error
        if not isinstance(answer, dict):
            raise SinkDown("Notion answered something that is no object")
        return answer


def translate(error: HTTPResponseError) -> Exception:
    """Whose failure is it? The sink's, unless Notion refuses just this page."""
    code, message = _code(error), f"Notion {error.status}: {error}"[:500]
    if error.status == 429 and _reason(error) != "public_api_request_blocked":  # noqa: PLR2004
        return Throttled(message, _retry_after(error))
    if page_id := (error.additional_data or {}).get("committed_resource_id"):
        return Committed(str(page_id))
    if error.status in (400, 404):
        return _of_400(code, message) if error.status == 400 else Gone(message)  # noqa: PLR2004
    return {401: Unauthorized, 403: Forbidden, 409: Refused}.get(error.status, SinkDown)(message)


def _of_400(code: str, message: str) -> Exception:
    if _is_in_trash(message):
        return Gone(message)
    if code == "invalid_request_url":
        return NoSuchCall(message)
    return SinkDown(message) if _is_schema(code, message) else Invalid(message)


def _is_in_trash(message: str) -> bool:
    return "archived" in message or "in trash and cannot be moved" in message


def _is_schema(code: str, message: str) -> bool:
    """A property that is not there, or has another type, fails every page alike: the data source's fault."""
    drifted = "is not a property that exists" in message or "is expected to be" in message
    return code == "missing_version" or drifted


def _code(error: HTTPResponseError) -> str:
    return str(getattr(error.code, "value", error.code))


def _reason(error: HTTPResponseError) -> str | None:
    return (error.additional_data or {}).get("rate_limit_reason")


def _retry_after(error: HTTPResponseError) -> float:
    said = error.headers.get("retry-after") or (error.additional_data or {}).get("retry_after") or 1
    try:
        return min(3600.0, max(0.1, float(said)))  # in this order, a NaN is no wait at all
    except ValueError:
        return 60.0


def _must_be_complete(page: Json) -> None:
    status = page.get("request_status") or {}
    if status.get("type") == "incomplete":
        raise Refused(f"Notion lists no more than 10,000 pages ({status.get('incomplete_reason')})")


def _quiet() -> logging.Logger:
    """notion-client logs bodies and addresses; what matters is in sync_logs and our own lines."""
    logger = logging.getLogger("rollcall.notion_client")
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
    return logger
