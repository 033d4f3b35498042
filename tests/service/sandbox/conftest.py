"""A running world and the real clients that look at it, for every test of the sandbox."""

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from notion_client import AsyncClient
from slack_sdk.web.async_client import AsyncWebClient

from service.sandbox import World, running
from service.sandbox.people import Persona, personas

Json = dict[str, Any]
Add = Callable[..., Awaitable[Json]]
Connect = Callable[..., AsyncClient]

NOW_MS = 1_790_000_000_000
PROPERTIES = {
    "Name": {"title": {}},
    "Key": {"rich_text": {}},
    "Email": {"email": {}},
    "Phone": {"phone_number": {}},
    "Home": {"url": {}},
    "Role": {"select": {"options": [{"name": "admin", "color": "red"}, {"name": "member"}]}},
    "Tags": {"multi_select": {"options": []}},
    "Stage": {"status": {}},
    "Active": {"checkbox": {}},
    "Level": {"number": {}},
    "When": {"date": {}},
    "Person": {"people": {}},
    "Number": {"unique_id": {"prefix": "P"}},
    "Final": {"formula": {"expression": 'prop("Name")'}},
    "Born": {"created_time": {}},
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running(World(seed=7)) as world:
        yield world


@pytest.fixture
def people() -> list[Persona]:
    return personas(random.Random(3), 5, now_ms=NOW_MS)


@pytest.fixture
async def connect(world: World) -> AsyncIterator[Connect]:
    """Makes notion-clients; their own retries are off."""
    clients: list[AsyncClient] = []

    def client(token: str | None = None, version: str = "2025-09-03", timeout_ms: int = 5_000) -> AsyncClient:
        clients.append(
            AsyncClient(
                auth=token or world.notion.token,
                base_url=world.notion_url,
                notion_version=version,
                retry=False,
                timeout_ms=timeout_ms,
                logger=logging.getLogger("test.notion"),
            )
        )
        return clients[-1]

    yield client
    for made in clients:
        await made.aclose()


@pytest.fixture
def notion(connect: Connect) -> AsyncClient:
    return connect()


@pytest.fixture
async def table(world: World, notion: AsyncClient) -> str:
    """The id of a data source with one column of nearly each kind."""
    database = await notion.databases.create(
        parent={"type": "page_id", "page_id": world.notion.parent_page_id},
        title=[{"text": {"content": "People"}}],
        initial_data_source={"properties": PROPERTIES},
    )
    source_id: str = database["data_sources"][0]["id"]
    return source_id


@pytest.fixture
def add() -> Add:
    """Creates a page: `add(notion, table, "Ada", Email={"email": None})`."""

    async def page(notion: AsyncClient, table: str, name: str, **properties: Any) -> Json:
        made: Json = await notion.pages.create(
            parent={"type": "data_source_id", "data_source_id": table},
            properties={"Name": {"title": [{"text": {"content": name}}]}, **properties},
        )
        return made

    return page


@pytest.fixture
def slack(world: World) -> AsyncWebClient:
    return AsyncWebClient(token=world.slack.token, base_url=world.slack_url)


@pytest.fixture
async def clerk(world: World) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {world.clerk.secret_key}"}
    async with httpx.AsyncClient(base_url=world.clerk_url, headers=headers) as client:
        yield client
