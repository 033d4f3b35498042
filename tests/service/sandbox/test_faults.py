"""What goes wrong on request goes wrong exactly so, as the real clients see it, and is counted."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from notion_client import AsyncClient
from notion_client.errors import (
    APIErrorCode,
    APIResponseError,
    HTTPResponseError,
    RequestTimeoutError,
    UnknownHTTPResponseError,
)

from service.sandbox import World, running
from service.sandbox.faults import Fault, notion_mix
from service.sandbox.people import Persona

Json = dict[str, Any]
Connect = Callable[..., AsyncClient]


async def create(notion: AsyncClient, table: str, key: str = "k") -> Any:
    return await notion.pages.create(
        parent={"type": "data_source_id", "data_source_id": table},
        properties={"Key": {"rich_text": [{"text": {"content": key}}]}},
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "validation_error"),
        (401, "unauthorized"),
        (403, "restricted_resource"),
        (404, "object_not_found"),
        (409, "conflict_error"),
        (429, "rate_limited"),
        (500, "internal_server_error"),
        (502, "bad_gateway"),
        (503, "service_unavailable"),
        (504, "gateway_timeout"),
        (529, "service_overload"),
    ],
)
async def test_a_status_comes_with_notions_own_body(world: World, notion: AsyncClient, status: int, code: str) -> None:
    fault = world.faults.add(platform="notion", status=status)
    with pytest.raises(HTTPResponseError) as failed:
        await notion.users.me()
    assert failed.value.status == status
    assert json.loads(failed.value.body)["code"] == code
    assert (await notion.users.me())["type"] == "bot"
    assert (fault.hits, world.faults.hits) == (1, 1)


async def test_codes_notion_client_does_not_know_arrive_as_unknown(world: World, notion: AsyncClient) -> None:
    world.faults.add(status=529)
    with pytest.raises(UnknownHTTPResponseError):
        await notion.users.me()


async def test_a_429_says_how_long_and_why(world: World, notion: AsyncClient) -> None:
    world.faults.add(status=429, retry_after=7, reason="public_api_space_request_rate_limit")
    with pytest.raises(APIResponseError) as failed:
        await notion.users.me()
    assert failed.value.headers["retry-after"] == "7"
    assert failed.value.additional_data == {
        "rate_limit_reason": "public_api_space_request_rate_limit",
        "retry_after": "7",
    }


async def test_a_fault_hits_what_it_names_as_often_as_it_says(world: World, notion: AsyncClient, table: str) -> None:
    fault = world.faults.add(
        platform="notion", method="POST", path_prefix="/v1/pages", contains='"poison"', times=2, skip=1
    )
    await notion.users.me()
    await create(notion, table, "healthy")
    await create(notion, table, "poison")
    for _ in range(2):
        with pytest.raises(APIResponseError):
            await create(notion, table, "poison")
    await create(notion, table, "poison")
    assert fault.hits == 2
    assert len(world.notion.rows(table)) == 3


async def test_a_refused_write_leaves_nothing(world: World, notion: AsyncClient, table: str) -> None:
    world.faults.add(status=503)
    with pytest.raises(APIResponseError) as failed:
        await create(notion, table)
    assert world.notion.rows(table) == []
    assert failed.value.additional_data is None


@pytest.mark.parametrize("named", [True, False])
async def test_a_committed_create_answers_503_with_or_without_the_new_id(
    world: World, notion: AsyncClient, table: str, named: bool
) -> None:
    world.faults.add(path_prefix="/v1/pages", status=503, committed=True, named=named)
    with pytest.raises(APIResponseError) as failed:
        await create(notion, table)
    page = world.notion.pages_of(table)[0]
    assert failed.value.code == APIErrorCode.ServiceUnavailable
    told = failed.value.additional_data or {}
    assert told["retry_guidance"] == ["Read the object again", "Do not repeat the write"]
    assert told.get("committed_resource_id") == (page["id"] if named else None)


async def test_a_committed_update_names_no_id(world: World, notion: AsyncClient, table: str) -> None:
    page = await create(notion, table)
    world.faults.add(status=503, committed=True, named=True)
    with pytest.raises(APIResponseError) as failed:
        await notion.pages.update(page["id"], properties={"Level": {"number": 3}})
    assert world.notion.rows(table)[0]["Level"] == 3
    assert "committed_resource_id" not in (failed.value.additional_data or {})


async def test_a_query_that_is_too_heavy_is_told_to_ask_for_less(world: World, notion: AsyncClient, table: str) -> None:
    world.faults.add(path_prefix="/v1/data_sources", status=503)
    with pytest.raises(APIResponseError) as failed:
        await notion.data_sources.query(table)
    assert "Use a smaller page_size" in (failed.value.additional_data or {})["retry_guidance"]


async def test_what_the_platform_refuses_cannot_commit(world: World, notion: AsyncClient, table: str) -> None:
    world.faults.add(path_prefix="/v1/pages", status=503, committed=True)
    with pytest.raises(APIResponseError, match="is not a property that exists"):
        await notion.pages.create(parent={"data_source_id": table}, properties={"Nope": {}})


@pytest.mark.parametrize("committed", [True, False])
async def test_a_hanging_request_times_out_with_or_without_the_write(
    world: World, connect: Connect, table: str, committed: bool
) -> None:
    world.faults.add(path_prefix="/v1/pages", kind="hang", seconds=30, committed=committed)
    with pytest.raises(RequestTimeoutError):
        await create(connect(timeout_ms=60), table)
    assert len(world.notion.rows(table)) == committed
    assert world.requests[-1].status is None


async def test_a_late_write_commits_after_the_client_gave_up(world: World, connect: Connect, table: str) -> None:
    world.faults.add(path_prefix="/v1/pages", kind="hang", seconds=0.2, committed=True, late=True)
    with pytest.raises(RequestTimeoutError):
        await create(connect(timeout_ms=50), table)
    assert world.notion.rows(table) == []
    await asyncio.sleep(0.3)
    assert len(world.notion.rows(table)) == 1


@pytest.mark.parametrize("committed", [True, False])
async def test_a_dropped_connection_gives_no_answer_at_all(
    world: World, notion: AsyncClient, table: str, committed: bool
) -> None:
    world.faults.add(path_prefix="/v1/pages", kind="drop", committed=committed)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await create(notion, table)
    assert len(world.notion.rows(table)) == committed
    await create(notion, table)


async def test_html_with_an_error_is_an_unknown_error(world: World, notion: AsyncClient) -> None:
    world.faults.add(kind="html", status=502)
    with pytest.raises(UnknownHTTPResponseError) as failed:
        await notion.users.me()
    assert failed.value.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("how", [{"kind": "html", "status": 200}, {"kind": "garbage"}])
async def test_a_200_that_is_no_json_breaks_the_parser(world: World, notion: AsyncClient, how: Json) -> None:
    world.faults.add(**how)
    with pytest.raises(json.JSONDecodeError):
        await notion.users.me()


async def test_a_slow_answer_is_the_true_one(world: World, notion: AsyncClient) -> None:
    world.faults.add(kind="slow", seconds=0.1)
    began = time.monotonic()
    assert (await notion.users.me())["type"] == "bot"
    assert time.monotonic() - began >= 0.1


async def test_chance_repeats_itself_from_its_seed(people: list[Persona]) -> None:
    async def story() -> list[str | None]:
        async with running(World()) as world, httpx.AsyncClient() as client:
            world.faults.random(seed=11, probability=0.5, mix=notion_mix(retry_after=0), platform="notion")
            for _ in range(40):
                with contextlib.suppress(httpx.TransportError):
                    await client.get(f"{world.notion_url}/v1/users/me")
            assert world.faults.hits == sum(request.fault is not None for request in world.requests)
            return [request.fault for request in world.requests]

    first = await story()
    assert first == await story()
    assert {fault is None for fault in first} == {True, False}


async def test_calm_ends_it_all(world: World, notion: AsyncClient) -> None:
    world.faults.random(seed=1, probability=1, mix=[Fault(status=500)])
    world.faults.add(status=500, times=None)
    world.faults.limit("notion", requests=0, seconds=60)
    world.faults.calm()
    assert (await notion.users.me())["type"] == "bot"


async def test_a_rate_limit_is_a_fixed_window(world: World, notion: AsyncClient) -> None:
    limit = world.faults.limit("notion", requests=5, seconds=0.4)
    for _ in range(5):
        await notion.users.me()
    with pytest.raises(APIResponseError) as failed:
        await notion.users.me()
    assert failed.value.code == APIErrorCode.RateLimited
    await asyncio.sleep(float(failed.value.headers["retry-after"]))
    await notion.users.me()
    assert limit.refused == 1
