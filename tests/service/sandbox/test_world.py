"""A world starts, stops, survives outages, serves from a thread, remembers its requests and shows what it holds."""

import asyncio
import statistics
import time
from typing import Any

import httpx
import pytest
from notion_client import AsyncClient

from service.sandbox import World, running, running_in_thread
from service.sandbox.people import Persona


async def create(notion: AsyncClient, table: str, key: str) -> Any:
    return await notion.pages.create(
        parent={"type": "data_source_id", "data_source_id": table},
        properties={"Key": {"rich_text": [{"text": {"content": key}}]}},
    )


async def test_the_journal_counts_the_busiest_window(world: World, notion: AsyncClient) -> None:
    for _ in range(4):
        await notion.users.me()
    await asyncio.sleep(0.25)
    await notion.users.me()
    mine = world.requests.to("notion", "GET", "/v1/users/me", status=200)
    assert len(mine) == 5
    assert mine.busiest(0.2) == 4
    assert mine.busiest(60) == 5


async def test_the_journal_tells_writes_from_queries(world: World, notion: AsyncClient, table: str) -> None:
    await notion.data_sources.query(table)
    await create(notion, table, "k7")
    writes = world.requests.writes("notion")
    assert [request.path for request in writes] == ["/v1/databases", "/v1/pages"]
    assert writes[-1].json["properties"]["Key"]["rich_text"][0]["text"]["content"] == "k7"


async def test_a_world_survives_an_outage(people: list[Persona]) -> None:
    world = World()
    world.admit(people[0])
    headers = {"Authorization": f"Bearer {world.clerk.secret_key}"}
    async with httpx.AsyncClient(headers=headers) as client:
        async with running(world):
            port = int(world.url.rpartition(":")[2])
            assert (await client.get(f"{world.clerk_url}/users/count")).json()["total_count"] == 1
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{world.clerk_url}/users/count")
        async with running(world, port):
            assert (await client.get(f"{world.clerk_url}/users/count")).json()["total_count"] == 1


async def test_an_answer_does_not_wait_for_an_acknowledgement(world: World, notion: AsyncClient) -> None:
    took: list[float] = []
    for _ in range(30):
        began = time.monotonic()
        await notion.users.me()
        took.append(time.monotonic() - began)
    assert statistics.median(took) < 0.03  # 0.04 and more without TCP_NODELAY


async def test_it_stops_at_once_and_hangs_up_on_who_still_waits() -> None:
    async with httpx.AsyncClient() as client:
        async with running(World()) as world:
            world.faults.add(kind="hang", seconds=60)
            waiting = asyncio.create_task(client.get(f"{world.clerk_url}/users"))
            await asyncio.sleep(0.1)
            assert len(world.requests) == 1
            began = time.monotonic()
        assert time.monotonic() - began < 0.5
        with pytest.raises(httpx.TransportError):
            await waiting


def test_a_thread_serves_who_blocks() -> None:
    world = World()
    with running_in_thread(world):
        answer = httpx.get(f"{world.slack_url}auth.test", headers={"Authorization": f"Bearer {world.slack.token}"})
        assert answer.json()["ok"] is True
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{world.slack_url}auth.test")


def test_a_thread_that_cannot_listen_says_so() -> None:
    with running_in_thread(World()) as first:
        second = running_in_thread(World(), int(first.url.rpartition(":")[2]))
        with pytest.raises(OSError, match="in use"):
            second.__enter__()


async def test_the_page_shows_what_is_held_and_escapes_it(
    world: World, notion: AsyncClient, table: str, people: list[Persona]
) -> None:
    world.admit(people[0])
    await create(notion, table, "<script>alert(1)</script>")
    async with httpx.AsyncClient(base_url=world.url) as client:
        page = (await client.get("/")).text
        state = (await client.get("/_sandbox/state.json")).json()
    assert "Notion: People" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert people[0].slack_id in page
    assert state["notion"][table]["rows"][0]["Key"] == "<script>alert(1)</script>"
    assert state["requests"][0] | {"at": ""} == {
        "at": "",
        "platform": "notion",
        "method": "POST",
        "path": "/v1/databases",
        "status": 200,
        "fault": None,
    }


def test_the_same_seed_gives_the_same_ids() -> None:
    assert World(seed=4).notion.parent_page_id == World(seed=4).notion.parent_page_id
    assert World(seed=4).notion.token != World(seed=5).notion.token
