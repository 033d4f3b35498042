"""Notion's stand-in, asked through notion-client: who may come in, what people and pages are."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from notion_client import AsyncClient
from notion_client.errors import APIErrorCode, APIResponseError, UnknownHTTPResponseError

from service.sandbox import World, running
from service.sandbox.people import Persona

Json = dict[str, Any]
Add = Callable[..., Awaitable[Json]]
Connect = Callable[..., AsyncClient]
UNKNOWN = "7855b161-f63e-4683-b7c7-8ca6e97ee266"


def named(name: str, **properties: Any) -> Json:
    return {"Name": {"title": [{"text": {"content": name}}]}, **properties}


def text(content: str) -> Json:
    return {"rich_text": [{"text": {"content": content}}]}


async def test_a_wrong_token_is_unauthorized(connect: Connect) -> None:
    with pytest.raises(APIResponseError) as refused:
        await connect(token="ntn_wrong").users.me()
    assert (refused.value.status, refused.value.code) == (401, APIErrorCode.Unauthorized)
    assert refused.value.request_id


@pytest.mark.parametrize("version", [None, "2021-01-01"])
async def test_a_missing_or_unknown_version_is_refused(world: World, version: str | None) -> None:
    headers = {"Authorization": f"Bearer {world.notion.token}"}
    headers |= {"Notion-Version": version} if version else {}
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{world.notion_url}/v1/users/me", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "missing_version")


async def test_an_unknown_version_is_a_code_notion_client_does_not_know(connect: Connect) -> None:
    with pytest.raises(UnknownHTTPResponseError, match="400"):
        await connect(version="2031-01-01").users.me()


async def test_an_unknown_url_is_refused(notion: AsyncClient) -> None:
    with pytest.raises(APIResponseError) as refused:
        await notion.request("invalid", "GET")
    assert refused.value.code == APIErrorCode.InvalidRequestURL


async def test_a_body_that_is_no_json_is_refused(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.notion.token}", "Notion-Version": "2026-03-11"}
    async with httpx.AsyncClient(headers=headers) as client:
        answer = await client.post(f"{world.notion_url}/v1/pages", content=b'{"parent":')
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


async def test_a_capability_that_is_off_is_restricted(world: World, notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada")
    doing = {
        "read_content": notion.pages.retrieve(page["id"]),
        "insert_content": add(notion, table, "Grace"),
        "update_content": notion.pages.update(page["id"], properties=named("Lovelace")),
    }
    for capability, call in doing.items():
        setattr(world.notion.capabilities, capability, False)
        with pytest.raises(APIResponseError) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (403, APIErrorCode.RestrictedResource)
        setattr(world.notion.capabilities, capability, True)


@pytest.mark.parametrize("unknown", [UNKNOWN, UNKNOWN.replace("-", "")])
async def test_an_unknown_page_is_not_found(notion: AsyncClient, unknown: str) -> None:
    with pytest.raises(APIResponseError, match=UNKNOWN) as refused:
        await notion.pages.retrieve(unknown)
    assert (refused.value.status, refused.value.code) == (404, APIErrorCode.ObjectNotFound)


async def test_an_id_that_is_no_uuid_is_invalid(notion: AsyncClient) -> None:
    with pytest.raises(APIResponseError, match="should be a valid uuid"):
        await notion.pages.retrieve("12345678-1234-1234-1234-123456789abc")


async def test_unsharing_a_parent_hides_all_below_it(world: World, notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada")
    world.notion.unshare(world.notion.parent_page_id)
    with pytest.raises(APIResponseError) as refused:
        await notion.pages.retrieve(page["id"])
    assert refused.value.code == APIErrorCode.ObjectNotFound


async def test_members_are_listed_in_parts_without_guests(
    world: World, notion: AsyncClient, people: list[Persona]
) -> None:
    for person in people:
        world.admit(person)
    world.notion.add_user({"object": "user", "id": UNKNOWN, "type": "person", "person": {}}, guest=True)
    listed: list[Json] = []
    cursor: str | None = None
    while True:
        part = await notion.users.list(page_size=2, start_cursor=cursor)
        listed += part["results"]
        cursor = part["next_cursor"]
        if not part["has_more"]:
            break
    emails = {user["person"]["email"] for user in listed if user["type"] == "person"}
    assert emails == {person.email for person in people}
    assert len(listed) == len(people) + 1  # the bot
    assert (await notion.users.retrieve(UNKNOWN))["id"] == UNKNOWN


async def test_addresses_need_their_capability(world: World, notion: AsyncClient, people: list[Persona]) -> None:
    world.admit(people[0])
    world.notion.capabilities.read_emails = False
    assert (await notion.users.retrieve(people[0].notion_id))["person"] == {}


async def test_without_the_user_capability_listing_is_restricted_and_me_is_not(
    world: World, notion: AsyncClient
) -> None:
    world.notion.capabilities.read_users = False
    assert (await notion.users.me())["type"] == "bot"
    with pytest.raises(APIResponseError) as refused:
        await notion.users.list()
    assert refused.value.code == APIErrorCode.RestrictedResource


async def test_more_than_a_hundred_users_a_page_are_refused(notion: AsyncClient) -> None:
    with pytest.raises(APIResponseError, match="≤ `100`"):
        await notion.users.list(page_size=101)


async def test_a_person_property_reads_as_a_user_and_refuses_strangers(
    world: World, notion: AsyncClient, table: str, people: list[Persona], add: Add
) -> None:
    world.admit(people[0])
    page = await add(notion, table, "Ada", Person={"people": [{"object": "user", "id": people[0].notion_id}]})
    assert page["properties"]["Person"]["people"][0]["person"]["email"] == people[0].email
    for stranger in ({"id": UNKNOWN}, {"id": people[0].notion_id, "name": "Ada"}, {"email": "a@example.com"}):
        with pytest.raises(APIResponseError) as refused:
            await notion.pages.update(page["id"], properties={"Person": {"people": [stranger]}})
        assert refused.value.code == APIErrorCode.ValidationError


async def test_a_page_still_names_somebody_who_left(
    world: World, notion: AsyncClient, table: str, people: list[Persona], add: Add
) -> None:
    world.admit(people[0])
    page = await add(notion, table, "Ada", Person={"people": [{"id": people[0].notion_id}]})
    world.notion.remove_user(people[0].notion_id)
    seen = await notion.pages.retrieve(page["id"])
    assert seen["properties"]["Person"]["people"] == [{"object": "user", "id": people[0].notion_id}]


async def test_a_repeated_create_makes_a_second_page(world: World, notion: AsyncClient, table: str, add: Add) -> None:
    for _ in range(2):
        await add(notion, table, "Ada", Key=text("user_1"))
    assert [row["Key"] for row in world.notion.rows(table)] == ["user_1", "user_1"]


async def test_a_database_is_no_parent_for_a_page(notion: AsyncClient, table: str) -> None:
    database_id = (await notion.data_sources.retrieve(table))["parent"]["database_id"]
    with pytest.raises(APIResponseError, match="data_source_id"):
        await notion.pages.create(parent={"type": "database_id", "database_id": database_id}, properties=named("Ada"))


async def test_page_times_are_whole_minutes(connect: Connect) -> None:
    moment = datetime(2026, 7, 4, 9, 9, 44, 922854, tzinfo=UTC)
    async with running(World(clock=lambda: moment)) as frozen:
        client = AsyncClient(
            auth=frozen.notion.token, base_url=frozen.notion_url, notion_version="2025-09-03", retry=False
        )
        page = await client.pages.retrieve(frozen.notion.parent_page_id)
        await client.aclose()
    assert page["created_time"] == page["last_edited_time"] == "2026-07-04T09:09:00.000Z"


async def test_archived_is_gone_in_the_newest_version(connect: Connect, table: str, add: Add) -> None:
    old, new = connect(), connect(version="2026-03-11")
    page = await add(old, table, "Ada")
    assert page["archived"] is False
    assert "archived" not in await new.pages.retrieve(page["id"])
    assert (await old.pages.update(page["id"], archived=True))["in_trash"] is True
    with pytest.raises(APIResponseError, match=r"body\.archived should be not present"):
        await new.pages.update(page["id"], archived=False)


@pytest.mark.parametrize("change", [{"properties": named("Grace")}, {"in_trash": True}, {"icon": None}])
async def test_a_trashed_page_cannot_be_edited_until_it_is_restored(
    notion: AsyncClient, table: str, change: Json, add: Add
) -> None:
    page = await add(notion, table, "Ada")
    await notion.pages.update(page["id"], in_trash=True)
    with pytest.raises(APIResponseError, match="archived") as refused:
        await notion.pages.update(page["id"], **change)
    assert refused.value.code == APIErrorCode.ValidationError
    assert (await notion.pages.retrieve(page["id"]))["in_trash"] is True
    restored = await notion.pages.update(page["id"], in_trash=False)
    assert restored["in_trash"] is False


async def test_nothing_can_be_created_in_a_trashed_data_source(notion: AsyncClient, table: str, add: Add) -> None:
    await notion.data_sources.update(table, in_trash=True)
    with pytest.raises(APIResponseError, match="archived"):
        await add(notion, table, "Ada")


async def test_somebody_else_can_edit_a_page_behind_our_back(
    world: World, notion: AsyncClient, table: str, add: Add
) -> None:
    page = await add(notion, table, "Ada", Level={"number": 1})
    world.notion.edit(page["id"], {"Level": {"number": 9}})
    world.notion.add_row(table, named("Stray"))
    assert (await notion.pages.retrieve(page["id"]))["properties"]["Level"]["number"] == 9
    assert world.notion.writes == 2  # the table and the page, both through the API
